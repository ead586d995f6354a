"""Whatever becomes of the source's schema: the sync is refused by name, or the change is none to it."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from reverse_etl import pipeline
from reverse_etl.errors import ConfigError, ReverseEtlError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.model import Snapshot
from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.duckdb import DuckDBSource
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl.types import canonical_schema
from reverse_etl_tests.builders import DAY, NOW, QUERY, build_runtime, build_spec
from reverse_etl_tests.canary.drift import (
    DECLARED,
    Columns,
    build_table,
    can_be_accepted,
    declare,
    drifts,
    find_changed,
)
from reverse_etl_tests.canary.search import read_error
from reverse_etl_tests.canary.values import EVERY, SECRET, STRAY, find_escaped
from reverse_etl_tests.masking.advised import apply_advice, has_advice

UNDECLARED = {**SECRET, **STRAY}
MANY = settings(
    max_examples=500,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class CountingSource(MemorySource):
    """Knows how often rows were pinned."""

    pins = 0

    def pin(self, request: PinRequest) -> Snapshot:
        self.pins += 1
        return super().pin(request)


def read_store(store: MemoryStore) -> dict[str, bytes]:
    return {
        name: gzip.decompress(body) if name.endswith(".gz") else body
        for name, body in store._objects.items()
    }


def land(folder: Path, spec: SyncSpec, columns: Columns) -> tuple[MemoryStore, CountingSource]:
    """Extract, mask and land; a refusal is raised together with what lies in store and source by then."""
    store, source = MemoryStore(), CountingSource({QUERY: build_table(columns)})
    runtime = build_runtime(folder, source=source, store=store)
    partition = spec.partition(DAY, now=NOW)
    try:
        pipeline.extract(spec, partition, runtime, run_id="run-1")
        pipeline.mask_and_land(spec, partition, runtime, run_id="run-1")
    except ReverseEtlError as error:
        raise Refusal(error, store, source) from None
    return store, source


class Refusal(Exception):  # noqa: N818 - what is looked at, not a fault
    """How a sync was refused, and what it had done by then."""

    def __init__(self, error: ReverseEtlError, store: MemoryStore, source: CountingSource) -> None:
        super().__init__(type(error).__name__)
        self.error = error
        self.store = store
        self.source = source


TYPED = build_spec(columns=declare(typed=True))
UNTYPED = build_spec(columns=declare(typed=False))


def test_declared_schema_lands(tmp_path: Path) -> None:
    """The declaration fits, so that every refusal below is the drift's."""
    for spec in (TYPED, UNTYPED):
        store, _ = land(tmp_path, spec, tuple(DECLARED))

        assert find_escaped(read_store(store), UNDECLARED) == []
        assert find_escaped(read_store(store), EVERY) != []


def check_refusal(refusal: Refusal, changed: frozenset[str]) -> None:
    """It names a column that changed, no value, and came before a row was pinned or a byte written."""
    assert isinstance(refusal.error, ConfigError)
    said = str(refusal.error).casefold()
    assert any(f"'{name}" in said for name in map(str.casefold, changed)), said
    assert find_escaped({"error": read_error(refusal.error)}, EVERY | STRAY) == []
    assert list(refusal.store.list_objects("")) == []
    assert refusal.source.pins == 0


def check_advice(refusal: Refusal, columns: Columns, *, typed: bool) -> None:
    """The YAML that it ends with, merged by name, makes the policy resolve and drops what is new."""
    message = refusal.error.message
    if not can_be_accepted(columns, typed=typed):
        assert not has_advice(message)
        return
    schema = canonical_schema(pa.schema([column.arrow for column in columns]))
    advised = apply_advice(message, columns=declare(typed=typed), key="user_id")

    resolve_policy(advised.rules, key=advised.key, schema=schema)


@MANY
@given(columns=drifts())
def test_drift_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, columns: Columns
) -> None:
    """With types declared: any other name or type stops the sync, and nothing else does."""
    changed = find_changed(columns)
    if not changed:
        store, _ = land(tmp_path_factory.getbasetemp(), TYPED, columns)
        assert find_escaped(read_store(store), UNDECLARED) == []
        return

    with pytest.raises(Refusal) as caught:
        land(tmp_path_factory.getbasetemp(), TYPED, columns)

    check_refusal(caught.value, changed)
    check_advice(caught.value, columns, typed=True)


