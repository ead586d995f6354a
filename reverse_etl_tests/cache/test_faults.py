"""Every error of Redis becomes one of ours, by its code alone."""

import pytest
import redis
from redis import exceptions

from reverse_etl.cache.faults import map_code, map_error, mapped, parse_code
from reverse_etl.errors import ConfigError, TerminalError, TransientError
from reverse_etl_tests.cache.builders import CANARY

ADDRESS = "h:6379"
CODES = [
    ("NOAUTH", ConfigError),
    ("WRONGPASS", ConfigError),
    ("NOPERM", ConfigError),
    ("LOADING", TransientError),
    ("BUSY", TransientError),
    ("READONLY", TransientError),
    ("MASTERDOWN", TransientError),
    ("CLUSTERDOWN", TransientError),
    ("TRYAGAIN", TransientError),
    ("NOREPLICAS", TransientError),
    ("MOVED", ConfigError),
    ("ASK", ConfigError),
    ("CROSSSLOT", ConfigError),
    ("OOM", TerminalError),
    ("MISCONF", TerminalError),
    ("WRONGTYPE", TerminalError),
    ("ERR", TerminalError),
]


@pytest.mark.parametrize(("code", "expected"), CODES)
def test_code_decides_what_to_do_next(code: str, expected: type[Exception]) -> None:
    """Fix, retry or stop: each code has its group, and the message names server and code."""
    error = map_code(code, address=ADDRESS)

    assert type(error) is expected
    assert ADDRESS in str(error)
    assert code in str(error) or code == "OOM"


@pytest.mark.parametrize(("code", "expected"), CODES)
def test_redis_py_and_the_wire_agree(code: str, expected: type[Exception]) -> None:
    """The same reply maps to the same error, whether redis-py parsed it or we did."""
    text = f"{code} 1 {CANARY}:1" if code in ("MOVED", "ASK") else f"{code} it said {CANARY}"
    error = map_error(
        redis.connection.DefaultParser.parse_error(text),
        address=ADDRESS,
    )

    assert type(error) is expected
    assert str(error) == str(map_code(code, address=ADDRESS))
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"-OOM command not allowed\r\n", "OOM"),
        (b"-OOM\r\n", "OOM"),
        (b"-OOM", "OOM"),
        (b"-", "ERR"),
        (b"-" + CANARY.encode(), "ERR"),
        (b"-\xff\xfe x", "ERR"),
        (b"-A", "ERR"),
        (b"-ERR" + b"X" * 100, "ERR"),
    ],
)
def test_only_a_code_is_taken_from_a_reply(line: bytes, code: str) -> None:
    """Whatever does not look like a code is not passed on."""
    assert parse_code(line) == code


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.ConnectionError(CANARY), TransientError),
        (exceptions.TimeoutError(CANARY), TransientError),
        (exceptions.AuthenticationError(CANARY), ConfigError),
        (exceptions.AuthorizationError(CANARY), ConfigError),
        (exceptions.AuthenticationWrongNumberOfArgsError(CANARY), ConfigError),
        (exceptions.InvalidResponse(CANARY), ConfigError),
        (exceptions.DataError(CANARY), TerminalError),
        (exceptions.ResponseError(CANARY.upper(), status_code="ERR"), TerminalError),
        (exceptions.RedisError(CANARY), TerminalError),
        (ConnectionResetError(CANARY), TransientError),
        (TimeoutError(CANARY), TransientError),
        (BrokenPipeError(CANARY), TransientError),
    ],
)
def test_foreign_errors_lose_their_text_and_cause(
    error: Exception, expected: type[Exception]
) -> None:
    """What a driver or a socket said never travels on, not as a chained cause either."""
    with pytest.raises(expected) as raised, mapped(address=ADDRESS):
        raise error

    assert type(raised.value) is expected
    assert CANARY not in str(raised.value).lower()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_numbers_are_added_to_out_of_memory() -> None:
    """Out of memory is told with how much there is."""
    error = map_code("OOM", address=ADDRESS, numbers=": 19 MiB used")

    assert "h:6379 is out of memory: 19 MiB used." in str(error)


def test_our_own_errors_pass_as_they_are() -> None:
    """What is ours already is not mapped a second time."""
    with pytest.raises(ConfigError, match="ours"), mapped(address=ADDRESS):
        raise ConfigError("ours")
