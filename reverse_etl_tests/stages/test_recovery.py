"""Rolling back, verifying, rebuilding and warming over a real Redis: what readers see, and what stays."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.cache import publish
from reverse_etl.cache.heads import advance_redis_head, read_redis_head, write_store_head
from reverse_etl.cache.layout import VersionState
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import (
    ConfigError,
    IntegrityError,
    NotFoundError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing.documents import find_head, read_manifest
from reverse_etl.landing.layout import manifest_name, version_prefix
from reverse_etl.landing.manifest import encode_head, encode_tombstone
from reverse_etl.landing.proof import is_whole
from reverse_etl.landing.store import MemoryStore, StoredObject
from reverse_etl.model import CacheReceipt, Head, Landed, Manifest, Published
from reverse_etl.progress import Progress, Report, keep_silent
from reverse_etl.runtime import Runtime
from reverse_etl.serving.reader import Reader
from reverse_etl.sources.base import Source
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.rebuilding import Rebuilt
from reverse_etl.stages.rolling_back import RolledBack
from reverse_etl.stages.verifying import HeadsState
from reverse_etl.stages.warming import parse_address
from reverse_etl_tests.builders import NOW, QUERY, Clock, build_runtime, build_spec, build_users

pytestmark = pytest.mark.contract

DAYS = ("2026-11-14", "2026-11-15", "2026-11-16")
USERS = 200


class BusyStore(MemoryStore):
    """A store in which somebody else acts once, when a listing is asked for."""

    act: Callable[[], object] | None = None

    def list_objects(
        self, prefix: str, *, after: str | None = None, until: str | None = None
    ) -> Iterator[StoredObject]:
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().list_objects(prefix, after=after, until=until)


class Place:
    """A sync with three days published, of which the last two lie in Redis."""

    def __init__(
        self, folder: Path, *, redis_url: str, spec: SyncSpec, now: dt.datetime = NOW
    ) -> None:
        self.spec = spec
        self.store = BusyStore()
        self.source = MemorySource({QUERY: build_users(USERS)})
        self.runtime = build_runtime(
            folder, source=self.source, store=self.store, redis_url=redis_url, clock=Clock(now)
        )
        self.client = redis.Redis.from_url(redis_url)

    def run(self, day: str, *, run_id: str = "r", report: Report = keep_silent) -> CacheReceipt:
        partition = self.spec.partition(day, now=NOW)
        return pipeline.run_sync(
            self.spec, partition, self.runtime, run_id=run_id, report=report
        ).cache

    def publish(self, day: str) -> CacheReceipt:
        partition = self.spec.partition(day, now=NOW)
        return pipeline.publish(self.spec, partition, self.runtime, run_id="again")

    def head(self) -> Head:
        """The head, which has to be the same in both stores."""
        stored = find_head(self.store, self.spec.name)
        assert stored is not None
        assert read_redis_head(self.runtime.redis, self.spec.name) == stored
        return stored

    def lose_object(self, version: str) -> None:
        manifest = self.manifest(version)
        self.store.delete([version_prefix(self.spec.name, version) + manifest.objects[0].name])

    def alter_object(self, version: str) -> None:
        name = version_prefix(self.spec.name, version) + self.manifest(version).objects[-1].name
        self.store._objects[name] = self.store._objects[name][:-1] + b"x"

    def manifest(self, version: str) -> Manifest:
        return read_manifest(self.store, self.spec.name, version)

    def record_keys(self, version: str) -> list[bytes]:
        return sorted(self.client.scan_iter(f"{self.spec.name}:{version}:*", count=10_000))

    def read(self, key: str) -> list[dict[str, Any] | None]:
        """One record through Redis, and through the store alone."""
        return [
            Reader(self.spec.name, store=self.store, redis=client).get(key)
            for client in (self.client, None)
        ]

    def snapshot(self) -> tuple[dict[str, bytes], dict[bytes, bytes]]:
        """All that lies in both stores."""
        cached: dict[bytes, Any] = {
            key: self.client.dump(key) for key in self.client.scan_iter(count=10_000)
        }
        return dict(self.store._objects), cached


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seed:
    """What three runs left in both stores: made once, put back for each test."""

    versions: list[str]
    objects: dict[str, bytes]
    cached: dict[bytes, bytes]


@pytest.fixture(scope="module")
def seed(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """Three days, each day's users having other points; one user is gone on the last."""
    folder = tmp_path_factory.mktemp("seed")
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        made = Place(folder, redis_url=redis_server.url, spec=build_spec())
        with made.client:
            versions = []
            for number, day in enumerate(DAYS):
                users = build_users(USERS - (day == DAYS[-1]), points=number * 1000)
                made.source.tables[QUERY] = users
                versions.append(made.run(day).manifest.version)
            objects, cached = made.snapshot()
    return Seed(versions=versions, objects=objects, cached=cached)


