"""Where alerts go, from the settings, examined: what cannot work or would not be safe is refused."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from reverse_etl.alerts.wording import Place
from reverse_etl.errors import ConfigError

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_SMTP_PORTS = {"smtp": 587, "smtps": 465}
_MOST_RECIPIENTS = 50


class _Hidden(Protocol):
    """A secret of the settings."""

    def reveal(self) -> str:
        """The value itself."""
        ...


class AlertSettings(Protocol):
    """What is read of the settings (`reverse_etl.operations_settings`)."""

    @property
    def environment(self) -> str:
        """The deployment's name."""
        ...

    @property
    def dagster_url(self) -> str | None:
        """Where people open Dagster."""
        ...

    @property
    def alert_slack_url(self) -> _Hidden | None:
        """Slack's incoming webhook."""
        ...

    @property
    def alert_webhook_url(self) -> _Hidden | None:
        """Any address that takes JSON."""
        ...

    @property
    def alert_webhook_key(self) -> _Hidden | None:
        """What signs that."""
        ...

    @property
    def alert_smtp_url(self) -> _Hidden | None:
        """The mail server."""
        ...

    @property
    def alert_email_from(self) -> str | None:
        """The sender."""
        ...

    @property
    def alert_email_to(self) -> tuple[str, ...]:
        """The recipients."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """An address that takes a POST. All of it is a secret: whoever knows it may write there."""

    host: str = field(repr=False)
    port: int = field(repr=False)
    path: str = field(repr=False)
    has_tls: bool

    @property
    def default_port(self) -> int:
        """The port that goes without saying."""
        return 443 if self.has_tls else 80


@dataclass(frozen=True, slots=True, kw_only=True)
class MailOptions:
    """A mail server, and from whom to whom.

    `has_tls`: from the first byte on; `needs_starttls`: before anything is said.
    """

    host: str = field(repr=False)
    port: int = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    has_tls: bool
    needs_starttls: bool
    sender: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertOptions:
    """Each channel that is set, and which deployment speaks."""

    place: Place
    slack: HttpTarget | None = None
    webhook: HttpTarget | None = None
    webhook_key: bytes | None = field(default=None, repr=False)
    mail: MailOptions | None = None

    @property
    def is_off(self) -> bool:
        """Whether nobody is to be told."""
        return self.slack is None and self.webhook is None and self.mail is None


def build_options(settings: AlertSettings) -> AlertOptions:
    """Examine the settings; `ConfigError` names the one that cannot be used, never what it holds."""
    key = settings.alert_webhook_key
    return AlertOptions(
        place=Place(
            environment=settings.environment, dagster_url=_read_dagster_url(settings.dagster_url)
        ),
        slack=_read_target("REVERSE_ETL_ALERT_SLACK_URL", settings.alert_slack_url),
        webhook=_read_target("REVERSE_ETL_ALERT_WEBHOOK_URL", settings.alert_webhook_url),
        webhook_key=None if key is None else key.reveal().encode(),
        mail=_read_mail(settings),
    )


def _read_dagster_url(text: str | None) -> str | None:
    if text is None:
        return None
    parts = _split("REVERSE_ETL_DAGSTER_URL", text, schemes=("https", "http"))
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(
            "REVERSE_ETL_DAGSTER_URL stands in alerts as it is: it must have no user, query or fragment."
        )
    return text.rstrip("/")


def _read_target(variable: str, secret: _Hidden | None) -> HttpTarget | None:
    if secret is None:
        return None
    parts = _split(variable, secret.reveal(), schemes=("https", "http"))
    host = parts.hostname or ""
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(f"{variable} must begin with https://; http:// is for loopback alone.")
    if parts.username is not None:
        raise ConfigError(f"{variable} holds a user; put what authorises us into path or query.")
    path = parts.path or "/"
    return HttpTarget(
        host=host,
        port=parts.port or (443 if parts.scheme == "https" else 80),
        path=f"{path}?{parts.query}" if parts.query else path,
        has_tls=parts.scheme == "https",
    )


def _read_mail(settings: AlertSettings) -> MailOptions | None:
    secret, sender, recipients = (
        settings.alert_smtp_url,
        settings.alert_email_from,
        settings.alert_email_to,
    )
    if secret is None and sender is None and not recipients:
        return None
    if secret is None or sender is None or not recipients:
        raise ConfigError(
            "Alerts by e-mail need all of REVERSE_ETL_ALERT_SMTP_URL, REVERSE_ETL_ALERT_EMAIL_FROM and "
            "REVERSE_ETL_ALERT_EMAIL_TO; one or two of them are set."
        )
    parts = _split("REVERSE_ETL_ALERT_SMTP_URL", secret.reveal(), schemes=tuple(_SMTP_PORTS))
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError("REVERSE_ETL_ALERT_SMTP_URL ends after its port: smtp://host:587.")
    host = parts.hostname or ""
    return MailOptions(
        host=host,
        port=parts.port or _SMTP_PORTS[parts.scheme],
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        has_tls=parts.scheme == "smtps",
        needs_starttls=parts.scheme == "smtp" and not is_loopback(host),
        sender=_check_address("REVERSE_ETL_ALERT_EMAIL_FROM", sender),
        recipients=_check_recipients(recipients),
    )


def _check_recipients(recipients: tuple[str, ...]) -> tuple[str, ...]:
    variable = "REVERSE_ETL_ALERT_EMAIL_TO"
    checked = tuple(dict.fromkeys(_check_address(variable, address) for address in recipients))
    if len(checked) > _MOST_RECIPIENTS:
        raise ConfigError(
            f"{variable} names {len(checked)} recipients; up to {_MOST_RECIPIENTS} get a mail each. Use "
            "a mailing list."
        )
    return checked


def _check_address(variable: str, address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(
            f"{variable} must hold plain addresses such as ops@example.com: no names, brackets or blanks."
        )
    return address


def _split(variable: str, text: str, *, schemes: tuple[str, ...]) -> SplitResult:
    """A URL's parts; it has a host, and a scheme of these."""
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    # Only what can stand in a request line as it is: no blank, no control character, no other alphabet.
    if not usable or not re.fullmatch(r"[!-~]+", text):
        raise ConfigError(
            f"{variable} is not a URL that begins with {expected} and names a host."
        ) from None
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone: nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
