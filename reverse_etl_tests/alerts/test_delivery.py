"""Delivery: each alert once to each channel, whatever fails, hangs, repeats or dies; never missed."""

import datetime as dt
import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reverse_etl.alerts.delivery import Deliverer, Delivery
from reverse_etl.alerts.email import EmailChannel
from reverse_etl.alerts.entry import CLAIM, Standing
from reverse_etl.alerts.model import Alert
from reverse_etl.alerts.options import MailOptions
from reverse_etl.alerts.outbox import Outbox
from reverse_etl.alerts.outcome import Channel, Outcome
from reverse_etl.alerts.slack import SlackChannel
from reverse_etl.alerts.webhook import WebhookChannel
from reverse_etl.errors import ConflictError, TransientError
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.store import MemoryStore, ObjectStore
from reverse_etl_tests.alerts.child import KILLED
from reverse_etl_tests.alerts.receivers import (
    CLOSE_AFTER_READING,
    HttpReceiver,
    Plan,
    SmtpReceiver,
)
from reverse_etl_tests.alerts.scenes import NOW, SlowClock, build_alert, build_target

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[2]


@dataclass
class Round:
    """A deliverer whose clock, chance and pauses are given."""

    store: ObjectStore
    clock: SlowClock
    channels: Sequence[Channel]
    pauses: list[float] = field(default_factory=list)

    def put(self, *alerts: Alert) -> None:
        """Raise alerts for these channels, in order."""
        outbox = Outbox(self.store)
        for alert in alerts:
            outbox.add(alert, tuple(channel.name for channel in self.channels), now=self.clock())

    def deliver(self, **known: object) -> Delivery:
        deliverer = Deliverer(
            outbox=Outbox(self.store),
            channels=self.channels,
            now=self.clock,
            chance=lambda: 1.0,
            pause=self.pauses.append,
        )
        return deliverer.deliver(**known)  # type: ignore[arg-type]

    def read(self, alert: Alert, channel: str) -> Standing:
        found = Outbox(self.store).find(alert.alert_id)
        assert found is not None
        return found[0].channels[channel].standing


def hook(receiver: HttpReceiver) -> WebhookChannel:
    return WebhookChannel(build_target(receiver.port), None)


def mail_to(server: SmtpReceiver, *recipients: str) -> list[EmailChannel]:
    options = MailOptions(
        host="127.0.0.1",
        port=server.port,
        user=None,
        password=None,
        has_tls=False,
        needs_starttls=False,
        sender="etl@example.com",
        recipients=recipients,
    )
    return [
        EmailChannel(options, recipient, number=number)
        for number, recipient in enumerate(recipients, 1)
    ]


def count_keys(receiver: HttpReceiver) -> Counter[str]:
    """How often each alert was taken."""
    return Counter(request.headers["idempotency-key"] for request in receiver.taken)


def list_titles(receiver: HttpReceiver) -> list[str]:
    return [json.loads(request.body)["title"] for request in receiver.taken]


def build_alerts(numbers: Iterable[int]) -> list[Alert]:
    return [build_alert(number) for number in numbers]