@pytest.fixture
def place(seed: Seed, tmp_path: Path, redis_url: str) -> Iterator[Place]:
    """The sync as the three runs left it."""
    later = NOW + dt.timedelta(hours=1)
    made = Place(tmp_path, redis_url=redis_url, spec=build_spec(), now=later)
    made.source.tables[QUERY] = build_users(USERS - 1, points=2000)
    made.store._objects |= seed.objects
    with made.client:
        for key, value in seed.cached.items():
            made.client.restore(key, 0, value)
        yield made


@pytest.fixture
def empty_place(tmp_path: Path, redis_url: str) -> Iterator[Place]:
    """A sync that never ran."""
    made = Place(tmp_path, redis_url=redis_url, spec=build_spec())
    with made.client:
        yield made


@pytest.fixture
def versions(seed: Seed) -> list[str]:
    """The versions of the three days; the last is live, and the one before lies in Redis too."""
    return seed.versions


GONE = f"u-{USERS - 1:05d}"


class AwaySource(MemorySource):
    """A warehouse that nobody can reach."""

    def __getattribute__(self, name: str) -> Any:
        if name in {"kind", "close"} or name.startswith("__"):
            return super().__getattribute__(name)
        raise TransientError("The source is away.")


def build_bare_runtime(folder: Path, place: Place, source: Source | None = None) -> Runtime:
    """A runtime with the same store and Redis, no masking key and a source that is away."""
    return build_runtime(
        folder,
        source=source or AwaySource({}),
        store=place.store,
        redis_url=place.runtime.redis_url,
        masking_key=None,
    )


def test_rollback_flips_both_stores_without_loading(
    place: Place, versions: list[str], tmp_path: Path
) -> None:
    """The version beside the live one is pointed at, with neither a source nor a masking key."""
    before = place.head()

    receipt = pipeline.rollback(place.spec, build_bare_runtime(tmp_path, place))

    head = place.head()
    assert receipt.outcome is RolledBack.ROLLED_BACK
    assert (receipt.left.version, head.version) == (versions[2], versions[1])
    assert head.generation == before.generation + 1
    assert head.blocked == (versions[2],)
    assert receipt.is_left_blocked
    assert receipt.bytes == 0
    assert [record and record["points"] for record in place.read("u-00007")] == [1007, 1007]


def test_rollback_brings_back_who_was_removed(place: Place, versions: list[str]) -> None:
    """A user who is gone since the older version is visible again, and the receipt says so."""
    assert versions
    assert place.read(GONE) == [None, None]

    receipt = pipeline.rollback(place.spec, place.runtime)

    assert receipt.goes_back
    assert None not in place.read(GONE)


