"""Rolling back: a new generation that points backwards, blocks what it leaves, and heals after a crash."""

import dataclasses
import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import advance_redis_head, read_redis_head, write_store_head
from reverse_etl.cache.layout import VersionEntry, VersionState
from reverse_etl.cache.publish import (
    build_head,
    build_rollback_head,
    is_superseded,
    publish_head,
    roll_back_heads,
)
from reverse_etl.cache.retire import Retirement, plan_retiring
from reverse_etl.cache.versions import (
    forget_version,
    list_kept,
    list_versions,
    mark_retiring,
    mark_verified,
)
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import NotFoundError, TerminalError, TransientError
from reverse_etl.landing.layout import head_name, loading_name, loading_prefix, manifest_name
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Head, Manifest, Published
from reverse_etl_tests.cache.builders import (
    EARLIER,
    LATER,
    NOW,
    SYNC,
    VERSION,
    build_manifest,
)
from reverse_etl_tests.cache.builders import (
    build_head as point_at,
)
from reverse_etl_tests.cache.scenes import Cache, Publisher

SECOND = dt.timedelta(seconds=1)
SAME_DAY_LATER = "2026-11-19.01kxqt5w8b7g4m2v"
VERSIONS = [EARLIER, VERSION, SAME_DAY_LATER, LATER]
MANIFESTS = {version: build_manifest([], version=version) for version in VERSIONS}

choices = st.sampled_from(VERSIONS)


def roll_back(
    publisher: Publisher, to: str, *, block: bool = True, check: Callable[[], None] = lambda: None
) -> tuple[Published, Head]:
    return roll_back_heads(
        publisher.store, publisher.target, to=MANIFESTS[to], block=block, now=NOW, check=check
    )


@given(steps=st.lists(st.tuples(st.booleans(), choices, st.booleans()), min_size=1, max_size=12))
def test_decisions_keep_their_promises(steps: list[tuple[bool, str, bool]]) -> None:
    """Whatever is decided in a row: generations grow, and no head points at what it blocks."""
    head: Head | None = None
    for goes_back, version, block in steps:
        manifest, before = MANIFESTS[version], head
        if before is not None and goes_back:
            head = build_rollback_head(manifest, leaving=before, block=block, kept=(), now=NOW)
            wanted = {before.version} if block and is_superseded(before, manifest) else set()
            assert set(head.blocked) == (set(before.blocked) | wanted) - {version}
        elif before is None or not (is_superseded(before, manifest) or version in before.blocked):
            head = build_head(manifest, previous=before, kept=(), now=NOW)
            assert head.blocked == (() if before is None else before.blocked)
        assert head is not None
        assert head.generation == (0 if before is None else before.generation) + (head != before)
        assert head.version not in head.blocked
        assert head.blocked == tuple(sorted(set(head.blocked)))


@pytest.mark.contract
@settings(max_examples=12)
@given(data=st.data())
def test_heads_agree_after_whatever_is_done(redis_server: RedisServer, data: st.DataObject) -> None:
    """Publications and rollbacks, some killed between the flips: the next one finishes, in order."""
    with RedisTarget(redis_server.url) as target, target.commands() as client:
        client.flushall()
        publisher = Publisher(DyingStore(), target)
        for version in VERSIONS:
            publisher.verify(version)
        generation = 0
        for _ in range(data.draw(st.integers(1, 6))):
            dies, goes_back = data.draw(st.booleans()), data.draw(st.booleans())
            act(publisher, data.draw(choices), dies=dies, goes_back=goes_back)
            stored, cached = publisher.heads()
            assert stored is None or cached is None or stored.generation >= cached.generation
            assert generation <= (stored.generation if stored else 0) <= generation + 1
            generation = stored.generation if stored else 0
        stored, _ = publisher.heads()
        if stored is not None:
            assert roll_back(publisher, stored.version) == (Published.ALREADY_LIVE, stored)
            assert publisher.heads() == (stored, stored)


class Killed(Exception):  # noqa: N818 - it stands for a signal
    """The process ended here."""


class DyingStore(MemoryStore):
    """Ends the process just after the next write under a condition, if it is told to."""

    dies = False

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        written = super().put_if_match(name, body, etag=etag)
        if self.dies:
            raise Killed
        return written


def act(publisher: Publisher, version: str, *, dies: bool, goes_back: bool) -> None:
    """One publication or rollback; refusals are part of the game."""
    store = publisher.store
    assert isinstance(store, DyingStore)
    store.dies = dies
    kept = list_kept(publisher.target, SYNC, beside=version)
    try:
        if goes_back:
            roll_back(publisher, version)
        else:
            publish_head(store, publisher.target, MANIFESTS[version], kept=kept, now=NOW)
    except (Killed, NotFoundError, TerminalError):
        pass
    store.dies = False


