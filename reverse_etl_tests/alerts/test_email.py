"""Mail: one message a recipient, over TLS, with headers that nothing can break out of."""

import email
import email.policy
import ssl
from typing import Any

import pytest

from reverse_etl.alerts.email import EmailChannel, build_message
from reverse_etl.alerts.options import MailOptions
from reverse_etl.alerts.outcome import DELIVERED, Ending, Outcome
from reverse_etl_tests.alerts.receivers import (
    CLOSE_AFTER_READING,
    CLOSE_AT_ONCE,
    DRIP,
    HANG,
    SmtpReceiver,
)
from reverse_etl_tests.alerts.scenes import build_alert

pytestmark = pytest.mark.contract


def build_options(port: int, **changes: Any) -> MailOptions:
    fields = {
        "host": "127.0.0.1",
        "port": port,
        "user": None,
        "password": None,
        "has_tls": False,
        "needs_starttls": False,
        "sender": "etl@example.com",
        "recipients": ("ops@example.com",),
        **changes,
    }
    return MailOptions(**fields)


def send(port: int, **changes: Any) -> Outcome:
    options = build_options(port, **changes)
    return EmailChannel(options, options.recipients[0], number=1).send(build_alert())


def test_message_arrives(mail_server: SmtpReceiver) -> None:
    """Plain text and HTML, a Message-ID of the alert's, and no answer asked for."""
    assert send(mail_server.port) == DELIVERED

    (mail,) = mail_server.mails
    assert (mail.sender, mail.recipient) == ("etl@example.com", "ops@example.com")
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert message["Subject"] == "[test] shop_users 2026-11-19: step masked failed (1)"
    assert message["To"] == "ops@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == f"<{build_alert().alert_id}@example.com>"
    text, markup = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert markup is not None
    assert "Cause: Redis was away." in text.get_content()
    assert "<pre>" in markup.get_content()


def test_repeat_has_the_same_message_id() -> None:
    """So that a mailbox can tell."""
    first, second = (
        build_message(build_alert(), sender="a@example.com", recipient="b@example.com")
        for _ in range(2)
    )

    assert first["Message-ID"] == second["Message-ID"]


def test_no_text_becomes_a_header_or_markup() -> None:
    """Line breaks and brackets of a title or cause stay text; every alphabet arrives."""
    alert = build_alert(
        title="x\r\nBcc: evil@example.com\n\nbody", cause="<script>Ωmega</script>", step="…"
    )

    sent = build_message(alert, sender="a@example.com", recipient="b@example.com").as_bytes()
    message = email.message_from_bytes(sent, policy=email.policy.default)

    assert "Bcc" not in message
    assert message["Subject"] == "[test] x Bcc: evil@example.com body"
    markup = message.get_body(("html",))
    assert markup is not None
    assert "<script>" not in markup.get_content()
    assert "Ωmega" in markup.get_content()
    assert sent.isascii()


@pytest.mark.usefixtures("trusted")
def test_starttls_comes_before_the_password(server_tls: ssl.SSLContext) -> None:
    """And the extensions are asked for again behind it."""
    with SmtpReceiver(starttls=server_tls, password="x") as server:
        outcome = send(server.port, needs_starttls=True, user="me", password="canary")

    assert outcome == DELIVERED
    assert server.secure_logins == 1
    commands = [line.split(" ")[0] for line in server.lines]
    assert commands[:4] == ["ehlo", "STARTTLS", "ehlo", "AUTH"]


@pytest.mark.usefixtures("trusted")
def test_implicit_tls_is_spoken(server_tls: ssl.SSLContext) -> None:
    """From the first byte on: smtps."""
    with SmtpReceiver(tls=server_tls, password="x") as server:
        assert send(server.port, has_tls=True, user="me", password="p") == DELIVERED

    assert server.secure_logins == 1


def test_server_without_starttls_gets_nothing(mail_server: SmtpReceiver) -> None:
    """Neither login nor address; an attacker in between could take the offer out."""
    outcome = send(mail_server.port, needs_starttls=True, user="me", password="canary")

    assert (outcome.ending, outcome.problem) == (Ending.REFUSED, "it offers no STARTTLS")
    assert [line.split(" ")[0] for line in mail_server.lines] == ["ehlo"]


