"""One sync's YAML and query -> `SyncSpec`. The Dagster component and the command line both use it."""

import datetime as dt
import zoneinfo
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reverse_etl.errors import ConfigError
from reverse_etl.landing.layout import check_sync_name
from reverse_etl.masking.faults import QuarantineRules
from reverse_etl.masking.leak_rules import LeakRules
from reverse_etl.masking.policy import check_rules
from reverse_etl.masking.risk_rules import PrivacyRules
from reverse_etl.masking.rules import AnyRule
from reverse_etl.model import Partition
from reverse_etl.spec_days import Config, PartitionsConfig, ScheduleConfig, SnapshotConfig

COMPONENT_TYPE = "reverse_etl.components.Sync"

_DAY = dt.timedelta(days=1)

# What Dagster takes as an owner, said here so that `dg check yaml` names the line.
_OWNER = r"^(team:\S+|[^@\s]+@[^@\s]+\.[A-Za-z]{2,})$"

#: Records in one JSON object, and in one row group of a Parquet object: a miss reads one of either.
JSON_BUCKET_ROWS = 256
PARQUET_BUCKET_ROWS = 4096


def _check_name(name: str) -> str:
    try:
        return check_sync_name(name)
    except ConfigError as error:
        raise ValueError(error.message) from None


class SourceConfig(Config):
    """Where rows come from."""

    query: str = Field(description="The query file, beside this one; BigQuery's dialect.")
    kind: Literal["duckdb", "bigquery"] | None = Field(
        default=None, description="The profile's source unless given."
    )
    monthly_budget_usd: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="USD that the sync's queries of one calendar month (UTC) may cost; extract refuses "
        "to exceed it. For sources that charge.",
    )


class RetentionConfig(Config):
    """How long landed days stay."""

    days: int = Field(ge=1, description="Days younger than this stay.")
    versions: int = Field(
        default=3, ge=1, description="So many of the newest landed days stay, whatever their age."
    )


class LandingConfig(Config):
    """How a version lies in the object store."""

    format: Literal["json", "parquet"] = Field(
        default="json", description="json: one small object a bucket; parquet: for analysts too."
    )
    bucket_rows: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Records a bucket: what one miss reads. 256 for json, 4096 for parquet.",
    )
    compression: Literal["gzip", "zstd", "none"] | None = Field(
        default=None, description="json: gzip (default) or none; parquet: zstd (default) or none."
    )
    verify: Literal["checksum", "read_back"] | None = Field(
        default=None,
        description="How what was landed is proved. read_back: every byte is read again; checksum: the store "
        "checks the SHA-256 of each object and lists what it has. By default read_back, and checksum at AWS "
        "where reading would cross clouds. A directory is always read back.",
    )
    retention: RetentionConfig | None = Field(
        default=None,
        description="Landed days beyond it are removed; what readers see never is. Without one all stay.",
    )


class CacheConfig(Config):
    """How a version lies in Redis."""

    encoding: Literal["json"] = Field(default="json", description="The bytes of the S3 line.")
    keep_versions: int = Field(
        default=2, ge=2, le=10, description="Versions in Redis at once, the loading one included."
    )


class GuardsConfig(Config):
    """Bounds beyond which a version is refused."""

    min_rows: int = Field(default=1, ge=1, description="Fewer rows are refused.")
    max_shrink: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Largest share of rows that may be gone since the nearest earlier day.",
    )


