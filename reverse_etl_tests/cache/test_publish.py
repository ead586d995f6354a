"""Heads: S3's first, then Redis'; never backwards by themselves; one winner; crashes heal."""

import dataclasses
import datetime as dt
import itertools
import threading
from collections.abc import Callable

import pytest

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import (
    advance_redis_head,
    write_store_head,
)
from reverse_etl.cache.layout import VersionState
from reverse_etl.cache.publish import (
    build_head as build_next_head,
)
from reverse_etl.cache.publish import (
    is_live,
    is_superseded,
    pick_newest,
    publish_head,
)
from reverse_etl.cache.versions import (
    mark_retiring,
    register_version,
)
from reverse_etl.errors import ConflictError, TerminalError, TransientError
from reverse_etl.landing.layout import head_name, manifest_name
from reverse_etl.landing.manifest import encode_tombstone
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Head, KeyToken, LandedColumn, Published
from reverse_etl_tests.cache.builders import (
    EARLIER,
    LATER,
    NOW,
    SYNC,
    VERSION,
    build_head,
    build_manifest,
)
from reverse_etl_tests.cache.scenes import Publisher

SECOND = dt.timedelta(seconds=1)
SAME_DAY_LATER = "2026-11-19.01kxqt5w8b7g4m2v"


@pytest.mark.parametrize(
    ("version", "pinned_at", "superseded"),
    [
        (VERSION, NOW, False),
        (EARLIER, NOW + SECOND, True),
        (LATER, NOW - SECOND, False),
        (SAME_DAY_LATER, NOW, False),
        (SAME_DAY_LATER, NOW - SECOND, True),
        ("2026-11-19.01kxqt5w8b7g4m2s", NOW, True),
        ("2026-11-19.01kxqt5w8b7g4m2s", NOW + SECOND, False),
    ],
)
def test_order_is_partition_then_snapshot_then_version(
    version: str, pinned_at: dt.datetime, *, superseded: bool
) -> None:
    """A later day wins; within a day the later snapshot; within a snapshot the later attempt."""
    manifest = build_manifest([], version=version, pinned_at=pinned_at)

    assert is_superseded(build_head(VERSION), manifest) is superseded


@pytest.mark.parametrize(
    ("stored", "cached", "newest"),
    [
        (None, None, None),
        (1, None, "stored"),
        (None, 1, "cached"),
        (2, 1, "stored"),
        (1, 2, "cached"),
        (1, 1, "stored"),
    ],
)
def test_newest_head_has_the_larger_generation(
    stored: int | None, cached: int | None, newest: str | None
) -> None:
    """S3's head is the truth unless Redis proves that it once was ahead."""
    heads = {
        "stored": None if stored is None else build_head(VERSION, generation=stored),
        "cached": None if cached is None else build_head(EARLIER, generation=cached),
        None: None,
    }

    assert pick_newest(heads["stored"], heads["cached"]) is heads[newest]


def test_is_live_compares_versions() -> None:
    """A version is live if the head names it."""
    manifest = build_manifest([])

    assert is_live(build_head(VERSION), manifest)
    assert not is_live(build_head(LATER), manifest)
    assert not is_live(None, manifest)


@pytest.mark.contract
def test_first_version_goes_live_in_both(publisher: Publisher) -> None:
    """The first publication is generation 1, and both heads are the same document."""
    outcome, head = publisher.publish(VERSION)

    assert outcome is Published.LIVE
    assert publisher.heads() == (head, head)
    assert head == Head(
        generation=1,
        version=VERSION,
        partition="2026-11-19",
        snapshot_pinned_at=NOW,
        published_at=NOW,
        rows=0,
        buckets=4,
        buckets_per_object=1,
        format="json",
        compression="gzip",
        key="user_id",
        policy_fingerprint=build_manifest([]).policy_fingerprint,
    )


