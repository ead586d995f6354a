"""A record in an object: found whatever its key, and nothing altered passes for "no such user"."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError, IntegrityError
from reverse_etl.landing.buckets import bucket_of
from reverse_etl.landing.layout import manifest_name, version_prefix
from reverse_etl.landing.manifest import decode_manifest, encode_manifest
from reverse_etl.model import Head, LandedObject
from reverse_etl.serving.keys import locate_object
from reverse_etl.serving.metrics import NoMetrics
from reverse_etl.serving.objects import ObjectGoneError, VersionObjects
from reverse_etl.serving.options import ReaderOptions
from reverse_etl.types import Kind, build_field
from reverse_etl_tests.landing.golden_values import MANIFEST
from reverse_etl_tests.serving.builders import (
    CANARY,
    OLD,
    SYNC,
    CountingStore,
    build_head,
    build_rows,
    encode_line,
    encode_parquet,
    group_rows,
    hard_keys,
    infer_schema,
    land,
    name_of,
    object_name,
)

FORMS: dict[str, dict[str, Any]] = {
    "gzip": {},
    "plain": {"compression": "none"},
    "parquet": {"format": "parquet", "compression": "zstd"},
    "parquet of three buckets": {
        "format": "parquet",
        "compression": "zstd",
        "buckets_per_object": 3,
    },
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
every_json = pytest.mark.parametrize("form", [FORMS["gzip"], FORMS["plain"]], ids=["gzip", "plain"])
PARQUET = FORMS["parquet of three buckets"]


def open_objects(store: CountingStore, **options: Any) -> VersionObjects:
    settings = ReaderOptions(**options)
    return VersionObjects(SYNC, store=lambda: store, options=settings, metrics=NoMetrics())


def read_records(
    store: CountingStore | VersionObjects, *, head: Head, keys: Iterable[bytes]
) -> dict[bytes, bytes | None]:
    """As a reader does, without Redis: an object or a bucket at a time."""
    objects = open_objects(store) if isinstance(store, CountingStore) else store
    places = objects.group(keys, head)
    parts = [objects.fetch(head, place) for place in places]
    found = objects.find(head, places, parts)
    return {key: found.get(key) for key in keys}


def read_one(store: CountingStore | VersionObjects, head: Head, key: bytes) -> bytes | None:
    return read_records(store, head=head, keys=[key])[key]


@every_form
def test_every_record_is_found(store: CountingStore, form: dict[str, Any]) -> None:
    """Each user of a version, and its bytes as the JSON format has them; nobody else."""
    head = build_head(**form)
    rows = build_rows(50)
    land(store, head, rows)

    for row in rows:
        assert read_one(store, head, row["user_id"].encode()) == encode_line(row)
    for absent in ("u-50", "u-", "u-00", "U-1", "", "user_id", "said"):
        assert read_one(store, head, absent.encode()) is None


@every_json
def test_one_object_is_read_for_a_key(store: CountingStore, form: dict[str, Any]) -> None:
    """The object's name follows from head and key alone: one GET, whether there is a user or not."""
    head = build_head(**form)
    land(store, head, build_rows(50))

    read_one(store, head, b"u-7")
    read_one(store, head, b"nobody")

    assert store.asked == [name_of(head, "u-7"), name_of(head, "nobody")]


@every_json
def test_keys_of_one_object_are_read_together(store: CountingStore, form: dict[str, Any]) -> None:
    """Many keys cost one GET for each object, not one for each key."""
    head = build_head(**form)
    rows = build_rows(50)
    land(store, head, rows)
    keys = [row["user_id"].encode() for row in rows] + [b"nobody"]

    found = read_records(store, head=head, keys=keys)

    assert found == {b"nobody": None} | {row["user_id"].encode(): encode_line(row) for row in rows}
    assert len(store.asked) == len(set(store.asked)) <= head.buckets