class SyncConfig(Config):
    """The attributes of a sync in YAML. Only name, source, key, columns and partitions are needed."""

    name: Annotated[str, AfterValidator(_check_name)] = Field(
        description="Lower-case; names its assets, objects and Redis keys."
    )
    description: str = Field(default="", description="What it is for.")
    owners: tuple[Annotated[str, Field(pattern=_OWNER)], ...] = Field(
        default=(), description="Who answers for it: e-mail addresses, or team:NAME."
    )
    source: SourceConfig
    key: str = Field(description="The column that records are found by.")
    columns: tuple[AnyRule, ...] = Field(
        min_length=1, description="Every column of the query, each with its rule, in output order."
    )
    snapshot: SnapshotConfig = SnapshotConfig()
    landing: LandingConfig = LandingConfig()
    cache: CacheConfig = CacheConfig()
    partitions: PartitionsConfig
    schedule: ScheduleConfig | None = Field(default=None, description="Without one: by hand only.")
    guards: GuardsConfig = GuardsConfig()
    privacy: PrivacyRules | None = Field(
        default=None,
        description="Proof that nobody stands alone: k-anonymity over all rows, before any is written.",
    )
    quarantine: QuarantineRules = Field(
        default=QuarantineRules(),
        description="How many rows that cannot be masked may be set aside (on_error: quarantine).",
    )
    leaks: LeakRules = Field(
        default=LeakRules(),
        description="The scan for values that no rule declares; it cannot be switched off.",
    )
    preview: bool = Field(
        default=False,
        description="Whether `reverse-etl plan --preview` may show masked rows on a terminal.",
    )


class SyncSpec(BaseModel):
    """A sync that has been checked as far as it can be without its source."""

    model_config = ConfigDict(frozen=True)

    config: SyncConfig
    query: str

    @property
    def name(self) -> str:
        """The sync's name."""
        return self.config.name

    @property
    def bucket_rows(self) -> int:
        """Records a bucket."""
        default = JSON_BUCKET_ROWS if self.config.landing.format == "json" else PARQUET_BUCKET_ROWS
        return self.config.landing.bucket_rows or default

    @property
    def compression(self) -> str:
        """The compression of its objects."""
        default = "gzip" if self.config.landing.format == "json" else "zstd"
        return self.config.landing.compression or default

    def find_moment(self, partition: Partition) -> dt.datetime | None:
        """The moment at which tables are read, also when it is yet to come; None: as they are."""
        as_of = self.config.snapshot.as_of
        return None if as_of == "query" else partition.window_end + as_of.delay

    def snapshot_moment(self, partition: Partition, *, now: dt.datetime) -> dt.datetime | None:
        """The moment at which tables are read; None: as they are. `ConfigError` if it is yet to come."""
        as_of, moment = self.config.snapshot.as_of, self.find_moment(partition)
        if as_of != "query" and moment is not None and now < moment:
            raise ConfigError(
                f"Partition '{partition.key}' is read as its tables stand at {moment.isoformat()} "
                f"(snapshot.as_of: after_partition_end: {as_of.after_partition_end}), which is yet to "
                "come. Run it then."
            )
        return moment

    def partition(self, key: str, *, now: dt.datetime) -> Partition:
        """The day `key`, or `ConfigError`: not a date, before the start, or not over yet at `now`."""
        partition = self.find_day(key)
        self.check_day(partition, now=now)
        return partition

    def find_day(self, key: str) -> Partition:
        """The day `key`, whether it can be run or not; `ConfigError` when it is not a date."""
        timezone = zoneinfo.ZoneInfo(self.config.partitions.timezone)
        try:
            date = dt.datetime.strptime(key, "%Y-%m-%d").replace(tzinfo=timezone).date()
            window = (_midnight(date, timezone), _midnight(date + _DAY, timezone))
        except (ValueError, OverflowError):  # the calendar's first and last day end outside of it
            raise ConfigError(f"Partition {key!r} is not a date such as 2026-11-19.") from None
        return Partition(
            key=date.isoformat(), date=date, window_start=window[0], window_end=window[1]
        )

    def check_day(self, partition: Partition, *, now: dt.datetime) -> None:
        """`ConfigError` when the day lies before the start, or is not over yet at `now`."""
        timezone = zoneinfo.ZoneInfo(self.config.partitions.timezone)
        start = self.config.partitions.start
        if partition.date < start:
            raise ConfigError(
                f"Partition '{partition.key}' lies before the sync's start, {start}. Set partitions.start to "
                "an earlier day if that day's data can still be computed."
            )
        if now < partition.window_end:
            raise ConfigError(
                f"Partition '{partition.key}' is not over: it ends at {partition.window_end.isoformat()} "
                f"(timezone {self.config.partitions.timezone}). The latest complete day is "
                f"{now.astimezone(timezone).date() - _DAY}."
            )


