"""The sample syncs on BigQuery, from the environment to the reader: the same bytes as embedded."""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

import reverse_etl
from reverse_etl.embedded.warehouse import build_sample_warehouse
from reverse_etl.engine import open_engine
from reverse_etl.landing.layout import version_prefix
from reverse_etl.landing.reading import read_groups
from reverse_etl.model import Manifest, Published
from reverse_etl.pipeline import RunReceipt, run_sync
from reverse_etl.runtime import Runtime
from reverse_etl.serving.reader import Reader
from reverse_etl.settings import Settings
from reverse_etl.spec import load_specs
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.builders import MASKING_KEY

pytestmark = [pytest.mark.contract, pytest.mark.e2e]

SPECS = load_specs(Path(reverse_etl.__file__).parent / "defs")
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAY = "2026-11-19"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample warehouse, small."""
    path = tmp_path_factory.mktemp("warehouse") / "sample.duckdb"
    build_sample_warehouse(path, users=2_000, events=20_000, end_date=dt.date(2026, 11, 20))
    return path


@pytest.fixture(scope="module")
def server(warehouse: Path) -> Iterator[BigQueryServer]:
    """BigQuery with the same tables."""
    with BigQueryServer() as started:
        started.now = NOW
        started.create_dataset("staging")
        started.copy_duckdb(warehouse)
        yield started


def build_runtime(folder: Path, redis_url: str, **variables: str) -> Runtime:
    """A runtime as a deployment has it: from variables alone."""
    environment = {
        "REVERSE_ETL_STORE_URL": (folder / "store").as_uri(),
        "REVERSE_ETL_SCRATCH_DIR": str(folder / "scratch"),
        "REVERSE_ETL_REDIS_URL": redis_url,
        "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
        "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
        **variables,
    }
    return Runtime(settings=Settings.load(environment), now=lambda: NOW)


def read_objects(runtime: Runtime, manifest: Manifest) -> list[bytes]:
    """The bytes of every object of a version, in order."""
    prefix = version_prefix(manifest.sync, manifest.version)
    return [runtime.store.get(prefix + item.name) for item in manifest.objects]


def run(name: str, runtime: Runtime) -> RunReceipt:
    """The three steps of a sync's day."""
    spec = SPECS[name]
    return run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id=f"run-{name}")


@pytest.mark.parametrize("name", ["user_stats", "user_profile"])
def test_bigquery_gives_the_bytes_of_the_embedded_source(
    name: str, warehouse: Path, server: BigQueryServer, redis_url: str, tmp_path: Path
) -> None:
    """Same tables, same query, same rules: every record is the same, byte for byte."""
    local = build_runtime(tmp_path / "local", redis_url, REVERSE_ETL_DUCKDB_PATH=str(warehouse))
    embedded = run(name, local)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    cloud = build_runtime(
        tmp_path / "cloud",
        redis_url,
        REVERSE_ETL_PROFILE="cloud",
        REVERSE_ETL_BIGQUERY_PROJECT=server.project,
        REVERSE_ETL_BIGQUERY_DATASET="staging",
        REVERSE_ETL_BIGQUERY_ENDPOINT=server.endpoint,
        REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT=server.storage_endpoint,
        REVERSE_ETL_BIGQUERY_ANONYMOUS="1",
    )

    try:
        carried = run(name, cloud)
    finally:
        cloud.close()

    assert carried.cache.outcome is Published.LIVE
    assert carried.masked.manifest.rows == embedded.masked.manifest.rows > 1000
    assert carried.masked.manifest.content_digest == embedded.masked.manifest.content_digest
    if name == "user_stats":  # a Parquet file names its version
        expected = read_objects(local, embedded.masked.manifest)
        assert read_objects(cloud, carried.masked.manifest) == expected
    assert carried.extract.job is not None
    assert carried.extract.job.bytes_billed > 0
    key = find_key(local, embedded.masked.manifest)
    with redis.Redis.from_url(redis_url) as client:
        record = Reader(name, store=cloud.store, redis=client).get_raw(key)
    assert record == Reader(name, store=local.store, redis=None).get_raw(key)
    assert record is not None


def find_key(runtime: Runtime, manifest: Manifest) -> str:
    """The key of the version's first record."""
    with closing(open_engine(memory_limit_bytes=64 << 20)) as engine:
        group = next(read_groups(runtime.store, manifest, engine=engine, threads=1))
    return str(json.loads(group.lines[0].as_py())[manifest.key])