@every_form
def test_hard_keys_are_found(store: CountingStore, form: dict[str, Any]) -> None:
    """Newlines, NUL, quotes, any script, nothing at all and 64 KB: a key is its bytes."""
    head = build_head(**form)
    rows = [{"user_id": key, "said": key} for key in hard_keys()]
    land(store, head, rows)

    for key in hard_keys():
        found = read_one(store, head, key.encode())
        assert found is not None
        assert json.loads(found) == {"user_id": key, "said": key}


@every_form
def test_integer_keys_are_found(store: CountingStore, form: dict[str, Any]) -> None:
    """A key that is a number is found by its digits, and not by digits that only begin so."""
    head = build_head(**form)
    rows = [{"user_id": number, "said": "x"} for number in (0, 1, -1, 12, 120, 2**53)]
    land(store, head, rows)

    for row in rows:
        assert read_one(store, head, b"%d" % row["user_id"]) == encode_line(row)
    for absent in (b"2", b"-12", b"00", b"01", b"1.0", b"1e0", b"-0"):
        assert read_one(store, head, absent) is None


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_integer_beyond_json_numbers_is_found(store: CountingStore, compression: str) -> None:
    """Beyond 2^53 the record holds the key as a string; it is the same key."""
    head = build_head(compression=compression)
    line = {"user_id": str(2**53 + 1), "said": "x"}
    land(store, head, [line])

    assert read_one(store, head, b"%d" % (2**53 + 1)) == encode_line(line)


def test_integer_beyond_json_numbers_is_found_in_parquet(store: CountingStore) -> None:
    """In Parquet it is a number, and becomes the string that the JSON format has."""
    head = build_head(**FORMS["parquet"])
    land(store, head, [{"user_id": 2**63 - 1}])

    assert read_one(store, head, b"9223372036854775807") == b'{"user_id":"9223372036854775807"}'


@every_form
def test_key_inside_another_column_does_not_match(
    store: CountingStore, form: dict[str, Any]
) -> None:
    """The text of a key's member may stand in any string before it: only the member counts."""
    head = build_head(buckets=1, **form)
    rows: list[dict[str, Any]] = [
        {"said": '"user_id":"u-1"', "user_id": "u-2"},
        {"said": 'x","user_id":"u-1","y":"', "user_id": "u-3"},
        {"said": "u-1", "user_id": "u-11"},
    ]
    land(store, head, rows)

    assert read_one(store, head, b"u-1") is None
    assert read_one(store, head, b"u-3") == encode_line(rows[1])

    land(store, head, [*rows, {"said": "it is me", "user_id": "u-1"}])
    assert read_one(store, head, b"u-1") == b'{"said":"it is me","user_id":"u-1"}'


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_key_inside_a_struct_does_not_match(store: CountingStore, compression: str) -> None:
    """A member of the same name inside a nested value is another member."""
    head = build_head(buckets=1, compression=compression)
    rows = [
        {"referrer": {"user_id": "u-1"}, "user_id": "u-2"},
        {"referrer": {"user_id": "u-1"}, "user_id": "u-1"},
    ]
    land(store, head, rows[:1])

    assert read_one(store, head, b"u-1") is None

    land(store, head, rows)
    assert read_one(store, head, b"u-1") == encode_line(rows[1])


@given(
    keys=st.lists(st.text() | st.integers(-(2**53), 2**53).map(str), unique=True, min_size=1),
    buckets=st.integers(1, 5),
)
def test_any_key_is_found_and_no_other(keys: list[str], buckets: int) -> None:
    """Whatever the keys, a version gives back those it holds and none of the rest."""
    head = build_head(buckets=buckets)
    store = CountingStore()
    there, absent = keys[::2], keys[1::2]
    land(store, head, [{"user_id": key, "said": key} for key in there])

    found = read_records(store, head=head, keys=[key.encode() for key in keys])

    for key in there:
        record = found[key.encode()]
        assert record is not None
        assert json.loads(record)["user_id"] == key
    assert all(found[key.encode()] is None for key in absent)


