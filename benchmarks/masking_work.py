"""One piece of our masking in a process of its own: `python -m benchmarks.masking_work PART`.

Prints one JSON object. Rows are in memory before the clock starts, in the batches that the source gives;
what is timed runs in as many threads as the stage has.
"""

import argparse
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from pydantic import TypeAdapter

from benchmarks.chain import DAY, NOW
from benchmarks.masking_measure import measure_rounds
from benchmarks.masking_sample import (
    build_kept_attributes,
    build_people,
    build_profile_attributes,
)
from benchmarks.sample import BENCH_ATTRIBUTES, BENCH_QUERY
from reverse_etl.engine import Engine, open_engine, unslice
from reverse_etl.errors import DataError
from reverse_etl.landing.documents import find_snapshot
from reverse_etl.masking import leaks
from reverse_etl.masking.apply import compile_mask, open_masked
from reverse_etl.masking.hashing import compute_hmac
from reverse_etl.masking.keys import generate_masking_key
from reverse_etl.masking.policy import resolve_pinned_policy, resolve_policy
from reverse_etl.masking.risk import PrivacyRules, RiskInspector
from reverse_etl.masking.rules import AnyRule, MaskContext
from reverse_etl.model import Partition, Snapshot
from reverse_etl.pipeline import extract, mask_and_land
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Secret, Settings
from reverse_etl.spec import SyncConfig, SyncSpec, build_spec
from reverse_etl.sql import quote_identifier

_BATCH_ROWS = 61_440  # as the embedded source cuts them
_CHECKED_VALUES = 1_000
_ATTRIBUTES: dict[str, Callable[[], dict[str, Any]]] = {
    "bench": lambda: BENCH_ATTRIBUTES,
    "profile": build_profile_attributes,
    "kept": build_kept_attributes,
}
#: Quasi-identifiers and rules of each case; those of the last two are refused.
_PRIVACY: dict[str, dict[str, Any]] = {
    "k": {"quasi_identifiers": ["age_group", "prefecture", "gender"], "k": 5},
    "k and l": {
        "quasi_identifiers": ["age_group", "prefecture", "gender"],
        "k": 5,
        "l": {"column": "diagnosis", "at_least": 3},
    },
    "families": {"quasi_identifiers": ["family"], "k": 5},
    "refused": {"quasi_identifiers": ["postcode", "birthday", "gender", "prefecture"], "k": 5},
    "refused, k and l": {
        "quasi_identifiers": ["postcode", "birthday", "gender", "prefecture"],
        "k": 5,
        "l": {"column": "diagnosis", "at_least": 3},
    },
}


@contextmanager
def _open_pinned(
    options: argparse.Namespace,
) -> Iterator[tuple[SyncSpec, Partition, Runtime]]:
    """The benchmark's sync under the asked rules, its snapshot pinned."""
    (options.folder / "query.sql").write_text(BENCH_QUERY, encoding="utf-8")
    attributes = {**_ATTRIBUTES[options.rules](), "landing": {"format": options.format}}
    spec = build_spec(SyncConfig.model_validate(attributes), folder=options.folder)
    settings = Settings(
        duckdb_path=options.warehouse,
        store_url=(options.folder / "store").as_uri(),
        masking_key=Secret(generate_masking_key("bench")),
        scratch_dir=options.folder / "scratch",
    )
    runtime = Runtime(settings=settings, now=lambda: NOW)
    partition = spec.partition(DAY, now=NOW)
    extract(spec, partition, runtime, run_id="bench")
    with closing(runtime):
        yield spec, partition, runtime


def time_hmac(options: argparse.Namespace) -> dict[str, Any]:
    """E-mail addresses under `hmac`, in batches; a sample is compared with Python's own first."""
    with _open_pinned(options) as (spec, partition, runtime):
        columns = [
            batch.column("email") for split in _read(spec, partition, runtime) for batch in split
        ]
        threads = runtime.settings.threads
    key = "0123456789abcdef" * 4
    some = columns[0].slice(0, _CHECKED_VALUES)
    expected = [hmac.digest(key.encode(), it.as_py().encode(), "sha256").hex() for it in some]
    if compute_hmac(some, key=key).to_pylist() != expected:
        raise AssertionError("hmac is not what Python's hmac gives")

    def hash_all() -> int:
        with ThreadPoolExecutor(threads) as pool:
            return sum(map(len, pool.map(lambda column: compute_hmac(column, key=key), columns)))

    return measure_rounds(hash_all, rounds=options.rounds)


