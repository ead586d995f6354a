"""The chain in the cloud profile: BigQuery, Google's identity, STS and S3, and no key anywhere."""

import datetime as dt
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

import reverse_etl
from reverse_etl.embedded.warehouse import build_sample_warehouse
from reverse_etl.errors import ConfigError, IntegrityError
from reverse_etl.landing.documents import find_current
from reverse_etl.landing.layout import version_prefix
from reverse_etl.model import Landed, Published
from reverse_etl.pipeline import RunReceipt, run_sync
from reverse_etl.runtime import Runtime
from reverse_etl.serving.reader import Reader
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec, load_specs
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.builders import MASKING_KEY
from reverse_etl_tests.cli.aws_cloud import PREFIX, Cloud, open_cloud
from reverse_etl_tests.s3.fault_kinds import Match
from reverse_etl_tests.s3.server import S3Server

pytestmark = [pytest.mark.contract, pytest.mark.e2e]

SPECS = load_specs(Path(reverse_etl.__file__).parent / "defs")
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAY = "2026-11-19"


@pytest.fixture(scope="module")
def bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryServer]:
    """BigQuery with the sample tables."""
    warehouse = tmp_path_factory.mktemp("warehouse") / "sample.duckdb"
    build_sample_warehouse(warehouse, users=2_000, events=20_000, end_date=dt.date(2026, 11, 20))
    with BigQueryServer() as started:
        started.now = NOW
        started.create_dataset("staging")
        started.copy_duckdb(warehouse)
        yield started


@pytest.fixture(params=[False, True], ids=["http", "tls"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A role that may do what the package says that landing needs, and nothing else."""
    with open_cloud(tls=request.param) as opened:
        yield opened


@pytest.fixture
def runtime(
    cloud: Cloud, bigquery: BigQueryServer, redis_url: str, tmp_path: Path
) -> Iterator[Runtime]:
    """A deployment's runtime, from variables alone."""
    variables = {
        "REVERSE_ETL_PROFILE": "cloud",
        "REVERSE_ETL_ENVIRONMENT": "test",
        "REVERSE_ETL_BIGQUERY_PROJECT": bigquery.project,
        "REVERSE_ETL_BIGQUERY_DATASET": "staging",
        "REVERSE_ETL_BIGQUERY_ENDPOINT": bigquery.endpoint,
        "REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT": bigquery.storage_endpoint,
        "REVERSE_ETL_BIGQUERY_ANONYMOUS": "1",
        "REVERSE_ETL_REDIS_URL": redis_url,
        "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
        "REVERSE_ETL_SCRATCH_DIR": str(tmp_path / "scratch"),
        **cloud.environment,
    }
    opened = Runtime(settings=Settings.load(variables), now=lambda: NOW, run_id="run-1")
    yield opened
    opened.close()


def run(name: str, runtime: Runtime) -> RunReceipt:
    """The three steps of a sync's day."""
    spec = SPECS[name]
    return run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id=f"run-{name}")


@pytest.mark.parametrize("name", ["user_stats", "user_profile"])
def test_table_is_carried_without_a_key(
    name: str, cloud: Cloud, runtime: Runtime, redis_url: str
) -> None:
    """One exchange serves the whole run; what landed is proved by S3's checksums, and found by the reader."""
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}.isdisjoint(os.environ)

    spec = change_spec(name, verify="checksum")
    receipt = run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id="run-1")

    manifest = receipt.masked.manifest
    assert receipt.masked.outcome is Landed.COMMITTED
    assert receipt.masked.proof == "checksum"
    assert receipt.cache.outcome is Published.LIVE
    assert list(cloud.scene.sts.session_names) == ["reverse-etl-test-run-1"]
    put = [
        request
        for request in cloud.s3.log
        if request.operation == "PutObject"
        and version_prefix(name, manifest.version) in request.key
    ]
    bodies = [request for request in put if not request.key.endswith("manifest.json")]
    assert len(bodies) == len(manifest.objects)
    assert all("x-amz-checksum-sha256" in request.headers for request in put)
    assert {request.headers["x-amz-meta-policy"] for request in bodies} == {
        manifest.policy_fingerprint
    }
    with redis.Redis.from_url(redis_url) as client:
        key = client.scan_iter(match=f"*{manifest.version}*", count=1000)
        raw_key = next(iter(key)).decode().rsplit(":", 1)[-1]  # type: ignore[union-attr]
        cached = Reader(name, store=runtime.store, redis=client).get_raw(raw_key)
    assert cached is not None
    assert cached == Reader(name, store=runtime.store, redis=None).get_raw(raw_key)


def test_second_run_does_nothing_twice(cloud: Cloud, runtime: Runtime) -> None:
    """What is committed is found; not one object is written again."""
    run("user_stats", runtime)
    before = cloud.s3.counts.operations["PutObject"]

    again = run("user_stats", runtime)

    assert again.masked.outcome is Landed.UNCHANGED
    assert cloud.s3.counts.operations["PutObject"] == before


def change_spec(name: str, *, verify: str) -> SyncSpec:
    """A sample sync that is proved like this."""
    spec = SPECS[name]
    landing = spec.config.landing.model_copy(update={"verify": verify})
    return spec.model_copy(update={"config": spec.config.model_copy(update={"landing": landing})})


def overwrite_one(s3: S3Server) -> None:
    """Another writer puts an object of ours again: as many bytes, and others."""
    key = next((key for key in s3.objects if key.endswith("00000.jsonl.gz")), None)
    if key is not None:
        s3.put_object(key, bytes(len(s3.objects[key].body)))


@pytest.mark.parametrize(
    ("verify", "harm", "found"),
    [
        ("checksum", "overwritten", "1 written by somebody else"),
        ("checksum", "lost", "1 missing"),
        ("read_back", "overwritten", "1 written by somebody else"),
        ("read_back", "lost", "is not there"),
        ("read_back", "flipped", "read back with other bytes"),
    ],
)
def test_object_harmed_after_it_was_written_is_caught(
    cloud: Cloud, runtime: Runtime, verify: str, harm: str, found: str
) -> None:
    """Either proof finds it before the commit, and the day has no version."""
    match: Match = {"operation": "PutObject", "key": r"\.jsonl\.gz$", "skip": 1}
    if harm == "lost":
        cloud.s3.faults.lose_object(**match)
    elif harm == "flipped":
        cloud.s3.faults.flip_byte(20, **match)
    else:
        hook = partial(overwrite_one, cloud.s3)
        cloud.s3.faults.notice(operation="ListObjectsV2", times=None, before=hook)
    spec = change_spec("user_stats", verify=verify)

    with pytest.raises(IntegrityError, match=found):
        run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id="run-1")

    assert find_current(runtime.store, "user_stats", DAY) is None
    assert not any(key.endswith("manifest.json") for key in cloud.s3.objects)


def test_key_left_in_the_environment_stops_the_run(
    cloud: Cloud, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody falls back to it, and nobody was asked for anything."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARY")
    settings = Settings.load({**os.environ, "REVERSE_ETL_MASKING_KEY": MASKING_KEY})
    careless = Runtime(settings=settings, now=lambda: NOW)

    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID is set") as raised:
        list(careless.store.list_objects(""))

    assert "CANARY" not in str(raised.value)
    assert list(cloud.scene.sts.calls) == []
    assert PREFIX in runtime.store.location
