"""The documents that commit: their bytes are a format, and what is not ours is refused unread."""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import IntegrityError
from reverse_etl.landing import layout
from reverse_etl.landing.manifest import (
    decode_current,
    decode_head,
    decode_manifest,
    decode_snapshot,
    encode_current,
    encode_head,
    encode_manifest,
    encode_snapshot,
    encode_tombstone,
    format_time,
    is_tombstone,
    parse_time,
)
from reverse_etl.model import (
    Current,
    Head,
    KeyToken,
    LandedColumn,
    LandedObject,
    Manifest,
    Snapshot,
)
from reverse_etl_tests.landing import golden_values as golden
from reverse_etl_tests.landing.golden_bytes import read_document_block

CANARY = "canary-7c1e"

HEAD = layout.head_name(golden.SYNC)
SNAPSHOT = layout.snapshot_name(golden.SYNC, golden.PARTITION)
CURRENT = layout.current_name(golden.SYNC, golden.PARTITION)
MANIFEST = layout.manifest_name(golden.SYNC, golden.VERSION)
TOMBSTONE = layout.manifest_name(golden.SYNC, golden.SWEPT_VERSION)

GOLDEN_BYTES = {
    HEAD: encode_head(golden.HEAD),
    SNAPSHOT: encode_snapshot(golden.SNAPSHOT),
    CURRENT: encode_current(golden.CURRENT),
    MANIFEST: encode_manifest(golden.MANIFEST),
    TOMBSTONE: encode_tombstone(version=golden.SWEPT_VERSION, buried_at=golden.BURIED_AT),
}
DECODERS: dict[str, Callable[[bytes], Any]] = {
    HEAD: decode_head,
    SNAPSHOT: decode_snapshot,
    CURRENT: decode_current,
    MANIFEST: decode_manifest,
}
VALUES = {
    HEAD: golden.HEAD,
    SNAPSHOT: golden.SNAPSHOT,
    CURRENT: golden.CURRENT,
    MANIFEST: golden.MANIFEST,
}

