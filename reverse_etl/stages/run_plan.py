"""What a run would do, as a value: names, counts, sizes and costs; the arithmetic between them. Pure.

None always means "not known", never zero; what is not charged says so in a field of its own.
"""

import datetime as dt
from dataclasses import dataclass

from reverse_etl.errors import ReverseEtlError
from reverse_etl.model import Head, Partition, Step
from reverse_etl.sources.base import Forecast

_GIB = 1 << 30
_TIB = 1 << 40

#: Redis' memory for a key beside the bytes of key and value: tables, headers, rounding. Measured with
#: Valkey 9.1: 52 to 59. Servers that do not keep the key inside its entry take up to 100.
KEY_OVERHEAD_BYTES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One thing that would stop the run. `kind` is the error's class, or `superseded`."""

    step: Step
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """One column of the query, or of the rules.

    `rule` is None for a column that no rule names; `source_type` where the query's columns are not
    known, or the query does not return this one; `landed_type` where it is dropped or refused.
    `guarded` says why its values are protected upstream.
    """

    name: str
    rule: str | None
    leaves: bool
    source_type: str | None
    landed_type: str | None
    guarded: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """What the query would process and cost. `is_charged` is None where there is no source to ask."""

    is_charged: bool | None
    bytes_to_process: int | None = None
    bytes_to_bill: int | None = None
    cost_usd: float | None = None
    cap_bytes: int | None = None
    below_cap_bytes: int | None = None
    month: str | None = None
    spent_usd: float | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPlan:
    """The snapshot that would be pinned now. `as_of` None: tables are read as they are."""

    source: str | None
    as_of: dt.datetime | None
    staged_in: str | None
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The committed version that numbers of rows and bytes are taken from.

    `key_bytes` and `value_bytes` are means over the records of one of its objects. `snapshot_bytes` is
    what its snapshot took in a source of the same kind. `same_columns`: it was masked by today's rules.
    """

    version: str
    partition: str
    rows: int
    bytes: int
    format: str
    compression: str
    same_columns: bool
    key_bytes: float | None
    value_bytes: float | None
    snapshot_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsPlan:
    """The objects that would be written: `<attempt>` in their names is made when the run begins."""

    location: str | None
    pattern: str
    format: str
    compression: str
    bucket_rows: int
    records: int | None
    buckets: int | None
    objects: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPlan:
    """Memory in Redis: `version_bytes` of one version, `bytes` of all that lie there at once.

    `free_bytes` of maxmemory are free now; None where there is no bound, or Redis does not tell.
    """

    records: int | None
    key_bytes: float | None
    value_bytes: float | None
    key_overhead_bytes: int
    version_bytes: int | None
    versions: int
    bytes: int | None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """Bytes of the snapshot read out of the warehouse, and out of its cloud if the reader is elsewhere."""

    is_charged: bool | None
    read_bytes: int | None = None
    read_cost_usd: float | None = None
    egress_bytes: int | None = None
    egress_cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would do, cost and be stopped by, at `planned_at`.

    `basis` is None with the reason in `basis_missing`. `unchanged_version` is the day's version when
    `masked` alone, without a new snapshot, would have nothing to do.
    """

    sync: str
    partition: str
    planned_at: dt.datetime
    stops: tuple[Stop, ...]
    query: QueryPlan
    snapshot: SnapshotPlan
    columns: tuple[ColumnPlan, ...]
    basis: Basis | None
    basis_missing: str | None
    read: ReadPlan
    objects: ObjectsPlan
    redis: RedisPlan
    unchanged_version: str | None

    @property
    def can_run(self) -> bool:
        """Whether nothing is known that would stop it."""
        return not self.stops


def build_stop(step: Step, error: ReverseEtlError) -> Stop:
    """A stop that an error of ours describes."""
    return Stop(step=step, kind=type(error).__name__, message=error.message)


def find_superseded(head: Head | None, partition: Partition, *, now: dt.datetime) -> Stop | None:
    """The stop for a version that would be landed and not loaded, because of what is live."""
    if head is None or (head.partition, head.snapshot_pinned_at) <= (partition.key, now):
        return None
    return Stop(
        step=Step.CACHE,
        kind="superseded",
        message=f"Version '{head.version}' is live, which is later. This day would be landed and not "
        "loaded into Redis: an older day never replaces a newer one by itself.",
    )


def plan_query(forecast: Forecast | None, *, budget_usd: float | None) -> QueryPlan:
    """Bytes, costs and the bounds on them."""
    if forecast is None or forecast.prices is None:
        return QueryPlan(is_charged=None if forecast is None else False)
    size, billed, limit = forecast.bytes_to_process, forecast.bytes_to_bill, forecast.bytes_limit
    spending = forecast.spending
    return QueryPlan(
        is_charged=True,
        bytes_to_process=size,
        bytes_to_bill=billed,
        cost_usd=None if billed is None else billed / _TIB * forecast.prices.query_per_tib,
        cap_bytes=limit,
        below_cap_bytes=None if limit is None or size is None else limit - size,
        month=None if spending is None else spending.month,
        spent_usd=None if spending is None else spending.cost_usd,
        budget_usd=budget_usd,
    )


def plan_read(forecast: Forecast | None, basis: Basis | None) -> ReadPlan:
    """What reading the snapshot would take, if it is as large as that of the basis."""
    if forecast is None or forecast.prices is None:
        return ReadPlan(is_charged=None if forecast is None else False)
    size = None if basis is None else basis.snapshot_bytes
    if size is None:
        return ReadPlan(is_charged=True)
    return ReadPlan(
        is_charged=True,
        read_bytes=size,
        read_cost_usd=size / _TIB * forecast.prices.read_per_tib,
        egress_bytes=size,
        egress_cost_usd=size / _GIB * forecast.prices.egress_per_gib,
    )


def plan_redis(
    basis: Basis | None, *, prefix_bytes: int, versions: int, free_bytes: int | None = None
) -> RedisPlan:
    """The memory for as many records as the basis has, of the same size."""
    plan = RedisPlan(
        records=None if basis is None else basis.rows,
        key_bytes=None,
        value_bytes=None,
        key_overhead_bytes=KEY_OVERHEAD_BYTES,
        version_bytes=None,
        versions=versions,
        bytes=None,
        free_bytes=free_bytes,
    )
    if basis is None or basis.key_bytes is None or basis.value_bytes is None:
        return plan
    key_bytes = prefix_bytes + basis.key_bytes
    version_bytes = round(basis.rows * (key_bytes + basis.value_bytes + KEY_OVERHEAD_BYTES))
    return RedisPlan(
        records=basis.rows,
        key_bytes=key_bytes,
        value_bytes=basis.value_bytes,
        key_overhead_bytes=KEY_OVERHEAD_BYTES,
        version_bytes=version_bytes,
        versions=versions,
        bytes=versions * version_bytes,
        free_bytes=free_bytes,
    )
