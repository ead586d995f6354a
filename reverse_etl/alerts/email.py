"""Mail by SMTP: a message of its own for each recipient, so that each is delivered, or not, by itself."""

import hashlib
import html
import smtplib
import socket
import ssl
from contextlib import closing, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from reverse_etl.alerts.model import Alert
from reverse_etl.alerts.options import MailOptions
from reverse_etl.alerts.outcome import DELIVERED, Ending, Outcome, give_up_for_now
from reverse_etl.alerts.text import render_subject, render_text
from reverse_etl.alerts.wire import SILENCE_SECONDS, Deadline, connect, wrap
from reverse_etl.alerts.wording import clean

# Lines that any server takes, whatever a name in an alert is written in.
_POLICY = SMTP.clone(cte_type="7bit")
_LONGEST_SUBJECT = 200
_NAME_CHARACTERS = 10
_PERMANENT = 500


class EmailChannel:
    """One recipient at one mail server."""

    group = "email"

    def __init__(self, options: MailOptions, recipient: str, *, number: int) -> None:
        self._options = options
        self._recipient = recipient
        self.label = f"e-mail (recipient {number} of {len(options.recipients)})"

    @property
    def name(self) -> str:
        """Stable while the address is, and not the address itself."""
        digest = hashlib.sha256(self._recipient.encode()).hexdigest()
        return f"email-{digest[:_NAME_CHARACTERS]}"

    def __repr__(self) -> str:
        return "EmailChannel()"

    def send(self, alert: Alert) -> Outcome:
        """Hand one message to the server. A repeat has the same Message-ID."""
        message = build_message(alert, sender=self._options.sender, recipient=self._recipient)
        with Deadline() as deadline, closing(_Client(self._options, deadline)) as client:
            outcome = _introduce(client, self._options, self._recipient)
            return outcome or _hand_over(client, message)


class _Client(smtplib.SMTP):
    """The library's, over our own connections; not connected yet."""

    def __init__(self, options: MailOptions, deadline: Deadline) -> None:
        # Our name for the greeting: the library would look for one in the DNS, and wait for it.
        super().__init__(local_hostname=options.sender.rpartition("@")[2], timeout=SILENCE_SECONDS)
        self._options = options
        self._deadline = deadline

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        del timeout
        return connect(host, port, has_tls=self._options.has_tls, deadline=self._deadline)

    def start_tls(self) -> None:
        """STARTTLS, or `_NoTlsError`; what the server said before is forgotten."""
        if not self.has_extn("starttls"):
            raise _NoTlsError
        _expect(self.docmd("STARTTLS"))
        assert self.sock is not None  # noqa: S101 - it has just answered
        # Whatever the server sent in the clear after its answer is not read as if it came by TLS.
        self.file = None
        self.sock = wrap(self.sock, self._options.host, deadline=self._deadline)
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.ehlo_or_helo_if_needed()


class _NoTlsError(Exception):
    """The server would have everything in the clear."""


def _introduce(client: _Client, options: MailOptions, recipient: str) -> Outcome | None:
    """Everything before the message; None when the server waits for it."""
    try:
        _expect(client.connect(options.host, options.port))
        client.ehlo_or_helo_if_needed()
        if options.needs_starttls:
            client.start_tls()
        if options.user is not None:
            client.login(options.user, options.password or "")
        _expect(client.mail(options.sender))
        _expect(client.rcpt(recipient))
    except _NoTlsError:
        return Outcome(ending=Ending.REFUSED, problem="it offers no STARTTLS")
    except ssl.SSLCertVerificationError:
        return Outcome(ending=Ending.REFUSED, problem="its certificate could not be verified")
    except smtplib.SMTPNotSupportedError:
        return Outcome(ending=Ending.REFUSED, problem="it offers no way to log in")
    except smtplib.SMTPResponseException as error:
        return _judge(error.smtp_code)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        return give_up_for_now("no connection", error)
    return None


def _hand_over(client: _Client, message: EmailMessage) -> Outcome:
    try:
        _expect(client.data(message.as_bytes(policy=_POLICY)))
    except smtplib.SMTPResponseException as error:
        return _judge(error.smtp_code)
    except (OSError, smtplib.SMTPException) as error:
        return give_up_for_now("no answer after it was sent", error, in_doubt=True)
    # It has taken the message: how it says goodbye changes nothing.
    with suppress(OSError, smtplib.SMTPException):
        client.quit()
    return DELIVERED


def _expect(answer: tuple[int, bytes]) -> None:
    """Whatever is no 2xx is an error; its text is let go of, it may name addresses."""
    code, _ = answer
    if not 200 <= code < 300:  # noqa: PLR2004 - SMTP's own
        raise smtplib.SMTPResponseException(code, b"")


def _judge(code: int) -> Outcome:
    ending = Ending.REFUSED if code >= _PERMANENT else Ending.AWAY
    return Outcome(ending=ending, problem=f"it answered {code}")


def build_message(alert: Alert, *, sender: str, recipient: str) -> EmailMessage:
    """Plain text and simple HTML; `Auto-Submitted` keeps out-of-office answers away."""
    message = EmailMessage(policy=_POLICY)
    message["Subject"] = clean(render_subject(alert), most=_LONGEST_SUBJECT)
    message["From"] = sender
    message["To"] = recipient
    message["Date"] = format_datetime(alert.at)
    message["Message-ID"] = f"<{alert.alert_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Reverse-Etl-Alert"] = alert.kind.value
    text = render_text(alert)
    message.set_content(text)
    message.add_alternative(f"<pre>{html.escape(text)}</pre>", subtype="html")
    return message
