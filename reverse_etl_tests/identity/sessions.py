"""The sessions that STS gave, and what each may do: what a server of S3 needs to check a signature."""

import base64
import datetime as dt
import re
import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reverse_etl_tests.identity.clock import utc_now

_KEY_ID_LETTERS = string.ascii_uppercase + "234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """One statement of a role's policy: actions and resources by IAM's patterns (`*` and `?`).

    `string_like` are conditions on the request's context, such as `{"s3:prefix": ("xcloud/*",)}`:
    all of them have to hold, each by one of its patterns. A missing context value holds none.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    allow: bool = True
    string_like: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def matches(self, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
        """Whether this statement speaks of the request."""
        given = context or {}
        return (
            any(_is_like(action.lower(), pattern.lower()) for pattern in self.actions)
            and any(_is_like(resource, pattern) for pattern in self.resources)
            and all(
                name in given and any(_is_like(given[name], pattern) for pattern in patterns)
                for name, patterns in self.string_like.items()
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Keys of one holder. Stored keys have neither a session token nor an end (both None)."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: dt.datetime | None
    role_arn: str
    session_name: str
    rules: tuple[PolicyRule, ...] = ()

    def is_expired(self, now: dt.datetime) -> bool:
        """Whether AWS would refuse these keys at that moment."""
        return self.expires_at is not None and now >= self.expires_at

    def may(self, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
        """Whether the rules allow the request: one allows it and none denies it."""
        spoken = [rule.allow for rule in self.rules if rule.matches(action, resource, context)]
        return bool(spoken) and all(spoken)


class SessionBook:
    """Every session that was given, by its access key id; safe between threads."""

    def __init__(self, *, clock: Callable[[], dt.datetime] = utc_now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_key: dict[str, Session] = {}

    def issue(
        self,
        *,
        role_arn: str,
        session_name: str,
        seconds: float = 3600,
        expires_at: dt.datetime | None = None,
        rules: tuple[PolicyRule, ...] = (),
    ) -> Session:
        """Fresh keys that end at `expires_at`, or else `seconds` from now."""
        return self.add(
            Session(
                access_key_id=_make_key_id("ASIA"),
                secret_access_key=_make_secret(30),
                session_token=_make_secret(271),
                expires_at=expires_at or self._clock() + dt.timedelta(seconds=seconds),
                role_arn=role_arn,
                session_name=session_name,
                rules=rules,
            )
        )

    def store_keys(self, *, user_arn: str, rules: tuple[PolicyRule, ...] = ()) -> Session:
        """Keys without an end, as of an IAM user."""
        return self.add(
            Session(
                access_key_id=_make_key_id("AKIA"),
                secret_access_key=_make_secret(30),
                session_token=None,
                expires_at=None,
                role_arn=user_arn,
                session_name=user_arn.rsplit("/", 1)[-1],
                rules=rules,
            )
        )

    def add(self, session: Session) -> Session:
        """Keep a session as it is given; one of the same key id is replaced."""
        with self._lock:
            self._by_key[session.access_key_id] = session
        return session

    def find(self, access_key_id: str) -> Session | None:
        """The session of a key id; None if nobody was given it (or it was revoked). It may be expired."""
        with self._lock:
            return self._by_key.get(access_key_id)

    def revoke(self, access_key_id: str) -> None:
        """Forget a session: its keys are those of nobody."""
        with self._lock:
            self._by_key.pop(access_key_id, None)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """All sessions, in the order they were given."""
        with self._lock:
            return tuple(self._by_key.values())


def _make_key_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_KEY_ID_LETTERS) for _ in range(16))


def _make_secret(size: int) -> str:
    # Base64 proper, as AWS gives: with `+` and `/`, which have to survive forms and headers.
    return base64.b64encode(secrets.token_bytes(size)).decode()


def _is_like(text: str, pattern: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None
