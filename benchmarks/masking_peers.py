"""Masking as two peers document it, by an interpreter that has them: `PYTHON -m benchmarks.masking_peers`.

Needs nothing but Python and the peer. Rows come as JSON lines and are dicts before the clock starts.
Neither has rules for ages, years or buckets, so both do less than ours.
"""

import argparse
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.masking_measure import measure_rounds

_BATCH_ROWS = 1_000
_SALT = "a salt that is the same for all"
_HASHED = ("user_id", "email")

Row = dict[str, Any]


def time_drt(rows: list[Row], *, rounds: int) -> dict[str, Any]:
    """`mask:` of a sync: SHA-256 without a key, a constant, the first characters."""
    from drt.config.models import MaskRule  # noqa: PLC0415 - only its interpreter has it
    from drt.engine.masking import apply_mask  # noqa: PLC0415

    mask = {
        **dict.fromkeys(_HASHED, "hash"),
        "name": "redact",
        "postcode": MaskRule(strategy="truncate", length=3),
    }
    batches = [rows[start : start + _BATCH_ROWS] for start in range(0, len(rows), _BATCH_ROWS)]
    found = measure_rounds(
        lambda: sum(len(apply_mask(batch, mask)) for batch in batches), rounds=rounds
    )
    return {**found, "version": importlib.metadata.version("drt-core")}


def time_dlt(rows: list[Row], *, rounds: int) -> dict[str, Any]:
    """`add_map` with a function a row: SHA-256 with a salt, a constant, the first characters."""
    import dlt  # noqa: PLC0415 - only its interpreter has it

    def pseudonymise(row: Row) -> Row:
        masked = dict(row)  # or the next round would mask what is masked
        for name in _HASHED:
            masked[name] = hashlib.sha256((row[name] + _SALT).encode()).hexdigest()
        masked["name"] = "[redacted]"
        masked["postcode"] = row["postcode"][:3]
        return masked

    def mask_all() -> int:
        @dlt.resource(name="users")  # type: ignore[untyped-decorator,unused-ignore]
        def users() -> Iterator[list[Row]]:
            for start in range(0, len(rows), _BATCH_ROWS):
                yield rows[start : start + _BATCH_ROWS]

        return sum(1 for _ in users().add_map(pseudonymise))

    return {**measure_rounds(mask_all, rounds=rounds), "version": importlib.metadata.version("dlt")}


def main() -> None:
    """Parse the arguments and print the result."""
    peers = {"drt": time_drt, "dlt": time_dlt}
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=peers)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with options.rows.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    print(json.dumps(peers[options.peer](rows, rounds=options.rounds)))


if __name__ == "__main__":
    main()
