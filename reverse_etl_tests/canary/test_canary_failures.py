"""Every stage fails with an error that quotes all values, and nothing that anybody sees holds one."""

import os
import resource
import subprocess
import sys

import duckdb
import pytest

from reverse_etl.errors import ReverseEtlError
from reverse_etl_tests.canary.catalogue import FEWER_STAGES, STAGES, TYPICAL, UNFORESEEN
from reverse_etl_tests.canary.conftest import MakeNest
from reverse_etl_tests.canary.faults import Fault, Strikes
from reverse_etl_tests.canary.scene import Nest, Outcome
from reverse_etl_tests.canary.search import read_error
from reverse_etl_tests.canary.values import DROPPED, EVERY, SECRET, SYNC, find_escaped

pytestmark = pytest.mark.contract


def run_failing(nest: Nest, fault: Fault, *, door: str, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """A run that meets the fault; it must be met, and must not end well."""
    strikes = Strikes()
    with nest.stack:
        fault.prepare(nest, monkeypatch, strikes)
        outcome = nest.run(door)
    assert strikes.count
    assert not outcome.succeeded
    return outcome


def list_cases() -> list[object]:
    """Every fault in every format."""
    return [
        pytest.param(
            fault,
            file_format,
            id=f"{fault}-{file_format}",
        )
        for fault in TYPICAL
        for file_format in fault.formats
    ]


@pytest.mark.parametrize(("fault", "file_format"), list_cases())
def test_caller_of_the_functions_meets_no_value(
    make_nest: MakeNest, monkeypatch: pytest.MonkeyPatch, fault: Fault, file_format: str
) -> None:
    """What is raised is an error of ours, and holds no value, nor does anything that is left behind."""
    nest = make_nest(file_format=file_format)

    outcome = run_failing(nest, fault, door="functions", monkeypatch=monkeypatch)

    assert isinstance(outcome.error, ReverseEtlError)
    assert nest.find_escaped(outcome) == []
    assert nest.list_leftovers() == []


@pytest.mark.parametrize("fault", [*STAGES, *UNFORESEEN], ids=str)
def test_command_line_shows_no_value(
    make_nest: MakeNest, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Whatever fails, also what nobody foresaw: neither printed, nor in the document of `--json`."""
    nest = make_nest()

    outcome = run_failing(nest, fault, door="cli --json", monkeypatch=monkeypatch)

    assert b"error" in outcome.shown["stdout"]
    assert b"error: " in outcome.shown["stderr"]
    assert nest.find_escaped(outcome) == []
    assert nest.list_leftovers() == []


@pytest.mark.chaos
@pytest.mark.parametrize("fault", [*FEWER_STAGES, *UNFORESEEN[2:4]], ids=str)
def test_dagster_keeps_no_value(
    make_nest: MakeNest, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Whatever fails, also what nobody foresaw: no event, run, log line or piece of metadata has it."""
    nest = make_nest()

    outcome = run_failing(nest, fault, door="dagster", monkeypatch=monkeypatch)

    assert b"STEP_FAILURE" in outcome.shown["dagster event_log_storage"]
    assert nest.find_escaped(outcome) == []
    assert nest.list_leftovers() == []


@pytest.mark.parametrize("name", ["pin", "mask", "put"])
def test_nothing_hangs_hidden_behind_an_error(
    make_nest: MakeNest, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An error that leaves the pipeline has no library's error behind it, not even a hidden one."""
    (fault,) = [fault for fault in TYPICAL if fault.name == name]

    outcome = run_failing(make_nest(), fault, door="functions", monkeypatch=monkeypatch)

    assert outcome.error is not None
    assert find_escaped({"hidden": read_error(outcome.error, suppressed=True)}) == []


@pytest.mark.parametrize(
    "expression",
    [
        "CAST(masked_text AS INT64)",
        "CAST(CONCAT('Overflow in ', masked_text) AS NUMERIC)",
        "PARSE_DATE('%Y-%m-%d', kept_text)",
        "FROM_HEX(dropped_text)",
        "FROM_BASE64(CONCAT('Division by zero in ', dropped_text, '!'))",
        "FROM_HEX(CONCAT('reverse_etl.sql:text:CAST ', masked_text))",
        "FROM_HEX(CONCAT('reverse_etl refuses to pin: ', masked_text))",
        "REGEXP_CONTAINS('x', CONCAT('[', masked_text))",
        "JSON_VALUE(masked_text, '$.a')",
    ],
)
def test_query_that_fails_at_a_value_does_not_show_it(make_nest: MakeNest, expression: str) -> None:
    """DuckDB's own errors quote the value they stopped at, even one that looks like a text of ours."""
    nest = make_nest()
    query = f"SELECT * REPLACE ({expression} AS kept_text) FROM shop.people"
    (nest.folder / "defs" / SYNC / "query.sql").write_text(query, encoding="utf-8")

    outcome = nest.run("functions")

    assert not outcome.succeeded
    assert nest.find_escaped(outcome) == []
    assert nest.list_leftovers() == []


@pytest.mark.parametrize("file_format", ["json", "parquet"])
def test_scratch_files_are_given_no_secret(
    make_nest: MakeNest, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    """Files without a name are looked at as they are written: outside the source only masked rows are."""
    nest = make_nest(file_format=file_format)
    written: list[bytes] = []
    pwritev = os.pwritev

    def watch(descriptor: int, views: list[memoryview], at: int) -> int:
        written.extend(bytes(view) for view in views)
        return pwritev(descriptor, views, at)

    monkeypatch.setattr(os, "pwritev", watch)

    outcome = nest.run("functions")

    assert outcome.succeeded
    assert written
    assert find_escaped({"scratch": b"".join(written)}, SECRET) == []


def test_dropped_columns_are_not_pinned(make_nest: MakeNest) -> None:
    """The snapshot, still inside the source, has the columns that leave and no other."""
    nest = make_nest()
    nest.run("functions")

    (path,) = (nest.folder / "warehouse.duckdb.snapshots").glob("*.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        pinned = connection.execute("SELECT * FROM pinned LIMIT 0").description

    assert {column[0] for column in pinned} == EVERY.keys() - DROPPED.keys()
    assert path.stat().st_mode & 0o077 == 0


def test_process_of_a_run_leaves_no_core_dump() -> None:
    """A process that holds raw rows in memory does not leave them in a file when it crashes."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("this machine allows no core dumps at all, so nothing can be seen")
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_CORE, ({hard}, {hard}))\n"
        "from reverse_etl.cli import main; main(['syncs'])\n"
        "print('limit', resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )

    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert finished.stdout.splitlines()[-1] == b"limit 0"
