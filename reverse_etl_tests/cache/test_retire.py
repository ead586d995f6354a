"""Making room: what nobody reads is taken out whole, what others own is not touched."""

import dataclasses
import datetime as dt
import time
from collections.abc import Iterable

import pytest
import redis

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.heads import advance_redis_head, read_redis_head, read_store_head
from reverse_etl.cache.layout import VersionEntry, VersionState
from reverse_etl.cache.lease import hold_lease
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.publish import roll_back_heads
from reverse_etl.cache.retire import plan_retiring
from reverse_etl.cache.unlink import Unlink
from reverse_etl.cache.verify import verify_records
from reverse_etl.cache.versions import renew_verified
from reverse_etl.cache.wire import Wire
from reverse_etl.errors import (
    ConfigError,
    IntegrityError,
    NotFoundError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing.layout import head_name, manifest_name
from reverse_etl.landing.manifest import encode_head
from reverse_etl.model import Manifest, RecordGroup
from reverse_etl_tests.cache.builders import (
    CANARY,
    EARLIER,
    LATER,
    NOW,
    SYNC,
    VERSION,
    build_groups,
    build_head,
    build_manifest,
)
from reverse_etl_tests.cache.conftest import AsUser
from reverse_etl_tests.cache.scenes import LINES, Cache, count_records

SAME_DAY_EARLIER = "2026-11-19.01kxqt5w8b7g4m2s"

FOREIGN = {
    f"{SYNC}:{EARLIER}x:{CANARY}-1": "looks like ours",
    f"{SYNC}x:{EARLIER}:{CANARY}-1": "another sync's",
    f"{SYNC}:{EARLIER}": "no record",
    "session:1": "another application's",
}


def plan(
    states: dict[str, VersionState], *, live: Iterable[str] = (), keep_versions: int = 2
) -> tuple[tuple[str, ...], bool]:
    entries = {
        version: VersionEntry(state=state, buckets=1, rows=1, since=NOW)
        for version, state in states.items()
    }
    planned = plan_retiring(entries, live=set(live), loading="new", keep_versions=keep_versions)
    return planned.versions, planned.makes_room


V, L, R = VersionState.VERIFIED, VersionState.LOADING, VersionState.RETIRING


@pytest.mark.parametrize(
    ("states", "live", "keep_versions", "expected"),
    [
        ({}, [], 2, ((), True)),
        ({"a": V}, ["a"], 2, ((), True)),
        ({"a": V, "b": V}, ["b"], 2, (("a",), True)),
        ({"a": V, "b": V}, ["a"], 2, (("b",), True)),
        ({"a": V, "b": V, "c": V}, ["c"], 2, (("a", "b"), True)),
        ({"a": V, "b": V, "c": V}, ["c"], 3, (("a",), True)),
        ({"a": V, "b": V}, ["b"], 3, ((), True)),
        ({"a": V, "b": L, "c": R}, ["a"], 5, (("b", "c"), True)),
        ({"b": R, "a": V, "c": V}, ["c"], 2, (("b", "a"), True)),
        ({"a": V, "b": V}, ["a", "b"], 2, ((), False)),
        ({"a": V}, ["a"], 1, ((), False)),
        ({"new": V, "a": V}, ["a"], 2, ((), True)),
        ({"new": R, "a": V}, ["a"], 2, ((), True)),
        ({"a": L, "b": V}, ["a"], 2, (("b",), True)),
    ],
)
def test_plan_takes_the_dead_and_then_the_oldest(
    states: dict[str, VersionState],
    live: list[str],
    keep_versions: int,
    expected: tuple[tuple[str, ...], bool],
) -> None:
    """Half loaded and half retired ones always go; verified ones only for room, oldest first."""
    assert plan(states, live=live, keep_versions=keep_versions) == expected


@pytest.mark.parametrize(
    ("retiring", "expected"), [("a", ("a",)), ("live", ()), ("new", ()), ("gone", ())]
)
def test_plan_finishes_what_the_head_calls_retiring(
    retiring: str, expected: tuple[str, ...]
) -> None:
    """It goes whether or not room is needed, unless it is live or being loaded again."""
    entries = {
        version: VersionEntry(state=V, buckets=1, rows=1, since=NOW)
        for version in ("a", "live", "new")
    }

    planned = plan_retiring(
        entries, live={"live"}, loading="new", keep_versions=5, retiring=(retiring,)
    )

    assert (planned.versions, planned.makes_room) == (expected, True)


@pytest.mark.contract
def test_oldest_version_leaves_without_a_trace(cache: Cache, raw: redis.Redis) -> None:
    """Its every record is gone, it is off the lists, and nothing else has changed."""
    raw.mset(FOREIGN)  # type: ignore[arg-type]
    cache.publish(EARLIER)
    cache.publish(VERSION)
    others = raw.dbsize() - len(LINES)

    retired = cache.make_room(loading=LATER)

    assert retired == (EARLIER,)
    assert count_records(raw, EARLIER) == 0
    assert count_records(raw, VERSION) == len(LINES)
    assert raw.dbsize() == others
    assert raw.mget(FOREIGN) == [value.encode() for value in FOREIGN.values()]
    assert cache.versions() == {VERSION: V}


@pytest.mark.contract
def test_both_heads_stop_listing_it(cache: Cache) -> None:
    """Nobody can roll back to what is gone; the generation, and what readers see, stay."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    before = read_redis_head(cache.bulk.target, SYNC)
    assert before is not None
    assert before.kept == (EARLIER,)

    cache.make_room(loading=LATER)

    after = dataclasses.replace(before, kept=())
    assert read_redis_head(cache.bulk.target, SYNC) == after
    found = read_store_head(cache.store, SYNC)
    assert found is not None
    assert found[0] == after


@pytest.mark.contract
def test_live_version_is_never_retired(cache: Cache, raw: redis.Redis) -> None:
    """After a rollback the older version is live: the newer one goes."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    rolled_back = build_head(EARLIER, generation=3, kept=(VERSION,))
    cache.store.put(head_name(SYNC), encode_head(rolled_back))
    advance_redis_head(cache.bulk.target, SYNC, rolled_back)

    assert cache.make_room(loading=LATER) == (VERSION,)
    assert count_records(raw, EARLIER) == len(LINES)


@pytest.mark.contract
def test_flip_that_was_cut_in_half_is_finished_to_make_room(cache: Cache, raw: redis.Redis) -> None:
    """A run died between the heads: nobody has to mend that before another version may be loaded."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    half_back = build_head(EARLIER, generation=3, kept=(VERSION,))
    cache.store.put(head_name(SYNC), encode_head(half_back))

    assert cache.make_room(loading=LATER) == (VERSION,)

    healed = read_redis_head(cache.bulk.target, SYNC)
    assert healed is not None
    assert (healed.version, healed.generation) == (EARLIER, 3)
    assert count_records(raw, EARLIER) == len(LINES)


@pytest.mark.contract
def test_versions_of_both_heads_are_live(cache: Cache) -> None:
    """While the heads differ there may be readers of either; rather no room than half a day."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    advance_redis_head(cache.bulk.target, SYNC, build_head(EARLIER, generation=9))

    with pytest.raises(TerminalError, match=f"S3: {VERSION}, Redis: {EARLIER}"):
        cache.make_room(loading=LATER)

    assert cache.versions() == {EARLIER: V, VERSION: V}


@pytest.mark.contract
def test_versions_of_dead_runs_are_swept(cache: Cache, raw: redis.Redis) -> None:
    """What a killed load left, all of it or part of it, goes before the next load."""
    cache.publish(EARLIER)
    cache.load(VERSION)

    assert cache.make_room(loading=LATER) == (VERSION,)
    assert count_records(raw, VERSION) == 0
    assert cache.versions() == {EARLIER: V}


@pytest.mark.contract
def test_dead_first_load_is_swept(cache: Cache, raw: redis.Redis) -> None:
    """Before anything was published there is no head to change and nobody to wait for."""
    cache.load(EARLIER)

    assert cache.retirement(grace_seconds=60).make_room(SYNC, loading=VERSION, keep_versions=2) == (
        EARLIER,
    )
    assert raw.dbsize() == 0


@pytest.mark.contract
def test_half_loaded_version_of_the_store_head_may_go(cache: Cache, raw: redis.Redis) -> None:
    """After Redis was emptied nobody is sent to a reload that died, though S3's head names it."""
    cache.publish(EARLIER)
    raw.flushall()
    cache.load(EARLIER)

    assert cache.make_room(loading=VERSION) == (EARLIER,)
    assert count_records(raw, EARLIER) == 0


@pytest.mark.contract
def test_nothing_to_retire_is_fine(cache: Cache) -> None:
    """The first load finds an empty server and no head."""
    assert cache.make_room(loading=VERSION) == ()


@pytest.mark.contract
@pytest.mark.parametrize("gone", ["manifest", "objects", "altered"])
def test_version_without_objects_is_left_for_a_person(
    cache: Cache, raw: redis.Redis, gone: str
) -> None:
    """Its keys cannot be computed: nothing is guessed, and the message says what to do by hand."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    retirement = cache.retirement()

    def fail(_: Manifest) -> Iterable[RecordGroup]:
        raise IntegrityError("altered") if gone == "altered" else NotFoundError("gone")

    if gone == "manifest":
        cache.store.delete([manifest_name(SYNC, EARLIER)])
    else:
        retirement = dataclasses.replace(retirement, groups_of=fail)

    with pytest.raises(TerminalError, match=f"begin with '{SYNC}:{EARLIER}:'"):
        retirement.make_room(SYNC, loading=LATER, keep_versions=2)

    assert count_records(raw, EARLIER) == len(LINES)
    assert cache.versions() == {EARLIER: R, VERSION: V}
    stored, cached = cache.heads()
    assert stored == cached
    assert (stored.kept, stored.retiring) == ((), (EARLIER,))


@pytest.mark.contract
def test_version_removed_by_hand_leaves_the_heads(cache: Cache, raw: redis.Redis) -> None:
    """Whoever did as the message says, and took the version off the list, is rid of it."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    cache.store.delete([manifest_name(SYNC, EARLIER)])
    with pytest.raises(TerminalError):
        cache.make_room(loading=LATER)
    raw.hdel(f"{SYNC}:versions", EARLIER)

    assert cache.make_room(loading=LATER) == ()

    stored, cached = cache.heads()
    assert stored == cached
    assert (stored.kept, stored.retiring) == ((), ())


@pytest.mark.contract
def test_emptied_redis_leaves_nothing_retiring(cache: Cache, raw: redis.Redis) -> None:
    """What has no records there needs no objects: it does not stay in the head for ever."""
    cache.publish(EARLIER)
    head = build_head(EARLIER, generation=1, published_at=NOW)
    cache.store.put(head_name(SYNC), encode_head(dataclasses.replace(head, retiring=(VERSION,))))
    raw.flushall()

    assert cache.make_room(loading=LATER) == (EARLIER,)

    found = read_store_head(cache.store, SYNC)
    assert found is not None
    assert found[0] == head


@pytest.mark.contract
def test_lost_list_loses_no_records(cache: Cache, raw: redis.Redis) -> None:
    """In a cluster the list may be lost alone: what S3's head names is listed again, and taken out."""
    for version in (EARLIER, VERSION):
        cache.publish(version)
    cache.load(SAME_DAY_EARLIER)
    raw.delete(f"{SYNC}:versions")

    assert set(cache.make_room(loading=LATER)) == {EARLIER, SAME_DAY_EARLIER}

    assert count_records(raw, VERSION) == len(LINES)  # readers follow Redis' head to it
    cache.publish(LATER)
    assert cache.make_room(loading="2026-11-21.01kxqt5w8b7g4m2t") == (VERSION,)
    assert {
        v: count_records(raw, v) for v in (EARLIER, SAME_DAY_EARLIER, VERSION)
    } == dict.fromkeys((EARLIER, SAME_DAY_EARLIER, VERSION), 0)
    stored, cached = cache.heads()
    assert stored == cached
    assert (stored.version, stored.kept, stored.retiring) == (LATER, (), ())


@pytest.mark.contract
def test_lost_list_is_known_before_the_first_publication(cache: Cache, raw: redis.Redis) -> None:
    """Without a head it is what stands in for one that names the records."""
    cache.load(EARLIER)
    raw.delete(f"{SYNC}:versions")

    assert cache.make_room(loading=VERSION) == (EARLIER,)
    assert raw.dbsize() == 0


@pytest.mark.contract
def test_rollback_names_what_a_lost_list_does_not(cache: Cache, raw: redis.Redis) -> None:
    """The head goes on naming what it left, though Redis does not list it, until it is taken out."""
    for version in (EARLIER, VERSION):
        cache.publish(version)
    raw.delete(f"{SYNC}:versions")
    manifest = cache.load(EARLIER)
    verify_records(build_groups(LINES), manifest=manifest, bulk=cache.bulk)

    roll_back_heads(cache.store, cache.bulk.target, to=manifest, block=True, now=NOW)

    assert [head.retiring for head in cache.heads()] == [(VERSION,)] * 2
    assert cache.make_room(loading=LATER) == (VERSION,)
    assert count_records(raw, VERSION) == 0


@pytest.mark.contract
@pytest.mark.parametrize("slept", ["before a group", "within a group"])
def test_who_slept_takes_nothing_from_who_loads_again(
    cache: Cache, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch, slept: str
) -> None:
    """A version taken over is left to its new loader; records that were lost are not relied on."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    manifest = build_manifest(LINES, version=EARLIER)

    def load_again() -> None:
        raw.hdel(f"{SYNC}:versions", EARLIER)
        load_records(build_groups(LINES), manifest=manifest, bulk=cache.bulk)
        verify_records(build_groups(LINES), manifest=manifest, bulk=cache.bulk)

    def read(_: Manifest) -> Iterable[RecordGroup]:
        if slept == "before a group":
            load_again()
        return build_groups(LINES)

    perform = Unlink.perform
    slept_within: list[str] = []

    def sleep_and_perform(self: Unlink, wire: Wire, channel: Channel) -> None:
        if slept == "within a group" and not slept_within:
            slept_within.append(slept)
            load_again()
        perform(self, wire, channel)

    monkeypatch.setattr(Unlink, "perform", sleep_and_perform)
    one_by_one = dataclasses.replace(cache.bulk, workers=1)
    retirement = dataclasses.replace(cache.retirement(), groups_of=read, bulk=one_by_one)

    with pytest.raises(TransientError, match="was taken over"):
        retirement.make_room(SYNC, loading=LATER, keep_versions=2)

    if slept == "before a group":
        assert count_records(raw, EARLIER) == len(LINES)
        assert cache.versions()[EARLIER] is V
    else:
        assert 0 < count_records(raw, EARLIER) < len(LINES)
        assert cache.versions()[EARLIER] is R


@pytest.mark.contract
def test_objects_are_named_until_the_last_record_is_gone(cache: Cache) -> None:
    """While records are unlinked both heads say so, of a version that was never kept too."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    cache.load(SAME_DAY_EARLIER)
    seen = []

    def read(_: Manifest) -> Iterable[RecordGroup]:
        seen.append([(head.kept, head.retiring) for head in cache.heads()])
        return build_groups(LINES)

    retirement = dataclasses.replace(cache.retirement(), groups_of=read)
    retirement.make_room(SYNC, loading=LATER, keep_versions=2)

    assert seen == [[((EARLIER,), (SAME_DAY_EARLIER,))] * 2, [((), (EARLIER,))] * 2]


@pytest.mark.contract
def test_grace_is_counted_from_the_last_flip(cache: Cache) -> None:
    """Readers may hold an old head for a moment; what has passed of it already is not waited."""
    cache.publish(EARLIER)
    cache.publish(VERSION, now=NOW - dt.timedelta(seconds=59.7))
    retirement = cache.retirement(grace_seconds=60)
    renew_verified(cache.bulk.target, SYNC, VERSION, now=NOW - dt.timedelta(seconds=100))
    started = time.monotonic()

    retirement.make_room(SYNC, loading=LATER, keep_versions=2)

    assert 0.25 < time.monotonic() - started < 5


@pytest.mark.contract
@pytest.mark.parametrize("skew_seconds", [0, 3600])
def test_grace_counts_healing_and_is_bounded(cache: Cache, skew_seconds: int) -> None:
    """A head that was healed a moment ago starts the grace anew; a wrong clock cannot stretch it."""
    cache.publish(EARLIER)
    cache.publish(VERSION, now=NOW - dt.timedelta(hours=1))
    healed_at = NOW + dt.timedelta(seconds=skew_seconds)
    renew_verified(cache.bulk.target, SYNC, VERSION, now=healed_at)
    started = time.monotonic()

    cache.retirement(grace_seconds=0.3).make_room(SYNC, loading=LATER, keep_versions=2)

    assert 0.3 <= time.monotonic() - started < 5


@pytest.mark.contract
def test_refused_unlink_is_told_by_its_code(cache: Cache, as_user: AsUser) -> None:
    """An error reply among the numbers is found; the version stays on the list."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    cache.bulk = dataclasses.replace(cache.bulk, target=as_user("+@all", "-unlink"))

    with pytest.raises(ConfigError, match="NOPERM") as raised:
        cache.make_room(loading=LATER)

    assert CANARY not in str(raised.value)
    assert EARLIER in cache.versions()


@pytest.mark.contract
def test_narrow_rights_are_enough(cache: Cache, as_user: AsUser, raw: redis.Redis) -> None:
    """The writer's whole work goes through with these commands on its own keys, and no others."""
    target = as_user(
        *("+get", "+set", "+mget", "+mset", "+unlink", "+del", "+pexpire", "+ping"),
        *("+hget", "+hset", "+hdel", "+hgetall"),
        *("+watch", "+unwatch", "+multi", "+exec", "+info"),
        keys=f"{SYNC}:*",
    )
    cache.bulk = dataclasses.replace(cache.bulk, target=target)

    with hold_lease(target, SYNC, wait_seconds=0, ttl_seconds=1.5) as lease:
        cache.publish(EARLIER)
        cache.publish(VERSION)
        cache.make_room(loading=LATER)
        time.sleep(0.6)  # long enough for a renewal
        lease.check()

    assert raw.acl_log() == []