def test_rollback_twice_goes_further_back(place: Place, versions: list[str]) -> None:
    """The second time it is loaded from the store, verified, and room is made for it."""
    pipeline.rollback(place.spec, place.runtime)

    receipt = pipeline.rollback(place.spec, place.runtime, again=True)

    head = place.head()
    assert head.version == versions[0]
    assert head.blocked == (versions[1], versions[2])
    assert receipt.bytes > 0
    assert receipt.retired == (versions[2],)
    assert len(place.record_keys(versions[0])) == USERS
    assert place.client.hlen(f"{place.spec.name}:versions") == 2
    assert [record and record["points"] for record in place.read("u-00007")] == [7, 7]


def test_rollback_stops_where_nothing_is_earlier(place: Place, versions: list[str]) -> None:
    """Before the first version there is none; what is live stays live."""
    assert versions
    for _ in range(2):
        pipeline.rollback(place.spec, place.runtime, again=True)
    before = place.head()

    with pytest.raises(NotFoundError, match="no version before the live one"):
        pipeline.rollback(place.spec, place.runtime, again=True)

    assert place.head() == before


def test_blocked_version_is_not_promoted_again(place: Place, versions: list[str]) -> None:
    """Neither a retry nor a backfill makes it live; nothing is loaded before that is said."""
    pipeline.rollback(place.spec, place.runtime)
    before = place.snapshot()

    with pytest.raises(TerminalError, match="is blocked") as caught:
        place.publish(DAYS[2])

    assert place.snapshot() == before
    assert f"--to {versions[2]}" in str(caught.value)
    assert "materialise extract" in str(caught.value)


def test_masking_a_blocked_version_again_says_what_to_do(place: Place, versions: list[str]) -> None:
    """The same snapshot gives the same version: it has to be pinned anew."""
    assert versions
    partition = place.spec.partition(DAYS[2], now=NOW)
    again = pipeline.mask_and_land(place.spec, partition, place.runtime, run_id="again")
    assert again.outcome is Landed.UNCHANGED
    pipeline.rollback(place.spec, place.runtime)

    with pytest.raises(TerminalError, match="materialise extract, masked and cache") as caught:
        pipeline.mask_and_land(place.spec, partition, place.runtime, run_id="again")

    assert caught.value.step == "masked"


def test_new_snapshot_of_a_blocked_day_goes_live(place: Place, versions: list[str]) -> None:
    """Once the source is mended, a whole run of the day replaces what was rolled back from."""
    pipeline.rollback(place.spec, place.runtime)

    receipt = place.run(DAYS[2], run_id="mended")

    assert receipt.outcome is Published.LIVE
    assert place.head().version == receipt.manifest.version != versions[2]
    assert versions[2] in place.head().blocked


def test_going_forward_takes_the_block_away(place: Place, versions: list[str]) -> None:
    """By name a blocked version is live again, and the earlier one is not blocked for that."""
    pipeline.rollback(place.spec, place.runtime)

    receipt = pipeline.rollback(place.spec, place.runtime, to=versions[2])

    assert place.head().version == versions[2]
    assert place.head().blocked == ()
    assert not receipt.goes_back
    assert receipt.bytes == 0


def test_rollback_without_block_leaves_the_way_open(place: Place, versions: list[str]) -> None:
    """Asked not to, it blocks nothing; a second rollback goes further back all the same."""
    receipt = pipeline.rollback(place.spec, place.runtime, block=False)
    assert not receipt.is_left_blocked

    pipeline.rollback(place.spec, place.runtime, block=False, again=True)

    assert place.head().version == versions[0]
    assert place.publish(DAYS[2]).outcome is Published.LIVE


def test_rollback_to_what_is_live_does_nothing(place: Place, versions: list[str]) -> None:
    """It says so, and changes neither store."""
    before = place.snapshot()

    receipt = pipeline.rollback(place.spec, place.runtime, to=versions[2])

    assert receipt.outcome is RolledBack.ALREADY_LIVE
    assert place.snapshot() == before