@pytest.mark.contract
def test_readers_go_back_and_stay(publisher: Publisher) -> None:
    """The next generation points at the earlier version; the later one is not published again."""
    publisher.publish(EARLIER)
    publisher.publish(VERSION)

    outcome, head = roll_back(publisher, EARLIER)

    assert outcome is Published.LIVE
    assert (head.generation, head.version, head.blocked) == (3, EARLIER, (VERSION,))
    assert head.kept == (VERSION,)
    assert publisher.heads() == (head, head)
    with pytest.raises(TerminalError, match="is blocked"):
        publisher.publish(VERSION)
    assert publisher.heads() == (head, head)


@pytest.mark.contract
@pytest.mark.parametrize("fresh", [SAME_DAY_LATER, LATER])
def test_newer_versions_are_published_after_a_rollback(publisher: Publisher, fresh: str) -> None:
    """A new attempt of the blocked version's day goes live, and so does the next day."""
    publisher.publish(EARLIER)
    publisher.publish(VERSION)
    roll_back(publisher, EARLIER)

    outcome, head = publisher.publish(fresh)

    assert (outcome, head.generation, head.version) == (Published.LIVE, 4, fresh)
    assert head.blocked == (VERSION,)


@pytest.mark.contract
def test_unblocked_version_can_come_back(publisher: Publisher) -> None:
    """Without blocking, the same day's run publishes it again; going there by hand unblocks, too."""
    publisher.publish(EARLIER)
    publisher.publish(VERSION)
    _, head = roll_back(publisher, EARLIER, block=False)
    assert head.blocked == ()
    assert publisher.publish(VERSION)[0] is Published.LIVE

    roll_back(publisher, EARLIER)
    _, forward = roll_back(publisher, VERSION)

    assert (forward.generation, forward.version, forward.blocked) == (6, VERSION, ())


@pytest.mark.contract
def test_crash_between_the_flips_is_finished_by_the_same_command(publisher: Publisher) -> None:
    """S3's head went back and Redis' did not: readers see one whole version or the other, then agree."""
    publisher.publish(EARLIER)
    _, live = publisher.publish(VERSION)
    dying = DyingStore()
    dying._objects = publisher.store._objects
    dying.dies = True
    with pytest.raises(Killed):
        roll_back(Publisher(dying, publisher.target), EARLIER)
    assert publisher.heads()[1] == live

    outcome, head = roll_back(publisher, EARLIER)

    assert (outcome, head.generation, head.blocked) == (Published.ALREADY_LIVE, 3, (VERSION,))
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_redis_head_that_was_ahead_is_left_behind(publisher: Publisher) -> None:
    """After S3's head was put back by hand, the generation is beyond what readers saw."""
    publisher.publish(EARLIER)
    advance_redis_head(publisher.target, SYNC, point_at(EARLIER, generation=7))

    _, head = roll_back(publisher, EARLIER)

    assert (head.generation, head.version, head.blocked) == (8, EARLIER, ())
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_nothing_published_is_nothing_to_leave(publisher: Publisher) -> None:
    """A rollback is no way to publish for the first time."""
    publisher.verify(EARLIER)

    with pytest.raises(NotFoundError, match="ever published"):
        roll_back(publisher, EARLIER)

    assert publisher.heads() == (None, None)


@pytest.mark.contract
@pytest.mark.parametrize("missing", ["records", "manifest", "lease"])
def test_what_is_not_whole_is_not_gone_back_to(publisher: Publisher, missing: str) -> None:
    """Neither to records that are not verified, nor to a version that was removed; no head moves."""
    publisher.publish(EARLIER)
    publisher.publish(VERSION)
    heads = publisher.heads()

    def lose() -> None:
        raise TransientError("The lease was lost.")

    if missing == "records":
        mark_retiring(publisher.target, SYNC, EARLIER, now=NOW)
        forget_version(publisher.target, SYNC, EARLIER)
    elif missing == "manifest":
        publisher.store.delete([manifest_name(SYNC, EARLIER)])
    kind = TerminalError if missing == "manifest" else TransientError
    check = lose if missing == "lease" else lambda: None

    with pytest.raises(kind):
        roll_back(publisher, EARLIER, check=check)

    assert publisher.heads() == heads


@pytest.mark.contract
def test_version_that_came_meanwhile_is_not_left(publisher: Publisher) -> None:
    """Whoever rolls back has looked at one version: another one that goes live is not blocked too."""
    publisher.publish(EARLIER)
    publisher.publish(VERSION)
    done = []

    def interfere() -> None:
        if not done:
            done.append(publisher.publish(LATER))

    with pytest.raises(TransientError, match="was made live while"):
        roll_back(publisher, EARLIER, check=interfere)

    stored, cached = publisher.heads()
    assert stored == cached == done[0][1]


