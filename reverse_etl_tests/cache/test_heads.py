"""The two heads, one at a time: healing, mirroring, and never a step back."""

import dataclasses
import datetime as dt

import pytest
import redis

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import (
    advance_redis_head,
    amend_heads,
    heal_redis_head,
    mirror_redis_head,
    read_redis_head,
    read_store_head,
    write_store_head,
)
from reverse_etl.cache.versions import list_versions
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.layout import head_name
from reverse_etl.landing.manifest import decode_head, encode_head
from reverse_etl.model import Head, Published
from reverse_etl_tests.cache.builders import EARLIER, NOW, SYNC, VERSION, build_head
from reverse_etl_tests.cache.scenes import Publisher

pytestmark = pytest.mark.contract

SECOND = dt.timedelta(seconds=1)


def test_healing_fills_an_emptied_redis_only_with_records(
    publisher: Publisher, raw: redis.Redis
) -> None:
    """Without verified records in Redis there is nothing to point at, and readers go to S3."""
    _, head = publisher.publish(VERSION)
    raw.flushall()

    assert not heal_redis_head(publisher.store, publisher.target, SYNC, now=NOW)
    assert read_redis_head(publisher.target, SYNC) is None

    publisher.verify(VERSION)
    assert heal_redis_head(publisher.store, publisher.target, SYNC, now=NOW + SECOND)
    assert publisher.heads() == (head, head)
    assert list_versions(publisher.target, SYNC)[VERSION].since == NOW + SECOND


def test_healing_never_goes_backwards(publisher: Publisher) -> None:
    """A Redis head of a larger or the same generation is not replaced by another version's."""
    publisher.verify(EARLIER)
    write_store_head(publisher.store, SYNC, build_head(EARLIER, generation=2), etag=None)
    for generation in (2, 3):
        ahead = build_head(VERSION, generation=generation)
        advance_redis_head(publisher.target, SYNC, ahead)

        assert not heal_redis_head(publisher.store, publisher.target, SYNC, now=NOW)
        assert read_redis_head(publisher.target, SYNC) == ahead


def test_healing_without_a_head_does_nothing(publisher: Publisher) -> None:
    """Before the first publication there is nothing to copy."""
    assert not heal_redis_head(publisher.store, publisher.target, SYNC, now=NOW)
    assert publisher.heads() == (None, None)


def test_healing_mirrors_what_is_kept(publisher: Publisher) -> None:
    """A copy of the same generation that lists other kept versions is brought up to date."""
    head = build_head(VERSION, generation=2, kept=())
    write_store_head(publisher.store, SYNC, head, etag=None)
    advance_redis_head(publisher.target, SYNC, build_head(VERSION, generation=2, kept=(EARLIER,)))

    assert not heal_redis_head(publisher.store, publisher.target, SYNC, now=NOW)
    assert publisher.heads() == (head, head)


def test_amending_keeps_what_readers_see(publisher: Publisher) -> None:
    """S3's head and Redis' copy of it say something new under the same generation."""
    _, head = publisher.publish(VERSION)
    amended = dataclasses.replace(head, retiring=(EARLIER,))

    amend_heads(publisher.store, publisher.target, SYNC, amend=lambda _: amended)

    assert publisher.heads() == (amended, amended)


def test_amending_nothing_still_mirrors(publisher: Publisher) -> None:
    """A run that died after S3's head left Redis' copy behind: it follows, and S3's stays."""
    head = build_head(VERSION, generation=2)
    etag = publisher.store.put(head_name(SYNC), encode_head(head))
    advance_redis_head(publisher.target, SYNC, build_head(VERSION, generation=2, kept=(EARLIER,)))

    amend_heads(publisher.store, publisher.target, SYNC, amend=lambda found: found)

    assert publisher.heads() == (head, head)
    assert read_store_head(publisher.store, SYNC) == (head, etag)


def test_amending_without_a_head_does_nothing(publisher: Publisher) -> None:
    """Before the first publication there is nothing to say."""
    amend_heads(publisher.store, publisher.target, SYNC, amend=lambda _: build_head(VERSION))

    assert publisher.heads() == (None, None)


@pytest.mark.parametrize("present", [None, build_head(VERSION, generation=1), build_head(EARLIER)])
def test_mirroring_leaves_other_heads_alone(target: RedisTarget, present: Head | None) -> None:
    """Only a copy of the very same head is touched."""
    if present is not None:
        advance_redis_head(target, SYNC, present)

    mirror_redis_head(target, SYNC, build_head(VERSION, generation=2))

    assert read_redis_head(target, SYNC) == present


def test_redis_head_takes_only_what_is_not_older(target: RedisTarget) -> None:
    """A larger or equal generation is taken, a smaller one is not; the answer says which."""
    for generation, taken in ((2, True), (2, True), (1, False), (3, True)):
        head = build_head(VERSION, generation=generation)
        assert advance_redis_head(target, SYNC, head) is taken

    assert read_redis_head(target, SYNC) == build_head(VERSION, generation=3)


@pytest.mark.parametrize("body", [b"", b"{}", encode_head(build_head())[:-20], b"\xff"])
def test_redis_head_edited_by_hand_is_an_error(
    target: RedisTarget, raw: redis.Redis, body: bytes
) -> None:
    """What is not a head is not guessed at; the message says how to be rid of it."""
    raw.set(f"{SYNC}:head", body)

    with pytest.raises(IntegrityError, match=f"'{SYNC}:head'.*delete that key"):
        read_redis_head(target, SYNC)
    with pytest.raises(IntegrityError):
        advance_redis_head(target, SYNC, build_head())


def test_heads_are_the_same_document_in_both(publisher: Publisher, raw: redis.Redis) -> None:
    """A reader in any language parses one format, wherever it found it."""
    _, head = publisher.publish(VERSION)

    body = publisher.store.get(head_name(SYNC))
    assert raw.get(f"{SYNC}:head") == body
    assert decode_head(body) == head


def test_crash_between_the_flips_is_healed_by_the_next_run(publisher: Publisher) -> None:
    """S3's head moved and Redis' did not: the same run again finishes, without a new generation."""
    publisher.publish(EARLIER)
    publisher.verify(VERSION)
    ahead = build_head(VERSION, generation=2, kept=(EARLIER,))
    found = read_store_head(publisher.store, SYNC)
    assert found is not None
    write_store_head(publisher.store, SYNC, ahead, etag=found[1])

    outcome, head = publisher.publish(VERSION)

    assert (outcome, head) == (Published.ALREADY_LIVE, ahead)
    assert publisher.heads() == (ahead, ahead)