@given(key=st.binary(), buckets=st.integers(1, 2**32))
def test_bucket_is_the_writers(key: bytes, buckets: int) -> None:
    """The reader spares the writers' module, and has their bucket all the same."""
    head = build_head(buckets=buckets, buckets_per_object=7)

    assert locate_object(key, head) == (bucket_of(key, buckets), bucket_of(key, buckets) // 7)


@every_form
def test_missing_object_is_told_apart(store: CountingStore, form: dict[str, Any]) -> None:
    """No object is not no user: the caller learns which object it was."""
    head = build_head(**form)

    with pytest.raises(ObjectGoneError) as raised:
        read_one(store, head, b"u-1")
    error = raised.value.explain()
    assert isinstance(error, IntegrityError)
    assert name_of(head, "u-1") in str(error)


def cut_in_half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def flip_a_byte(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]


ALTERATIONS: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut": cut_in_half,
    "last byte lost": lambda body: body[:-1],
    "flipped": flip_a_byte,
    "other text": lambda _: f"{CANARY} is not an object".encode(),
    "text behind": lambda body: body + b"more",
    "gzip of other text": lambda _: gzip.compress(CANARY.encode()),
    "gzip of other lines": lambda _: gzip.compress(f"{CANARY}\n".encode()),
    "gzip of other JSON": lambda _: gzip.compress(f'["{CANARY}"]\n'.encode()),
    "gzip of a record without key": lambda _: gzip.compress(f'{{"a":"{CANARY}"}}\n'.encode()),
    "gzip of a record of no key": lambda _: gzip.compress(b'{"user_id":null}\n'),
    "gzip of nested nonsense": lambda _: gzip.compress(b"[" * 100_000 + b"\n"),
    "gzip cut inside a line": lambda body: gzip.compress(gzip.decompress(body)[:-1]),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
def test_altered_gzip_object_is_an_error(
    store: CountingStore, alter: Callable[[bytes], bytes]
) -> None:
    """However an object was hurt, its absent users are an error, and the error shows nothing."""
    head = build_head()
    land(store, head, build_rows(50, said=CANARY))
    name = name_of(head, "nobody")
    store.put(name, alter(store.get(name)))

    with pytest.raises(IntegrityError, match="was altered or cut") as raised:
        read_one(store, head, b"nobody")
    assert CANARY not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("alter", [cut_in_half, lambda _: b"\xff\n", lambda body: body + b"{}\n"])
def test_altered_plain_object_is_an_error(
    store: CountingStore, alter: Callable[[bytes], bytes]
) -> None:
    """Without compression the lines themselves are held to be records of this object."""
    head = build_head(compression="none")
    land(store, head, build_rows(50))
    name = name_of(head, "nobody")
    store.put(name, alter(store.get(name)))

    with pytest.raises(IntegrityError, match="was altered or cut"):
        read_one(store, head, b"nobody")


@pytest.mark.parametrize(
    "alter",
    [
        lambda _: b"",
        cut_in_half,
        lambda body: body[:-1],
        lambda body: body[:200] + bytes([body[200] ^ 0xFF]) + body[201:],
        lambda _: b"PAR1" + CANARY.encode() + b"PAR1",
    ],
    ids=["emptied", "cut", "last byte lost", "flipped", "other text"],
)
def test_altered_parquet_object_is_an_error(
    store: CountingStore, alter: Callable[[bytes], bytes]
) -> None:
    """A Parquet object that Arrow cannot read, or whose pages fail their checksum, is no answer."""
    head = build_head(buckets=1, **FORMS["parquet"])
    land(store, head, build_rows(500, said=CANARY))
    name = name_of(head, "nobody")
    store.put(name, alter(store.get(name)))

    with pytest.raises(IntegrityError, match="was altered or cut") as raised:
        read_one(store, head, b"nobody")
    assert CANARY not in str(raised.value)
    assert raised.value.__cause__ is None


@every_form
def test_object_of_another_place_is_an_error(store: CountingStore, form: dict[str, Any]) -> None:
    """A whole, valid object under the wrong name does not say "no such user"."""
    head = build_head(**(form | {"buckets": 6}))
    land(store, head, build_rows(50))
    name = name_of(head, "nobody")
    others = [object_name(head, index) for index in range(6 // head.buckets_per_object)]
    other = next(it for it in others if it != name)
    store.put(name, store.get(other))

    with pytest.raises(IntegrityError, match="was altered or cut"):
        read_one(store, head, b"nobody")


def test_parquet_with_other_row_groups_is_an_error(store: CountingStore) -> None:
    """Without a row group for each bucket nobody knows which is which."""
    head = build_head(**(FORMS["parquet"] | {"buckets_per_object": 4}))
    rows = build_rows(50)
    buckets = group_rows(head, rows)
    schema = infer_schema(rows)
    name = object_name(head, 0)

    for wrong in (buckets[:3], [*buckets, []], [rows]):
        store.put(name, encode_parquet(wrong, schema))
        with pytest.raises(IntegrityError, match="was altered or cut"):
            read_one(store, head, b"u-1")


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema([build_field("other", Kind.STRING)]),
        pa.schema([build_field("user_id", Kind.FLOAT64)]),
        pa.schema([build_field("user_id", Kind.STRING), pa.field("odd", pa.duration("s"))]),
    ],
    ids=["no key column", "key of another type", "foreign type"],
)
def test_parquet_with_other_columns_is_an_error(store: CountingStore, schema: pa.Schema) -> None:
    """A file that is no version of ours is not read as far as it happens to fit."""
    head = build_head(buckets=1, **FORMS["parquet"])
    is_text = schema.field(0).type == pa.string()
    row = dict.fromkeys(schema.names) | {"user_id": "u-1" if is_text else 1.0}
    store.put(object_name(head, 0), encode_parquet([[row]], schema))

    with pytest.raises(IntegrityError, match="was altered or cut"):
        read_one(store, head, b"u-1")


def test_only_the_bucket_is_read_of_a_parquet_object(store: CountingStore) -> None:
    """A row group that is hurt is an error for its own users, and not read for the others."""
    head = build_head(buckets=2, **(FORMS["parquet"] | {"buckets_per_object": 2}))
    rows = build_rows(200)
    land(store, head, rows)
    name = object_name(head, 0)
    body = store.get(name)
    metadata = pq.ParquetFile(pa.BufferReader(body)).metadata
    at = metadata.row_group(1).column(1).data_page_offset + 60
    store.put(name, body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :])
    first, second = group_rows(head, rows)

    assert read_one(store, head, first[0]["user_id"].encode()) == encode_line(first[0])
    with pytest.raises(IntegrityError):
        read_one(store, head, second[0]["user_id"].encode())


