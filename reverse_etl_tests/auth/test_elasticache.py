"""Logging in to Redis by IAM: tokens that a verifier of AWS' rules takes, over TLS, and no password."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl import pipeline
from reverse_etl.auth.elasticache import IamTokens, sign_token
from reverse_etl.auth.options import RedisIam
from reverse_etl.auth.policies import build_connect_policy
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import AwsCredentials
from reverse_etl.room_options import build_redis_iam
from reverse_etl.runtime import Runtime
from reverse_etl.serving.reader import Reader
from reverse_etl.settings import AwsIdentity, RedisAuth, Secret, Settings
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.auth.clocks import ManualClock
from reverse_etl_tests.auth.redis_front import Expected, RedisFront, verify_token
from reverse_etl_tests.builders import DAY, NOW, QUERY, build_runtime, build_spec, build_users
from reverse_etl_tests.identity.fixtures import Tls

PASSWORD = "upstream-canary"
REGION = "eu-central-1"
OPTIONS = RedisIam(service="elasticache", user="loader", cache="users", region=REGION)
SESSION = AwsCredentials(
    access_key_id="ASIACANARY",
    secret_access_key="secret-canary/+=",
    session_token="token-canary/+=&",
    expires_at=None,
)

OpenFront = Callable[..., RedisFront]
OpenRuntime = Callable[..., Runtime]


def build_expected(**changes: Any) -> Expected:
    values: dict[str, Any] = {
        "cache": "users",
        "user": "loader",
        "region": REGION,
        "access_key_id": SESSION.access_key_id,
        "secret_access_key": SESSION.secret_access_key,
        "session_token": SESSION.session_token,
    }
    return Expected(**{**values, **changes})


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[RedisServer]:
    """A server that wants the password that the front knows."""
    with RedisServer(options=("--requirepass", PASSWORD)) as server:
        yield server


@pytest.fixture
def open_front(guarded_server: RedisServer, tls: Tls) -> Iterator[OpenFront]:
    """Opens fronts of that server, emptied, and closes them."""
    with redis.Redis.from_url(guarded_server.url, password=PASSWORD) as client:
        client.flushall()
    with ExitStack() as stack:

        def open_one(expected: Expected | None = None, **options: Any) -> RedisFront:
            front = RedisFront(
                upstream_port=guarded_server.port,
                upstream_password=PASSWORD,
                expected=expected or build_expected(),
                tls=tls.context,
                **options,
            )
            return stack.enter_context(front)

        yield open_one


@pytest.fixture
def open_iam(tmp_path: Path, tls: Tls) -> Iterator[OpenRuntime]:
    """Opens runtimes that log in at a front with our session, and closes them."""
    with ExitStack() as stack:

        def open_one(front: RedisFront, **settings: Any) -> Runtime:
            chosen: dict[str, Any] = {
                "redis_url": f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={tls.ca_file}",
                "redis_auth": RedisAuth.ELASTICACHE_IAM,
                "redis_iam_user": "loader",
                "redis_iam_cache": "Users",
                "s3_region": REGION,
                "aws_identity": AwsIdentity.STATIC_KEYS,
                "aws_access_key_id": Secret(SESSION.access_key_id),
                "aws_secret_access_key": Secret(SESSION.secret_access_key),
                "aws_session_token": Secret(SESSION.session_token or ""),
            }
            runtime = build_runtime(
                tmp_path,
                store=MemoryStore(),
                source=MemorySource({QUERY: build_users(200)}),
                **{**chosen, **settings},
            )
            stack.callback(runtime.close)
            return runtime

        yield open_one


@pytest.mark.contract
def test_version_goes_live_by_iam_alone(open_front: OpenFront, open_iam: OpenRuntime) -> None:
    """Every connection of a run, bulk ones too, logs in with one token; so does a reader's client."""
    front = open_front()
    runtime = open_iam(front)
    spec = build_spec()

    receipt = pipeline.run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id="r").cache

    assert receipt.head.generation == 1
    assert len(front.tokens) > 3
    assert len(set(front.tokens)) == 1
    assert front.refusals == []
    options = runtime.redis_url.partition("?ssl_ca_certs=")
    with redis.Redis.from_url(
        options[0], ssl_ca_certs=options[2], credential_provider=runtime.redis_login
    ) as client:
        assert Reader(spec.name, store=MemoryStore(), redis=client).get("u-00007") is not None