texts = st.text()
counts = st.integers(0, 2**63)
sizes = st.integers(1, 2**32)
moments = st.datetimes(timezones=st.just(dt.UTC))
versions = st.builds(
    layout.build_version,
    st.dates().map(dt.date.isoformat),
    st.datetimes(dt.datetime(1970, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
)
forms = st.sampled_from([("json", "gzip"), ("json", "none"), ("parquet", "zstd")])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
tokens = st.none() | st.builds(
    KeyToken,
    key_id=texts,
    domain=texts,
    normalise=st.lists(texts).map(tuple),
    country=st.none() | texts,
    trunk=st.none() | texts,
)


@st.composite
def heads(draw: st.DrawFn) -> Head:
    file_format, compression = draw(forms)
    return Head(
        generation=draw(counts),
        version=draw(versions),
        partition=draw(texts),
        snapshot_pinned_at=draw(moments),
        published_at=draw(moments),
        rows=draw(counts),
        buckets=draw(sizes),
        buckets_per_object=draw(sizes),
        format=file_format,
        compression=compression,
        key=draw(texts),
        policy_fingerprint=draw(texts),
        key_token=draw(tokens),
        kept=tuple(draw(st.lists(texts))),
        retiring=tuple(draw(st.lists(texts))),
        blocked=tuple(draw(st.lists(texts))),
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    file_format, compression = draw(forms)
    columns = st.builds(LandedColumn, name=texts, type=texts, rule=texts)
    objects = st.builds(
        LandedObject,
        name=texts,
        first_bucket=counts,
        buckets=sizes,
        rows=counts,
        bytes=counts,
        sha256=texts,
    )
    return Manifest(
        **{
            name: draw(texts)
            for name in (
                *("sync", "partition", "key", "content_digest", "policy_fingerprint"),
                *("landing_fingerprint", "snapshot_id", "run_id"),
            )
        },
        version=draw(versions),
        format=file_format,
        compression=compression,
        columns=tuple(draw(st.lists(columns))),
        objects=tuple(draw(st.lists(objects))),
        rows=draw(counts),
        bytes=draw(counts),
        buckets=draw(sizes),
        buckets_per_object=draw(sizes),
        key_id=draw(st.none() | texts),
        key_token=draw(tokens),
        quarantined=draw(counts),
        quarantine=tuple(draw(st.lists(objects))),
        snapshot_pinned_at=draw(moments),
        committed_at=draw(moments),
    )


snapshots = st.builds(
    Snapshot,
    snapshot_id=texts,
    sync=texts,
    partition=texts,
    source_kind=texts,
    token=st.dictionaries(st.text(), json_values),
    schema=st.just(golden.SNAPSHOT.schema),
    rows=counts,
    bytes=counts,
    pinned_at=moments,
    expires_at=moments,
    query_fingerprint=texts,
    policy_fingerprint=texts,
    run_id=texts,
)
currents = st.builds(Current, version=versions, snapshot_id=texts, snapshot_pinned_at=moments)


@pytest.mark.parametrize("name", GOLDEN_BYTES)
def test_document_has_its_golden_bytes(name: str) -> None:
    """A byte that changes here is a new format version, not a new golden file."""
    assert GOLDEN_BYTES[name] == (golden.GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", GOLDEN_BYTES)
def test_document_in_the_docs_is_the_golden_one(name: str) -> None:
    """Whoever writes a reader from docs/format.md sees what is really there."""
    assert read_document_block(name) + "\n" == (golden.GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DECODERS)
def test_golden_document_is_read_back(name: str) -> None:
    """A document of an earlier release says the same to this one."""
    assert DECODERS[name]((golden.GOLDEN / name).read_bytes()) == VALUES[name]


@given(heads())
def test_any_head_comes_back(head: Head) -> None:
    """No head is lost in its document, whatever its names are."""
    assert decode_head(encode_head(head)) == head


@given(manifests())
def test_any_manifest_comes_back(manifest: Manifest) -> None:
    """No manifest is lost in its document, without objects or with many."""
    assert decode_manifest(encode_manifest(manifest)) == manifest


@given(manifests())
def test_manifest_is_encoded_as_json_would(manifest: Manifest) -> None:
    """The quick way with many objects has the bytes of the plain one, whatever texts look like."""
    plain = {"kind": "reverse_etl/manifest", "format_version": 1, **dataclasses.asdict(manifest)}

    text = json.dumps(plain, ensure_ascii=False, indent=1, default=format_time)

    assert encode_manifest(manifest) == f"{text}\n".encode()


@pytest.mark.parametrize(
    "text", ["", "%s", "%", '\n "objects": []', "},\n  {\n", '"', "\\", "\u2028\x00\x7f", "{0}"]
)
def test_text_that_looks_like_the_document_is_kept(text: str) -> None:
    """Names that hold pieces of a manifest change nothing around them."""
    item = dataclasses.replace(golden.MANIFEST.objects[0], name=text, sha256=text)
    manifest = dataclasses.replace(
        golden.MANIFEST, sync=text, key=text, objects=(item, item), quarantine=(item,)
    )

    assert decode_manifest(encode_manifest(manifest)) == manifest


@given(snapshots)
def test_any_snapshot_comes_back(snapshot: Snapshot) -> None:
    """No snapshot is lost in its document, its source's token neither."""
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@given(currents)
def test_any_current_comes_back(current: Current) -> None:
    """No pointer of a day is lost in its document."""
    assert decode_current(encode_current(current)) == current


@given(moments, moments)
def test_times_sort_as_text(first: dt.datetime, second: dt.datetime) -> None:
    """A time comes back to the microsecond, and text order is time order, year 1 included."""
    assert parse_time(format_time(first)) == first
    assert (format_time(first) < format_time(second)) == (first < second)


def test_time_of_another_zone_is_written_in_utc() -> None:
    """Where a run happened does not show."""
    tokyo = dt.timezone(dt.timedelta(hours=9))

    assert format_time(dt.datetime(2026, 11, 19, 5, tzinfo=tokyo)) == "2026-11-18T20:00:00.000000Z"


def test_tombstone_is_told_from_a_manifest() -> None:
    """What the sweep wrote in a manifest's place is never taken for a commit."""
    assert is_tombstone(GOLDEN_BYTES[TOMBSTONE])
    assert not is_tombstone(GOLDEN_BYTES[MANIFEST])
    with pytest.raises(IntegrityError, match="of kind 'reverse_etl/tombstone'"):
        decode_manifest(GOLDEN_BYTES[TOMBSTONE])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("other", GOLDEN_BYTES)
def test_document_of_another_kind_is_refused(name: str, other: str) -> None:
    """A document in another's place is named, and not read as far as it happens to fit."""
    if name != other:
        with pytest.raises(IntegrityError, match="where 'reverse_etl/"):
            DECODERS[name](GOLDEN_BYTES[other])


@pytest.mark.parametrize("name", DECODERS)
def test_members_of_a_newer_writer_are_passed_over(name: str) -> None:
    """A later release may add members without a new format version."""
    document = json.loads(GOLDEN_BYTES[name])
    document["later"] = {"any": "thing"}
    for item in (*document.get("columns", ()), *document.get("objects", ())):
        item["later"] = 1

    assert DECODERS[name](json.dumps(document).encode()) == VALUES[name]


def test_head_of_an_earlier_release_retires_nothing() -> None:
    """A head that was written before `retiring` was known is read, and everything else it says."""
    document = json.loads(GOLDEN_BYTES[HEAD])
    del document["retiring"]

    head = decode_head(json.dumps(document).encode())

    assert head == dataclasses.replace(golden.HEAD, retiring=())


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, CANARY])
@pytest.mark.parametrize("name", DECODERS)
def test_other_format_version_is_refused(name: str, version: object) -> None:
    """A format that this release does not know is not guessed at."""
    document = {**json.loads(GOLDEN_BYTES[name]), "format_version": version}

    with pytest.raises(IntegrityError, match=r"format version .* this release reads 1") as raised:
        DECODERS[name](json.dumps(document).encode())
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("name", DECODERS)
def test_cut_document_is_refused(name: str) -> None:
    """However much of a document is missing at its end, it is an error."""
    body = GOLDEN_BYTES[name].rstrip()

    for length in range(len(body)):
        with pytest.raises(IntegrityError, match="not a JSON object"):
            DECODERS[name](body[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe\xfa",
        b"[" * 100_000,
        f'"{CANARY}"'.encode(),
        json.dumps({"kind": CANARY, "format_version": 1}).encode(),
        json.dumps({"kind": [CANARY]}).encode(),
        json.dumps({"user_id": CANARY}).encode(),
        f"{CANARY} is no JSON".encode(),
    ],
)
@pytest.mark.parametrize("name", DECODERS)
def test_other_content_is_refused_and_not_shown(name: str, body: bytes) -> None:
    """Whatever lies where a document belongs, a record even, none of it is in the error."""
    with pytest.raises(IntegrityError) as raised:
        DECODERS[name](body)

    assert CANARY not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


#: Members that came later; documents without them are still read.
OPTIONAL = {
    (HEAD, "retiring"),
    (HEAD, "policy_fingerprint"),
    (HEAD, "key_token"),
    (MANIFEST, "key_token"),
    (MANIFEST, "quarantined"),
    (MANIFEST, "quarantine"),
}

WRONG = [None, CANARY, -1, True, 1.5, [], {}, [CANARY], {CANARY: CANARY}, "\ud800"]


def fits(name: str, member: str, wrong: object) -> bool:
    """Whether a hand-edited member happens to be of its own type, which nobody can tell."""
    right = getattr(VALUES[name], member, None)
    if member == "key_id":
        return wrong is None or wrong == CANARY
    if member == "key_token":
        return wrong is None
    if isinstance(right, tuple):
        return wrong == [] or (wrong == [CANARY] and right and isinstance(right[0], str))
    if member in {"version", "format"}:
        return False
    if member == "compression":
        return False
    return type(wrong) is type(right) and wrong not in (-1, "\ud800")


@pytest.mark.parametrize("name", DECODERS)
def test_hand_edited_document_is_refused_and_not_shown(name: str) -> None:
    """A member that is missing or of another type is one clear error, with nothing of it inside."""
    original = json.loads(GOLDEN_BYTES[name])
    edited = 0

    for member in original.keys() - {"kind", "format_version"}:
        without = {key: value for key, value in original.items() if key != member}
        others = [{**original, member: wrong} for wrong in WRONG if not fits(name, member, wrong)]
        refused = others if (name, member) in OPTIONAL else [without, *others]
        for document in refused:
            with pytest.raises(IntegrityError, match="lacks a field, or holds one") as raised:
                DECODERS[name](json.dumps(document).encode())
            assert CANARY not in str(raised.value)
            edited += 1
    assert edited > 5 * (len(original) - 2)


@pytest.mark.parametrize("inside", ["columns", "objects"])
def test_hand_edited_entry_is_refused(inside: str) -> None:
    """The entries of a manifest's lists are held to their types too."""
    original = json.loads(GOLDEN_BYTES[MANIFEST])

    for member in original[inside][0]:
        for wrong in (None, [CANARY], 1.5):
            document = json.loads(GOLDEN_BYTES[MANIFEST])
            document[inside][0][member] = wrong
            with pytest.raises(IntegrityError, match="lacks a field"):
                decode_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("name", [HEAD, MANIFEST])
@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("buckets", 0),
        ("buckets_per_object", 0),
        ("version", "../../etc"),
        ("format", "csv"),
        ("compression", "zstd"),
    ],
)
def test_document_that_leads_readers_astray_is_refused(
    name: str, member: str, wrong: object
) -> None:
    """What object names are computed from has its form, or the document is not used."""
    document = {**json.loads(GOLDEN_BYTES[name]), member: wrong}

    with pytest.raises(IntegrityError, match="wrong type or shape"):
        DECODERS[name](json.dumps(document).encode())


