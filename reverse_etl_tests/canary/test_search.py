"""The search itself: what it would overlook, no other test here could find."""

import base64
import logging
import os
import sys
from pathlib import Path

import pytest

from reverse_etl_tests.canary.conftest import MakeNest
from reverse_etl_tests.canary.scene import Outcome
from reverse_etl_tests.canary.search import read_error, read_files, read_redis
from reverse_etl_tests.canary.values import (
    DROPPED,
    EVERY,
    KEPT,
    MASKED,
    SECRET,
    find_escaped,
    quote_all,
)

TEXT: str = MASKED["masked_text"].value


@pytest.mark.parametrize(
    "body",
    [
        TEXT.encode(),
        TEXT[:14].encode(),
        TEXT[-14:].encode(),
        ascii(TEXT).encode(),
        TEXT.encode().hex().encode(),
        TEXT.encode("utf-16"),
        *(base64.b64encode(b"x" * ahead + TEXT.encode()) for ahead in range(4)),
        base64.urlsafe_b64encode(TEXT.encode()),
    ],
)
def test_text_is_found_in_any_shape(body: bytes) -> None:
    """Whole or cut, escaped, hexadecimal, base64 from any place, UTF-16."""
    assert find_escaped({"here": b"\x00say " + body + b" end"}, SECRET) == [("here", "masked_text")]


def test_every_canary_is_found_in_what_quotes_it() -> None:
    """The text that all faults carry holds each of them."""
    assert {name for _, name in find_escaped({"here": quote_all().encode()})} == set(EVERY)


def test_canaries_are_told_apart() -> None:
    """No canary is met in what quotes the others alone."""
    for group, others in ((KEPT, SECRET), (MASKED, KEPT | DROPPED), (DROPPED, KEPT | MASKED)):
        body = " ".join(f"{it.value} {it.value!r}" for it in others.values()).encode()
        assert find_escaped({"here": body}, group) == []


def test_every_place_is_looked_at(make_nest: MakeNest) -> None:
    """What is printed, logged, left on disk, in the store or in Redis is found there."""
    nest = make_nest()
    sys.stdout.write(f"out {TEXT}")
    os.write(2, TEXT.encode())
    printed = nest.capture.readouterr()
    logging.getLogger("some.library").debug("quoting %r", TEXT)
    for folder in ("scratch", "store"):
        (nest.folder / folder).mkdir()
    for path in ("scratch/one", "tmp/two", "store/three"):
        (nest.folder / path).write_bytes(TEXT.encode())
    with nest.connect() as client:
        client.hset("h", "f", TEXT)
    shown = {
        "stdout": printed.out.encode(),
        "stderr": printed.err.encode(),
        "logging": nest.records.read(),
    }

    escaped = nest.find_escaped(Outcome(succeeded=False, shown=shown))

    places = {Path(place).name for place, _ in escaped}
    assert places == {"stdout", "stderr", "logging", "one", "two", "three", "redis key 0"}


def test_errors_behind_an_error_are_looked_at() -> None:
    """Causes and contexts count; what `from None` hides counts only when asked for."""
    hidden = KeyError(TEXT)
    outer = RuntimeError("plain")
    outer.__context__ = hidden

    shown = read_error(outer)
    outer.__suppress_context__ = True

    assert find_escaped({"error": shown}) == [("error", "masked_text")]
    assert find_escaped({"error": read_error(outer)}) == []
    assert find_escaped({"error": read_error(outer, suppressed=True)}) != []


@pytest.mark.parametrize("file_format", ["json", "parquet"])
@pytest.mark.parametrize("door", ["functions", "dagster", "cli", "cli --json"])
def test_plain_run_shows_no_value(make_nest: MakeNest, door: str, file_format: str) -> None:
    """A run that ends well leaves values of kept columns in store and Redis, and none elsewhere."""
    nest = make_nest(file_format=file_format)

    outcome = nest.run(door)

    assert outcome.succeeded
    assert nest.find_escaped(outcome) == []
    assert nest.list_leftovers() == []
    with nest.connect() as client:
        cached = read_redis(client)
    stored = {name for _, name in find_escaped(read_files(nest.folder / "store"))}
    assert stored == {*KEPT, "user_id"}
    assert {name for _, name in find_escaped(cached)} == {*KEPT, "user_id"}
