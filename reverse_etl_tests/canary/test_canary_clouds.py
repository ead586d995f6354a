"""BigQuery and S3 fail with errors that quote all values, and nothing that anybody sees holds one."""

from collections.abc import Iterator

import pytest

from reverse_etl.errors import ReverseEtlError
from reverse_etl_tests.canary.clouds import FAULTS, CloudNest, open_clouds
from reverse_etl_tests.canary.conftest import MakeNest
from reverse_etl_tests.canary.search import read_error
from reverse_etl_tests.canary.values import find_escaped

pytestmark = pytest.mark.contract


@pytest.fixture
def clouds(make_nest: MakeNest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudNest]:
    """The nest, in the clouds."""
    with open_clouds(make_nest(), monkeypatch) as opened:
        yield opened


def test_run_that_ends_well_shows_no_value(clouds: CloudNest) -> None:
    """The bucket, its names and its metadata hold masked rows alone, and no log holds a row."""
    outcome = clouds.nest.run("functions")

    assert outcome.succeeded
    assert any(key.endswith(".jsonl.gz") for key in clouds.cloud.s3.objects)
    assert clouds.find_escaped(outcome) == []
    assert clouds.nest.list_leftovers() == []


@pytest.mark.parametrize("name", FAULTS)
def test_failing_server_makes_no_value_seen(clouds: CloudNest, name: str) -> None:
    """What is raised is an error of ours; neither it nor what hangs hidden behind it holds a value."""
    count = FAULTS[name](clouds)

    outcome = clouds.nest.run("functions")

    assert count()
    assert not outcome.succeeded
    assert isinstance(outcome.error, ReverseEtlError)
    assert find_escaped({"hidden": read_error(outcome.error, suppressed=True)}) == []
    assert clouds.find_escaped(outcome) == []
    assert clouds.nest.list_leftovers() == []


@pytest.mark.chaos
@pytest.mark.parametrize("name", ["job", "stream, after rows", "put, no right"])
def test_dagster_keeps_nothing_of_a_failing_server(clouds: CloudNest, name: str) -> None:
    """No event, run, log line or piece of metadata has what the server quoted."""
    count = FAULTS[name](clouds)

    outcome = clouds.nest.run("dagster")

    assert count()
    assert not outcome.succeeded
    assert clouds.find_escaped(outcome) == []
