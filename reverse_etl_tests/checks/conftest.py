"""One day of a small sync, run to its end, for verdicts to look at."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.model import CacheReceipt, ExtractReceipt, MaskedReceipt
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import DAY, build_runtime, build_spec


@dataclass(frozen=True, kw_only=True)
class FinishedDay:
    """A day that is live, and what each step said of it."""

    spec: SyncSpec
    runtime: Runtime
    extract: ExtractReceipt
    masked: MaskedReceipt
    cache: CacheReceipt


@pytest.fixture(params=["json", "parquet"])
def day(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    redis_server: RedisServer,
    raw: redis.Redis,  # noqa: ARG001 - the server is empty
) -> FinishedDay:
    """Five hundred users, live; in each landing format."""
    spec = build_spec(landing={"format": request.param, "bucket_rows": 64})
    runtime = build_runtime(tmp_path, redis_url=redis_server.url)
    partition = spec.partition(DAY, now=runtime.now())
    receipt = pipeline.run_sync(spec, partition, runtime, run_id="run-1")
    return FinishedDay(
        spec=spec,
        runtime=runtime,
        extract=receipt.extract,
        masked=receipt.masked,
        cache=receipt.cache,
    )
