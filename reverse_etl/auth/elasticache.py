"""Logs in to Redis at AWS (ElastiCache, MemoryDB) by IAM: tokens signed with our session, no password.

A token is a request that is signed and never sent: `connect` as one user to one cache. AWS does the
checking when a connection is made; it hangs up after twelve hours, and the client connects anew.
"""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from redis.credentials import CredentialProvider

from reverse_etl.auth.clock import SYSTEM_CLOCK, Clock
from reverse_etl.auth.options import RedisIam
from reverse_etl.model import AwsCredentials
from reverse_etl.quiet import keep_secrets_out_of_logs

#: AWS takes no longer ones.
TOKEN_SECONDS = 900
# A token is handed out while this much of its life is left at least, whatever clocks say.
_KEPT_SECONDS = 600
# The session that signed it has to live when the token is shown.
_SESSION_MARGIN = dt.timedelta(seconds=60)
_SCHEME = "http://"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A token that was made, and until when (by uptime, by the wall) it is handed out again."""

    token: str
    until_uptime: float
    until: dt.datetime | None

    def __repr__(self) -> str:
        return "_Kept(***)"


class IamTokens(CredentialProvider):
    """User and token for every new connection of redis-py; from many threads.

    `credentials` gives our session of the moment. A token is used for ten minutes at most, and not
    beyond its session.
    """

    def __init__(
        self,
        options: RedisIam,
        credentials: Callable[[], AwsCredentials],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._options = options
        self._credentials = credentials
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: _Kept | None = None

    def __repr__(self) -> str:
        return f"IamTokens(user={self._options.user!r}, cache={self._options.cache!r})"

    def get_credentials(self) -> tuple[str, str]:
        """User and token; raises what asking for a session raises."""
        with self._lock:
            if self._kept is None or not self._is_fresh(self._kept):
                self._kept = self._make()
            return self._options.user, self._kept.token

    def _is_fresh(self, kept: _Kept) -> bool:
        is_young = self._clock.uptime() < kept.until_uptime
        return is_young and (kept.until is None or self._clock.now() < kept.until)

    def _make(self) -> _Kept:
        session = self._credentials()
        end = session.expires_at
        return _Kept(
            token=sign_token(self._options, session),
            until_uptime=self._clock.uptime() + _KEPT_SECONDS,
            until=None if end is None else end - _SESSION_MARGIN,
        )


def sign_token(options: RedisIam, session: AwsCredentials) -> str:
    """A token of this moment, good for a quarter of an hour or until the session ends."""
    asked = {"Action": "connect", "User": options.user}
    if options.is_serverless:
        asked["ResourceType"] = "ServerlessCache"
    keep_secrets_out_of_logs()
    # AWS keeps names of caches in lower case, whatever was typed.
    request = AWSRequest(method="GET", url=f"{_SCHEME}{options.cache.lower()}/?{urlencode(asked)}")
    keys = ReadOnlyCredentials(
        session.access_key_id, session.secret_access_key, session.session_token
    )
    SigV4QueryAuth(keys, options.service, options.region, expires=TOKEN_SECONDS).add_auth(request)
    signed: str = request.url
    return signed.removeprefix(_SCHEME)