def _midnight(date: dt.date, timezone: zoneinfo.ZoneInfo) -> dt.datetime:
    return dt.datetime(date.year, date.month, date.day, tzinfo=timezone).astimezone(dt.UTC)


def build_spec(config: SyncConfig, *, folder: Path) -> SyncSpec:
    """Add the query file to a config and check both; `ConfigError` says what does not fit."""
    landing = config.landing
    allowed = {"json": ("gzip", "none"), "parquet": ("zstd", "none")}[landing.format]
    if landing.compression not in (None, *allowed):
        raise ConfigError(
            f"Sync '{config.name}': landing.compression '{landing.compression}' does not go with "
            f"format '{landing.format}'. It can be: {', '.join(allowed)}."
        )
    try:
        check_rules(config.columns, key=config.key)
        _check_key(config)
        _check_quarantine(config)
    except ConfigError as error:
        raise ConfigError(f"Sync '{config.name}': {error.message}") from None
    return SyncSpec(config=config, query=_read_query(config, folder))


def _check_key(config: SyncConfig) -> None:
    if any(rule.name == config.key and rule.on_error == "null" for rule in config.columns):
        raise ConfigError(
            f"The key column '{config.key}' has on_error: null, but a record without a key cannot be "
            "found. Use on_error: quarantine, or fail."
        )


def _check_quarantine(config: SyncConfig) -> None:
    aside = [rule.name for rule in config.columns if rule.on_error == "quarantine"]
    if config.privacy is not None and aside:
        raise ConfigError(
            f"privacy proves nothing of rows that are set aside, and {', '.join(map(repr, aside))} has "
            "on_error: quarantine: the rarest rows would be written where nobody counted them. Use "
            "on_error: fail or null where privacy is asked for."
        )


def _read_query(config: SyncConfig, folder: Path) -> str:
    path = folder / config.source.query
    if folder.resolve() not in path.resolve().parents:
        raise ConfigError(
            f"Sync '{config.name}': source.query is '{config.source.query}', outside the sync's folder."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"Sync '{config.name}': there is no query file '{config.source.query}' beside its "
            f"defs.yaml in '{folder.name}/'. Create it, or correct source.query."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"Sync '{config.name}': the query file '{config.source.query}' is not UTF-8 text."
        ) from None
    if not text.strip():
        raise ConfigError(f"Sync '{config.name}': the query file '{config.source.query}' is empty.")
    return text


def load_specs(folder: Path) -> dict[str, SyncSpec]:
    """Every sync below `folder` (`*/defs.yaml`, one document a sync), by name, without Dagster."""
    specs: dict[str, SyncSpec] = {}
    for path in sorted(folder.glob("**/defs.yaml")):
        for document in _read_documents(path):
            spec = build_spec(_parse_config(document, path=path), folder=path.parent)
            if spec.name in specs:
                raise ConfigError(
                    f"Two syncs are named '{spec.name}'; the second is in "
                    f"'{path.parent.name}/{path.name}'. A name is used once."
                )
            specs[spec.name] = spec
    return specs


def _read_documents(path: Path) -> list[dict[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        raise ConfigError(f"'{path.parent.name}/{path.name}' is not UTF-8 text.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise ConfigError(f"'{path.parent.name}/{path.name}'{where}: {problem}.") from None
    return [
        document
        for document in documents
        if isinstance(document, dict) and document.get("type") == COMPONENT_TYPE
    ]


def _parse_config(document: dict[str, Any], *, path: Path) -> SyncConfig:
    try:
        return SyncConfig.model_validate(document.get("attributes") or {})
    except ValidationError as error:
        # Without the input: a constant in YAML may be what is to be hidden.
        found = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in found]
        raise ConfigError(
            f"'{path.parent.name}/{path.name}' is not a valid sync (`dg check yaml` shows the "
            "lines):\n  " + "\n  ".join(lines)
        ) from None