def test_version_whose_tokens_nobody_could_make_is_not_published() -> None:
    """Its manifest is of before manifests said how keys became tokens: readers would find nobody."""
    columns = (LandedColumn(name="user_id", type="STRING", rule="hmac"),)
    manifest = dataclasses.replace(build_manifest([]), columns=columns)

    with pytest.raises(TerminalError, match="does not say how its keys became tokens"):
        build_next_head(manifest, previous=None, kept=(), now=NOW)

    said = dataclasses.replace(manifest, key_token=KeyToken(key_id="k1", domain="sync:s"))
    assert build_next_head(said, previous=None, kept=(), now=NOW).key_token == said.key_token


@pytest.mark.contract
def test_later_version_takes_over(publisher: Publisher) -> None:
    """The next generation points at the new version and keeps the one before."""
    publisher.publish(VERSION)

    outcome, head = publisher.publish(LATER)

    assert outcome is Published.LIVE
    assert (head.generation, head.version, head.kept) == (2, LATER, (VERSION,))
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_earlier_version_never_takes_over(publisher: Publisher) -> None:
    """An older day is told that it came too late, and not a byte is written."""
    _, live = publisher.publish(VERSION)

    outcome, head = publisher.publish(EARLIER)

    assert (outcome, head) == (Published.SUPERSEDED, live)
    assert publisher.heads() == (live, live)


@pytest.mark.contract
def test_live_version_stays_as_it_is(publisher: Publisher) -> None:
    """Publishing what is live changes nothing, generation included."""
    _, live = publisher.publish(VERSION)

    assert publisher.publish(VERSION) == (Published.ALREADY_LIVE, live)
    assert publisher.heads() == (live, live)


@pytest.mark.contract
def test_generation_follows_the_larger_head(publisher: Publisher) -> None:
    """After S3's head was put back, the next generation is beyond what readers saw in Redis."""
    publisher.publish(EARLIER)
    advance_redis_head(publisher.target, SYNC, build_head(VERSION, generation=7))

    _, head = publisher.publish(LATER)

    assert head.generation == 8
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_lost_store_head_does_not_send_readers_back(publisher: Publisher) -> None:
    """With S3's head deleted by hand, Redis' still says what is too old, and is made good."""
    publisher.publish(VERSION)
    publisher.store.delete([head_name(SYNC)])

    assert publisher.publish(EARLIER)[0] is Published.SUPERSEDED
    outcome, head = publisher.publish(VERSION)

    assert (outcome, head.generation) == (Published.LIVE, 2)
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_blocked_version_is_refused(publisher: Publisher) -> None:
    """What was rolled back from is not promoted again, and stays blocked afterwards."""
    blocking = build_head(EARLIER, generation=3, blocked=(VERSION,))
    write_store_head(publisher.store, SYNC, blocking, etag=None)

    with pytest.raises(TerminalError, match="is blocked"):
        publisher.publish(VERSION)
    _, head = publisher.publish(LATER)

    assert head.blocked == (VERSION,)


@pytest.mark.contract
def test_retiring_goes_on_after_a_publication(publisher: Publisher) -> None:
    """The next head names what is still being retired, not what is whole in Redis again."""
    publisher.verify(EARLIER)
    retiring = ("2026-11-16.01kxqt5w8b7g4m2t", EARLIER, VERSION)
    before = dataclasses.replace(build_head("2026-11-17.01kxqt5w8b7g4m2t"), retiring=retiring)
    write_store_head(publisher.store, SYNC, before, etag=None)

    _, head = publisher.publish(VERSION)

    assert (head.kept, head.retiring) == ((EARLIER,), retiring[:1])
    assert publisher.heads() == (head, head)


@pytest.mark.contract
@pytest.mark.parametrize("found", ["nothing", "tombstone"])
@pytest.mark.parametrize("published", [EARLIER, None])
def test_version_removed_meanwhile_is_not_published(
    publisher: Publisher, found: str, published: str | None
) -> None:
    """No head points at a version that retention took while it was being loaded."""
    if published is not None:
        publisher.publish(published)
    heads = publisher.heads()
    manifest = publisher.verify(VERSION)
    publisher.store.delete([manifest_name(SYNC, VERSION)])
    if found == "tombstone":
        tombstone = encode_tombstone(version=VERSION, buried_at=NOW)
        publisher.store.put(manifest_name(SYNC, VERSION), tombstone)

    with pytest.raises(TerminalError, match=r"Nothing was published.*Materialise masked again"):
        publish_head(publisher.store, publisher.target, manifest, kept=(), now=NOW)

    assert publisher.heads() == heads


