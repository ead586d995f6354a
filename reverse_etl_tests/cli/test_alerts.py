"""`reverse-etl alerts`: what waits, once more what was given up, and a test to every channel."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverse_etl.alerts.entry import Entry, Standing
from reverse_etl.alerts.outbox import Outbox
from reverse_etl.alerts.outcome import DELIVERED, Ending, Outcome
from reverse_etl.cli import main
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl_tests.alerts.receivers import HttpReceiver, Plan
from reverse_etl_tests.alerts.scenes import NOW, build_alert

pytestmark = pytest.mark.contract

SECRET = "canary-hook"


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """That of the store which the command finds in its settings."""
    monkeypatch.setenv("REVERSE_ETL_STORE_URL", (tmp_path / "store").as_uri())
    return Outbox(DirectoryStore(tmp_path / "store"))


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    """A webhook, set."""
    with HttpReceiver() as server:
        url = f"http://127.0.0.1:{server.port}/{SECRET}"
        monkeypatch.setenv("REVERSE_ETL_ALERT_WEBHOOK_URL", url)
        yield server


def settle(outbox: Outbox, number: int, outcome: Outcome) -> None:
    """Put an alert in that has been tried for three days, and ended so."""
    alert = build_alert(number)
    outbox.add(alert, ("webhook",), now=NOW)

    def change(entry: Entry) -> Entry:
        state = entry.channels["webhook"]
        for now in (NOW, NOW + dt.timedelta(days=3)):
            claimed = state.claimed("me", now=now)
            if claimed is not None:
                state = claimed.after(outcome, now=now, waiting_since=NOW, chance=1.0)
        return entry.with_channel("webhook", state)

    outbox.change(alert.alert_id, change)


@pytest.mark.usefixtures("receiver")
def test_list_shows_what_waits_and_what_was_given_up(
    outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the last problem; what was delivered only on demand. Given up is exit code 1."""
    settle(outbox, 1, DELIVERED)
    settle(outbox, 2, Outcome(ending=Ending.AWAY, problem="it answered 503"))

    assert main(["alerts", "list"]) == 0
    shown = capsys.readouterr().out
    assert "it answered 503" in shown
    assert "waiting" in shown
    assert "delivered" not in shown
    assert main(["alerts", "list", "--all"]) == 0
    assert "delivered" in capsys.readouterr().out

    settle(outbox, 3, Outcome(ending=Ending.REFUSED, problem="it answered 404"))
    assert main(["alerts", "list", "--json"]) == 1
    waiting, given_up = json.loads(capsys.readouterr().out)["alerts"]
    assert (waiting["status"], given_up["status"]) == ("waiting", "given_up")
    assert given_up["id"] == build_alert(3).alert_id
    assert given_up["last_problem"] == "it answered 404"


def test_list_of_nothing_says_so(outbox: Outbox, capsys: pytest.CaptureFixture[str]) -> None:
    """No channel need be set."""
    del outbox

    assert main(["alerts", "list"]) == 0
    assert capsys.readouterr().out == "No alert waits, and none was given up.\n"


@pytest.mark.usefixtures("receiver")
def test_retry_makes_due_what_was_given_up(
    outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """And leaves alone what was delivered."""
    settle(outbox, 1, DELIVERED)
    settle(outbox, 2, Outcome(ending=Ending.REFUSED, problem="it answered 404"))

    assert main(["alerts", "retry"]) == 0

    assert capsys.readouterr().out.startswith("1 alerts are due now.")
    found = [outbox.find(build_alert(number).alert_id) for number in (1, 2)]
    standings = [item[0].channels["webhook"].standing for item in found if item is not None]
    assert standings == [Standing.DELIVERED, Standing.WAITING]


@pytest.mark.usefixtures("outbox")
def test_test_is_sent_past_the_outbox(
    receiver: HttpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how each channel took it, without its address."""
    receiver.plan = Plan(steps=[200, 404, 404])

    assert main(["alerts", "test"]) == 0
    assert capsys.readouterr().out == "the webhook: took it\n"
    assert json.loads(receiver.taken[0].body)["kind"] == "test"
    assert main(["alerts", "test"]) == 1
    assert capsys.readouterr().out == "the webhook: it answered 404\n"
    assert main(["alerts", "test", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["channels"] == [
        {"channel": "webhook", "ending": "refused", "problem": "it answered 404"}
    ]
    assert SECRET not in shown.out + shown.err


@pytest.mark.usefixtures("outbox")
def test_test_without_a_channel_says_how_to_set_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong use, not a success."""
    assert main(["alerts", "test"]) == 2
    assert "REVERSE_ETL_ALERT_SLACK_URL" in capsys.readouterr().err
