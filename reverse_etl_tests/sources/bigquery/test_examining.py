"""What the doctor looks at: each thing found in order, or told with its cure; nothing is paid or left."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl.sources.bigquery.examining import Examination
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl_tests.bigquery.server import USER, BigQueryServer
from reverse_etl_tests.contracts.source import NOW

pytestmark = pytest.mark.contract

Examine = Callable[..., Examination]


@pytest.fixture
def examine(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> Iterator[Examine]:
    """An examination with some options changed, which gives up soon."""
    bigquery_server.now = NOW
    opened: list[Examination] = []

    def build(**changes: Any) -> Examination:
        options = dataclasses.replace(bigquery_options, **changes)
        opened.append(Examination(options, now=lambda: NOW, timeout_seconds=0.5))
        return opened[-1].__enter__()

    yield build
    for examination in opened:
        examination.__exit__()


def test_healthy_deployment_passes_everything(
    examine: Examine, bigquery_server: BigQueryServer
) -> None:
    """Every step, and not one query that is billed nor one row that is read."""
    examination = examine()

    dataset = examination.find_staging()
    account = examination.run_nothing()
    examination.check_readers(dataset, account=account)
    examination.open_session(probe="probe")

    assert examination.find_project() == "test-project"
    assert (account, dataset.location) == (USER, "EU")
    assert examination.reach_storage() == bigquery_server.storage_endpoint
    assert len(bigquery_server.jobs) == 0
    assert bigquery_server.log.named("ReadRows", "tabledata.list") == []
    assert repr(examination) == "Examination('staging')"


def test_probe_is_removed_and_expires_by_itself(
    examine: Examine, bigquery_server: BigQueryServer
) -> None:
    """A doctor that dies in between leaves nothing for good, and the sweep knows whose it is."""
    made: list[Any] = []
    bigquery_server.faults.rest(
        operation="tables.delete",
        action="pass",
        before=lambda: made.append(bigquery_server.get_table("staging.probe")),
    )

    examine().open_session(probe="probe")

    (table,) = made
    assert table.expires_at > NOW
    assert table.labels == {"managed_by": "reverse_etl"}
    assert not bigquery_server._catalog.get_dataset("staging").tables


@pytest.mark.parametrize(
    ("permission", "step", "said"),
    [
        ("bigquery.datasets.get", "find_staging", "roles/bigquery.dataViewer on the dataset"),
        ("bigquery.jobs.create", "run_nothing", "roles/bigquery.jobUser on the project"),
        ("bigquery.tables.create", "open_session", "roles/bigquery.dataEditor on the staging"),
        ("bigquery.readsessions.create", "open_session", "roles/bigquery.readSessionUser"),
        ("bigquery.tables.getData", "open_session", "roles/bigquery.dataEditor on the staging"),
        ("bigquery.tables.delete", "open_session", "roles/bigquery.dataEditor on the staging"),
    ],
)
def test_missing_permission_is_named_with_its_role(
    examine: Examine, bigquery_server: BigQueryServer, permission: str, step: str, said: str
) -> None:
    """The step that needs it fails, and says what to grant where."""
    bigquery_server.faults.deny(permission)
    arguments = {"probe": "probe"} if step == "open_session" else {}

    with pytest.raises(ConfigError) as raised:
        getattr(examine(), step)(**arguments)

    assert f"permission {permission}" in raised.value.message
    assert said in raised.value.message


def test_session_that_is_refused_leaves_no_probe(
    examine: Examine, bigquery_server: BigQueryServer
) -> None:
    """Whatever goes wrong, even with the removal, what went wrong first is told."""
    bigquery_server.faults.deny("bigquery.readsessions.create")
    examination = examine()

    with pytest.raises(ConfigError, match="readsessions"):
        examination.open_session(probe="one")
    bigquery_server.faults.deny("bigquery.tables.delete")
    with pytest.raises(ConfigError, match="readsessions"):
        examination.open_session(probe="two")

    assert list(bigquery_server._catalog.get_dataset("staging").tables) == ["two"]


@pytest.mark.parametrize(
    ("changes", "step", "said"),
    [
        ({"project": None}, "find_project", "REVERSE_ETL_BIGQUERY_PROJECT"),
        ({"project": "nowhere"}, "find_staging", "nowhere"),
        ({"dataset": "nowhere"}, "find_staging", "does not exist"),
        ({"location": "US"}, "find_staging", "REVERSE_ETL_BIGQUERY_LOCATION is US"),
    ],
)
def test_wrong_setting_is_named(
    examine: Examine, changes: dict[str, Any], step: str, said: str
) -> None:
    """Project, dataset and location, each by what was found."""
    with pytest.raises(ConfigError, match=said):
        getattr(examine(**changes), step)()


def test_strangers_are_named(examine: Examine, bigquery_server: BigQueryServer) -> None:
    """A dataset as BigQuery makes them is read by half the company."""
    bigquery_server.create_dataset(
        "open",
        access=[{"role": "READER", "specialGroup": "projectReaders"}],
        default_expiration=dt.timedelta(days=2),
    )
    examination = examine(dataset="open")
    dataset = examination.find_staging()

    with pytest.raises(ConfigError, match="specialGroup:projectReaders"):
        examination.check_readers(dataset, account=USER)

    assert dataset.default_table_expiration_ms == 172_800_000


@pytest.mark.parametrize(
    ("changes", "step", "said"),
    [
        ({"storage_endpoint": "127.0.0.1:1"}, "reach_storage", "could not be reached within 0.5 s"),
        ({"endpoint": "http://127.0.0.1:1"}, "find_staging", "the connection to BigQuery failed"),
    ],
)
def test_address_where_nobody_listens_is_told_soon(
    examine: Examine, changes: dict[str, Any], step: str, said: str
) -> None:
    """Whoever runs a doctor waits for it."""
    with pytest.raises(TransientError, match=said):
        getattr(examine(**changes), step)()


def test_every_error_is_ours(examine: Examine, bigquery_server: BigQueryServer) -> None:
    """Whatever the server answers, no foreign text passes."""
    bigquery_server.faults.rest(
        status=400, reason="invalid", message="Canary 'a@example.com'", times=None
    )
    bigquery_server.faults.session(code="INTERNAL", message="Canary", times=None)

    for step in ("find_staging", "run_nothing"):
        with pytest.raises(ReverseEtlError) as raised:
            getattr(examine(), step)()
        assert "anary" not in str(raised.value)