def test_footer_is_read_once_and_then_one_range_a_bucket(store: CountingStore) -> None:
    """Of a Parquet object the end is read first; then each bucket is one GET of its bytes alone."""
    head = build_head(**(PARQUET | {"buckets": 6}))
    rows = build_rows(2000)
    land(store, head, rows)
    objects = open_objects(store)
    whole = len(store.get(object_name(head, 0)))
    first, second, *_ = group_rows(head, rows)
    store.ranges.clear()

    for row in (first[0], second[0], first[1]):
        assert read_one(objects, head, row["user_id"].encode()) == encode_line(row)

    (tail, _), *groups = store.ranges
    assert tail < 0
    assert len(groups) == 3
    assert groups[0] == groups[2] != groups[1]
    assert sum(length for _, length in groups[:2]) < whole


def test_footers_are_kept_within_their_bound(store: CountingStore) -> None:
    """What is over the bound is read again, and nothing grows with the number of objects."""
    head = build_head(**(PARQUET | {"buckets": 6}))
    rows = build_rows(60)
    land(store, head, rows)
    objects = open_objects(store, footer_bytes=0)
    key = rows[0]["user_id"].encode()

    for _ in range(2):
        assert read_one(objects, head, key) == encode_line(rows[0])

    assert [start < 0 for start, _ in store.ranges] == [True, False, True, False]