def test_rollback_refuses_what_is_not_there(place: Place, versions: list[str]) -> None:
    """Unknown, swept, or without all its objects: each is named, and nothing changes."""
    buried, unknown = "2026-11-13.01kxqt5w8b7g4m2t", "2026-11-12.01kxqt5w8b7g4m2t"
    place.store.put(
        manifest_name(place.spec.name, buried), encode_tombstone(version=buried, buried_at=NOW)
    )
    place.lose_object(versions[1])
    before = place.snapshot()

    refusals: list[tuple[str, type[ReverseEtlError], str]] = [
        (unknown, NotFoundError, "never committed"),
        (buried, NotFoundError, "never committed"),
        (versions[1], IntegrityError, "are missing"),
        ("yesterday", ConfigError, "not a version"),
    ]
    for version, kind, text in refusals:
        with pytest.raises(kind, match=text) as caught:
            pipeline.rollback(place.spec, place.runtime, to=version)
        assert (caught.value.sync, caught.value.step) == (place.spec.name, "rollback")

    assert place.snapshot() == before


def test_rollback_passes_over_what_has_lost_objects(place: Place, versions: list[str]) -> None:
    """Without a name it goes to the next earlier that is whole, and names what it passed over."""
    earliest = place.run("2026-11-13").manifest.version
    pipeline.rollback(place.spec, place.runtime)
    place.lose_object(versions[0])

    receipt = pipeline.rollback(place.spec, place.runtime, again=True)

    assert place.head().version == earliest
    assert receipt.passed_over == (versions[0],)


def test_sync_that_never_ran_has_nothing_to_recover(empty_place: Place) -> None:
    """There is nothing to go back from, to compare, or to load again, and each command says so."""
    spec, runtime = empty_place.spec, empty_place.runtime

    with pytest.raises(NotFoundError, match="Nothing was ever published"):
        pipeline.rollback(spec, runtime)
    with pytest.raises(NotFoundError, match="was ever published"):
        pipeline.verify(spec, runtime)
    with pytest.raises(NotFoundError, match="The store has no head"):
        pipeline.rebuild(spec, runtime)


def test_redis_emptied_within_a_load_leaves_no_strays(place: Place, versions: list[str]) -> None:
    """The records that came after are named, and the next run takes them out again."""
    assert versions
    emptied: list[str] = []

    def empty(event: Progress) -> None:
        if event.stage == "load" and event.rows == event.rows_total and not emptied:
            emptied.append(event.stage)
            place.client.delete(f"{place.spec.name}:versions")

    place.source.tables[QUERY] = build_users(USERS, points=3000)
    with pytest.raises(TransientError, match="retired from Redis while"):
        place.run("2026-11-17", report=empty)
    stray = place.client.hkeys(f"{place.spec.name}:versions")
    assert [name.decode()[:10] for name in stray] == ["2026-11-17"]

    assert place.run("2026-11-18").outcome is Published.LIVE

    assert place.record_keys(stray[0].decode()) == []


@pytest.mark.parametrize("block", [True, False])
def test_rollback_that_nobody_saw_end_is_not_repeated(
    place: Place, versions: list[str], monkeypatch: pytest.MonkeyPatch, *, block: bool
) -> None:
    """Both heads moved and the answer was lost: the error names the version, and a repetition waits."""

    def lose_the_answer(*moved: Any) -> bool:
        advance_redis_head(*moved)
        raise TransientError("Redis did not answer in time.")

    with monkeypatch.context() as patched:
        patched.setattr(publish, "advance_redis_head", lose_the_answer)
        with pytest.raises(TransientError, match=f"--to {versions[1]}"):
            pipeline.rollback(place.spec, place.runtime, block=block)
    before = place.snapshot()

    with pytest.raises(ConfigError, match="--again") as refused:
        pipeline.rollback(place.spec, place.runtime, block=block)
    assert "--to VERSION" in str(refused.value)
    named = pipeline.rollback(place.spec, place.runtime, to=versions[1], block=block)

    assert named.outcome is RolledBack.ALREADY_LIVE
    assert place.snapshot() == before
    assert isinstance(place.runtime.now, Clock)
    place.runtime.now.advance(minutes=10)
    further = pipeline.rollback(place.spec, place.runtime, block=block)
    assert further.head.version == versions[0]


