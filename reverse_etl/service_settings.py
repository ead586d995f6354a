"""What is to be known of services beside a run: BigQuery, Redis beyond its address, the HTTP API.

Read by `settings`, of which these are the inherited part.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from reverse_etl.operations_settings import OperationsSettings
from reverse_etl.setting_fields import (
    parse_amount,
    parse_count,
    parse_eviction,
    parse_names,
    parse_switch,
    variable,
)


class RedisAuth(StrEnum):
    """How we log in to Redis."""

    URL = "url"
    ELASTICACHE_IAM = "elasticache_iam"
    MEMORYDB_IAM = "memorydb_iam"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings(OperationsSettings):
    """The settings of BigQuery, of logging in to Redis and what may happen there, and of the API."""

    bigquery_project: str | None = variable(
        "REVERSE_ETL_BIGQUERY_PROJECT",
        "The project that runs and pays for queries. Unset: that of the application default credentials.",
    )
    bigquery_dataset: str | None = variable(
        "REVERSE_ETL_BIGQUERY_DATASET",
        "The staging dataset, `dataset` or `project.dataset`: snapshots lie there until they expire. "
        "Readable by the pipeline alone.",
    )
    bigquery_location: str | None = variable(
        "REVERSE_ETL_BIGQUERY_LOCATION",
        "Where queries run, such as `EU`. Unset: where the staging dataset lies.",
    )
    bigquery_staging_readers: tuple[str, ...] = variable(
        "REVERSE_ETL_BIGQUERY_STAGING_READERS",
        "Who else may read the staging dataset, comma-separated, as its access list names them "
        "(`group:data@example.com`). Anybody not named here stops `extract`.",
        default=(),
        parse=parse_names,
    )
    bigquery_endpoint: str | None = variable(
        "REVERSE_ETL_BIGQUERY_ENDPOINT",
        "Another address of the REST API, such as a private endpoint or an emulator: a URL.",
    )
    bigquery_storage_endpoint: str | None = variable(
        "REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT",
        "Another address of the Storage Read API: `host:port`.",
    )
    bigquery_anonymous: bool = variable(
        "REVERSE_ETL_BIGQUERY_ANONYMOUS",
        "`1` calls without credentials and without TLS, for emulators only; refused for Google's hosts.",
        default=False,
        parse=parse_switch,
    )
    bigquery_max_bytes_billed: int = variable(
        "REVERSE_ETL_BIGQUERY_MAX_BYTES_BILLED",
        "A query that would bill more is refused before it runs. The default is 1 TiB.",
        default=1 << 40,
        parse=parse_count,
    )
    bigquery_job_timeout_seconds: float = variable(
        "REVERSE_ETL_BIGQUERY_JOB_TIMEOUT_SECONDS",
        "A query that runs longer is cancelled.",
        default=3600.0,
        parse=parse_amount,
    )
    bigquery_preferred_streams: int = variable(
        "REVERSE_ETL_BIGQUERY_PREFERRED_STREAMS",
        "How many streams to ask for when a snapshot is read; BigQuery may give fewer or more.",
        default=4,
        parse=parse_count,
    )
    bigquery_max_streams: int = variable(
        "REVERSE_ETL_BIGQUERY_MAX_STREAMS",
        "The most streams to take.",
        default=16,
        parse=parse_count,
    )
    bigquery_in_flight_mb: int = variable(
        "REVERSE_ETL_BIGQUERY_IN_FLIGHT_MB",
        "Budget in MiB for what was received from BigQuery and is not masked yet, over all streams.",
        default=64,
        parse=parse_count,
    )
    bigquery_stall_seconds: float = variable(
        "REVERSE_ETL_BIGQUERY_STALL_SECONDS",
        "A stream that is silent for so long is cancelled and opened again where it stopped.",
        default=60.0,
        parse=parse_amount,
    )
    bigquery_watch_minutes: int | None = variable(
        "REVERSE_ETL_BIGQUERY_WATCH_MINUTES",
        "The sensor `bigquery_watch` cancels a query of ours that has been under way longer, waiting for "
        "slots included. Unset: no limit.",
        parse=parse_count,
    )
    bigquery_watch_slot_hours: int | None = variable(
        "REVERSE_ETL_BIGQUERY_WATCH_SLOT_HOURS",
        "The sensor `bigquery_watch` cancels a query of ours that has used more slot-hours. Unset: no "
        "limit.",
        parse=parse_count,
    )
    bigquery_price_per_tib: float = variable(
        "REVERSE_ETL_BIGQUERY_PRICE_PER_TIB",
        "USD for a TiB that a query bills (on-demand), for estimates.",
        default=6.25,
        parse=parse_amount,
    )
    bigquery_read_price_per_tib: float = variable(
        "REVERSE_ETL_BIGQUERY_READ_PRICE_PER_TIB",
        "USD for a TiB read through the Storage Read API, for estimates.",
        default=1.10,
        parse=parse_amount,
    )
    egress_price_per_gib: float = variable(
        "REVERSE_ETL_EGRESS_PRICE_PER_GIB",
        "USD for a GiB that leaves Google's network, for estimates.",
        default=0.12,
        parse=parse_amount,
    )

    redis_auth: RedisAuth = variable(
        "REVERSE_ETL_REDIS_AUTH",
        "How to log in to Redis: `url` (user and password of REVERSE_ETL_REDIS_URL, if any), or "
        "`elasticache_iam` or `memorydb_iam` (tokens of our AWS identity; TLS, docs/redis.md).",
        default=RedisAuth.URL,
        parse=RedisAuth,
    )
    redis_iam_user: str | None = variable(
        "REVERSE_ETL_REDIS_IAM_USER",
        "The user that logs in by IAM: its id, which is its name too.",
    )
    redis_iam_cache: str | None = variable(
        "REVERSE_ETL_REDIS_IAM_CACHE",
        "The cache that the token is for: the id of the replication group, the name of the serverless "
        "cache, or of MemoryDB's cluster.",
    )
    redis_iam_serverless: bool = variable(
        "REVERSE_ETL_REDIS_IAM_SERVERLESS",
        "`1` where the cache is an ElastiCache Serverless one.",
        default=False,
        parse=parse_switch,
    )
    redis_iam_region: str | None = variable(
        "REVERSE_ETL_REDIS_IAM_REGION",
        "The cache's region. Unset: REVERSE_ETL_S3_REGION.",
    )
    redis_allow_eviction: str | None = variable(
        "REVERSE_ETL_REDIS_ALLOW_EVICTION",
        "A maxmemory-policy that drops any key, by name (`allkeys-lru`), where the cache may be "
        "incomplete. Unset: a server with such a policy is refused.",
        parse=parse_eviction,
    )
    cache_records_per_second: int | None = variable(
        "REVERSE_ETL_CACHE_RECORDS_PER_SECOND",
        "The most records that are loaded into Redis, or read back from it, in a second, so that readers "
        "are not kept waiting. Unset: as many as it takes.",
        parse=parse_count,
    )
    api_tokens_file: Path | None = variable(
        "REVERSE_ETL_API_TOKENS_FILE",
        "Who may read over HTTP: a line for each token, as `reverse-etl token` prints it. Readable by "
        "`reverse-etl serve`, changed by nobody else.",
        parse=Path,
    )
