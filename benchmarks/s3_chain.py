"""One landing on S3 in a process of its own: `python -m benchmarks.s3_chain`; prints one JSON object.

`--way ours` masks a pinned snapshot and lands it, up to its committed manifest. `--way usual` is what is
usually done: one object a user, put by boto3 from a hundred threads.
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import duckdb
from botocore.config import Config

from benchmarks.chain import DAY, NOW
from benchmarks.measure import measured
from benchmarks.s3_bounds import LEFT_OUT, leave_out
from benchmarks.sample import BENCH_ATTRIBUTES, BENCH_QUERY
from reverse_etl.masking.keys import generate_masking_key
from reverse_etl.pipeline import extract, mask_and_land
from reverse_etl.runtime import Runtime
from reverse_etl.settings import AwsIdentity, Secret, Settings
from reverse_etl.spec import SyncConfig, build_spec

_USUAL_THREADS = 100


def land(
    folder: Path,
    warehouse: Path,
    server: argparse.Namespace,
    *,
    file_format: str,
    proof: str,
    without: str | None = None,
) -> dict[str, Any]:
    """Pin, then mask and land; only the second is measured."""
    (folder / "query.sql").write_text(BENCH_QUERY, encoding="utf-8")
    landing = {"format": file_format, "verify": proof}
    attributes = {**BENCH_ATTRIBUTES, "landing": landing}
    spec = build_spec(SyncConfig.model_validate(attributes), folder=folder)
    settings = Settings(
        duckdb_path=warehouse,
        store_url=f"s3://{server.bucket}/bench/{proof}",
        s3_endpoint_url=server.endpoint,
        s3_region=server.region,
        aws_identity=AwsIdentity.STATIC_KEYS,
        aws_access_key_id=Secret(server.access_key_id),
        aws_secret_access_key=Secret(server.secret_access_key),
        masking_key=Secret(generate_masking_key("bench")),
        scratch_dir=folder / "scratch",
    )
    runtime = Runtime(settings=settings, now=lambda: NOW)
    partition = spec.partition(DAY, now=NOW)
    extract(spec, partition, runtime, run_id="bench")
    with leave_out(without), measured() as measure:
        receipt = mask_and_land(spec, partition, runtime, run_id="bench")
    runtime.close()
    return {
        "rows": receipt.manifest.rows,
        "objects": len(receipt.manifest.objects),
        "bytes": receipt.manifest.bytes,
        "stages": receipt.stage_seconds,
        **_describe(measure.seconds, measure.peak_mib),
    }


def put_each(warehouse: Path, server: argparse.Namespace, *, users: int) -> dict[str, Any]:
    """One object a user, its JSON ready: nothing is masked, nothing is proved."""
    config = Config(max_pool_connections=2 * _USUAL_THREADS, s3={"addressing_style": "path"})
    client = boto3.client(
        "s3",
        region_name=server.region,
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        config=config,
    )

    def put(item: tuple[int, str]) -> None:
        number, line = item
        client.put_object(Bucket=server.bucket, Key=f"usual/{number}.json", Body=line.encode())

    lines = list(islice(_read_lines(warehouse), users))
    with ThreadPoolExecutor(_USUAL_THREADS) as pool:
        list(pool.map(put, enumerate(lines[:_USUAL_THREADS])))  # connections are open from here on
        with measured() as measure:
            list(pool.map(put, enumerate(lines)))
    return {"rows": len(lines), **_describe(measure.seconds, measure.peak_mib)}


def _read_lines(warehouse: Path) -> Iterator[str]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        reader = connection.sql(
            "SELECT to_json(users)::VARCHAR AS line FROM bench.users AS users"
        ).to_arrow_reader(10_000)
        for batch in reader:
            yield from batch.column("line").to_pylist()


def _describe(seconds: float, peak_mib: float) -> dict[str, Any]:
    return {"seconds": seconds, "peak_mib": peak_mib}


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--warehouse", type=Path, required=True)
    parser.add_argument("--server", type=json.loads, required=True)
    parser.add_argument("--way", choices=("ours", "usual"), default="ours")
    parser.add_argument("--format", choices=("json", "parquet"), default="json")
    parser.add_argument("--proof", choices=("checksum", "read_back"), default="read_back")
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--without", choices=LEFT_OUT, help="JSON with checksum only")
    options = parser.parse_args()
    server = argparse.Namespace(**options.server)
    if options.way == "usual":
        result = put_each(options.warehouse, server, users=options.users)
    else:
        result = land(
            options.folder,
            options.warehouse,
            server,
            file_format=options.format,
            proof=options.proof,
            without=options.without,
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