@pytest.mark.parametrize("kind", ["tls", "starttls"])
def test_unknown_authority_gets_nothing(server_tls: ssl.SSLContext, kind: str) -> None:
    """Its certificate is held against what this machine trusts."""
    server = SmtpReceiver(**{kind: server_tls}, password="x")
    with server:
        options = {"has_tls": True} if kind == "tls" else {"needs_starttls": True}
        outcome = send(server.port, user="me", password="canary", **options)

    assert outcome.ending is Ending.REFUSED
    assert server.secure_logins == 0


@pytest.mark.parametrize(
    ("answers", "ending", "problem"),
    [
        ({"banner": "421 busy"}, Ending.AWAY, "it answered 421"),
        ({"banner": "554 no"}, Ending.REFUSED, "it answered 554"),
        ({"MAIL": "451 later"}, Ending.AWAY, "it answered 451"),
        ({"RCPT": "450 greylisted"}, Ending.AWAY, "it answered 450"),
        ({"RCPT": "550 canary@example.com unknown"}, Ending.REFUSED, "it answered 550"),
        ({"DATA": "452 full"}, Ending.AWAY, "it answered 452"),
        ({"message": "451 later"}, Ending.AWAY, "it answered 451"),
        ({"message": "554 spam"}, Ending.REFUSED, "it answered 554"),
        ({"AUTH": "535 wrong"}, Ending.REFUSED, "it answered 535"),
        ({"AUTH": "454 later"}, Ending.AWAY, "it answered 454"),
    ],
)
def test_answers_are_taken_at_their_word(
    answers: dict[str, str], ending: Ending, problem: str
) -> None:
    """4xx: later; 5xx: not like this. Neither leaves a doubt, and no text of theirs is told."""
    with SmtpReceiver(answers, password="x") as server:
        outcome = send(server.port, user="me", password="p")

    assert (outcome.ending, outcome.in_doubt) == (ending, False)
    assert outcome.problem == problem


def test_server_without_login_is_refused(mail_server: SmtpReceiver) -> None:
    """A password is set, and it offers no way to use it."""
    outcome = send(mail_server.port, user="me", password="canary")

    assert (outcome.ending, outcome.problem) == (Ending.REFUSED, "it offers no way to log in")


@pytest.mark.parametrize("command", ["banner", "EHLO", "MAIL", "RCPT"])
def test_silence_before_the_message_is_no_doubt(command: str) -> None:
    """Nothing that could arrive was sent."""
    with SmtpReceiver({command: CLOSE_AT_ONCE}) as server:
        outcome = send(server.port)

    assert (outcome.ending, outcome.in_doubt) == (Ending.AWAY, False)


def test_silence_after_the_message_is_in_doubt() -> None:
    """The server has it, or has not."""
    with SmtpReceiver({"message": CLOSE_AFTER_READING}) as server:
        outcome = send(server.port)

    assert (outcome.ending, outcome.in_doubt) == (Ending.AWAY, True)
    assert len(server.mails) == 1


@pytest.mark.parametrize("behaviour", [HANG, DRIP])
@pytest.mark.parametrize("command", ["banner", "RCPT", "message"])
def test_no_server_holds_us_longer(
    command: str, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither with silence nor with a byte now and then."""
    monkeypatch.setattr("reverse_etl.alerts.wire.Deadline.__init__.__defaults__", (0.3,))
    with SmtpReceiver({command: behaviour}) as server:
        outcome = send(server.port)

    assert outcome.ending is Ending.AWAY


@pytest.mark.parametrize("answer", ["500 what", CLOSE_AT_ONCE])
def test_rude_goodbye_changes_nothing(answer: str) -> None:
    """The message was taken before it."""
    with SmtpReceiver({"QUIT": answer}) as server:
        assert send(server.port) == DELIVERED


def test_nothing_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the password, nor who is told, nor what the server said, in any outcome, repr or log."""
    shown: list[object] = []
    for answers in ({"AUTH": "535 canary"}, {"RCPT": "550 canary"}, {"message": CLOSE_AT_ONCE}, {}):
        with SmtpReceiver(answers, password="x") as server:
            options = build_options(
                server.port, user="canary", password="canary", recipients=("canary@example.com",)
            )
            channel = EmailChannel(options, options.recipients[0], number=1)
            shown += [channel.send(build_alert()), channel, channel.name, channel.label]

    assert "canary" not in repr(shown) + caplog.text
