"""What the BigQuery source is told by the deployment. Units are in the names; docs/settings.md says more."""

from dataclasses import dataclass

_TIB = 1 << 40
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices in USD, for estimates: on-demand queries, Storage Read, and traffic out of Google."""

    query_per_tib: float = 6.25
    read_per_tib: float = 1.10
    egress_per_gib: float = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class BigQueryOptions:
    """Where BigQuery is, what it may cost, and how it is read.

    `project` None is the one of the application default credentials; `location` None is the staging
    dataset's. `endpoint` (a URL) and `storage_endpoint` (`host:port`) are for emulators and private
    endpoints; `anonymous` is for emulators only. The watch's limits are None where there are none.
    """

    dataset: str
    project: str | None = None
    location: str | None = None
    endpoint: str | None = None
    storage_endpoint: str | None = None
    anonymous: bool = False
    max_bytes_billed: int = _TIB
    job_timeout_seconds: float = 3600.0
    preferred_streams: int = 4
    max_streams: int = 16
    in_flight_bytes: int = 64 * _MIB
    stall_seconds: float = 60.0
    staging_readers: tuple[str, ...] = ()
    watch_minutes: int | None = None
    watch_slot_hours: int | None = None
    prices: Prices = Prices()