def test_schema_that_is_no_schema_is_refused() -> None:
    """Base64 of anything else is not handed on as a schema."""
    document = json.loads(GOLDEN_BYTES[SNAPSHOT])

    for wrong in ("", "AAAA", "//////8=", CANARY, document["arrow_schema"][:100]):
        document["arrow_schema"] = wrong
        with pytest.raises(IntegrityError, match="A snapshot document"):
            decode_snapshot(json.dumps(document).encode())


def test_schema_keeps_its_metadata() -> None:
    """JSON and STRING columns differ by their metadata alone: it comes back."""
    field = pa.field("a", pa.string(), metadata={"ARROW:extension:name": "google:sqlType:json"})
    document = {name: getattr(golden.SNAPSHOT, name) for name in Snapshot.__slots__}
    snapshot = Snapshot(**{**document, "schema": pa.schema([field])})

    decoded = decode_snapshot(encode_snapshot(snapshot))

    assert decoded.schema.equals(snapshot.schema, check_metadata=True)


def test_token_that_is_no_json_is_the_sources_mistake() -> None:
    """A source cannot put into a document what no reader gets out of it."""
    document = {name: getattr(golden.SNAPSHOT, name) for name in Snapshot.__slots__}

    with pytest.raises(TypeError, match="object is not part of a document"):
        encode_snapshot(Snapshot(**{**document, "token": {"at": object()}}))
