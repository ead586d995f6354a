"""What operators are told, and where: alerts, links and the run log. Inherited by `settings`."""

from dataclasses import dataclass

from reverse_etl.setting_fields import Secret, parse_names, parse_table, variable


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsSettings:
    """The settings of alerts and of the run log; everything is off unless it is set."""

    dagster_url: str | None = variable(
        "REVERSE_ETL_DAGSTER_URL",
        "Where people open Dagster, for links in alerts: a URL such as https://dagster.example.com.",
    )
    alert_slack_url: Secret | None = variable(
        "REVERSE_ETL_ALERT_SLACK_URL",
        "An incoming webhook of Slack that alerts are sent to (the URL is a secret).",
        parse=Secret,
    )
    alert_webhook_url: Secret | None = variable(
        "REVERSE_ETL_ALERT_WEBHOOK_URL",
        "Any address that takes alerts as JSON by POST, with an Idempotency-Key (docs/alerts.md).",
        parse=Secret,
    )
    alert_webhook_key: Secret | None = variable(
        "REVERSE_ETL_ALERT_WEBHOOK_KEY",
        "Signs what is sent there: HMAC-SHA256 in the header X-Reverse-Etl-Signature. Unset: not signed.",
        parse=Secret,
    )
    alert_smtp_url: Secret | None = variable(
        "REVERSE_ETL_ALERT_SMTP_URL",
        "The mail server for alerts: `smtps://user:password@host:465`, `smtp://host:587` (STARTTLS is "
        "required unless the host is loopback).",
        parse=Secret,
    )
    alert_email_from: str | None = variable(
        "REVERSE_ETL_ALERT_EMAIL_FROM", "The sender of alerts by e-mail."
    )
    alert_email_to: tuple[str, ...] = variable(
        "REVERSE_ETL_ALERT_EMAIL_TO",
        "Who gets alerts by e-mail, comma-separated.",
        default=(),
        parse=parse_names,
    )
    run_log_table: str | None = variable(
        "REVERSE_ETL_RUN_LOG_TABLE",
        "A table in the source to which each step appends a row about its run: `dataset.table` or "
        "`project.dataset.table` (BigQuery), `table` or `schema.table` (DuckDB). Unset: no run log.",
        parse=parse_table,
    )
