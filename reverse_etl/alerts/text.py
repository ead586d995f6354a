"""An alert as plain text: the body of mails, and what Slack shows where it shows no blocks."""

import datetime as dt

from reverse_etl.alerts.model import Alert


def render_subject(alert: Alert) -> str:
    """One line: deployment and title."""
    return f"[{alert.environment}] {alert.title}"


def list_fields(alert: Alert) -> list[tuple[str, str]]:
    """What is short and known, by its name."""
    fields = [
        ("Environment", alert.environment),
        ("Sync", alert.sync),
        ("Partition", alert.partition),
        ("Step", alert.step),
        ("At", f"{alert.at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"),
        ("Run", alert.run_id),
    ]
    return [(name, value) for name, value in fields if value is not None]


def render_text(alert: Alert) -> str:
    """All of it."""
    lines = [
        alert.title,
        "",
        *(f"{name}: {value}" for name, value in list_fields(alert)),
        "",
        f"Cause: {alert.cause}",
        "",
        f"What to do: {alert.what_to_do}",
    ]
    if alert.links:
        lines += ["", *(f"{shown}: {url}" for shown, url in alert.links.items())]
    return "\n".join([*lines, "", f"Alert {alert.alert_id}", ""])