def test_half_a_rollback_is_finished_and_not_repeated(place: Place, versions: list[str]) -> None:
    """One that died between the flips goes to where it was going, not a step further."""
    before = read_redis_head(place.runtime.redis, place.spec.name)
    pipeline.rollback(place.spec, place.runtime)
    assert before is not None
    put_redis_head(place, before)

    receipt = pipeline.rollback(place.spec, place.runtime)

    assert receipt.outcome is RolledBack.FINISHED
    assert receipt.left.version == versions[2]
    assert place.head().version == versions[1]


def test_half_a_publish_is_left_for_what_was_before(place: Place, versions: list[str]) -> None:
    """When only S3's readers see the wrong day, rolling back takes both stores to the day before."""
    pipeline.rollback(place.spec, place.runtime)
    older = read_redis_head(place.runtime.redis, place.spec.name)
    pipeline.rollback(place.spec, place.runtime, to=versions[2])
    assert older is not None
    put_redis_head(place, older)

    pipeline.rollback(place.spec, place.runtime)

    assert place.head().version == versions[1]
    assert versions[2] in place.head().blocked


def test_rollback_does_not_wait_for_a_load(place: Place, versions: list[str]) -> None:
    """Another run holds the lease; a version that is verified is pointed at all the same."""
    place.client.set(f"{place.spec.name}:loading", b"somebody", px=600_000)

    pipeline.rollback(place.spec, place.runtime)

    assert place.head().version == versions[1]


def test_version_that_went_live_meanwhile_is_not_left(place: Place, versions: list[str]) -> None:
    """Nobody has looked at it: it stays live, unblocked, and a person decides."""
    published: list[str] = []
    place.spec = build_spec(cache={"keep_versions": 3})  # both lie in Redis all the while
    place.store.act = lambda: published.append(place.run("2026-11-17").manifest.version)

    with pytest.raises(TransientError, match="another run made"):
        pipeline.rollback(place.spec, place.runtime, to=versions[1])

    assert [place.head().version] == published
    assert place.head().blocked == ()


def test_verify_finds_a_whole_version_whole(place: Place, versions: list[str]) -> None:
    """Every object, every record and both heads are looked at; nothing is written."""
    before = place.snapshot()

    receipt = pipeline.verify(place.spec, place.runtime)

    assert receipt.differences == 0
    assert receipt.manifest.version == versions[2]
    assert receipt.heads is HeadsState.EQUAL
    assert receipt.records is not None
    assert receipt.records.rows == USERS - 1
    assert place.snapshot() == before


def test_verify_counts_what_differs_and_goes_on(place: Place, versions: list[str]) -> None:
    """Missing and different records are counted over the whole version, and stay as they are."""
    keys = place.record_keys(versions[2])
    place.client.delete(*keys[::20])
    for key in keys[1::50]:
        place.client.append(key, b" ")
    place.client.delete(keys[2])
    place.client.rpush(keys[2], "not a string")
    before = place.snapshot()

    receipt = pipeline.verify(place.spec, place.runtime)

    assert receipt.records is not None
    assert receipt.records.rows == USERS - 1
    assert receipt.records.missing + receipt.records.different == receipt.differences == 15
    assert receipt.records.missing in (10, 11)  # MGET sees no value where another type lies
    assert place.snapshot() == before