@settings(MANY, max_examples=100)
@given(columns=drifts())
def test_drift_without_types_shows_no_secret(
    tmp_path_factory: pytest.TempPathFactory, columns: Columns
) -> None:
    """Where types are left open a retyped column may pass, under its rule; nothing else does."""
    changed = find_changed(columns)
    try:
        store, _ = land(tmp_path_factory.getbasetemp(), UNTYPED, columns)
    except Refusal as refusal:
        assert changed
        check_refusal(refusal, changed)
        check_advice(refusal, columns, typed=False)
    else:
        names = sorted(column.name for column in columns)
        assert names == sorted(column.name for column in DECLARED)
        assert find_escaped(read_store(store), SECRET) == []


@pytest.mark.parametrize("shape", ["BYTES", "JSON"])
def test_retyped_column_without_type_is_refused(tmp_path: Path, shape: str) -> None:
    """A column that is retyped upstream stops the sync, as one that is new or renamed does."""
    store, source = MemoryStore(), CountingSource({QUERY: build_table(tuple(DECLARED))})
    runtime = build_runtime(tmp_path, source=source, store=store)
    partition = UNTYPED.partition(DAY, now=NOW)
    pipeline.extract(UNTYPED, partition, runtime, run_id="run-1")
    pipeline.mask_and_land(UNTYPED, partition, runtime, run_id="run-1")
    retyped = (replace(it, shape=shape) if it.name == "note" else it for it in DECLARED)
    source.tables[QUERY] = build_table(tuple(retyped))

    with pytest.raises(ConfigError, match="note"):
        pipeline.extract(UNTYPED, partition, runtime, run_id="run-2")


def leave_json_open(column: dict[str, Any]) -> dict[str, Any]:
    """A rule without its type for the column of JSON: a table that DuckDB made of Arrow has text there."""
    return {name: it for name, it in column.items() if column["name"] != "doc" or name != "type"}


class ChangingSource(DuckDBSource):
    """Its table is changed by somebody between the look at its schema and the query."""

    selected = "*"

    def pin(self, request: PinRequest) -> Snapshot:
        with duckdb.connect(str(self._path)) as connection:
            connection.execute(
                f"CREATE OR REPLACE TABLE shop.users AS SELECT {self.selected} FROM shop.users",
                {"stray": STRAY["stray_text"].value},
            )
        return super().pin(request)


@pytest.mark.parametrize(
    ("selected", "is_refused"),
    [
        ("*, $stray AS ssn", False),
        ("* REPLACE ($stray AS points)", True),
        ("* REPLACE ($stray AS born)", True),
        ("* REPLACE ({'city': 'x', 'ssn': $stray, 'zip': 'y'} AS profile)", False),
        ("* REPLACE ({'ssn': $stray} AS profile)", True),
        ("* RENAME (note AS fresh), $stray AS more", True),
    ],
    ids=["added", "number to text", "date to text", "member added", "members replaced", "renamed"],
)
def test_change_after_the_look_shows_no_stray_value(
    tmp_path: Path, selected: str, *, is_refused: bool
) -> None:
    """A schema that changes between the look and the query lets nothing undeclared through either."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.register("users", build_table(tuple(DECLARED)))
        connection.execute("CREATE TABLE shop.users AS SELECT * FROM users")
    source = ChangingSource(path, memory_limit_bytes=64 << 20, threads=1)
    source.selected = selected
    store = MemoryStore()
    runtime = build_runtime(tmp_path, source=source, store=store)
    spec = build_spec(columns=[*map(leave_json_open, declare(typed=True))])
    partition = spec.partition(DAY, now=NOW)
    shown = {}
    refused = False
    try:
        pipeline.extract(spec, partition, runtime, run_id="run-1")
        pipeline.mask_and_land(spec, partition, runtime, run_id="run-1")
    except ReverseEtlError as error:
        refused = True
        shown = {"error": read_error(error)}

    assert refused is is_refused
    assert find_escaped(shown, EVERY | STRAY) == []
    assert find_escaped(read_store(store), UNDECLARED) == []
