"""A POST: over verified TLS, to this host alone, within a time that nobody can stretch.

`http.client` knows no proxies and follows no redirects; both are meant so.
"""

import datetime as dt
import email.utils
import http.client
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress

from reverse_etl.alerts.options import HttpTarget
from reverse_etl.alerts.outcome import DELIVERED, SEND_SECONDS, Ending, Outcome, give_up_for_now
from reverse_etl.alerts.wire import Deadline, connect

_TRY_AGAIN = frozenset({408, 425, 429})
_GOOD, _REDIRECT, _BAD, _BROKEN = 200, 300, 400, 500


def post(
    target: HttpTarget, body: bytes, headers: Mapping[str, str], *, seconds: float = SEND_SECONDS
) -> Outcome:
    """Send `body` once and say how that ended."""
    connection = http.client.HTTPConnection(target.host, target.port)
    if target.port == target.default_port:
        # As browsers name a host: without the port that goes without saying.
        connection.default_port = target.port
    with Deadline(seconds) as deadline:
        try:
            connection.sock = connect(
                target.host, target.port, has_tls=target.has_tls, deadline=deadline
            )
        except ssl.SSLCertVerificationError:
            return Outcome(ending=Ending.REFUSED, problem="its certificate could not be verified")
        except (OSError, UnicodeError) as error:
            return give_up_for_now("no connection", error)
        try:
            connection.request("POST", target.path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            status, retry_after = answer.status, answer.headers.get("Retry-After")
            answer.close()
        except (OSError, http.client.HTTPException) as error:
            return give_up_for_now("no answer after it was sent", error, in_doubt=True)
        finally:
            connection.close()
    return _judge(status, retry_after)


def _judge(status: int, retry_after: str | None) -> Outcome:
    if _GOOD <= status < _REDIRECT:
        return DELIVERED
    if status in _TRY_AGAIN or status >= _BROKEN:
        pause = parse_retry_after(retry_after, now=time.time())
        return Outcome(
            ending=Ending.AWAY, problem=f"it answered {status}", retry_after_seconds=pause
        )
    redirects = " (redirects are not followed)" if _REDIRECT <= status < _BAD else ""
    return Outcome(ending=Ending.REFUSED, problem=f"it answered {status}{redirects}")


def parse_retry_after(text: str | None, *, now: float) -> float | None:
    """Seconds from `Retry-After`: a number or a date; None for anything else."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    with suppress(ValueError, TypeError, OverflowError):
        moment = email.utils.parsedate_to_datetime(text)
        known = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return max(0.0, known.timestamp() - now)
    return None