def test_verify_counts_objects_that_are_not_whole(
    place: Place, versions: list[str], redis_url: str
) -> None:
    """Missing and altered objects are counted; the records of the others are compared all the same."""
    assert redis_url
    place.lose_object(versions[2])
    place.alter_object(versions[2])
    lost = place.manifest(versions[2]).objects

    receipt = pipeline.verify(place.spec, place.runtime)

    assert (receipt.objects_missing, receipt.objects_altered) == (1, 1)
    assert receipt.records is not None
    assert receipt.records.rows == sum(item.rows for item in lost[1:-1])
    assert receipt.differences == 2


def test_verify_of_parquet(tmp_path: Path, redis_url: str) -> None:
    """Records of Parquet objects are compared as the lines that they are loaded as."""
    spec = build_spec(landing={"format": "parquet", "bucket_rows": 64})
    place = Place(tmp_path, redis_url=redis_url, spec=spec)
    version = place.run(DAYS[0]).manifest.version
    with place.client:
        place.client.delete(place.record_keys(version)[0])

        receipt = pipeline.verify(spec, place.runtime)

    assert receipt.records is not None
    assert (receipt.records.rows, receipt.records.missing, receipt.differences) == (USERS, 1, 1)


def test_verify_tells_heads_that_differ(place: Place, versions: list[str]) -> None:
    """A head that is missing or behind is a difference."""
    assert versions
    head = read_redis_head(place.runtime.redis, place.spec.name)
    assert head is not None
    put_redis_head(place, dataclasses.replace(head, generation=1, version=versions[1]))
    assert pipeline.verify(place.spec, place.runtime).heads is HeadsState.REDIS_BEHIND
    place.client.delete(f"{place.spec.name}:head")

    receipt = pipeline.verify(place.spec, place.runtime)

    assert receipt.heads is HeadsState.REDIS_MISSING
    assert receipt.differences == 1


def test_verify_of_a_landed_version_reads_objects_alone(place: Place, versions: list[str]) -> None:
    """What is not in Redis has nothing to be compared there, and that is no difference."""
    receipt = pipeline.verify(place.spec, place.runtime, version=versions[0])

    assert receipt.state is None
    assert receipt.records is None
    assert receipt.differences == 0


def test_verify_of_an_emptied_redis(place: Place, versions: list[str]) -> None:
    """The live version is not there, and neither is a head: two differences."""
    assert versions
    place.client.flushall()

    receipt = pipeline.verify(place.spec, place.runtime)

    assert receipt.state is None
    assert receipt.differences == 2


def test_rebuild_restores_an_emptied_redis(place: Place, versions: list[str]) -> None:
    """The live version is loaded, verified and pointed at; the store and the generation stay."""
    before, objects = place.head(), dict(place.store._objects)
    place.client.flushall()

    receipt = pipeline.rebuild(place.spec, place.runtime)

    assert receipt.outcome is Rebuilt.REBUILT
    assert [manifest.version for manifest in receipt.loaded] == [versions[2]]
    assert place.head() == before
    assert place.store._objects == objects
    assert pipeline.verify(place.spec, place.runtime).differences == 0


def test_rebuild_brings_back_what_was_kept(place: Place, versions: list[str]) -> None:
    """With the kept version in Redis too, a rollback is quick again."""
    place.client.flushall()

    receipt = pipeline.rebuild(place.spec, place.runtime, kept=True)

    assert [manifest.version for manifest in receipt.loaded] == [versions[2], versions[1]]
    assert pipeline.rollback(place.spec, place.runtime).bytes == 0
    assert place.head().version == versions[1]


def test_rebuild_does_nothing_twice(place: Place, versions: list[str]) -> None:
    """What is there is not loaded again, unless that is asked for."""
    assert versions
    before = place.snapshot()

    receipt = pipeline.rebuild(place.spec, place.runtime, kept=True)

    assert receipt.outcome is Rebuilt.ALREADY_THERE
    assert place.snapshot() == before


