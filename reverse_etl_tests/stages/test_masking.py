"""`extract` and `masked` over parts in memory: what is landed, refused, found again and swept."""

import gzip
import io
import json
import threading
from collections.abc import Generator, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reverse_etl import pipeline
from reverse_etl.engine import open_engine
from reverse_etl.errors import (
    ConfigError,
    DataError,
    IntegrityError,
    PolicyError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing import formats
from reverse_etl.landing.documents import find_current, read_manifest
from reverse_etl.landing.layout import build_version, manifest_name, version_prefix
from reverse_etl.landing.manifest import is_tombstone
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.store import MemoryStore, compute_etag
from reverse_etl.landing.sweep import announce_attempt
from reverse_etl.masking.keys import generate_masking_key
from reverse_etl.masking.rules import Redact
from reverse_etl.model import Landed, MaskedReceipt, Snapshot, Split
from reverse_etl.runtime import Runtime
from reverse_etl.settings import AwsIdentity
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl.types import Kind, build_field
from reverse_etl_tests.builders import (
    COLUMNS,
    DAY,
    NOW,
    QUERY,
    Clock,
    build_runtime,
    build_spec,
    build_users,
)


def land(
    spec: SyncSpec, runtime: Runtime, *, day: str = DAY, run_id: str = "run-1"
) -> MaskedReceipt:
    """Extract, then mask and land."""
    partition = spec.partition(day, now=runtime.now())
    pipeline.extract(spec, partition, runtime, run_id=run_id)
    return pipeline.mask_and_land(spec, partition, runtime, run_id=run_id)


def read_records(runtime: Runtime, receipt: MaskedReceipt) -> list[dict[str, object]]:
    """Every landed record, parsed."""
    engine = open_engine(memory_limit_bytes=64 << 20)
    groups = read_groups(runtime.store, receipt.manifest, engine=engine, threads=2)
    records = [json.loads(line) for group in groups for line in group.lines.to_pylist()]
    engine.close()
    return records


@pytest.fixture(params=["json", "parquet"])
def spec(request: pytest.FixtureRequest) -> SyncSpec:
    """The sync in each landing format."""
    return build_spec(landing={"format": request.param, "bucket_rows": 64})


def test_every_row_lands_once_and_masked(tmp_path: Path, spec: SyncSpec) -> None:
    """As many records as rows, each of its key, none with a value that was to be masked."""
    runtime = build_runtime(tmp_path)

    receipt = land(spec, runtime)

    records = read_records(runtime, receipt)
    assert receipt.outcome is Landed.COMMITTED
    assert sorted(str(record["user_id"]) for record in records) == [
        f"u-{number:05d}" for number in range(500)
    ]
    assert {record["name"] for record in records} == {"[redacted]"}
    assert all(str(record["email"]).startswith("t1.") for record in records)


def find_canaries(store: MemoryStore) -> list[str]:
    """The objects with a canary in them, looked at as a reader would: decompressed, decoded."""
    found = []
    for name, body in store._objects.items():
        plain = body
        if name.endswith(".gz"):
            plain = gzip.decompress(body)
        if name.endswith(".parquet"):
            plain = body + repr(pq.read_table(io.BytesIO(body)).to_pylist()).encode()
        if b"anary" in plain:
            found.append(name)
    return found


def test_no_canary_reaches_the_store(tmp_path: Path, spec: SyncSpec) -> None:
    """No byte of any object, document or scratch file holds a value of a masked column."""
    store = MemoryStore()
    receipt = land(spec, build_runtime(tmp_path, store=store))

    assert receipt.manifest.rows == 500
    assert find_canaries(store) == []


def test_canary_search_finds_what_is_kept(tmp_path: Path, spec: SyncSpec) -> None:
    """The search above sees into compressed objects: under rule keep it finds the values."""
    columns = [{"name": column["name"], "rule": "keep"} for column in COLUMNS]
    config = spec.config.model_dump(mode="json") | {
        "columns": columns,
        "leaks": {"allow": [{"column": "email", "kinds": ["email"]}]},
    }
    store = MemoryStore()

    land(build_spec(**config), build_runtime(tmp_path, store=store))

    assert find_canaries(store) != []


def test_leak_stops_the_version_before_anything_is_written(tmp_path: Path, spec: SyncSpec) -> None:
    """A column of addresses that somebody keeps is told with its count, and leaves no object."""
    columns = [{"name": column["name"], "rule": "keep"} for column in COLUMNS]
    config = spec.config.model_dump(mode="json") | {"columns": columns}
    store = MemoryStore()

    with pytest.raises(DataError, match="column 'email' holds what looks like e-mail") as raised:
        land(build_spec(**config), build_runtime(tmp_path, store=store))

    assert "@" not in str(raised.value)
    assert [name for name in store._objects if ".jsonl" in name or "part-" in name] == []


def test_group_that_is_too_small_stops_the_version(tmp_path: Path, spec: SyncSpec) -> None:
    """Nobody stands alone in what was asked to be proved; the receipt of what passes has the picture."""
    names = build_users(1).column_names
    quasi = next(name for name in ("country", "city", "name") if name in names)
    config = spec.config.model_dump(mode="json")
    alone = config | {"privacy": {"quasi_identifiers": [quasi], "k": 501}}
    together = config | {"privacy": {"quasi_identifiers": [quasi], "k": 2}}
    runtime = build_runtime(tmp_path)

    with pytest.raises(DataError, match="501"):
        land(build_spec(**alone), runtime)
    receipt = land(build_spec(**together), runtime)

    assert receipt.outcome is Landed.COMMITTED
    assert receipt.privacy is not None


def test_stricter_gate_holds_for_what_is_landed(tmp_path: Path, spec: SyncSpec) -> None:
    """A version that passed without a gate is not taken for one that passed it."""
    runtime = build_runtime(tmp_path)
    land(spec, runtime)
    config = spec.config.model_dump(mode="json")
    stricter = build_spec(**config | {"privacy": {"quasi_identifiers": ["name"], "k": 501}})

    with pytest.raises(DataError, match="501"):
        pipeline.mask_and_land(stricter, stricter.partition(DAY, now=NOW), runtime, run_id="run-2")


@pytest.mark.parametrize(
    "gate",
    [
        {"privacy": {"quasi_identifiers": ["nowhere"], "k": 2}},
        {"leaks": {"allow": [{"column": "nowhere", "kinds": ["email"]}]}},
    ],
    ids=["privacy", "leaks"],
)
def test_gate_over_no_column_is_refused_before_anything_is_pinned(
    tmp_path: Path, spec: SyncSpec, gate: dict[str, object]
) -> None:
    """A gate that watches nothing would look like one that passes."""
    runtime = build_runtime(tmp_path)
    config = spec.config.model_dump(mode="json")

    with pytest.raises(PolicyError, match="nowhere"):
        land(build_spec(**config | gate), runtime)


def test_masking_again_finds_the_version(tmp_path: Path, spec: SyncSpec) -> None:
    """The same snapshot under the same policy is landed once."""
    runtime = build_runtime(tmp_path)
    first = land(spec, runtime)

    partition = spec.partition(DAY, now=NOW)
    again = pipeline.mask_and_land(spec, partition, runtime, run_id="run-2")

    assert again.outcome is Landed.UNCHANGED
    assert again.manifest == first.manifest


def test_retried_extract_finds_its_snapshot(tmp_path: Path) -> None:
    """A retry of the same run pins nothing anew; a new run does."""
    spec, runtime = build_spec(), build_runtime(tmp_path)
    partition = spec.partition(DAY, now=NOW)
    first = pipeline.extract(spec, partition, runtime, run_id="run-1")

    retried = pipeline.extract(spec, partition, runtime, run_id="run-1")
    anew = pipeline.extract(spec, partition, runtime, run_id="run-2")

    assert (first.reused, retried.reused, anew.reused) == (False, True, False)
    assert retried.snapshot == first.snapshot
    assert anew.snapshot.snapshot_id != first.snapshot.snapshot_id


def test_new_snapshot_makes_a_new_version(tmp_path: Path) -> None:
    """Running a day twice gives two versions, the later one the day's."""
    spec, runtime = build_spec(), build_runtime(tmp_path)
    first = land(spec, runtime, run_id="run-1")

    second = land(spec, runtime, run_id="run-2")

    current = find_current(runtime.store, spec.name, DAY)
    assert current is not None
    assert current.version == second.manifest.version != first.manifest.version
    assert second.manifest.content_digest == first.manifest.content_digest


def test_new_key_makes_a_new_version_of_the_snapshot(tmp_path: Path) -> None:
    """Another masking key is another policy: the same rows are masked again."""
    spec, store, source = build_spec(), MemoryStore(), MemorySource({QUERY: build_users(50)})
    clock = Clock()
    runtime = build_runtime(tmp_path, store=store, source=source, clock=clock)
    first = land(spec, runtime)
    rotated = build_runtime(
        tmp_path, store=store, source=source, clock=clock, masking_key=generate_masking_key("t2")
    )

    second = pipeline.mask_and_land(spec, spec.partition(DAY, now=NOW), rotated, run_id="run-2")

    assert second.outcome is Landed.COMMITTED
    assert second.manifest.policy_fingerprint != first.manifest.policy_fingerprint
    assert str(read_records(rotated, second)[0]["email"]).startswith("t2.")


def test_masked_without_extract_says_what_to_do(tmp_path: Path) -> None:
    """Nothing pinned is a clear error, located."""
    spec, runtime = build_spec(), build_runtime(tmp_path)

    with pytest.raises(ConfigError, match="Materialise extract first") as caught:
        pipeline.mask_and_land(spec, spec.partition(DAY, now=NOW), runtime, run_id="r")

    assert "sync 'shop_users', partition '2026-11-18', step 'masked'" in str(caught.value)


def test_query_changed_since_extract_is_refused(tmp_path: Path) -> None:
    """What was pinned must be what the sync asks for now."""
    spec, runtime = build_spec(), build_runtime(tmp_path)
    partition = spec.partition(DAY, now=NOW)
    pipeline.extract(spec, partition, runtime, run_id="r")
    changed = spec.model_copy(update={"query": QUERY + " -- more"})

    with pytest.raises(PolicyError, match="query has changed since extract"):
        pipeline.mask_and_land(changed, partition, runtime, run_id="r")


def test_new_column_stops_extract(tmp_path: Path) -> None:
    """A column that appears upstream stops the sync before anything is pinned."""
    users = build_users(10).append_column("phone", pa.array(["+81900000000"] * 10))
    store = MemoryStore()
    runtime = build_runtime(tmp_path, source=MemorySource({QUERY: users}), store=store)

    with pytest.raises(PolicyError, match="no rule names: 'phone'"):
        land(build_spec(), runtime)

    assert list(store.list_objects("")) == []


@pytest.mark.parametrize(
    ("users", "message"),
    [
        (build_users(0), "has 0 rows; guards.min_rows asks for 1"),
        (
            build_users(3).set_column(0, "user_id", pa.array(["a", None, None])),
            "2 records have no key",
        ),
        (
            build_users(5).set_column(0, "user_id", pa.array(["a", "b", "a", "a", "c"])),
            "2 records have a key that another record has",
        ),
    ],
    ids=["no rows", "no key", "same key"],
)
def test_bad_rows_land_nothing(
    tmp_path: Path, spec: SyncSpec, users: pa.Table, message: str
) -> None:
    """Empty tables, NULL keys and repeated keys stop the sync, with counts and without values."""
    runtime = build_runtime(tmp_path, source=MemorySource({QUERY: users}))

    with pytest.raises(DataError, match=message) as caught:
        land(spec, runtime)

    assert "anary" not in str(caught.value)
    assert find_current(runtime.store, spec.name, DAY) is None


def test_keys_merged_by_a_rule_are_found(tmp_path: Path) -> None:
    """Duplicates are looked for in the masked key."""
    columns = [{"name": "user_id", "rule": "truncate", "length": 3}, *COLUMNS[1:]]
    runtime = build_runtime(tmp_path)

    with pytest.raises(DataError, match="499 records have a key that another record has"):
        land(build_spec(columns=columns), runtime)


def test_shrink_beyond_the_guard_is_refused(tmp_path: Path) -> None:
    """The nearest earlier committed day is the measure, and stays as it was."""
    spec, source = build_spec(), MemorySource({QUERY: build_users(100)})
    runtime = build_runtime(tmp_path, source=source)
    land(spec, runtime, day="2026-11-15")
    source.tables[QUERY] = build_users(49)

    with pytest.raises(DataError, match=r"51\.0% fewer than the 100 .* allows 50%"):
        land(spec, runtime, day="2026-11-18", run_id="run-2")

    source.tables[QUERY] = build_users(50)
    assert land(spec, runtime, day="2026-11-18", run_id="run-3").rows_before == 100


def test_later_day_is_not_the_measure(tmp_path: Path) -> None:
    """A backfill of an old day is not held to a newer, larger one."""
    spec, source = build_spec(), MemorySource({QUERY: build_users(100)})
    runtime = build_runtime(tmp_path, source=source)
    land(spec, runtime, day="2026-11-18")
    source.tables[QUERY] = build_users(10)

    receipt = land(spec, runtime, day="2026-11-10", run_id="run-2")

    assert receipt.rows_before is None


def test_hmac_without_key_stops_extract(tmp_path: Path) -> None:
    """No key, no run: before the query is asked for rows."""
    runtime = build_runtime(tmp_path, masking_key=None)

    with pytest.raises(ConfigError, match="columns 'email' need one"):
        land(build_spec(), runtime)


class StuckSource(MemorySource):
    """Its first split falls silent until reading is stopped; its second breaks."""

    def __init__(self) -> None:
        super().__init__({QUERY: build_users(500)}, split_rows=250)
        self._is_silent = threading.Event()
        self._stopped = threading.Event()

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        del snapshot
        if split.index == 0:
            self._is_silent.set()
            assert self._stopped.wait(timeout=30)
            return
        assert self._is_silent.wait(timeout=30)
        yield from ()
        raise TransientError("The stream broke.")

    def stop_reading(self) -> None:
        self._stopped.set()


def test_failed_split_ends_the_others(tmp_path: Path) -> None:
    """A stream that is silent is not waited for when the step has failed already."""
    with pytest.raises(TransientError, match="The stream broke"):
        land(build_spec(), build_runtime(tmp_path, source=StuckSource()))


def test_rule_that_gives_another_type_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest never says another type than was landed: it is found before a row is read."""
    monkeypatch.setattr(Redact, "expression", lambda *_: "1::BIGINT")

    with pytest.raises(TerminalError, match="'name' gave another type"):
        land(build_spec(), build_runtime(tmp_path))


class LossyStore(MemoryStore):
    """A store that does something else with one object than it was asked to."""

    def __init__(self, harm: str) -> None:
        super().__init__()
        self._harm = harm
        self._done = False

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        if "/dt=" in name and not self._done:
            self._done = True
            harmed = {"cut": body[:-1], "flipped": bytes([body[0] ^ 1]) + body[1:]}
            if self._harm in harmed:
                super().put(name, harmed[self._harm])
            return compute_etag(body)
        return super().put(name, body, metadata=metadata)


@pytest.mark.parametrize("proof", ["checksum", "read_back"])
@pytest.mark.parametrize("file_format", ["json", "parquet"])
@pytest.mark.parametrize("harm", ["lost", "cut", "flipped"])
def test_object_lost_or_altered_on_landing_is_caught(
    tmp_path: Path, *, harm: str, file_format: str, proof: str
) -> None:
    """What the store holds is compared with what was sent, in either way, before anything is committed."""
    spec = build_spec(landing={"format": file_format, "bucket_rows": 64, "verify": proof})
    runtime = build_runtime(tmp_path, store=LossyStore(harm))

    with pytest.raises(IntegrityError):
        land(spec, runtime)

    assert find_current(runtime.store, spec.name, DAY) is None


def test_encoder_that_errs_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that writes other lines, as many and well-formed, is found before anything is sent."""
    spec, runtime = build_spec(), build_runtime(tmp_path)
    compress = formats.igzip.compress

    def alter(plain: memoryview, **options: int) -> bytes:
        return compress(bytes(plain).replace(b"u-00001", b"u-0000!"), **options)

    monkeypatch.setattr(formats.igzip, "compress", alter)

    with pytest.raises(IntegrityError, match="does not decode to what went in"):
        land(spec, runtime)

    assert find_current(runtime.store, spec.name, DAY) is None


class CountingStore(MemoryStore):
    """Counts what is read of a version, keeps what is written beside it, and may vouch for nothing."""

    def __init__(self, *, keeps_checksums: bool = True) -> None:
        super().__init__()
        self._keeps_checksums = keeps_checksums
        self.read = 0
        self.metadata: dict[str, Mapping[str, str] | None] = {}

    @property
    def keeps_checksums(self) -> bool:
        return self._keeps_checksums

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        self.metadata[name] = metadata
        return super().put(name, body)

    def get(self, name: str) -> bytes:
        self.read += ".jsonl" in name
        return super().get(name)


@pytest.mark.parametrize("harm", ["lost", "cut"])
def test_version_that_lost_an_object_is_landed_anew(
    tmp_path: Path, spec: SyncSpec, harm: str
) -> None:
    """Masking the same snapshot again is what every error about such a version advises."""
    runtime = build_runtime(tmp_path)
    manifest = land(spec, runtime).manifest
    name = version_prefix(manifest.sync, manifest.version) + manifest.objects[0].name
    if harm == "lost":
        runtime.store.delete([name])
    else:
        runtime.store.put(name, b"")

    again = land(spec, runtime)

    assert again.outcome is Landed.COMMITTED
    assert again.manifest.version != manifest.version
    assert len(read_records(runtime, again)) == 500


@pytest.mark.parametrize(
    ("verify", "keeps_checksums", "identity", "proof"),
    [
        ("checksum", True, AwsIdentity.TASK_ROLE, "checksum"),
        ("read_back", True, AwsIdentity.GOOGLE_OIDC, "read_back"),
        (None, True, AwsIdentity.GOOGLE_OIDC, "checksum"),
        (None, True, AwsIdentity.TASK_ROLE, "read_back"),
        ("checksum", False, AwsIdentity.GOOGLE_OIDC, "read_back"),
    ],
)
def test_proof_is_as_the_sync_and_the_store_say(
    tmp_path: Path,
    verify: str | None,
    proof: str,
    *,
    keeps_checksums: bool,
    identity: AwsIdentity,
) -> None:
    """Bytes are read again unless the store vouches for them and reading would cross clouds."""
    store = CountingStore(keeps_checksums=keeps_checksums)
    runtime = build_runtime(tmp_path, store=store, aws_identity=identity)

    receipt = land(build_spec(landing={"bucket_rows": 64, "verify": verify}), runtime)

    assert receipt.proof == proof
    assert store.read == (len(receipt.manifest.objects) if proof == "read_back" else 0)


def test_objects_say_what_they_belong_to(tmp_path: Path) -> None:
    """Whoever finds an object in the bucket sees sync, version and policy, and nothing of a row."""
    store = CountingStore()

    manifest = land(build_spec(), build_runtime(tmp_path, store=store)).manifest

    prefix = version_prefix(manifest.sync, manifest.version)
    assert {tuple((store.metadata[prefix + it.name] or {}).items()) for it in manifest.objects} == {
        (
            ("sync", manifest.sync),
            ("version", manifest.version),
            ("policy", manifest.policy_fingerprint),
        )
    }


class FullStore(MemoryStore):
    """Takes a few objects of a version, and no more."""

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        if "/dt=" in name and name > f"{name[: name.rindex('/')]}/00002":
            raise TransientError("The store is full.")
        return super().put(name, body, metadata=metadata)


def test_failed_write_leaves_no_thread_behind(tmp_path: Path, spec: SyncSpec) -> None:
    """Nothing goes on reading a scratch file that is gone, however long the error is held."""
    runtime = build_runtime(tmp_path, store=FullStore())

    with pytest.raises(TransientError) as raised:
        land(spec, runtime)

    assert "ahead" not in {thread.name for thread in threading.enumerate()}
    assert raised.value.message == "The store is full."


class ForgetfulSource(MemorySource):
    """A source that loses the last row of a split."""

    def read(self, *arguments: object) -> Iterator[pa.Table]:
        batches = list(super().read(*arguments))  # type: ignore[arg-type]
        yield from batches[:-1]
        yield batches[-1].slice(0, batches[-1].num_rows - 1)


def test_row_lost_while_reading_is_caught(tmp_path: Path, spec: SyncSpec) -> None:
    """Every split gives as many rows as were pinned, or nothing is committed."""
    runtime = build_runtime(tmp_path, source=ForgetfulSource({QUERY: build_users(50)}))

    with pytest.raises(ReverseEtlError, match="gave 49 rows where 50 were pinned"):
        land(spec, runtime)


def test_day_whose_manifest_was_removed_is_landed_again(tmp_path: Path) -> None:
    """A manifest lost by hand stops neither its own day nor the days after it."""
    spec, runtime = build_spec(), build_runtime(tmp_path)
    lost = land(spec, runtime, day="2026-11-17", run_id="run-1")
    runtime.store.delete([manifest_name(spec.name, lost.manifest.version)])

    later = land(spec, runtime, day="2026-11-18", run_id="run-2")
    again = pipeline.mask_and_land(
        spec, spec.partition("2026-11-17", now=NOW), runtime, run_id="run-3"
    )

    current = find_current(runtime.store, spec.name, "2026-11-17")
    assert (later.outcome, later.rows_before) == (Landed.COMMITTED, None)
    assert again.outcome is Landed.COMMITTED
    assert current is not None
    assert current.version == again.manifest.version


def test_commit_whose_run_died_is_finished(tmp_path: Path) -> None:
    """A version whose run died between manifest and current.json becomes the day's."""
    spec, clock = build_spec(), Clock()
    runtime = build_runtime(tmp_path, clock=clock, sweep_age_seconds=0.0)
    done = land(spec, runtime, run_id="run-1")
    runtime.store.delete([f"{spec.name}/dt={DAY}/current.json"])
    announce_attempt(runtime.store, spec.name, done.manifest.version)

    found = pipeline.mask_and_land(spec, spec.partition(DAY, now=NOW), runtime, run_id="run-2")

    assert found.outcome is Landed.UNCHANGED
    assert found.manifest == done.manifest


def test_dead_attempt_is_buried(tmp_path: Path) -> None:
    """What a killed run left is removed by the next one, once it is old enough."""
    spec, clock = build_spec(), Clock()
    runtime = build_runtime(tmp_path, clock=clock, sweep_age_seconds=60.0)
    dead = build_version(DAY, clock())
    announce_attempt(runtime.store, spec.name, dead)
    runtime.store.put(f"{spec.name}/dt={DAY}/{dead}/00000.jsonl.gz", b"half")
    young = land(spec, runtime, run_id="run-1")
    clock.advance(seconds=61)

    receipt = land(spec, runtime, run_id="run-2")

    left = [item.name for item in runtime.store.list_objects(f"{spec.name}/dt={DAY}/{dead}/")]
    assert (young.swept, receipt.swept) == (0, 1)
    assert left == [manifest_name(spec.name, dead)]
    assert is_tombstone(runtime.store.get(left[0]))


def test_slow_commit_loses_to_the_sweep(tmp_path: Path) -> None:
    """Of the sweep and a slow commit exactly one wins; the loser says why."""
    spec, clock = build_spec(), Clock()
    store = MemoryStore()
    source = MemorySource({QUERY: build_users(20)})
    other = build_runtime(
        tmp_path / "b", store=store, source=source, clock=clock, sweep_age_seconds=0.0
    )

    class SlowStore(MemoryStore):
        """Lets another run sweep just before the manifest is written."""

        def flush(self) -> None:
            self._objects = store._objects
            land(spec, other, run_id="sweeper")

    slow_store = SlowStore()
    slow_store._objects = store._objects
    slow = build_runtime(tmp_path / "a", store=slow_store, source=source, clock=clock)

    with pytest.raises(TransientError, match="swept before it could commit"):
        land(spec, slow, run_id="slow")

    current = find_current(store, spec.name, DAY)
    assert current is not None
    assert read_manifest(store, spec.name, current.version).run_id == "sweeper"


def test_replaced_version_is_removed_after_its_days(tmp_path: Path) -> None:
    """A day's earlier version stays for `keep_days`, then goes with all its objects."""
    spec, clock = build_spec(), Clock()
    runtime = build_runtime(tmp_path, clock=clock, keep_days=2)
    first = land(spec, runtime, run_id="run-1")
    land(spec, runtime, run_id="run-2")
    clock.advance(days=2)

    land(spec, runtime, run_id="run-3")

    prefix = f"{spec.name}/dt={DAY}/{first.manifest.version}/"
    left = [item.name.removeprefix(prefix) for item in runtime.store.list_objects(prefix)]
    assert left == ["manifest.json"]
    assert is_tombstone(runtime.store.get(prefix + "manifest.json"))


def test_widest_decimals_travel(tmp_path: Path, spec: SyncSpec) -> None:
    """BIGNUMERIC, which the engine itself cannot hold, lands exactly."""
    wide = Decimal("12345678901234567890123456789012345678.00000000000000000000000000000000000001")
    users = pa.table({"user_id": ["a"], "wide": pa.array([wide], pa.decimal256(76, 38))})
    columns = [{"name": "user_id", "rule": "keep"}, {"name": "wide", "rule": "keep"}]
    config = spec.config.model_dump(mode="json") | {"columns": columns}
    runtime = build_runtime(tmp_path, source=MemorySource({QUERY: users}))

    receipt = land(build_spec(**config), runtime)

    assert read_records(runtime, receipt) == [{"user_id": "a", "wide": str(wide)}]


def test_value_that_json_cannot_hold_is_refused(tmp_path: Path, spec: SyncSpec) -> None:
    """A text that is not JSON in a JSON column stops the sync by column, without the text."""
    users = pa.table(
        {"user_id": ["a"], "settings": ["canary{"]},
        schema=pa.schema([pa.field("user_id", pa.string()), build_field("settings", Kind.JSON)]),
    )
    columns = [{"name": "user_id", "rule": "keep"}, {"name": "settings", "rule": "keep"}]
    config = spec.config.model_dump(mode="json") | {"columns": columns}
    runtime = build_runtime(tmp_path, source=MemorySource({QUERY: users}))

    with pytest.raises(DataError, match="settings") as caught:
        land(build_spec(**config), runtime)

    assert "canary" not in str(caught.value)


def test_empty_buckets_are_written(tmp_path: Path, spec: SyncSpec) -> None:
    """Every bucket has its object or row group: a missing one is an error, never "no such user"."""
    few = MemorySource({QUERY: build_users(6)})
    chosen = spec.model_copy(
        update={
            "config": spec.config.model_copy(
                update={"landing": spec.config.landing.model_copy(update={"bucket_rows": 1})}
            )
        }
    )
    runtime = build_runtime(tmp_path, source=few)

    receipt = land(chosen, runtime)

    manifest = receipt.manifest
    assert manifest.buckets == 6
    assert sum(item.buckets for item in manifest.objects) == 6
    assert len(read_records(runtime, receipt)) == 6