@pytest.mark.contract
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"user": "reader"}, "cache or user"),
        ({"cache": "others"}, "cache or user"),
        ({"region": "eu-west-1"}, "scope"),
        ({"service": "memorydb"}, "scope"),
        ({"access_key_id": "ASIAOTHER"}, "scope"),
        ({"secret_access_key": "another"}, "signature"),
        ({"session_token": "another"}, "what is asked"),
        ({"serverless": True}, "what is asked"),
    ],
)
def test_token_for_anybody_else_is_refused(
    open_front: OpenFront, open_iam: OpenRuntime, wrong: dict[str, Any], why: str
) -> None:
    """The verifier looks at everything; the error names the settings, and shows no token or key."""
    front = open_front(build_expected(**wrong))
    runtime = open_iam(front)

    error = catch(lambda: _ping(runtime))

    assert isinstance(error, ConfigError)
    assert "REVERSE_ETL_REDIS_IAM_USER" in error.message
    assert "canary" not in error.message
    assert set(front.refusals) == {why}


def _ping(runtime: Runtime) -> None:
    with runtime.redis.commands() as client:
        client.ping()


@pytest.mark.contract
def test_old_token_is_refused(open_front: OpenFront, open_iam: OpenRuntime) -> None:
    """A quarter of an hour later it opens nothing: the verifier of these tests sees to it."""
    late = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=901)
    front = open_front(clock=lambda: late)

    assert isinstance(catch(lambda: _ping(open_iam(front))), ConfigError)
    assert set(front.refusals) == {"time"}


@pytest.mark.contract
def test_connection_that_was_hung_up_logs_in_anew(
    open_front: OpenFront, open_iam: OpenRuntime
) -> None:
    """AWS ends connections after twelve hours: the next command makes another."""
    front = open_front()
    runtime = open_iam(front)
    _ping(runtime)

    front.hang_up()
    _ping(runtime)

    assert len(front.tokens) == 2


@pytest.mark.contract
def test_connection_that_is_not_logged_in_is_closed(
    open_front: OpenFront, open_iam: OpenRuntime
) -> None:
    """NOAUTH on a connection that had logged in: it is not used again, another one takes its place."""
    front = open_front(forgets=1)
    runtime = open_iam(front)

    _ping(runtime)
    assert len(front.tokens) == 2

    front.forgets = 99
    front.hang_up()
    assert "NOAUTH" in catch(lambda: _ping(runtime)).message
    front.forgets = 0
    _ping(runtime)


@pytest.mark.contract
def test_iam_that_cannot_be_asked_is_passing(open_front: OpenFront, open_iam: OpenRuntime) -> None:
    """ElastiCache says so in an error of no kind; it is one that a retry may mend."""
    front = open_front(away=99)
    runtime = open_iam(front)

    assert isinstance(catch(lambda: _ping(runtime)), TransientError)
    front.away = 0
    _ping(runtime)


@pytest.mark.parametrize("serverless", [False, True])
@pytest.mark.parametrize("service", ["elasticache", "memorydb"])
@settings(max_examples=15)
@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    token=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_signature_is_the_documented_one(
    service: str, secret: str, token: str | None, *, serverless: bool
) -> None:
    """For any key and session token: a signature computed apart from botocore is the same."""
    options = RedisIam(
        service=service, user="loader", cache="Users", region=REGION, is_serverless=serverless
    )
    session = AwsCredentials(
        access_key_id="ASIAX", secret_access_key=secret, session_token=token, expires_at=None
    )
    expected = build_expected(
        service=service,
        serverless=serverless,
        access_key_id="ASIAX",
        secret_access_key=secret,
        session_token=token,
    )

    signed = sign_token(options, session)

    now = dt.datetime.now(dt.UTC)
    assert verify_token(signed, expected, user="loader", now=now) is None
    assert signed.startswith("users/?Action=connect&User=loader")


class Sessions:
    """Gives a session whose secret counts, with so many seconds left."""

    def __init__(self, clock: ManualClock, *, seconds: float | None) -> None:
        self.clock = clock
        self.seconds = seconds
        self.given = 0

    def __call__(self) -> AwsCredentials:
        self.given += 1
        end = None
        if self.seconds is not None:
            end = self.clock.wall + dt.timedelta(seconds=self.seconds)
        return AwsCredentials(
            access_key_id=f"ASIA{self.given}",
            secret_access_key="s",
            session_token=None,
            expires_at=end,
        )


@pytest.mark.parametrize(
    ("seconds", "kept"), [(None, 600), (3600, 600), (700, 600), (400, 340), (90, 30), (30, 0)]
)
def test_token_is_kept_for_a_while(seconds: float | None, kept: float) -> None:
    """Ten minutes at most, and never to within a minute of its session's end."""
    clock = ManualClock()
    sessions = Sessions(clock, seconds=seconds)
    tokens = IamTokens(OPTIONS, sessions, clock=clock.clock)
    user, first = tokens.get_credentials()

    clock.pass_time(max(0, kept - 1))
    same = tokens.get_credentials()[1]
    clock.pass_time(1)
    other = tokens.get_credentials()[1]

    assert user == "loader"
    assert (same == first) is (kept > 0)
    assert other != first
    assert sessions.given == (2 if kept > 0 else 3)


