"""A sync through Dagster itself: what is materialised, shown, recorded, retried and refused."""

import json

import dagster as dg
import pyarrow as pa
import pytest

from reverse_etl.errors import TransientError
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Snapshot, Step
from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.builders import QUERY, Clock, build_users
from reverse_etl_tests.components.conftest import MakeRuntime
from reverse_etl_tests.components.harness import (
    DAY,
    DAY_BEFORE,
    build_spec,
    read_failure,
    read_log,
    read_metadata,
    read_verdicts,
    run_job,
)


class FailingSource(MemorySource):
    """Raises `errors`, one a call of `pin`, before it does what it should."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__({QUERY: build_users(50)})
        self.errors = list(errors)
        self.calls = 0

    def pin(self, request: PinRequest) -> Snapshot:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return super().pin(request)


def test_one_run_materialises_the_three_assets(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """From the source to readers in one run, every verdict recorded and good."""
    spec, runtime = build_spec(), make_runtime()

    result = run_job(spec, runtime, instance=instance)

    materialised = [event.asset_key for event in result.get_asset_materialization_events()]
    assert result.success
    assert materialised == [dg.AssetKey([spec.name, step.value]) for step in Step]
    assert read_verdicts(result) == {
        "extract.columns_match_policy": True,
        "extract.snapshot_is_the_latest": True,
        "masked.rows_reconciled": True,
        "masked.volume_within_bounds": True,
        "masked.schema_unchanged": True,
        "masked.no_leak_found": True,
        "masked.keys_unique": True,
        "cache.rows_reconciled": True,
        "cache.cache_equals_store": True,
        "cache.live_version_is_this_day": True,
    }


@pytest.mark.parametrize("landing_format", ["json", "parquet"])
def test_masked_shows_rows_schema_lineage_and_place(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance, landing_format: str
) -> None:
    """What an auditor and an operator look for stands in the materialisation."""
    spec = build_spec(landing={"format": landing_format, "bucket_rows": 64})
    runtime = make_runtime()

    result = run_job(spec, runtime, instance=instance, steps=[Step.EXTRACT, Step.MASKED])

    shown = read_metadata(result, spec, Step.MASKED)
    email = shown["dagster/column_schema"].columns[1]
    lineage = shown["dagster/column_lineage"].deps_by_column
    assert shown["dagster/row_count"] == shown["dagster/partition_row_count"] == 500
    assert shown["outcome"] == "committed"
    assert shown["format"] == landing_format
    assert shown["dagster/uri"].startswith(runtime.store.location)
    assert shown["version"].startswith(f"{DAY}.")
    assert (email.name, email.type, email.tags) == ("email", "STRING", {"reverse_etl/rule": "hmac"})
    assert email.description == "Rule: hmac."
    assert lineage["email"] == [
        dg.TableColumnDep(asset_key=dg.AssetKey([spec.name, "extract"]), column_name="email")
    ]


def test_durations_and_rates_are_plotted(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """Dagster draws floats over partitions: every duration and rate is one."""
    spec = build_spec()

    result = run_job(spec, make_runtime(), instance=instance)

    masked = read_metadata(result, spec, Step.MASKED)
    cache = read_metadata(result, spec, Step.CACHE)
    names = {name for name in masked | cache if "seconds" in name or "per_second" in name}
    assert names == {
        "seconds",
        "rows_per_second",
        *(f"{stage}_seconds" for stage in ("mask", "land", "prove")),
        *(f"{stage}_seconds" for stage in ("room", "load", "verify", "publish")),
    }
    assert all(type((masked | cache)[name]) is float for name in names)


def test_data_version_is_the_content(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """Equal content shows as equal, so that a day without changes can be seen."""
    spec = build_spec()

    result = run_job(spec, make_runtime(), instance=instance)

    digest = read_metadata(result, spec, Step.MASKED)["content_digest"]
    versions = [
        (event.materialization.tags or {})["dagster/data_version"]
        for event in result.get_asset_materialization_events()
    ]
    assert versions[1:] == [digest, digest]


def test_no_canary_reaches_dagster(make_runtime: MakeRuntime, instance: dg.DagsterInstance) -> None:
    """Nothing that Dagster keeps of a run holds a value of a row: logs, metadata or verdicts."""
    result = run_job(build_spec(), make_runtime(), instance=instance)

    kept = read_log(result, instance)

    assert "content_digest" in kept
    assert "anary" not in kept
    assert "u-00000" not in kept


def test_progress_stands_in_the_log(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """Each stage says what it did, for people who read the run."""
    result = run_job(build_spec(), make_runtime(), instance=instance)

    messages = [entry.user_message for entry in instance.all_logs(result.run_id)]
    said = [message.split(" seconds=")[0] for message in messages if "progress " in message]
    assert [line.split(" bytes=")[0] for line in said] == [
        "progress stage=extract rows=500",
        *(f"progress stage={stage} rows=500 rows_total=500" for stage in ("mask", "land", "prove")),
        *(f"progress stage={stage} rows=500 rows_total=500" for stage in ("load", "verify")),
    ]


def test_transient_error_is_retried_in_the_same_run(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """What may pass is tried again by the asset's own policy."""
    source = FailingSource(TransientError("The warehouse is busy."))
    retries = dg.RetryPolicy(max_retries=1)

    result = run_job(
        build_spec(),
        make_runtime(source=source),
        instance=instance,
        retries=retries,
        steps=[Step.EXTRACT],
    )

    assert result.success
    assert source.calls == 2


