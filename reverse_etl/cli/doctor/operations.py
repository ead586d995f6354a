"""Steps about who is told of what happens: where alerts go, and whether the run log can be reached."""

from collections import Counter

from reverse_etl.alerts.channels import build_channels
from reverse_etl.alerts.options import build_options
from reverse_etl.cli.doctor.checkup import SkippedError
from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.room_options import build_bigquery_options
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Profile, Settings

_TABLE = "REVERSE_ETL_RUN_LOG_TABLE"
_RETRY_SECONDS = 10.0
_PROJECT_DATASET_TABLE = 3
_SCHEMA_TABLE = 2


def examine_alerts(settings: Settings) -> str:
    """Which channels are configured, and whether each is configured whole; nothing is sent."""
    options = build_options(settings)
    channels = Counter(channel.label.partition(" (")[0] for channel in build_channels(options))
    if not channels:
        raise SkippedError(
            "off: none of REVERSE_ETL_ALERT_SLACK_URL, REVERSE_ETL_ALERT_WEBHOOK_URL and "
            "REVERSE_ETL_ALERT_SMTP_URL is set"
        )
    named = ", ".join(
        f"{label} ({count} recipients)" if count > 1 else label for label, count in channels.items()
    )
    links = "" if settings.dagster_url else "; without links: REVERSE_ETL_DAGSTER_URL is not set"
    return f"{named}; nothing was sent, `reverse-etl alerts test` does{links}"


def examine_run_log(runtime: Runtime) -> str:
    """Whether the run log's table is there, or could be made; nothing is written."""
    name = runtime.settings.run_log_table
    if name is None:
        raise SkippedError(f"off: {_TABLE} is not set")
    if runtime.settings.profile is Profile.CLOUD:
        return _examine_bigquery_table(name, runtime)
    if name.count(".") >= _SCHEMA_TABLE:
        raise ConfigError(
            f"{_TABLE} is '{name}'; for the embedded source it is `table` or `schema.table`."
        )
    folder = runtime.settings.duckdb_path.absolute().parent
    if not folder.is_dir():
        raise TerminalError(
            f"The run log lies beside the warehouse, and there is no folder '{folder}' "
            "(REVERSE_ETL_DUCKDB_PATH)."
        )
    return f"table '{name}', in a file of its own beside the warehouse"


def _examine_bigquery_table(name: str, runtime: Runtime) -> str:
    """Metadata alone is asked for; whether rows may be written is found by the first of them."""
    from google.api_core.exceptions import NotFound  # noqa: PLC0415 - a cloud's SDK
    from google.cloud.bigquery import DatasetReference  # noqa: PLC0415 - the same

    from reverse_etl.sources.bigquery.connection import Connection  # noqa: PLC0415 - the same
    from reverse_etl.sources.bigquery.faults import map_faults  # noqa: PLC0415 - the same

    parts = name.split(".")
    if len(parts) < _SCHEMA_TABLE:
        raise ConfigError(
            f"{_TABLE} is '{name}'; for BigQuery it is `dataset.table` or `project.dataset.table`."
        )
    connection = Connection(build_bigquery_options(runtime.settings), retry_seconds=_RETRY_SECONDS)
    try:
        with map_faults("looking at the run log's table"):
            project = parts[0] if len(parts) == _PROJECT_DATASET_TABLE else connection.project
            dataset = DatasetReference(project, parts[-2])
            try:
                connection.client.get_table(dataset.table(parts[-1]), **connection.limits)
            except NotFound:
                pass
            else:
                return f"table '{name}' is there"
            try:
                connection.client.get_dataset(dataset, **connection.limits)
            except NotFound:
                raise ConfigError(
                    f"{_TABLE} is '{name}', and there is no such dataset. Create it where the staging "
                    "dataset lies, or name another."
                ) from None
    finally:
        connection.close()
    return f"the dataset is there; the first row makes table '{name}'"
