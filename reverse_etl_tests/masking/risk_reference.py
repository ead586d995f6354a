"""k-anonymity and l-diversity once more, row by row in plain Python, and ways to run the real gate."""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from reverse_etl.engine import Engine, open_engine, unslice
from reverse_etl.masking.policy import Policy, resolve_policy
from reverse_etl.masking.risk import PrivacyRules, RiskInspector
from reverse_etl.masking.rules import AnyRule, Keep
from reverse_etl.sql import quote_identifier

Row = Sequence[Any]
_NAN = ("not", "a number")
_BINS = {"1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10-19": (10, 19), "20-49": (20, 49)}
BINS = {**_BINS, "50-99": (50, 99), "100+": (100, math.inf)}


def normalise(value: Any) -> Any:
    """Equal when they are one value: each NaN is, and Python has 0.0 equal -0.0 already."""
    if isinstance(value, float) and math.isnan(value):
        return _NAN
    return (type(value).__name__, value)


def count_groups(rows: Iterable[Row]) -> Counter[tuple[Any, ...]]:
    """Records by their quasi-identifiers."""
    return Counter(tuple(map(normalise, row)) for row in rows)


def count_values(rows: Iterable[Row]) -> dict[tuple[Any, ...], int]:
    """Distinct values of the last column, NULL not counted, by the columns before it."""
    values: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for *quasi, sensitive in rows:
        group = values[tuple(map(normalise, quasi))]
        if sensitive is not None:
            group.add(normalise(sensitive))
    return {group: len(found) for group, found in values.items()}


def build_histogram(sizes: Iterable[int]) -> tuple[tuple[str, int, int], ...]:
    """Groups and records by size of group."""
    found = list(sizes)
    bins = []
    for label, (low, high) in BINS.items():
        inside = [size for size in found if low <= size <= high]
        bins.append((label, len(inside), sum(inside)))
    return tuple(bins)


def build_policy(schema: pa.Schema, *rules: AnyRule) -> Policy:
    """A policy over the schema and a key: what has no rule here is kept."""
    given = {rule.name: rule for rule in rules}
    whole = pa.schema([pa.field("id", pa.int64()), *schema])
    every = [
        given.get(name) or Keep.model_validate({"name": name, "rule": "keep"})
        for name in whole.names
    ]
    return resolve_policy(every, key="id", schema=whole)


def show(
    inspector: RiskInspector,
    batches: Iterable[pa.Table],
    *,
    threads: int = 1,
    engine: Engine | None = None,
) -> None:
    """Give the inspector what landing would: its items, computed over masked batches, by threads."""
    items = ", ".join(f"{sql} AS {quote_identifier(it)}" for it, sql in inspector.items.items())
    start = threading.Barrier(threads)
    shares = [list(batches)[first::threads] for first in range(threads)] if threads > 1 else None

    def see_all(share: Iterable[pa.Table]) -> None:
        start.wait()
        with closing(whole.cursor()) as cursor:
            for batch in share:
                cursor.register("masked", unslice(batch))
                seen = cursor.sql(f"SELECT {items} FROM masked").to_arrow_table()
                cursor.unregister("masked")
                inspector.see(cursor, seen)

    with closing(engine.cursor() if engine else open_engine(memory_limit_bytes=512 << 20)) as whole:
        if shares is None:
            see_all(batches)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(see_all, shares))


def open_inspector(
    rules: PrivacyRules, policy: Policy, folder: Path, *, memory_limit_bytes: int = 128 << 20
) -> RiskInspector:
    """An inspector that spills below the folder."""
    return RiskInspector(
        rules, policy=policy, memory_limit_bytes=memory_limit_bytes, spill_directory=folder
    )