def test_footer_longer_than_the_first_look_is_read(store: CountingStore) -> None:
    """Many buckets and columns make a long footer: it is read in a second step."""
    head = build_head(format="parquet", compression="zstd", buckets=300, buckets_per_object=300)
    rows = [row | {f"c{number}": "x" for number in range(10)} for row in build_rows(600)]
    land(store, head, rows)
    objects = open_objects(store)

    for row in rows[:2]:
        assert read_one(objects, head, row["user_id"].encode()) == encode_line(row)

    assert [start < 0 for start, _ in store.ranges] == [True, True, False, False]


def test_empty_bucket_needs_no_range(store: CountingStore) -> None:
    """The footer itself says that a bucket has no rows."""
    head = build_head(**(PARQUET | {"buckets": 3}))
    land(store, head, [], schema=infer_schema(build_rows(1)))

    assert read_one(store, head, b"u-1") is None
    assert len(store.ranges) == 1


@pytest.mark.parametrize("length", [0, 1 << 30, 0xFFFF_FFFF])
def test_footer_of_an_impossible_length_is_an_error(store: CountingStore, length: int) -> None:
    """What says that it is longer than the object is not believed, nor waited for."""
    head = build_head(buckets=1, **FORMS["parquet"])
    land(store, head, build_rows(500))
    name = name_of(head, "u-1")
    store.put(name, store.get(name)[:-8] + length.to_bytes(4, "little") + b"PAR1")

    with pytest.raises(IntegrityError, match="was altered or cut"):
        read_one(store, head, b"u-1")


