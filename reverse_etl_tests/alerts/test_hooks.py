"""Slack's blocks and the webhook's document: what is sent, escaped and signed."""

import hashlib
import hmac
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.alerts.model import AlertKind
from reverse_etl.alerts.slack import SlackChannel, build_message, escape
from reverse_etl.alerts.webhook import WebhookChannel, build_document
from reverse_etl_tests.alerts.receivers import HttpReceiver
from reverse_etl_tests.alerts.scenes import build_alert, build_target


def test_slack_gets_blocks_and_text(receiver: HttpReceiver) -> None:
    """Header, fields, cause, what to do, links; a line of text for notifications."""
    SlackChannel(build_target(receiver.port)).send(build_alert())

    message = json.loads(receiver.taken[0].body)
    header, fields, cause, advice, links = message["blocks"]
    assert message["text"].startswith("🔴 [test] shop_users 2026-11-19: step masked failed")
    assert header["text"]["type"] == "plain_text"
    assert {"type": "mrkdwn", "text": "*Partition*\n2026-11-19"} in fields["fields"]
    assert cause["text"]["text"] == "*Cause*\nRedis was away."
    assert advice["text"]["text"] == "*What to do*\nLook at the run."
    assert links["text"]["text"] == "<https://dagster.example.com/runs/run-1|Run>"


@settings(max_examples=50)
@given(st.text(alphabet="<>&!|@*_`~ channel\n", max_size=40), st.sampled_from(AlertKind))
def test_slack_sees_no_mention_or_link_of_a_text(text: str, kind: AlertKind) -> None:
    """`<!channel>` in a cause wakes nobody."""
    message = build_message(
        build_alert(title=text, cause=text, what_to_do=text, kind=kind, links={})
    )

    marked = [message["text"]] + [block["text"]["text"] for block in message["blocks"][2:]]
    assert not any("<" in item or ">" in item for item in marked)


def test_link_cannot_become_another() -> None:
    """Neither by its address nor by its name."""
    message = build_message(build_alert(links={"a>b|c": "https://x/?a=1&b=<!here>|evil"}))

    assert message["blocks"][-1]["text"]["text"] == "<https://x/?a=1&amp;b=!hereevil|a&gt;b|c>"


def test_slack_limits_are_kept() -> None:
    """A longer text would have the whole message refused."""
    message = build_message(build_alert(title="x" * 900, cause="&" * 9000, step="y" * 9000))

    header, fields, cause, *_ = message["blocks"]
    assert len(header["text"]["text"]) == 150
    assert all(len(item["text"]) <= 2000 for item in fields["fields"])
    assert len(fields["fields"]) <= 10
    assert len(cause["text"]["text"]) == 3000


def test_escaping_is_slacks_own() -> None:
    """Its three characters, once."""
    assert escape("a & <b> &amp;") == "a &amp; &lt;b&gt; &amp;amp;"


def test_webhook_gets_every_field(receiver: HttpReceiver) -> None:
    """The document of docs/alerts.md, and what tells a repeat."""
    alert = build_alert()
    channel = WebhookChannel(build_target(receiver.port), None)

    channel.send(alert)
    channel.send(alert)

    first, second = receiver.taken
    assert json.loads(first.body) == {
        "version": 1,
        "id": alert.alert_id,
        "kind": "run_failed",
        "environment": "test",
        "sync": "shop_users",
        "partition": "2026-11-19",
        "step": "masked",
        "run_id": "run-1",
        "at": "2026-11-20T06:00:00.000000Z",
        "title": "shop_users 2026-11-19: step masked failed (1)",
        "cause": "Redis was away.",
        "what_to_do": "Look at the run.",
        "links": {"Run": "https://dagster.example.com/runs/run-1"},
        "folded": 0,
    }
    assert first.headers["idempotency-key"] == alert.alert_id
    assert (first.body, first.headers) == (second.body, second.headers)
    assert "x-reverse-etl-signature" not in first.headers


def test_signature_covers_time_and_body(receiver: HttpReceiver) -> None:
    """A receiver computes the same from what arrived, as docs/alerts.md says."""
    channel = WebhookChannel(build_target(receiver.port), b"secret", clock=lambda: 1700000000.9)

    channel.send(build_alert())

    (request,) = receiver.taken
    assert request.headers["x-reverse-etl-timestamp"] == "1700000000"
    expected = hmac.new(b"secret", b"1700000000." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-reverse-etl-signature"] == f"v1={expected}"


def test_document_holds_no_key_of_ours() -> None:
    """The id is the name of an alert outside."""
    assert "key" not in build_document(build_alert())
