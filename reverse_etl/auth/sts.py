"""STS: a Google identity token in, a session of a role out."""

import contextlib
import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import UNSIGNED
from botocore.config import Config

from reverse_etl.auth.boto import build_unsigned_session
from reverse_etl.auth.clock import Clock, estimate_skew
from reverse_etl.auth.id_token import IdToken
from reverse_etl.auth.options import GoogleOidc
from reverse_etl.auth.sts_refusals import map_refusals
from reverse_etl.errors import TransientError
from reverse_etl.model import AwsCredentials

# botocore's own timeouts, a minute each, would hold up whoever waits for the first session.
_CONFIG = Config(
    signature_version=UNSIGNED,
    connect_timeout=3,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
)


def exchange_token(token: IdToken, options: GoogleOidc, *, clock: Clock) -> AwsCredentials:
    """A new session of the role; `expires_at` is told by this machine's clock, right or wrong.

    `ConfigError` when AWS refuses, `TransientError` when it may yet agree.
    """
    with map_refusals(token, options), contextlib.closing(_open_client(options)) as client:
        sent = clock.now()
        answer = client.assume_role_with_web_identity(
            RoleArn=options.role_arn,
            RoleSessionName=options.session_name,
            WebIdentityToken=token.token,
            DurationSeconds=options.session_seconds,
        )
        received = clock.now()
    told = _read_date(answer)
    skew = dt.timedelta(0) if told is None else estimate_skew(told, sent=sent, received=received)
    latest = sent + dt.timedelta(seconds=options.session_seconds)
    return _read_session(answer, skew=skew, latest=latest)


def _open_client(options: GoogleOidc) -> Any:
    # A client for each exchange: there is one in an hour, and no connection to keep meanwhile.
    return build_unsigned_session(options.region).client(
        "sts",
        endpoint_url=options.endpoint_url,
        config=_CONFIG,
        verify=None if options.ca_file is None else str(options.ca_file),
    )


def _read_date(answer: dict[str, Any]) -> dt.datetime | None:
    """STS' clock as it answered; None if it does not say."""
    try:
        told = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return None
    return None if told.tzinfo is None else told.astimezone(dt.UTC)


def _read_session(
    answer: dict[str, Any], *, skew: dt.timedelta, latest: dt.datetime
) -> AwsCredentials:
    """The session of an answer; `latest` is when it ends at the latest, by our clock."""
    try:
        session = answer["Credentials"]
        return AwsCredentials(
            access_key_id=session["AccessKeyId"],
            secret_access_key=session["SecretAccessKey"],
            session_token=session["SessionToken"],
            expires_at=min(session["Expiration"].astimezone(dt.UTC) - skew, latest),
        )
    except KeyError:
        raise TransientError(
            "What answered at the address of STS gave no session. Check REVERSE_ETL_STS_ENDPOINT_URL, "
            "proxies and firewalls; then run again."
        ) from None
