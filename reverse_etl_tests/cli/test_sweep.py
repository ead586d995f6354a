"""`reverse-etl sweep` as a person types it: what dead runs left goes, what readers see stays."""

import datetime as dt

import pytest

from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.layout import build_version, version_prefix
from reverse_etl.landing.sweep import announce_attempt
from reverse_etl_tests.cli.conftest import DAY, Run, Shop


def leave_attempt(shop: Shop, *, hours: float) -> None:
    """An attempt that died so long ago, with an object."""
    store = DirectoryStore(shop.store)
    died_at = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)
    version = build_version(DAY, died_at)
    announce_attempt(store, "people", version)
    store.put(f"{version_prefix('people', version)}00000.jsonl.gz", b"masked")


def test_sweep_removes_what_dead_runs_left(run: Run, shop: Shop) -> None:
    """Once; what is live is read and verified as before."""
    assert run("run", "people", "--partition", DAY).code == 0
    leave_attempt(shop, hours=9)
    leave_attempt(shop, hours=5)

    first = run("sweep", "people", "--older-than-hours", "8")
    second = run("sweep", "people", "--older-than-hours", "1", "--json").document
    third = run("sweep", "people", "--older-than-hours", "1")

    assert first.code == 0
    assert "attempts   1\n" in first.out
    assert "1 removed" in first.out
    assert (second["attempts"], second["removed"], second["redis_left"]) == (1, 1, None)
    assert "nothing was left to remove" in third.out
    assert run("verify", "people").code == 0


@pytest.mark.parametrize("hours", ["0", "721", "-1", "1.5", "all"])
def test_sweep_takes_hours_within_bounds(
    run: Run, hours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An hour is the least: a run may be at work on what is younger."""
    with pytest.raises(SystemExit) as caught:
        run("sweep", "people", f"--older-than-hours={hours}")

    assert caught.value.code == 2
    assert f"'{hours}' is not a number from 1 to 720" in capsys.readouterr().err
