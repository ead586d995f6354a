"""The usual way to mask, as a named alternative: pandas, `apply`, a Python call a value.

`python -m benchmarks.masking_usual PART`; frames are in memory before the clock starts.
"""

import argparse
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from benchmarks.masking_measure import measure_rounds
from benchmarks.masking_sample import build_people

_CHUNK_ROWS = 10_000
_DAY = pd.Timestamp("2026-11-18")
_KEY = b"0123456789abcdef" * 4
_EDGES = [float("-inf"), 0, 100, 1000, float("inf")]
_LABELS = ["(-inf, 0)", "[0, 100)", "[100, 1000)", "[1000, inf)"]
_QUASI_IDENTIFIERS = ["age_group", "prefecture", "gender"]
_K, _L = 5, 3


def _hash_value(value: object) -> object:
    return None if pd.isna(value) else hashlib.sha256(str(value).encode()).hexdigest()


def _hash_with_key(value: object) -> object:
    return None if pd.isna(value) else hmac.new(_KEY, str(value).encode(), "sha256").hexdigest()


def time_values(
    options: argparse.Namespace, hash_value: Callable[[object], object]
) -> dict[str, Any]:
    """E-mail addresses, one call each."""
    frames = [frame["email"] for frame in _read_frames(options.warehouse, options.users)]
    return measure_rounds(
        lambda: sum(len(frame.apply(hash_value)) for frame in frames), rounds=options.rounds
    )


def time_mask(options: argparse.Namespace) -> dict[str, Any]:
    """The rules of `user_profile`, column by column."""
    frames = _read_frames(options.warehouse, options.users)
    return measure_rounds(lambda: sum(len(_mask(frame)) for frame in frames), rounds=options.rounds)


def _mask(raw: pd.DataFrame) -> pd.DataFrame:
    frame = raw.drop(columns=["phone"])
    frame["user_id"] = frame["user_id"].apply(_hash_with_key)
    frame["email"] = frame["email"].apply(_hash_with_key)
    frame["name"] = "[redacted]"
    ages = (_DAY - pd.to_datetime(frame["birthday"])).dt.days // 365.25
    frame["birthday"] = ages.apply(_name_ages)
    frame["postcode"] = frame["postcode"].str[:3]
    frame["signup_at"] = pd.to_datetime(frame["signup_at"]).dt.year
    numbers = frame["balance"].astype(float)
    frame["balance"] = pd.cut(numbers, _EDGES, labels=_LABELS, right=False)
    return frame


def _name_ages(age: float) -> str | None:
    if pd.isna(age):
        return None
    low = int(age) // 5 * 5
    return f"{low}-{low + 4}"


def time_privacy(options: argparse.Namespace) -> dict[str, Any]:
    """Sizes and values of groups by groupby, on a frame that is there already."""
    people = build_people(options.users).to_pandas()

    def count() -> int:
        groups = people.groupby(_QUASI_IDENTIFIERS, observed=True)["diagnosis"]
        found = groups.agg(["size", "nunique"])
        if (found["size"] < _K).any() or (found["nunique"] < _L).any():
            raise AssertionError("these groups are large enough")
        return len(people)

    return measure_rounds(count, rounds=options.rounds)


def _read_frames(warehouse: Path, users: int) -> list[pd.DataFrame]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        query = "SELECT * FROM bench.users LIMIT $users"
        reader = connection.sql(query, params={"users": users}).to_arrow_reader(_CHUNK_ROWS)
        return [batch.to_pandas() for batch in reader]


def main() -> None:
    """Parse the arguments and print the result."""
    parts: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "hmac": lambda options: time_values(options, _hash_with_key),
        "sha256": lambda options: time_values(options, _hash_value),
        "mask": time_mask,
        "privacy": time_privacy,
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=parts)
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(parts[options.part](options)))


if __name__ == "__main__":
    main()