def test_clock_that_is_set_back_keeps_no_token_longer() -> None:
    """Ten minutes are counted by a clock that nobody sets."""
    clock = ManualClock()
    sessions = Sessions(clock, seconds=None)
    tokens = IamTokens(OPTIONS, sessions, clock=clock.clock)
    tokens.get_credentials()

    clock.pass_time(600)
    clock.set_wall(-7200)
    tokens.get_credentials()

    assert sessions.given == 2


def test_session_that_cannot_be_had_is_the_error() -> None:
    """Who asks for a token is told why there is none, and the next one asks again."""

    def fail() -> AwsCredentials:
        raise TransientError("STS is away.")

    tokens = IamTokens(OPTIONS, fail)
    for _ in range(2):
        assert catch(tokens.get_credentials).message == "STS is away."


def test_nothing_shows_a_token() -> None:
    """Neither the provider's repr nor what it keeps."""
    tokens = IamTokens(OPTIONS, lambda: SESSION)
    tokens.get_credentials()

    shown = repr(tokens) + repr(tokens._kept) + str(vars(tokens)["_kept"])
    assert "X-Amz" not in shown
    assert "canary" not in shown


IAM: dict[str, Any] = {
    "redis_auth": RedisAuth.ELASTICACHE_IAM,
    "redis_iam_user": "loader",
    "redis_iam_cache": "users",
    "s3_region": REGION,
}
URL = "rediss://cache.example.com:6379/0"


def test_options_are_what_the_settings_say() -> None:
    """Service, user, cache, kind and region; the region is the cache's own if one is given."""
    assert build_redis_iam(Settings(), url="redis://here") is None
    assert build_redis_iam(Settings(**IAM), url=URL) == OPTIONS
    changed = {
        **IAM,
        "redis_auth": RedisAuth.MEMORYDB_IAM,
        "redis_iam_serverless": True,
        "redis_iam_region": "eu-west-1",
    }
    assert build_redis_iam(Settings(**changed), url=URL) == RedisIam(
        service="memorydb", user="loader", cache="users", region="eu-west-1", is_serverless=True
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache.example.com:6379/0",
        "unix:///run/redis.sock",
        "rediss://user:canary@cache.example.com:6379/0",
        "rediss://:canary@cache.example.com:6379/0",
    ],
)
def test_token_is_not_shown_to_the_network(url: str) -> None:
    """Without TLS, or beside a password, nothing is signed; the password is not repeated."""
    with pytest.raises(ConfigError, match="rediss://") as raised:
        build_redis_iam(Settings(**IAM), url=url)

    assert "canary" not in raised.value.message


def test_connecting_takes_one_action_on_cache_and_user() -> None:
    """Of ElastiCache or of MemoryDB, and on nothing else; a name that IAM would expand is refused."""
    cache, user = (
        "arn:aws:elasticache:eu:1:replicationgroup:users",
        "arn:aws:elasticache:eu:1:user:a",
    )

    (statement,) = build_connect_policy(cache_arn=cache, user_arn=user)["Statement"]
    assert statement["Action"] == ["elasticache:Connect"]
    assert statement["Resource"] == [cache, user]
    cache, user = "arn:aws:memorydb:eu:1:cluster/users", "arn:aws:memorydb:eu:1:user/a"
    (statement,) = build_connect_policy(cache_arn=cache, user_arn=user)["Statement"]
    assert statement["Action"] == ["memorydb:connect"]
    with pytest.raises(ConfigError):
        build_connect_policy(cache_arn=cache, user_arn="arn:aws:memorydb:eu:1:user/*")


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("redis_iam_user", "REDIS_IAM_USER"),
        ("redis_iam_cache", "REDIS_IAM_CACHE"),
        ("s3_region", "REDIS_IAM_REGION"),
    ],
)
def test_missing_setting_is_named(missing: str, named: str) -> None:
    """Nobody is asked for a token that could not be made."""
    with pytest.raises(ConfigError, match=named):
        build_redis_iam(Settings(**{**IAM, missing: None}), url=URL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"redis_iam_cache": "users.abc.euc1.cache.amazonaws.com"},
        {"redis_iam_cache": "users/?Action=x"},
        {"redis_iam_user": "loader&Action=x"},
        {"redis_iam_region": "here!"},
    ],
)
def test_name_that_is_none_is_refused(wrong: dict[str, str]) -> None:
    """An address where a name belongs would only be refused by AWS, without a reason."""
    with pytest.raises(ConfigError):
        build_redis_iam(Settings(**{**IAM, **wrong}), url=URL)
