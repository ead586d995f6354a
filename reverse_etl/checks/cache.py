"""Verdicts of `cache`."""

from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.cache.heads import read_redis_head, read_store_head
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.publish import is_live, is_superseded
from reverse_etl.checks import Check
from reverse_etl.checks.reconciling import judge_cached_rows
from reverse_etl.checks.sampling import explain_failure, read_sample
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.documents import read_manifest
from reverse_etl.model import CacheReceipt, Head, Manifest, Published
from reverse_etl.runtime import Runtime


def judge_cache(receipt: CacheReceipt, *, runtime: Runtime) -> list[dg.AssetCheckResult]:
    """Every check of `cache`. A superseded version was not loaded: the live one is looked at then."""
    live = receipt.manifest
    if receipt.outcome is Published.SUPERSEDED:
        live = read_manifest(runtime.store, live.sync, receipt.head.version)
    return [
        judge_cached_rows(receipt, runtime=runtime),
        judge_records(live, runtime=runtime),
        judge_heads(receipt, runtime=runtime),
    ]


def judge_records(manifest: Manifest, *, runtime: Runtime) -> dg.AssetCheckResult:
    """Read some landed records back, and compare them with what Redis has under their keys."""
    try:
        sample = read_sample(runtime, manifest)
    except IntegrityError as error:
        return explain_failure(Check.CACHE_EQUALS_STORE, error)
    prefix = record_prefix(manifest.sync, manifest.version)
    names: list[Any] = _join(prefix, sample.keys).cast(pa.binary()).to_pylist()
    with runtime.redis.commands() as client:
        values = pa.array(client.mget(names), pa.large_binary())
    equal = pc.equal(values, sample.lines.cast(pa.large_binary())).true_count
    return dg.AssetCheckResult(
        check_name=Check.CACHE_EQUALS_STORE.value,
        passed=equal == sample.rows,
        description=f"{sample.rows:,} records were compared with Redis; {equal:,} are equal.",
        metadata={
            "version": manifest.version,
            "records_sampled": sample.rows,
            "records_equal": equal,
            "records_missing": values.null_count,
        },
    )


def judge_heads(receipt: CacheReceipt, *, runtime: Runtime) -> dg.AssetCheckResult:
    """Read both heads again; the version they should name is the one that this day committed."""
    manifest = receipt.manifest
    stored = read_store_head(runtime.store, manifest.sync)
    in_store = None if stored is None else stored[0]
    in_redis = read_redis_head(runtime.redis, manifest.sync)
    is_agreed = in_store is not None and in_store == in_redis
    is_outrun = is_agreed and in_store is not None and is_superseded(in_store, manifest)
    return dg.AssetCheckResult(
        check_name=Check.LIVE_VERSION_IS_THIS_DAY.value,
        passed=is_agreed and is_live(in_store, manifest),
        severity=dg.AssetCheckSeverity.WARN if is_outrun else dg.AssetCheckSeverity.ERROR,
        description=_tell_heads(in_store, in_redis),
        metadata={
            "version": manifest.version,
            "live_in_store": _name(in_store),
            "live_in_redis": _name(in_redis),
        },
    )


def _tell_heads(in_store: Head | None, in_redis: Head | None) -> str:
    if in_store is None or in_store != in_redis:
        return "The pointers in the store and in Redis do not name the same version."
    return f"Readers see {in_store.partition}, version {in_store.version}."


def _name(head: Head | None) -> str:
    return "none" if head is None else f"{head.version}, generation {head.generation}"


def _join(prefix: str, keys: pa.Array) -> pa.Array:
    # The stubs know no overload of arrays beside scalars.
    joined: pa.Array = pc.binary_join_element_wise(prefix, keys, "")  # type: ignore[call-overload]
    return joined
