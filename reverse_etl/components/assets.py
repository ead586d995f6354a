"""The assets of one sync. Between them go references that each computes from (sync, partition)."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from reverse_etl.checks import build_check_specs
from reverse_etl.components.metadata import describe_rules
from reverse_etl.components.running import open_step
from reverse_etl.components.versions import compute_code_version
from reverse_etl.model import Step
from reverse_etl.resources import RuntimeResource
from reverse_etl.settings import Profile
from reverse_etl.spec import SyncSpec

#: What bounds work on each outside system over all runs, `dg launch` included: limits on runs do
#: not bind the command line, limits on pools do.
SOURCE_POOL = "reverse_etl/source"
LANDING_POOL = "reverse_etl/landing"
REDIS_POOL = "reverse_etl/redis"

SYNC_TAG = "reverse_etl/sync"

#: For `TransientError` alone: after about 10, 30 and 70 seconds, spread so that not all come back at once.
RETRY_POLICY = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

#: The last part of the key of what stands for the readers.
READER = "reader"

_READING = """\
The applications that read `{sync}`: Redis first, and on a miss one object of the same version in the
store. They import `reverse_etl.serving` and nothing of the platform (docs/reader.md), or ask over HTTP
(docs/http.md).

```python
from reverse_etl.serving import Reader

reader = Reader.connect(
    "{sync}",
    redis_url="rediss://reader:PASSWORD@cache.example.com:6379/0",
    store_url="s3://example-exports/prod",
    region="eu-central-1",
)
record = reader.get(key)  # a dict, or None: there is no such user
```
"""

_STORE_KINDS = {Profile.LOCAL: "file", Profile.CLOUD: "s3"}


def asset_key(spec: SyncSpec, step: Step) -> dg.AssetKey:
    """`<sync>/<step>`."""
    return dg.AssetKey([spec.name, step.value])


def build_extract(
    spec: SyncSpec, *, tables: Sequence[dg.AssetKey], source_kind: str, retries: dg.RetryPolicy
) -> dg.AssetsDefinition:
    """`<sync>/extract`, behind the source's tables."""

    @_asset(
        spec,
        Step.EXTRACT,
        "The query's rows for one day, pinned inside the source: immutable, not masked yet.",
        deps=tables,
        kinds={source_kind},
        pool=SOURCE_POOL,
        retries=retries,
        metadata={"query": dg.MetadataValue.md(f"```sql\n{spec.query}\n```")},
    )
    def extract(
        context: dg.AssetExecutionContext, runtime: RuntimeResource
    ) -> dg.MaterializeResult:
        with open_step(spec, Step.EXTRACT, context=context, runtime=runtime) as run:
            from reverse_etl.components.steps import run_extract  # noqa: PLC0415 - heavy

            return run_extract(run)

    return extract


def build_masked(
    spec: SyncSpec, *, profile: Profile, retries: dg.RetryPolicy
) -> dg.AssetsDefinition:
    """`<sync>/masked`, behind `extract`."""

    @_asset(
        spec,
        Step.MASKED,
        "One day masked, landed in the object store, read back and committed.",
        deps=[asset_key(spec, Step.EXTRACT)],
        kinds={_STORE_KINDS[profile], spec.config.landing.format},
        pool=LANDING_POOL,
        retries=retries,
        metadata={"rules": describe_rules(spec)},
    )
    def masked(context: dg.AssetExecutionContext, runtime: RuntimeResource) -> dg.MaterializeResult:
        with open_step(spec, Step.MASKED, context=context, runtime=runtime) as run:
            from reverse_etl.components.steps import run_masked  # noqa: PLC0415 - heavy

            return run_masked(run)

    return masked


def build_cache(spec: SyncSpec, *, retries: dg.RetryPolicy) -> dg.AssetsDefinition:
    """`<sync>/cache`, behind `masked`."""

    @_asset(
        spec,
        Step.CACHE,
        "One day's records in Redis, compared byte for byte, then made live for readers.",
        deps=[asset_key(spec, Step.MASKED)],
        kinds={"redis", spec.config.cache.encoding},
        pool=REDIS_POOL,
        retries=retries,
    )
    def cache(context: dg.AssetExecutionContext, runtime: RuntimeResource) -> dg.MaterializeResult:
        with open_step(spec, Step.CACHE, context=context, runtime=runtime) as run:
            from reverse_etl.components.steps import run_cache  # noqa: PLC0415 - heavy

            return run_cache(run)

    return cache


def build_reader(spec: SyncSpec) -> dg.AssetSpec:
    """`<sync>/reader`, behind `cache`: the application, which we neither start nor stop."""
    return dg.AssetSpec(
        dg.AssetKey([spec.name, READER]),
        deps=[asset_key(spec, Step.CACHE)],
        group_name=spec.name,
        description=_READING.format(sync=spec.name),
        kinds={"redis", "python"},
        owners=list(spec.config.owners),
        tags={SYNC_TAG: spec.name},
    )


def build_partitions(spec: SyncSpec) -> dg.DailyPartitionsDefinition:
    """The sync's days, each as its timezone cuts it; a day exists once it is over."""
    days = spec.config.partitions
    return dg.DailyPartitionsDefinition(start_date=days.start.isoformat(), timezone=days.timezone)


def _asset(
    spec: SyncSpec,
    step: Step,
    sentence: str,
    *,
    deps: Sequence[dg.AssetKey],
    kinds: set[str],
    pool: str,
    retries: dg.RetryPolicy,
    metadata: Mapping[str, dg.MetadataValue[Any]] | None = None,
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """The decorator of one step's asset, with what the three have in common."""
    key = asset_key(spec, step)
    decorate = dg.asset(
        key=key,
        deps=deps,
        group_name=spec.name,
        # Its own sentence first: lists of assets show no more.
        description=f"{sentence}\n\n{spec.config.description}".strip(),
        kinds=kinds,
        owners=list(spec.config.owners),
        tags={SYNC_TAG: spec.name},
        metadata=metadata,
        code_version=compute_code_version(spec, step),
        check_specs=build_check_specs(step, key, spec=spec),
        pool=pool,
        retry_policy=retries,
        partitions_def=build_partitions(spec),
        # Each day is a version of its own: its own snapshot, rows and verdicts.
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )

    def build(compute: Callable[..., dg.MaterializeResult]) -> dg.AssetsDefinition:
        # Dagster looks at it some twenty times an asset, and finds it out anew each time.
        vars(compute)["__signature__"] = inspect.signature(compute)
        return decorate(compute)

    return build
