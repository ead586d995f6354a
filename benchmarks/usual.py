"""The usual way, as a named alternative: `python -m benchmarks.usual`.

What a careful engineer writes in an afternoon: read with pandas in chunks, mask with `apply` and
hashlib, one JSON object a user in a file of its own (as one PUT a user would be), a redis-py
pipeline of SETs. No proof, no read-back, no atomic switch: it does less, and is timed beside ours.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import redis

from benchmarks.measure import measured
from reverse_etl.embedded.redis_server import RedisServer

_CHUNK_ROWS = 10_000
_PIPELINE_COMMANDS = 1_000
_DAY = pd.Timestamp("2026-11-18")


def read_chunks(warehouse: Path, *, users: int) -> Iterator[pd.DataFrame]:
    """The first `users` rows, some thousands at a time."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        query = "SELECT * FROM bench.users LIMIT $users"
        reader = connection.sql(query, params={"users": users}).to_arrow_reader(_CHUNK_ROWS)
        for batch in reader:
            yield batch.to_pandas()


def mask(frame: pd.DataFrame) -> pd.DataFrame:
    """The benchmark's rules, column by column, a Python call a value."""

    def digest(value: object) -> object:
        return None if pd.isna(value) else hashlib.sha256(str(value).encode()).hexdigest()

    frame["email"] = frame["email"].apply(digest)
    frame["phone"] = frame["phone"].apply(digest)
    frame["name"] = "[redacted]"
    ages = (_DAY - pd.to_datetime(frame["birthday"])).dt.days // 365
    frame["birthday"] = ages.apply(lambda age: None if pd.isna(age) else f"{int(age) // 10 * 10}s")
    frame["postcode"] = frame["postcode"].str[:3]
    frame["signup_at"] = pd.to_datetime(frame["signup_at"]).dt.year
    return frame


def carry(folder: Path, warehouse: Path, *, users: int) -> int:
    """Carry the rows; return how many."""
    rows = 0
    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)
        for frame in read_chunks(warehouse, users=users):
            pipeline = client.pipeline(transaction=False)
            for record in mask(frame).to_dict(orient="records"):
                body = json.dumps(record, default=str).encode()
                (folder / f"{rows}.json").write_bytes(body)
                pipeline.set(f"user:{record['user_id']}", body)
                rows += 1
                if rows % _PIPELINE_COMMANDS == 0:
                    pipeline.execute()
            pipeline.execute()
        client.close()
    return rows


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--warehouse", type=Path, required=True)
    parser.add_argument("--users", type=int, required=True)
    arguments = parser.parse_args()
    with measured() as measure:
        rows = carry(arguments.folder, arguments.warehouse, users=arguments.users)
    result = {"rows": rows, "seconds": measure.seconds, "peak_mib": measure.peak_mib}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
