"""`reverse-etl alerts`: what waits to be told, once more what was given up, and whether alerts arrive."""

import argparse
import datetime as dt
import json
import secrets
from contextlib import closing

from reverse_etl.alerts.channels import build_channels
from reverse_etl.alerts.documents import format_moment
from reverse_etl.alerts.entry import ChannelState, Entry, Standing
from reverse_etl.alerts.options import AlertOptions, build_options
from reverse_etl.alerts.outbox import Outbox, read_alert_id
from reverse_etl.alerts.outcome import Ending
from reverse_etl.alerts.wording import describe_test
from reverse_etl.cli.tables import render_table
from reverse_etl.errors import ConfigError
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings

_HEADER = ("alert", "raised at", "title", "channel", "status", "attempts", "last problem")


def execute(arguments: argparse.Namespace) -> int:
    """List, retry or test."""
    with closing(Runtime(settings=Settings.load())) as runtime:
        options = build_options(runtime.settings)
        if arguments.action == "test":
            return _test(options, runtime, as_json=arguments.json)
        if arguments.action == "retry":
            return _retry(runtime, as_json=arguments.json)
        return _list(options, runtime, as_json=arguments.json, is_all=arguments.all)


def _list(options: AlertOptions, runtime: Runtime, *, as_json: bool, is_all: bool) -> int:
    """What waits and what was given up; exit code 1 when something was given up."""
    labels = {channel.name: channel.label for channel in build_channels(options)}
    lines = [
        (entry, name, state)
        for entry in _read_entries(Outbox(runtime.store))
        for name, state in entry.channels.items()
        if is_all or state.standing is not Standing.DELIVERED
    ]
    if as_json:
        print(json.dumps({"alerts": [_build_document(*line) for line in lines]}))
    elif not lines:
        print("No alert waits, and none was given up.")
    else:
        rows = [
            (
                entry.alert.alert_id[:8],
                f"{entry.created_at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}Z",
                entry.alert.title,
                labels.get(name, f"{name} (not set)"),
                _name_standing(state),
                str(state.attempts),
                state.problem or "",
            )
            for entry, name, state in lines
        ]
        print(render_table(_HEADER, rows, numeric=frozenset({"attempts"})))
    return 1 if any(state.standing is Standing.GIVEN_UP for _, _, state in lines) else 0


def _name_standing(state: ChannelState) -> str:
    return state.standing.value.replace("_", " ")


def _build_document(entry: Entry, name: str, state: ChannelState) -> dict[str, object]:
    return {
        "id": entry.alert.alert_id,
        "kind": entry.alert.kind.value,
        "title": entry.alert.title,
        "raised_at": format_moment(entry.created_at),
        "channel": name,
        "status": state.standing.value,
        "since": format_moment(state.since),
        "attempts": state.attempts,
        "in_doubt": state.in_doubt,
        "last_problem": state.problem,
    }


def _retry(runtime: Runtime, *, as_json: bool) -> int:
    """Make everything that waits or was given up due now; the sensor brings it."""
    outbox, retried = Outbox(runtime.store), 0

    def retry(entry: Entry) -> Entry | None:
        changed = entry
        for name, state in entry.channels.items():
            again = state.retried(now=runtime.now())
            if again is not None:
                changed = changed.with_channel(name, again)
        return None if changed is entry else changed

    for entry in _read_entries(outbox):
        retried += outbox.change(entry.alert.alert_id, retry) is not None
    if as_json:
        print(json.dumps({"retried": retried}))
    else:
        print(f"{retried} alerts are due now. The sensor `alerts_deliver` brings them.")
    return 0


def _test(options: AlertOptions, runtime: Runtime, *, as_json: bool) -> int:
    """Send a test to every channel, now and beside the outbox; exit code 1 when one does not take it."""
    if options.is_off:
        raise ConfigError(
            "No channel is set. Set REVERSE_ETL_ALERT_SLACK_URL, REVERSE_ETL_ALERT_WEBHOOK_URL or "
            "REVERSE_ETL_ALERT_SMTP_URL (docs/alerts.md)."
        )
    alert = describe_test(number=secrets.token_hex(8), now=runtime.now(), place=options.place)
    outcomes = [(channel, channel.send(alert)) for channel in build_channels(options)]
    if as_json:
        documents = [
            {"channel": channel.name, "ending": outcome.ending.value, "problem": outcome.problem}
            for channel, outcome in outcomes
        ]
        print(json.dumps({"channels": documents}))
    else:
        for channel, outcome in outcomes:
            took = outcome.ending is Ending.DELIVERED
            print(f"{channel.label}: {'took it' if took else outcome.problem}")
    return 0 if all(outcome.ending is Ending.DELIVERED for _, outcome in outcomes) else 1


def _read_entries(outbox: Outbox) -> list[Entry]:
    """All there are, the oldest first."""
    found = [outbox.find(read_alert_id(item.name)) for item in outbox.list_objects()]
    return sorted((entry for entry, _ in filter(None, found)), key=lambda entry: entry.created_at)