def test_everything_is_delivered_once_in_order(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """Round after round; then nothing is left to do."""
    alerts = build_alerts(range(5))
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(*alerts)

    first, second = rounds.deliver(), rounds.deliver()

    assert (first.delivered, first.waiting) == (5, 0)
    assert second.delivered == 0
    assert list_titles(receiver) == [alert.title for alert in alerts]


def test_an_hour_of_500_loses_nothing_and_doubles_nothing(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """Alerts go on being raised meanwhile; each arrives once when the channel is back."""
    rounds = Round(store, clock, [hook(receiver)])
    receiver.plan = Plan(otherwise=500)
    raised = []
    for tick in range(120):
        if tick % 12 == 0:
            raised.append(build_alert(tick))
            rounds.put(raised[-1])
        done = rounds.deliver()
        clock.advance(seconds=30)
    assert done.delivered == 0
    assert done.waiting == 10
    tried = len(receiver.received)

    receiver.plan = Plan()
    for _ in range(25):
        rounds.deliver()
        clock.advance(seconds=30)

    assert count_keys(receiver) == Counter(alert.alert_id for alert in raised)
    assert list_titles(receiver) == [alert.title for alert in raised]
    assert tried <= 12


def test_channel_says_when_it_wants_more(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """429 with Retry-After: until then it is left alone, with everything that waits for it."""
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(*build_alerts(range(3)))
    receiver.plan = Plan(steps=[200, 429], headers={"Retry-After": "300"})

    done = rounds.deliver()
    assert (done.delivered, done.away) == (1, {"the webhook": "it answered 429"})
    for _ in range(4):
        clock.advance(seconds=60)
        assert rounds.deliver().away == {"the webhook": "it answered 429"}
    assert len(receiver.received) == 2
    clock.advance(seconds=61)

    assert rounds.deliver().delivered == 2
    assert set(count_keys(receiver).values()) == {1}


def test_dead_slack_does_not_hold_up_mail(
    store: MemoryStore, clock: SlowClock, mail_server: SmtpReceiver
) -> None:
    """Each channel has a state of its own."""
    with HttpReceiver() as gone:
        slack = SlackChannel(build_target(gone.port))
    rounds = Round(store, clock, [slack, *mail_to(mail_server, "ops@example.com")])
    alerts = build_alerts(range(3))
    rounds.put(*alerts)

    done = rounds.deliver()

    assert done.delivered == 3
    assert done.away == {"Slack": "no connection (ConnectionRefusedError)"}
    assert len(mail_server.mails) == 3
    assert rounds.read(alerts[0], "slack") is Standing.WAITING


def test_one_recipient_does_not_hold_up_another(store: MemoryStore, clock: SlowClock) -> None:
    """A full mailbox gets its mail later, an unknown one is given up; the third has it at once."""
    answers = {"RCPT full@example.com": "452 full", "RCPT gone@example.com": "550 unknown"}
    with SmtpReceiver(answers) as server:
        recipients = ("full@example.com", "gone@example.com", "ops@example.com")
        rounds = Round(store, clock, mail_to(server, *recipients))
        rounds.put(*build_alerts(range(2)))

        done = rounds.deliver()
        assert [mail.recipient for mail in server.mails] == ["ops@example.com"] * 2
        assert done.refused == {"e-mail (recipient 2 of 3)": "it answered 550"}
        del server.answers["RCPT full@example.com"]
        clock.advance(seconds=31)
        rounds.deliver()

        assert Counter(mail.recipient for mail in server.mails) == {
            "ops@example.com": 2,
            "full@example.com": 2,
        }


def test_dead_mail_server_is_tried_once_a_round(store: MemoryStore, clock: SlowClock) -> None:
    """Not once a recipient: each attempt may take its whole time."""
    with SmtpReceiver({"banner": "close"}) as server:
        names = [f"{number}@example.com" for number in range(5)]
        rounds = Round(store, clock, mail_to(server, *names))
        rounds.put(*build_alerts(range(2)))

        assert len(rounds.deliver().away) == 1


def test_refusal_is_told_retried_hourly_and_given_up(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """A revoked hook: three days to mend it. Others are tried meanwhile."""
    rounds = Round(store, clock, [hook(receiver)])
    (alert,) = build_alerts([1])
    rounds.put(alert)
    receiver.plan = Plan(otherwise=404)

    assert rounds.deliver().refused == {"the webhook": "it answered 404"}
    assert rounds.deliver().refused == {}
    given_up: list[str] = []
    for _ in range(74):
        clock.advance(hours=1)
        given_up += rounds.deliver().given_up

    assert given_up == [f"'{alert.title}': the webhook, it answered 404"]
    assert len(receiver.received) == 73


def test_refused_alert_does_not_hold_up_the_next(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """It may be this very alert that the channel does not like."""
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(*build_alerts(range(2)))
    receiver.plan = Plan(steps=[400])

    assert rounds.deliver().delivered == 1
    clock.advance(hours=1, seconds=1)
    assert rounds.deliver().delivered == 1


def test_lost_connection_repeats_under_the_same_key(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """Nobody knows whether it arrived: it is sent again, and the receiver can tell."""
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(build_alert())
    receiver.plan = Plan(steps=[CLOSE_AFTER_READING])

    rounds.deliver()
    clock.advance(seconds=31)
    rounds.deliver()

    first, second = receiver.received
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    found = Outbox(store).find(build_alert().alert_id)
    assert found is not None
    assert found[0].channels["webhook"].in_doubt == 1


@pytest.mark.parametrize(("where", "arrivals"), [("claimed", 1), ("sent", 2), ("marked", 1)])
def test_killed_deliverer_costs_no_alert(tmp_path: Path, where: str, arrivals: int) -> None:
    """Between claim and send: sent later, once. Between send and mark: once more, under the same key."""
    store, clock = DirectoryStore(tmp_path), SlowClock()
    with HttpReceiver() as receiver:
        rounds = Round(store, clock, [hook(receiver)])
        rounds.put(build_alert())
        child = [sys.executable, "-m", "reverse_etl_tests.alerts.child"]
        command = [*child, str(tmp_path), str(receiver.port), where]
        done = subprocess.run(command, cwd=ROOT, check=False)
        assert done.returncode == KILLED

        assert rounds.deliver().delivered == 0
        clock.moment = NOW + CLAIM + dt.timedelta(seconds=5)
        rounds.deliver()
        rounds.deliver()

        assert count_keys(receiver) == {build_alert().alert_id: arrivals}
    assert rounds.read(build_alert(), "webhook") is Standing.DELIVERED


def test_two_deliverers_at_once_deliver_each_once(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """Two daemons by mistake."""
    alerts = build_alerts(range(15))
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(*alerts)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        rounds.deliver()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rounds.deliver()

    assert count_keys(receiver) == Counter(alert.alert_id for alert in alerts)


def test_claim_of_somebody_at_work_is_respected(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """While one sends, another's round goes by."""
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(build_alert())
    inner: list[int] = []
    receiver.on_request = lambda: inner.append(rounds.deliver().delivered)

    assert rounds.deliver().delivered == 1

    assert inner == [0]
    assert len(receiver.received) == 1


def test_process_that_stood_still_does_not_send(clock: SlowClock, receiver: HttpReceiver) -> None:
    """Its claim may have lapsed meanwhile: somebody else may be sending."""

    class SleepyStore(MemoryStore):
        def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
            done = super().put_if_match(name, body, etag=etag)
            clock.advance(seconds=CLAIM.total_seconds())
            return done

    rounds = Round(SleepyStore(), clock, [hook(receiver)])
    rounds.put(build_alert())

    assert rounds.deliver().delivered == 0
    assert receiver.received == []


@pytest.mark.parametrize(("failures", "arrivals"), [(2, 1), (3, 2)])
def test_mark_is_tried_again_at_once(
    clock: SlowClock, receiver: HttpReceiver, failures: int, arrivals: int
) -> None:
    """A store that is away for a moment after a send costs no second one; for longer, it does."""

    class ForgetfulStore(MemoryStore):
        left = 0

        def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
            if self.left and b"delivered" in body:
                self.left -= 1
                raise TransientError("The store was away for a moment.")
            return super().put_if_match(name, body, etag=etag)

    store = ForgetfulStore()
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(build_alert())
    store.left = failures

    if failures > 2:
        with pytest.raises(TransientError):
            rounds.deliver()
    else:
        rounds.deliver()
    clock.advance(seconds=CLAIM.total_seconds())
    rounds.deliver()

    assert rounds.pauses == [1.0, 2.0]
    assert count_keys(receiver) == {build_alert().alert_id: arrivals}


def test_claim_whose_answer_was_lost_is_ours_still(
    clock: SlowClock, receiver: HttpReceiver
) -> None:
    """The store made it, the answer never came, and the repeat found it made."""

    class EchoingStore(MemoryStore):
        losses = 1

        def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
            done = super().put_if_match(name, body, etag=etag)
            if self.losses:
                self.losses -= 1
                raise ConflictError("It was changed meanwhile, by ourselves.")
            return done

    rounds = Round(EchoingStore(), clock, [hook(receiver)])
    rounds.put(build_alert())

    assert rounds.deliver().delivered == 1
    assert len(receiver.received) == 1


def test_outbox_too_large_to_read_is_delivered_all_the_same(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """Part by part: each round begins elsewhere."""
    rounds = Round(store, clock, [hook(receiver)])
    alerts = build_alerts(range(9))
    rounds.put(*alerts)
    looks, chances = itertools.count(step=2), itertools.cycle([0.0, 0.4, 0.8])

    for _ in range(3):
        deliverer = Deliverer(
            outbox=Outbox(store),
            channels=rounds.channels,
            now=clock,
            chance=lambda: next(chances),
            elapsed=lambda: float(next(looks)),
        )
        deliverer.deliver()
        next(chances)

    assert 3 <= len(receiver.taken) < 9
    assert set(count_keys(receiver).values()) == {1}


def test_channel_of_later_gets_no_old_alerts(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """And what waits for one that is not set any more is given up after a day, loudly."""
    with HttpReceiver(Plan(otherwise=503)) as old:
        Round(store, clock, [SlackChannel(build_target(old.port))]).put(build_alert())
    rounds = Round(store, clock, [hook(receiver)])

    assert rounds.deliver().waiting == 1
    clock.advance(days=1)
    done = rounds.deliver()

    assert receiver.received == []
    assert done.given_up == [f"'{build_alert().title}': the channel is not set any more"]


def test_told_alerts_are_kept_a_week(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """Until then the same alert is known; then its object goes."""
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(build_alert())
    rounds.deliver()
    clock.advance(days=6.9)
    rounds.put(build_alert())
    rounds.deliver()
    assert len(receiver.received) == 1

    clock.advance(days=0.2)
    assert rounds.deliver().removed == 1
    assert list(store.list_objects("")) == []


def test_settled_entries_are_not_read_again(clock: SlowClock, receiver: HttpReceiver) -> None:
    """A round over a week of alerts costs a listing; one that is retried by hand is seen all the same."""

    class CountingStore(MemoryStore):
        reads = 0

        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            self.reads += 1
            return super().get_with_etag(name)

    store = CountingStore()
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(*build_alerts(range(10)))
    rounds.deliver()
    known = rounds.deliver().known
    assert len(known) == 10
    store.reads = 0

    assert rounds.deliver(known=known).known == known
    assert store.reads == 0
    rounds.deliver(known={**known, build_alert(3).alert_id: ("other", 9e9)})
    assert store.reads == 1


def test_flood_is_sent_in_shares(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """A round ends in time; the rest is sent in the next."""
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(*build_alerts(range(25)))

    assert [rounds.deliver().delivered for _ in range(3)] == [20, 5, 0]


def test_unreadable_entry_holds_up_nothing(
    store: MemoryStore, clock: SlowClock, receiver: HttpReceiver
) -> None:
    """It is named; the others are delivered."""
    rounds = Round(store, clock, [hook(receiver)])
    rounds.put(build_alert())
    store.put("_alerts/outbox/edited.json", b"{}")

    done = rounds.deliver()

    assert done.unreadable == ["_alerts/outbox/edited.json"]
    assert done.delivered == 1


def test_outcome_never_holds_an_address(receiver: HttpReceiver) -> None:
    """Whatever goes wrong with a secret URL."""
    target = build_target(receiver.port, "/services/canary")
    outcomes: list[Outcome] = []
    for step in (404, 500, CLOSE_AFTER_READING, 302):
        receiver.plan = Plan(steps=[step])
        outcomes.append(SlackChannel(target).send(build_alert()))

    assert "canary" not in repr(outcomes) + repr(target) + repr(SlackChannel(target))