@pytest.mark.parametrize(
    "alter",
    [lambda body: body[: len(body) // 3], lambda _: b"", lambda body: bytes(len(body))],
    ids=["cut", "emptied", "zeros"],
)
def test_object_altered_behind_a_kept_footer_is_an_error(
    store: CountingStore, alter: Callable[[bytes], bytes]
) -> None:
    """What a footer led to is held against what it says, however long ago it was read."""
    head = build_head(**(PARQUET | {"buckets": 6}))
    rows = build_rows(2000)
    land(store, head, rows)
    objects = open_objects(store)
    name = object_name(head, 0)
    second = group_rows(head, rows)[1][0]["user_id"].encode()
    read_one(objects, head, second)

    store.put(name, alter(store.get(name)))

    with pytest.raises(IntegrityError, match="was altered or cut"):
        read_one(objects, head, second)


def test_refusal_of_the_store_is_no_altered_object(store: CountingStore) -> None:
    """A store that does not let us read says so itself, in the middle of an object too."""
    head = build_head(**(PARQUET | {"buckets": 6}))
    land(store, head, build_rows(60))

    class RefusingStore(CountingStore):
        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            if self.asked:
                raise ConfigError("Allow the role s3:GetObject.")
            self.asked.append(name)
            return store.get_with_etag(name)

    with pytest.raises(ConfigError, match="s3:GetObject"):
        read_one(RefusingStore(), head, b"u-1")


def land_with_manifest(store: CountingStore, head: Head, rows: list[dict[str, Any]]) -> None:
    """A version, and the manifest that names its objects."""
    land(store, head, rows)
    prefix = version_prefix(SYNC, head.version)
    found = [(item.name.removeprefix(prefix), item.name) for item in store.list_objects(prefix)]
    objects = tuple(
        LandedObject(
            name=short,
            first_bucket=index * head.buckets_per_object,
            buckets=head.buckets_per_object,
            rows=0,
            bytes=len(store.get(name)),
            sha256=hashlib.sha256(store.get(name)).hexdigest(),
        )
        for index, (short, name) in enumerate(found)
    )
    manifest = replace(MANIFEST, sync=SYNC, version=head.version, objects=objects)
    store.put(manifest_name(SYNC, head.version), encode_manifest(manifest))
    store.asked.clear()


@every_form
def test_verified_object_that_is_another_is_an_error(
    store: CountingStore, form: dict[str, Any]
) -> None:
    """Asked to, a reader takes no object that the manifest does not name, however well formed."""
    head = build_head(**form)
    rows = build_rows(50)
    land_with_manifest(store, head, rows)
    objects = open_objects(store, verify_objects=True)
    changed = {"user_id": "u-7", "said": CANARY, "number": 7}

    assert read_one(objects, head, b"u-7") == encode_line(rows[7])
    land(store, head, [changed if row["user_id"] == "u-7" else row for row in rows])

    assert read_one(open_objects(store), head, b"u-7") == encode_line(changed)
    with pytest.raises(IntegrityError, match="was altered or cut") as raised:
        read_one(open_objects(store, verify_objects=True), head, b"u-7")
    assert CANARY not in str(raised.value)


@every_form
def test_manifest_is_read_once_a_version(store: CountingStore, form: dict[str, Any]) -> None:
    """Verifying costs one GET more for each version, not for each object."""
    head = build_head(**form)
    rows = build_rows(50)
    land_with_manifest(store, head, rows)
    objects = open_objects(store, verify_objects=True)

    for row in rows:
        read_one(objects, head, row["user_id"].encode())

    assert store.asked.count(manifest_name(SYNC, head.version)) == 1


def test_manifest_that_names_other_objects_is_an_error(store: CountingStore) -> None:
    """A manifest that lacks an object, or is another version's, verifies nothing."""
    head = build_head()
    land_with_manifest(store, head, build_rows(50))
    name = manifest_name(SYNC, head.version)
    whole = decode_manifest(store.get(name))

    for wrong in (
        replace(whole, objects=whole.objects[1:]),
        replace(whole, version=OLD),
        replace(whole, objects=tuple(replace(it, sha256=CANARY) for it in whole.objects)),
    ):
        store.put(name, encode_manifest(wrong))
        with pytest.raises(IntegrityError, match="does not name the objects") as raised:
            read_one(open_objects(store, verify_objects=True), head, b"u-1")
        assert CANARY not in str(raised.value)


def test_missing_manifest_is_told_apart(store: CountingStore) -> None:
    """Without it nothing can be verified: the version was retired, or the store lost something."""
    head = build_head()
    land(store, head, build_rows(50))

    with pytest.raises(ObjectGoneError):
        read_one(open_objects(store, verify_objects=True), head, b"u-1")


@every_form
def test_empty_version_has_nobody(store: CountingStore, form: dict[str, Any]) -> None:
    """A version without users answers, as long as its one object is there."""
    head = build_head(rows=0, **(form | {"buckets": 1}))
    land(store, head, [], schema=infer_schema(build_rows(1)))

    assert read_one(store, head, b"u-1") is None


def test_parquet_and_json_give_the_same_bytes() -> None:
    """Changing a sync's format changes nothing for the application."""
    rows = build_rows(40)
    keys = [b"u-%d" % number for number in range(45)]
    answers = []

    for form in FORMS.values():
        store, head = CountingStore(), build_head(**form)
        land(store, head, rows)
        answers.append(read_records(store, head=head, keys=keys))

    assert all(answer == answers[0] for answer in answers)


def test_names_are_those_of_the_layout(store: CountingStore) -> None:
    """Objects lie in the version's own folder."""
    head = build_head()
    land(store, head, build_rows(3))

    read_one(store, head, b"u-1")

    assert store.asked[0].startswith(version_prefix(SYNC, head.version))