@pytest.mark.contract
@pytest.mark.parametrize("state", ["absent", VersionState.LOADING, VersionState.RETIRING])
def test_unverified_records_are_not_published(publisher: Publisher, state: str) -> None:
    """However it came about: no head points at records that are not proved to be there."""
    manifest = build_manifest([])
    if state != "absent":
        register_version(publisher.target, manifest, now=NOW)
    if state == VersionState.RETIRING:
        mark_retiring(publisher.target, SYNC, VERSION, now=NOW)

    with pytest.raises(TransientError, match="not verified"):
        publish_head(publisher.store, publisher.target, manifest, kept=(), now=NOW)

    assert publisher.heads() == (None, None)


@pytest.mark.contract
def test_lost_lease_stops_before_the_flip(publisher: Publisher) -> None:
    """A run that lost its lease writes neither head."""

    def lose() -> None:
        raise TransientError("The lease was lost.")

    manifest = publisher.verify(VERSION)
    with pytest.raises(TransientError, match="lease"):
        publish_head(publisher.store, publisher.target, manifest, kept=(), now=NOW, check=lose)

    assert publisher.heads() == (None, None)


class InterferingStore(MemoryStore):
    """Lets somebody else do something just before, or just after, the next write of a head."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], object] | None = None
        self.after: Callable[[], object] | None = None

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        """Write between the two interferences, each of which happens once."""
        before, self.before = self.before, None
        if before is not None:
            before()
        written = super().put_if_match(name, body, etag=etag)
        after, self.after = self.after, None
        if after is not None:
            after()
        return written


@pytest.mark.contract
def test_conflict_is_decided_again_by_state(target: RedisTarget) -> None:
    """Whoever lost the write looks at what is there now: here, a later version."""
    store = InterferingStore()
    publisher = Publisher(store, target)
    publisher.publish(EARLIER)
    store.before = lambda: publisher.publish(LATER)

    outcome, head = publisher.publish(VERSION)

    assert (outcome, head.version) == (Published.SUPERSEDED, LATER)
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_loser_between_the_flips_leaves_the_winner(target: RedisTarget) -> None:
    """Overtaken after S3's head: Redis' head of the larger generation is not written over."""
    store = InterferingStore()
    publisher = Publisher(store, target)
    publisher.publish(EARLIER)
    store.after = lambda: publisher.publish(LATER)

    outcome, head = publisher.publish(VERSION)

    assert (outcome, head.version, head.generation) == (Published.SUPERSEDED, LATER, 3)
    assert publisher.heads() == (head, head)


@pytest.mark.contract
def test_head_that_never_rests_is_transient(target: RedisTarget) -> None:
    """Conflicts without end become an error that a retry may mend."""

    class BusyStore(MemoryStore):
        def put_if_absent(self, name: str, body: bytes) -> str:
            del body
            raise ConflictError(f"Object '{name}' exists already.")

    with pytest.raises(TransientError, match="moved 8 times"):
        Publisher(BusyStore(), target).publish(VERSION)


@pytest.mark.contract
@pytest.mark.parametrize("seed", range(5))
def test_racing_publishers_end_with_one_winner(publisher: Publisher, seed: int) -> None:
    """Six versions at once: the latest is live, both heads are equal, generations are distinct."""
    attempts = [f"2026-11-{day}.01kxqt5w8b7g4m2t" for day in range(11, 17)]
    order = list(itertools.permutations(attempts))[seed * 97]
    barrier = threading.Barrier(len(order))
    results: list[tuple[Published, Head]] = []

    def run(version: str) -> None:
        barrier.wait()
        results.append(publisher.publish(version))

    threads = [threading.Thread(target=run, args=(version,)) for version in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    stored, cached = publisher.heads()
    assert stored is not None
    assert stored.version == attempts[-1]
    assert cached == stored
    assert len(results) == len(order)
    live = [head.generation for outcome, head in results if outcome is Published.LIVE]
    assert len(set(live)) == len(live)
