"""The three steps over the benchmark's users, in a process of its own: `python -m benchmarks.chain`.

Prints one JSON object; the parent prints the table.
"""

import argparse
import datetime as dt
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.measure import measured
from benchmarks.sample import BENCH_ATTRIBUTES, BENCH_QUERY
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.masking.keys import generate_masking_key
from reverse_etl.pipeline import extract, mask_and_land, publish
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Secret, Settings
from reverse_etl.spec import SyncConfig, build_spec

DAY = "2026-11-18"
NOW = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)


def run_chain(folder: Path, warehouse: Path, *, file_format: str) -> dict[str, Any]:
    """Run extract, masked and cache once; seconds, peak MiB and rows of each."""
    (folder / "query.sql").write_text(BENCH_QUERY, encoding="utf-8")
    attributes = {**BENCH_ATTRIBUTES, "landing": {"format": file_format}}
    spec = build_spec(SyncConfig.model_validate(attributes), folder=folder)
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        settings = Settings(
            duckdb_path=warehouse,
            store_url=(folder / "store").as_uri(),
            redis_url=Secret(server.url),
            masking_key=Secret(generate_masking_key("bench")),
            scratch_dir=folder / "scratch",
        )
        runtime = Runtime(settings=settings, now=lambda: NOW)
        partition = spec.partition(DAY, now=NOW)
        steps: dict[str, Callable[..., Any]] = {
            "extract": extract,
            "masked": mask_and_land,
            "cache": publish,
        }
        result: dict[str, Any] = {"format": file_format, "steps": {}}
        for name, step in steps.items():
            with measured() as measure:
                receipt = step(spec, partition, runtime, run_id="bench")
            stages = getattr(receipt, "stage_seconds", {})
            result["steps"][name] = {
                "seconds": measure.seconds,
                "peak_mib": measure.peak_mib,
                "stages": stages,
            }
        result["rows"] = receipt.manifest.rows
        result["landed_bytes"] = receipt.manifest.bytes
    return result


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--warehouse", type=Path, required=True)
    parser.add_argument("--format", choices=("json", "parquet"), default="json")
    arguments = parser.parse_args()
    result = run_chain(arguments.folder, arguments.warehouse, file_format=arguments.format)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