def test_rebuild_by_force_mends_damaged_records(place: Place, versions: list[str]) -> None:
    """Records that are gone or altered are written again."""
    keys = place.record_keys(versions[2])
    place.client.delete(*keys[:50])
    place.client.set(keys[60], b"{}")

    receipt = pipeline.rebuild(place.spec, place.runtime, force=True)

    assert receipt.rows == USERS - 1
    assert pipeline.verify(place.spec, place.runtime).differences == 0


def test_rebuild_heals_a_head_that_lags(place: Place, versions: list[str]) -> None:
    """Where the records are there, only the head is written."""
    assert versions
    place.client.delete(f"{place.spec.name}:head")

    receipt = pipeline.rebuild(place.spec, place.runtime)

    assert receipt.outcome is Rebuilt.HEALED
    assert receipt.bytes == 0
    assert place.head().version == versions[2]


def test_rebuild_mends_heads_of_one_generation(place: Place, versions: list[str]) -> None:
    """Redis' head names another version under the same generation: the store's counts."""
    head = place.head()
    put_redis_head(place, dataclasses.replace(head, version=versions[1], kept=()))

    pipeline.rebuild(place.spec, place.runtime)

    assert place.head() == head


def test_rebuild_refuses_a_store_that_went_back(place: Place, versions: list[str]) -> None:
    """A head of the store that was put back by hand is for a person to decide on."""
    head = place.head()
    older = dataclasses.replace(head, generation=1, version=versions[1])
    etag = place.store.get_with_etag(f"{place.spec.name}/head.json")[1]
    write_store_head(place.store, place.spec.name, older, etag=etag)

    with pytest.raises(TerminalError, match="was lost, or put back by hand"):
        pipeline.rebuild(place.spec, place.runtime)

    pipeline.rollback(place.spec, place.runtime, to=versions[1])
    assert place.head().version == versions[1]
    assert place.head().generation == head.generation + 1


def test_lost_head_of_the_store_is_written_anew(place: Place, versions: list[str]) -> None:
    """Redis' head alone is left: by name its version is live in both stores, and nothing is loaded."""
    head = place.head()
    place.store.delete([f"{place.spec.name}/head.json"])
    with pytest.raises(TerminalError, match="the store has none"):
        pipeline.rebuild(place.spec, place.runtime)

    receipt = pipeline.rollback(place.spec, place.runtime, to=versions[2])

    assert receipt.outcome is RolledBack.FINISHED
    assert receipt.bytes == 0
    assert place.head().version == head.version
    assert place.head().generation == head.generation + 1


def test_warm_needs_nothing_but_the_address(
    place: Place, versions: list[str], tmp_path: Path
) -> None:
    """On an emptied Redis and without a head, the manifest alone makes the version live."""
    place.client.flushall()
    place.store.delete([f"{place.spec.name}/head.json"])
    address = parse_address(manifest_name(place.spec.name, versions[2]), store_url="s3://bucket/x")

    receipt = pipeline.warm(address, build_bare_runtime(tmp_path, place), keep_versions=2)

    assert receipt.outcome is Published.LIVE
    assert place.head().version == versions[2]
    assert None not in place.read("u-00007")


def test_warm_does_not_load_what_is_superseded(place: Place, versions: list[str]) -> None:
    """An older version's manifest changes nothing."""
    before = place.snapshot()
    address = parse_address(manifest_name(place.spec.name, versions[0]), store_url="s3://bucket")

    receipt = pipeline.warm(address, place.runtime, keep_versions=2)

    assert receipt.outcome is Published.SUPERSEDED
    assert place.snapshot() == before