@pytest.mark.contract
def test_amended_head_is_read_again(publisher: Publisher) -> None:
    """A head that only says more than a moment ago is no reason to stop."""
    publisher.publish(EARLIER)
    _, live = publisher.publish(VERSION)
    amended = dataclasses.replace(live, retiring=(LATER,))

    def interfere() -> None:
        if publisher.heads()[0] == live:
            etag = publisher.store.list_objects(f"{SYNC}/head.json")
            write_store_head(publisher.store, SYNC, amended, etag=next(iter(etag)).etag)

    outcome, head = roll_back(publisher, EARLIER, check=interfere)

    assert outcome is Published.LIVE
    assert head.retiring == (LATER,)


@pytest.mark.contract
def test_records_that_go_meanwhile_stop_the_second_flip(publisher: Publisher) -> None:
    """Retired between the look and S3's head: Redis' readers stay where records are."""
    publisher.publish(EARLIER)
    _, live = publisher.publish(VERSION)

    def interfere() -> None:
        mark_retiring(publisher.target, SYNC, EARLIER, now=NOW)

    with pytest.raises(TransientError, match="not verified"):
        roll_back(publisher, EARLIER, check=interfere)
    assert publisher.heads()[1] == live

    mark_retiring(publisher.target, SYNC, EARLIER, now=NOW)
    publisher.verify(EARLIER)  # as loading it again does
    _, head = roll_back(publisher, EARLIER)
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_retiring_gives_way_to_a_rollback(cache: Cache) -> None:
    """Made live between the two marks of retiring, S3's and Redis': not a record is taken out."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    target = cache.bulk.target

    class RollingBack(Retirement):
        def _begin_retiring(self, sync: str, version: str) -> None:
            super()._begin_retiring(sync, version)
            roll_back_heads(cache.store, target, to=manifest, block=True, now=NOW)

    manifest: Manifest = cache.load(EARLIER)
    mark_verified(target, manifest, now=NOW)
    retirement = RollingBack(
        store=cache.store,
        bulk=cache.bulk,
        groups_of=lambda _: pytest.fail("nothing is taken out"),
        grace_seconds=0.0,
    )

    with pytest.raises(TransientError, match="was made live"):
        retirement.retire_version(SYNC, EARLIER)

    assert [head.version for head in cache.heads()] == [EARLIER, EARLIER]


def test_blocked_version_makes_room_first() -> None:
    """Nobody goes back to what is blocked: it leaves before an older one that somebody may want."""
    entry = VersionEntry(state=VersionState.VERIFIED, buckets=1, rows=1, since=NOW)
    entries = dict.fromkeys("abc", entry)

    planned = plan_retiring(entries, live={"b"}, loading="d", keep_versions=3, blocked={"c"})

    assert (planned.versions, planned.makes_room) == (("c",), True)


@pytest.mark.contract
def test_head_that_a_rollback_makes_anew_replaces_what_stood_in(publisher: Publisher) -> None:
    """Of a head that was lost, names of loads that began meanwhile do not stay behind it."""
    publisher.publish(EARLIER)
    publisher.publish(VERSION)
    publisher.store.delete([head_name(SYNC)])
    publisher.store.put(loading_name(SYNC, LATER), b"")

    roll_back(publisher, EARLIER)

    assert [*publisher.store.list_objects(loading_prefix(SYNC))] == []


@pytest.mark.contract
@pytest.mark.parametrize("put_back", [False, True])
@pytest.mark.parametrize("way", ["publish", "roll back"])
def test_grace_counts_from_when_the_head_had_moved(
    publisher: Publisher, way: str, *, put_back: bool
) -> None:
    """However long the flip took; a clock that was put back meanwhile shortens nothing."""
    publisher.publish(EARLIER)
    publisher.publish(VERSION)
    store, target = publisher.store, publisher.target
    version = EARLIER if way == "roll back" else LATER
    manifest = publisher.verify(version)
    moved: list[str] = []

    def read_clock() -> dt.datetime:
        cached = read_redis_head(target, SYNC)
        moved.extend([] if cached is None else [cached.version])
        return NOW + (-7 if put_back else 7) * SECOND

    if way == "publish":
        publish_head(store, target, manifest, kept=(), now=NOW, clock=read_clock)
    else:
        roll_back_heads(store, target, to=manifest, block=True, now=NOW, clock=read_clock)

    since = list_versions(target, SYNC)[version].since
    assert since == (NOW if put_back else NOW + 7 * SECOND)
    assert moved == [version]
