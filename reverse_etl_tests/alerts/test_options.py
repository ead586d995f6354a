"""Where alerts go: what the settings may say, and what is refused without being quoted."""

import pytest

from reverse_etl.alerts.channels import build_channels
from reverse_etl.alerts.options import build_options
from reverse_etl.errors import ConfigError
from reverse_etl.settings import Settings

SLACK, WEBHOOK, SMTP = (f"REVERSE_ETL_ALERT_{name}_URL" for name in ("SLACK", "WEBHOOK", "SMTP"))
FROM, TO = "REVERSE_ETL_ALERT_EMAIL_FROM", "REVERSE_ETL_ALERT_EMAIL_TO"
MAIL = {SMTP: "smtp://me:canary@mail.example.com", FROM: "etl@example.com", TO: "a@example.com"}


def test_nothing_set_is_off() -> None:
    """No channel, no alerts."""
    options = build_options(Settings.load({}))

    assert options.is_off
    assert build_channels(options) == ()


def test_every_channel_can_be_set() -> None:
    """Each recipient of mail is a channel of its own; a second mention is none."""
    environment = {
        SLACK: "https://hooks.slack.com/services/T0/B0/canary",
        WEBHOOK: "https://example.com:8443/take?token=canary",
        "REVERSE_ETL_ALERT_WEBHOOK_KEY": "canary",
        "REVERSE_ETL_DAGSTER_URL": "https://dagster.example.com/prod/",
        **MAIL,
        TO: "a@example.com, b@example.com, a@example.com",
    }

    options = build_options(Settings.load(environment))

    assert options.place.dagster_url == "https://dagster.example.com/prod"
    channels = build_channels(options)
    assert [channel.group for channel in channels] == ["slack", "webhook", "email", "email"]
    assert len({channel.name for channel in channels}) == 4
    assert "canary" not in repr(options) + repr(channels)
    assert not any("example.com" in channel.name + channel.label for channel in channels)
    assert options.webhook is not None
    assert (options.webhook.port, options.webhook.path) == (8443, "/take?token=canary")


@pytest.mark.parametrize(
    ("url", "port", "has_tls", "needs_starttls"),
    [
        ("smtp://mail.example.com", 587, False, True),
        ("smtps://mail.example.com", 465, True, False),
        ("smtp://127.0.0.1:1025", 1025, False, False),
        ("smtp://localhost", 587, False, False),
        ("smtp://[::1]:25", 25, False, False),
        ("smtp://127.0.0.1.example.com", 587, False, True),
    ],
)
def test_mail_is_in_the_clear_on_loopback_alone(
    url: str, port: int, *, has_tls: bool, needs_starttls: bool
) -> None:
    """Whatever the scheme leaves open."""
    mail = build_options(Settings.load({**MAIL, SMTP: url})).mail

    assert mail is not None
    assert (mail.port, mail.has_tls, mail.needs_starttls) == (port, has_tls, needs_starttls)


def test_login_may_hold_any_character() -> None:
    """Percent-encoded, as in every URL."""
    mail = build_options(Settings.load({**MAIL, SMTP: "smtps://me%40x:p%2Fw@host"})).mail

    assert mail is not None
    assert (mail.user, mail.password) == ("me@x", "p/w")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({SLACK: "http://hooks.slack.com/canary"}, "must begin with https://"),
        ({SLACK: "hooks.slack.com/canary"}, "not a URL"),
        ({SLACK: "https:///canary"}, "not a URL"),
        ({SLACK: "https://host:99999/canary"}, "not a URL"),
        ({SLACK: "https://host:0/canary"}, "not a URL"),
        ({SLACK: "https://[::1/canary"}, "not a URL"),
        ({SLACK: "https://host/canary\r\nX: y"}, "not a URL"),
        ({SLACK: "https://host/canary and more"}, "not a URL"),
        ({WEBHOOK: "ftp://host/canary"}, "not a URL"),
        ({WEBHOOK: "https://me:canary@host/"}, "holds a user"),
        ({WEBHOOK: "http://127.0.0.1.example.com/canary"}, "must begin with https://"),
        ({SMTP: MAIL[SMTP]}, "need all of"),
        ({FROM: "etl@example.com"}, "need all of"),
        ({**MAIL, SMTP: "https://canary"}, "not a URL"),
        ({**MAIL, SMTP: "smtp://host/canary"}, "ends after its port"),
        ({**MAIL, FROM: "Canary <etl@example.com>"}, "plain addresses"),
        ({**MAIL, FROM: "canary"}, "plain addresses"),
        ({**MAIL, TO: "a@example.com\nBcc: canary@example.com"}, "plain addresses"),
        ({**MAIL, TO: ",".join(f"canary{n}@example.com" for n in range(51))}, "mailing list"),
        ({"REVERSE_ETL_DAGSTER_URL": "https://me:canary@host"}, "must have no user"),
        ({"REVERSE_ETL_DAGSTER_URL": "javascript:canary"}, "not a URL"),
    ],
)
def test_what_cannot_be_used_is_named_not_quoted(environment: dict[str, str], says: str) -> None:
    """The variable and what it should be; never what it holds."""
    with pytest.raises(ConfigError, match="REVERSE_ETL_") as caught:
        build_options(Settings.load(environment))

    assert says in str(caught.value)
    assert "canary" not in str(caught.value).lower()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