def test_warm_refuses_a_blocked_or_copied_manifest(place: Place, versions: list[str]) -> None:
    """No way around a rollback, and none around the layout."""
    pipeline.rollback(place.spec, place.runtime)
    blocked = parse_address(manifest_name(place.spec.name, versions[2]), store_url="s3://bucket")
    copied = "2026-11-17.01kxqt5w8b7g4m2t"
    body = place.store.get(manifest_name(place.spec.name, versions[1]))
    place.store.put(manifest_name(place.spec.name, copied), body)
    elsewhere = parse_address(manifest_name(place.spec.name, copied), store_url="s3://bucket")

    with pytest.raises(TerminalError, match="is blocked"):
        pipeline.warm(blocked, place.runtime, keep_versions=2)
    with pytest.raises(IntegrityError, match="copied there by hand"):
        pipeline.warm(elsewhere, place.runtime, keep_versions=2)


VERSION = "2026-11-17.01kxqt5w8b7g4m2t"
NAME = f"users/dt=2026-11-17/{VERSION}/manifest.json"


@pytest.mark.parametrize(
    ("address", "store_url"),
    [
        (f"s3://bucket/{NAME}", "s3://bucket"),
        (f"s3://bucket/some/prefix/{NAME}", "s3://bucket/some/prefix"),
        (f"file:///srv/store/{NAME}", "file:///srv/store"),
        (f"file:///srv/store/{NAME}".replace("=", "%3D"), "file:///srv/store"),
        (NAME, "s3://own/prefix"),
    ],
)
def test_address_tells_the_store(address: str, store_url: str) -> None:
    """A URL carries its store; a name lies in the one that is configured."""
    found = parse_address(address, store_url="s3://own/prefix")

    assert (found.store_url, found.sync, found.version) == (store_url, "users", VERSION)
    assert found.partition == "2026-11-17"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "manifest.json",
        f"prefix/{NAME}",
        f"https://bucket.s3.amazonaws.com/{NAME}",
        f"s3:///{NAME}".replace("users/", ""),
        NAME.replace("manifest", "head"),
        NAME.replace("dt=2026-11-17", "dt=2026-11-18"),
        NAME.replace(VERSION, "latest"),
        NAME.replace("users", "Users"),
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    """What does not lie in the layout is no manifest's address."""
    with pytest.raises(ConfigError):
        parse_address(address, store_url="s3://own/prefix")


class CrowdedStore(MemoryStore):
    """A store where calls are spent waiting, so that many at once pay."""

    @property
    def concurrency(self) -> int:
        return 8


def test_many_objects_are_listed_by_shares(place: Place, versions: list[str]) -> None:
    """A version of thousands of objects is found whole, or not, by many short listings."""
    manifest = place.manifest(versions[2])
    store = CrowdedStore()
    template = manifest.objects[0]
    objects = tuple(
        dataclasses.replace(template, name=f"{number:05x}.jsonl.gz", bytes=3)
        for number in range(1500)
    )
    many = dataclasses.replace(manifest, objects=objects)
    prefix = version_prefix(many.sync, many.version)
    for item in objects:
        store.put(prefix + item.name, b"abc")

    assert is_whole(store, many)
    store.delete([prefix + objects[777].name])
    assert not is_whole(store, many)
    store.put(prefix + objects[777].name, b"abcd")
    assert not is_whole(store, many)


def put_redis_head(place: Place, head: Head) -> None:
    """Redis' head as a run that died, or a person, left it."""
    place.client.set(f"{place.spec.name}:head", encode_head(head))


def test_version_that_is_half_loaded_is_loaded_for_a_rollback(
    place: Place, versions: list[str]
) -> None:
    """Only verified records are pointed at: what a dead load left is loaded anew."""
    entries = place.client.hgetall(f"{place.spec.name}:versions")
    broken = entries[versions[1].encode()].replace(
        VersionState.VERIFIED.value.encode(), VersionState.LOADING.value.encode()
    )
    place.client.hset(f"{place.spec.name}:versions", versions[1], broken)
    place.client.delete(*place.record_keys(versions[1])[:20])

    receipt = pipeline.rollback(place.spec, place.runtime, to=versions[1])

    assert receipt.bytes > 0
    assert place.head().version == versions[1]
    assert pipeline.verify(place.spec, place.runtime).differences == 0