def time_mask(options: argparse.Namespace) -> dict[str, Any]:
    """The policy over all batches, as the stage runs it, each result an Arrow table."""
    with _open_pinned(options) as (spec, partition, runtime):
        snapshot = _find_pinned(spec, partition, runtime)
        splits = _read(spec, partition, runtime)
        policy = resolve_pinned_policy(
            spec.config.columns, key=spec.config.key, schema=snapshot.schema
        )
        context = MaskContext(
            sync=spec.name, partition_date=partition.date, masking_key=runtime.masking_key
        )
        mask = compile_mask(policy, context=context)
        engine = open_engine(memory_limit_bytes=runtime.memory_limit_bytes)

        def mask_split(batches: list[pa.Table]) -> int:
            rows = 0
            with closing(engine.cursor()) as cursor:
                for batch in batches:
                    with open_masked(cursor, mask, batch) as masked:
                        found = cursor.sql(masked.query, params=masked.parameters)
                        rows += found.to_arrow_table().num_rows
            return rows

        def mask_all() -> int:
            with ThreadPoolExecutor(runtime.settings.threads) as pool:
                return sum(pool.map(mask_split, splits))

        with closing(engine):
            return measure_rounds(mask_all, rounds=options.rounds)


def time_landing(options: argparse.Namespace) -> dict[str, Any]:
    """From masking to the committed manifest, in a local directory, with or without the leak scan."""
    with _open_pinned(options) as (spec, partition, runtime):

        def land() -> int:
            return mask_and_land(spec, partition, runtime, run_id="bench").manifest.rows

        if options.scan:
            return measure_rounds(land, rounds=1)
        # No sync can have this: the scan cannot be switched off.
        with patch.object(leaks, "list_scanned_columns", return_value=[]):
            return measure_rounds(land, rounds=1)


def time_privacy(options: argparse.Namespace) -> dict[str, Any]:
    """Every row counted into its group, and the gate's decision, with its advice where it refuses."""
    people = build_people(options.people)
    rules = PrivacyRules.model_validate(_PRIVACY[options.case])
    parse = TypeAdapter(list[AnyRule]).validate_python
    declared = [{"name": name, "rule": "keep"} for name in people.column_names]
    shortened = {"name": "postcode", "rule": "truncate", "length": 7}
    columns = parse([shortened if it["name"] == "postcode" else it for it in declared])
    policy = resolve_policy(columns, key="number", schema=people.schema)
    batches = [
        people.slice(start, _BATCH_ROWS).combine_chunks()
        for start in range(0, len(people), _BATCH_ROWS)
    ]
    engine = open_engine(memory_limit_bytes=192 << 20)
    refusals: list[str] = []

    def inspect() -> int:
        inspector = RiskInspector(
            rules, policy=policy, memory_limit_bytes=64 << 20, spill_directory=options.folder
        )
        _show(engine, inspector, batches)
        refusals.clear()
        try:
            inspector.conclude()
        except DataError as error:
            refusals.append(error.message)
        return len(people)

    with closing(engine):
        result = measure_rounds(inspect, rounds=options.rounds)
    return {**result, "refusal": refusals[0] if refusals else None}


def _show(engine: Engine, inspector: RiskInspector, batches: list[pa.Table]) -> None:
    """What the stage does for an inspector: its items in the masking pass, then `see`."""
    items = ", ".join(f"{sql} AS {quote_identifier(it)}" for it, sql in inspector.items.items())
    own = threading.local()

    def see(batch: pa.Table) -> None:
        if not hasattr(own, "cursor"):
            own.cursor = engine.cursor()
        own.cursor.register("masked", unslice(batch))
        seen = own.cursor.sql(f"SELECT {items} FROM masked").to_arrow_table()
        own.cursor.unregister("masked")
        inspector.see(own.cursor, seen)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(see, batches))


def _find_pinned(spec: SyncSpec, partition: Partition, runtime: Runtime) -> Snapshot:
    snapshot = find_snapshot(runtime.store, spec.name, partition.key)
    if snapshot is None:
        raise AssertionError("it was pinned a moment ago")
    return snapshot


def _read(spec: SyncSpec, partition: Partition, runtime: Runtime) -> list[list[pa.Table]]:
    """The snapshot's batches, by split."""
    snapshot = _find_pinned(spec, partition, runtime)
    source = runtime.source_for(spec.config.source.kind)
    return [list(source.read(snapshot, split)) for split in source.plan_splits(snapshot)]


def main() -> None:
    """Parse the arguments and print the result."""
    parts = {"hmac": time_hmac, "mask": time_mask, "landing": time_landing, "privacy": time_privacy}
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=parts)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument("--rules", choices=_ATTRIBUTES, default="bench")
    parser.add_argument("--format", choices=("json", "parquet"), default="json")
    parser.add_argument("--scan", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--case", choices=_PRIVACY, default="k")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(parts[options.part](options)))


if __name__ == "__main__":
    main()
