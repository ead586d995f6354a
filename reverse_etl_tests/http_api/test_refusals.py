"""Who is refused, what is refused, and what patience ends."""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.errors import ConfigError
from reverse_etl.http_api.options import ApiOptions
from reverse_etl.http_api.tokens import (
    generate_token,
    parse_tokens,
    read_tokens,
    write_line,
)
from reverse_etl.serving import AsyncReader
from reverse_etl_tests.http_api.conftest import OTHER_TOKEN, ROWS, TOKEN, Api, StartApi
from reverse_etl_tests.serving.builders import CANARY, NEW, SYNC, build_head, land, publish

pytestmark = pytest.mark.contract


def test_request_without_a_token_is_refused(api: Api) -> None:
    """401 and what is asked for; the store and Redis are not asked."""
    named = ("Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN)
    every = [{}, {"X-Authorization": f"Bearer {TOKEN}"}, *({"Authorization": it} for it in named)]
    for headers in every:
        answer = api.ask("GET", f"/v1/{SYNC}/u-3", headers=headers)

        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert api.ask("POST", f"/v1/{SYNC}/batch", headers=headers, body=b"{}").status == 401
    assert api.store.asked == []


def test_two_tokens_at_once_are_none(api: Api) -> None:
    """Which of them would count is for nobody to guess."""
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        lines = [f"GET /v1/{SYNC}/u-3 HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"Authorization: Bearer {token}" for token in (TOKEN, OTHER_TOKEN)]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b" 401 " in connection.recv(100)


def test_token_reaches_its_own_syncs_alone(api: Api) -> None:
    """Another sync looks as one that is not there, whether it is or not."""
    other = {"Authorization": f"Bearer {OTHER_TOKEN}"}

    answers = [
        api.ask("GET", f"/v1/{SYNC}/u-3", headers=other),
        api.ask("GET", "/v1/orders/u-3", headers=other),
        api.get("/v1/orders/u-3"),
        api.get("/v1/nothing/u-3"),
    ]

    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1


def test_without_tokens_anybody_may_read(start_api: StartApi) -> None:
    """As whoever starts it has to say in so many words."""
    api = start_api(tokens=None)
    head = build_head(NEW)
    land(api.store, head, ROWS)
    publish(head, store=api.store, client=api.client)

    assert api.ask("GET", f"/v1/{SYNC}/u-3", headers={}).document == ROWS[3]


#: Bodies that are no batch, and how each is answered.
BODIES = {
    b"": 400,
    b"{": 400,
    b"[]": 400,
    b"{}": 400,
    b'{"keys": "u-3"}': 400,
    b'{"keys": [], "more": 1}': 400,
    b'{"keys": [null]}': 400,
    b'{"keys": [true]}': 400,
    b'{"keys": [1.0]}': 400,
    b'{"keys": [["u-3"]]}': 400,
    b'{"keys": ["\\ud800"]}': 400,
    b"\xff\xfe": 400,
    b'{"keys": ' + b"[" * 100_000: 400,
    json.dumps({"keys": ["u"] * 1001}).encode(): 413,
    json.dumps({"keys": ["u" * 65_537]}).encode(): 413,
    b" " * ((1 << 20) + 1): 413,
}


def test_malformed_batch_is_refused(api: Api) -> None:
    """A problem that says what is wrong, nothing read, and the next request is answered."""
    answers = [api.ask("POST", f"/v1/{SYNC}/batch", body=body) for body in BODIES]

    assert [answer.status for answer in answers] == list(BODIES.values())
    assert [answer.document["status"] for answer in answers] == list(BODIES.values())
    assert api.store.asked_objects == []
    assert api.batch(["u-3"]).status == 200


def test_paths_lead_nowhere_else(api: Api) -> None:
    """Nothing is resolved, cleaned or decoded twice: what is no sync's path is not there."""
    paths = [
        "/v1/../etc/passwd",
        "/v1/%2e%2e/x",
        f"/v1/{SYNC}%2Fu-3",
        "/v1/User_Stats/u-3",
        "/v1/",
        "/v2/user_stats/u-3",
        "//v1/user_stats/u-3",
        "/v1/user_stats",
    ]

    assert {path: api.get(path).status for path in paths} == dict.fromkeys(paths, 404)
    assert api.store.asked_objects == []


def test_keys_are_never_paths(api: Api) -> None:
    """A key that looks like a path is a key of nobody."""
    for key in ("../../head.json", "%2e%2e%2fhead.json", "u-3/../u-4", "%252e"):
        assert api.get(f"/v1/{SYNC}/{key}").status == 404
    assert all(name.startswith(f"{SYNC}/dt=") for name in api.store.asked_objects)


def test_key_that_is_not_utf8_is_refused(api: Api) -> None:
    """It is not taken for another key by replacing what is wrong with it."""
    assert api.get(f"/v1/{SYNC}/u%FF").status == 400


def test_key_that_is_too_long_is_refused(start_api: StartApi) -> None:
    """The limit is one of bytes."""
    api = start_api(key_bytes=4)

    assert api.get(f"/v1/{SYNC}/{'u' * 5}").status == 413


def hears_the_end(connection: socket.socket) -> bool:
    """Whether the other side hangs up, one way or the other, within the socket's time."""
    try:
        while connection.recv(10_000):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


@pytest.fixture
def connection(start_api: StartApi) -> Iterator[socket.socket]:
    """A connection to an API without patience."""
    api = start_api(head_seconds=0.1, body_seconds=0.1)
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as opened:
        yield opened


@pytest.mark.parametrize("sent", [b"", b"GET /v1/", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_client_that_does_not_get_on_is_hung_up_on(connection: socket.socket, sent: bytes) -> None:
    """Half a head, and nothing more: the connection ends."""
    connection.sendall(sent)

    assert hears_the_end(connection)


@pytest.mark.parametrize(
    ("request_line", "more"),
    [
        (f"POST /v1/{SYNC}/batch", b"{"),
        ("GET /healthz", b"{"),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz", b"\r\n"),
    ],
)
def test_byte_after_an_answer_holds_no_connection(
    connection: socket.socket, request_line: str, more: bytes
) -> None:
    """Answered before its body came, and then a byte now and none any more: the connection ends."""
    length = "" if more == b"\r\n" else "Content-Length: 1000\r\n"
    connection.sendall(f"{request_line} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode())
    assert connection.recv(10_000)
    connection.sendall(more)

    assert hears_the_end(connection)


def test_body_that_does_not_come_is_not_waited_for(connection: socket.socket) -> None:
    """408, and the connection is not used again."""
    head = f"POST /v1/{SYNC}/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    connection.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n{{".encode())

    answer = b""
    while chunk := connection.recv(1000):
        answer += chunk

    assert b" 408 " in answer.splitlines()[0]


def test_many_connections_are_bounded(start_api: StartApi) -> None:
    """One more than are allowed is told to come later."""
    api = start_api(connections=2)
    with (
        socket.create_connection(("127.0.0.1", api.port)),
        socket.create_connection(("127.0.0.1", api.port)),
    ):
        assert api.get("/healthz").status == 503


def test_nothing_that_is_asked_for_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Keys are in paths: no request is logged, not even one that fails."""
    caplog.set_level(logging.DEBUG)

    api.get(f"/v1/{SYNC}/{CANARY}")
    api.batch([CANARY])
    api.get(f"/v1/{SYNC}/{CANARY}%FF")
    api.client.set(f"{SYNC}:head", CANARY)
    failed = api.get(f"/v1/{SYNC}/{CANARY}")

    assert failed.status == 502
    assert CANARY not in caplog.text
    assert CANARY.encode() not in failed.body
    assert TOKEN not in caplog.text


def test_what_nobody_foresaw_shows_nothing(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500, the kind of the error in the log, and none of its text anywhere."""

    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(AsyncReader, "get_many_raw", fail)

    answer = api.batch(["u-3"])

    assert answer.status == 500
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text
    assert CANARY.encode() not in answer.body


def test_token_is_stored_as_its_hash(tmp_path: Path) -> None:
    """The file does not hold the token, and grants what its line says."""
    token = generate_token()
    path = tmp_path / "tokens"
    path.write_text(write_line("web", token, syncs=["a", "b"]) + "\n")
    path.chmod(0o600)

    tokens = read_tokens(path)

    assert token not in path.read_text()
    grant = tokens.find(token.encode())
    assert grant is not None
    assert (grant.name, grant.allows("a"), grant.allows("c")) == ("web", True, False)
    assert tokens.find(generate_token().encode()) is None
    assert grant.digest.hex() not in repr(tokens)


def test_star_reaches_every_sync() -> None:
    """For whoever watches over all."""
    grant = parse_tokens(write_line("all", TOKEN, syncs=["*"])).find(TOKEN.encode())

    assert grant is not None
    assert grant.allows("anything")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "grants nothing to anybody"),
        ("web", "Line 1"),
        (f"web {'0' * 63} a", "Line 1"),
        (f"web {'0' * 64} a,,b", "Line 1"),
        (f"web {'0' * 64}", "Line 1"),
        (f"# x\nweb {'0' * 64} a\nweb {'1' * 64} a", "Line 3"),
    ],
)
def test_bad_line_is_named_and_not_shown(text: str, said: str) -> None:
    """By its number: what stands there may be a token that somebody pasted."""
    with pytest.raises(ConfigError, match=said) as raised:
        parse_tokens(text)

    assert "0000" not in str(raised.value)


def test_file_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """Whoever can write there can let themselves in."""
    path = tmp_path / "tokens"
    path.write_text(write_line("web", TOKEN, syncs=["a"]))
    path.chmod(0o666)

    with pytest.raises(ConfigError, match="chmod 600"):
        read_tokens(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tokens(tmp_path / "absent")


def test_name_of_a_token_is_plain() -> None:
    """It stands in a file whose parts are apart by blanks."""
    with pytest.raises(ConfigError, match="1 to 63 letters"):
        write_line("a b", TOKEN, syncs=["a"])


def test_limits_that_cannot_be_meant_are_refused() -> None:
    """Nought or less is no limit."""
    with pytest.raises(ConfigError, match="batch_keys is 0"):
        ApiOptions(batch_keys=0)