def test_error_of_ours_is_not_retried(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """The same run would end the same way: it fails at once and says where and what to do."""
    users = build_users(10).append_column("phone", pa.array(["+81900000000"] * 10))
    runtime = make_runtime(source=MemorySource({QUERY: users}))
    retries = dg.RetryPolicy(max_retries=3)

    result = run_job(build_spec(), runtime, instance=instance, retries=retries)

    failed = read_failure(result)
    assert read_verdicts(result) == {}
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert "no rule names: 'phone'" in failed.text
    assert failed.metadata == {
        "sync": "shop_users",
        "partition": DAY,
        "step": "extract",
        "kind": "PolicyError",
        "what_to_do": "Bring the sync's columns and its query into line, then materialise again.",
    }


def test_text_of_a_foreign_error_is_withheld(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """A driver that quotes a row does not write it into Dagster: class and place remain."""
    cause = ValueError("canary-in-the-cause")
    foreign = RuntimeError("cannot convert 'canary@example.com'")
    foreign.__cause__ = cause

    result = run_job(build_spec(), make_runtime(source=FailingSource(foreign)), instance=instance)

    kept = read_log(result, instance)
    failed = read_failure(result)
    assert "RuntimeError, which nobody raised on purpose" in failed.text
    assert "test_run.py" in failed.metadata["places"]
    assert "canary" not in kept


def test_guard_keeps_the_live_version(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """A table that shrank fails `masked`; readers stay where they are."""
    spec, source = build_spec(), MemorySource({QUERY: build_users(500)})
    runtime = make_runtime(source=source)
    run_job(spec, runtime, instance=instance, day=DAY_BEFORE)
    before = find_head(runtime.store, spec.name)
    source.tables[QUERY] = build_users(100)

    result = run_job(spec, runtime, instance=instance, day=DAY)

    assert read_failure(result).step == "masked"
    assert find_head(runtime.store, spec.name) == before


def test_older_day_is_landed_and_superseded(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """A backfill of an older day ends well, shows that it is not live, and says so as a warning."""
    spec, runtime = build_spec(), make_runtime()
    run_job(spec, runtime, instance=instance, day=DAY)

    result = run_job(spec, runtime, instance=instance, day=DAY_BEFORE)

    shown = read_metadata(result, spec, Step.CACHE)
    verdicts = {verdict.check_name: verdict for verdict in result.get_asset_check_evaluations()}
    assert result.success
    assert shown["outcome"] == "superseded"
    assert shown["live_version"].startswith(DAY)
    assert "dagster/row_count" not in shown
    assert not verdicts["live_version_is_this_day"].passed
    assert verdicts["live_version_is_this_day"].severity == dg.AssetCheckSeverity.WARN
    assert verdicts["cache_equals_store"].passed


def test_same_day_again_goes_live_again(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """Materialising a day twice gives two versions; the second is live."""
    spec, runtime = build_spec(), make_runtime()
    first = read_metadata(run_job(spec, runtime, instance=instance), spec, Step.CACHE)

    second = read_metadata(run_job(spec, runtime, instance=instance), spec, Step.CACHE)

    assert first["outcome"] == second["outcome"] == "live"
    assert first["version"] != second["version"] == second["live_version"]
    assert second["generation"] == first["generation"] + 1


def test_redis_away_says_so_after_its_retries(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """The last try's error is what the run shows; what was landed stays landed."""
    spec, runtime = build_spec(), make_runtime(redis_url="redis://127.0.0.1:1/0")

    result = run_job(spec, runtime, instance=instance)

    failed = read_failure(result)
    assert failed.step == "cache"
    assert "TransientError" in failed.text
    assert "step 'cache'" in failed.text


def test_steps_run_one_by_one(make_runtime: MakeRuntime, instance: dg.DagsterInstance) -> None:
    """Each asset finds what the one before it left, in a run of its own."""
    spec = build_spec()
    store, source, clock = MemoryStore(), MemorySource({QUERY: build_users(100)}), Clock()

    results = [
        run_job(
            spec,
            make_runtime(store=store, source=source, clock=clock),
            instance=instance,
            steps=[step],
        )
        for step in Step
    ]

    assert [result.success for result in results] == [True] * len(Step)
    assert json.loads(store.get("shop_users/head.json"))["rows"] == 100
