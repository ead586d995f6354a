"""The JSON documents that commit: snapshot, manifest, current, head.

Their bytes are a format (docs/format.md). Pure: text to value and back. A document that is not what
it should be is an `IntegrityError`, never a guess, and the error shows nothing of it.
"""

import base64
import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, get_args, get_origin

from reverse_etl.errors import IntegrityError
from reverse_etl.landing.layout import is_version
from reverse_etl.model import Current, Head, LandedObject, Manifest, Snapshot

#: Grows when a reader of the old form would read the new one wrongly.
FORMAT_VERSION = 1

_MANIFEST_KIND = "reverse_etl/manifest"
_TOMBSTONE_KIND = "reverse_etl/tombstone"
_SNAPSHOT_KIND = "reverse_etl/snapshot"
_CURRENT_KIND = "reverse_etl/current"
_HEAD_KIND = "reverse_etl/head"
_KINDS = (_MANIFEST_KIND, _TOMBSTONE_KIND, _SNAPSHOT_KIND, _CURRENT_KIND, _HEAD_KIND)

# Members that came later, and what their absence says.
_MANIFEST_GAPS: dict[str, Any] = {"key_token": None, "quarantined": 0, "quarantine": []}
# One of a manifest's objects as text, with a place for the value of each member.
_BREAK = "\n"
_OBJECT_MEMBERS = tuple(item.name for item in fields(LandedObject))
_OBJECT_FORM = "  {\n" + ",\n".join(f'   "{name}": %s' for name in _OBJECT_MEMBERS) + "\n  }"
_read_members = attrgetter(*_OBJECT_MEMBERS)

_HEAD_GAPS: dict[str, Any] = {"retiring": [], "policy_fingerprint": "", "key_token": None}


def format_time(moment: dt.datetime) -> str:
    """RFC 3339, UTC, always six digits of a second, so that text order is time order."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> dt.datetime:
    """The inverse of `format_time`."""
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.UTC)


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`."""
    return _encode_landing(asdict(replace(manifest, objects=(), quarantine=())), manifest)


def decode_manifest(body: bytes) -> Manifest:
    """The manifest in these bytes; `IntegrityError` for a tombstone or anything else.

    What an earlier release did not write has no value.
    """
    document = {**_MANIFEST_GAPS, **_decode(_MANIFEST_KIND, body)}
    with _reading("manifest"):
        manifest: Manifest = _read(Manifest, document)
        _check_landing(manifest)
    return manifest


def encode_tombstone(*, version: str, buried_at: dt.datetime) -> bytes:
    """What the sweep writes as `manifest.json` of an attempt it is about to remove."""
    return _encode(_TOMBSTONE_KIND, {"version": version, "buried_at": buried_at})


def decode_tombstone(body: bytes) -> dt.datetime:
    """When the attempt was buried; `IntegrityError` for anything but a tombstone."""
    document = _decode(_TOMBSTONE_KIND, body)
    with _reading("tombstone"):
        return parse_time(document["buried_at"])


def is_tombstone(body: bytes) -> bool:
    """Whether these bytes of a `manifest.json` say that the attempt was swept."""
    return _parse(body).get("kind") == _TOMBSTONE_KIND


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The bytes of `snapshot.json`."""
    document = {
        item.name: getattr(snapshot, item.name)
        for item in fields(Snapshot)
        if item.name != "schema"
    }
    schema = base64.b64encode(snapshot.schema.serialize().to_pybytes()).decode("ascii")
    return _encode(_SNAPSHOT_KIND, {**document, "arrow_schema": schema})


def decode_snapshot(body: bytes) -> Snapshot:
    """The snapshot in these bytes."""
    import pyarrow as pa  # noqa: PLC0415 - heads are read where Arrow is not wanted

    document = _decode(_SNAPSHOT_KIND, body)
    with _reading("snapshot"):
        try:
            schema = pa.ipc.read_schema(
                pa.py_buffer(base64.b64decode(document["arrow_schema"], validate=True))
            )
        except (pa.ArrowException, OSError):
            raise ValueError("arrow_schema") from None
        snapshot: Snapshot = _read(Snapshot, document, schema=schema)
    return snapshot


def encode_current(current: Current) -> bytes:
    """The bytes of `current.json`."""
    return _encode(_CURRENT_KIND, asdict(current))


def decode_current(body: bytes) -> Current:
    """The day's committed version in these bytes."""
    document = _decode(_CURRENT_KIND, body)
    with _reading("current"):
        current: Current = _read(Current, document)
        _check_version(current.version)
    return current


def encode_head(head: Head) -> bytes:
    """The bytes of `head.json`, in S3 and in Redis."""
    return _encode(_HEAD_KIND, asdict(head))


def decode_head(body: bytes) -> Head:
    """The head in these bytes; what an earlier release did not write has no value."""
    document = {**_HEAD_GAPS, **_decode(_HEAD_KIND, body)}
    with _reading("head"):
        head: Head = _read(Head, document)
        _check_landing(head)
    return head


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn what a malformed document makes Python raise into one clear error."""
    try:
        yield
    except (KeyError, TypeError, ValueError):
        raise IntegrityError(
            f"A {name} document lacks a field, or holds one of the wrong type or shape. It was "
            "edited by hand or written by another release; compare docs/format.md."
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What a type asks of a value: members of its own, items of one type, a model or null, or a kind."""

    members: tuple[tuple[str, Any], ...] | None = None
    item: Any = None
    model: Any = None
    allowed: tuple[Any, ...] = ()


@cache
def _find_form(wanted: Any) -> _Form:
    """Looked up once for each type: a version of millions has tens of thousands of objects."""
    if is_dataclass(wanted):
        return _Form(members=tuple((item.name, item.type) for item in fields(wanted)))
    allowed = get_args(wanted) if isinstance(wanted, UnionType) else (get_origin(wanted) or wanted,)
    return _Form(
        item=get_args(wanted)[0] if get_origin(wanted) is tuple else None,
        model=next((it for it in get_args(wanted) if is_dataclass(it)), None),
        allowed=allowed,
    )


def _read(wanted: Any, found: Any, **known: Any) -> Any:
    """`found` as a value of the type `wanted`; what does not fit raises.

    Members that a model does not have are left for newer readers; `known` are not looked for.
    """
    form = _find_form(wanted)
    if form.members is not None:
        members = {
            name: _read(kind, found[name]) for name, kind in form.members if name not in known
        }
        return wanted(**members, **known)
    if wanted is dt.datetime:
        return parse_time(found)
    if form.item is not None and isinstance(found, list):
        return tuple(_read(form.item, item) for item in found)
    if form.model is not None and isinstance(found, dict):
        return _read(form.model, found)
    # Not isinstance: true is no number here. No number of a document is below zero.
    if type(found) not in form.allowed or (wanted is int and found < 0):
        raise TypeError
    if isinstance(found, str):
        found.encode()  # a lone surrogate, which JSON can hold and no name can
    return found


def _check_landing(landed: Manifest | Head) -> None:
    """Refuse what would make a reader compute a wrong object name."""
    _check_version(landed.version)
    known_format = landed.format == "parquet" or (
        landed.format == "json" and landed.compression in ("gzip", "none")
    )
    if not known_format or landed.buckets < 1 or landed.buckets_per_object < 1:
        raise ValueError


def _check_version(version: str) -> None:
    if not is_version(version):
        raise ValueError


def _encode(kind: str, document: dict[str, Any]) -> bytes:
    whole = {"kind": kind, "format_version": FORMAT_VERSION, **document}
    text = json.dumps(whole, ensure_ascii=False, indent=1, default=_encode_value)
    return (text + "\n").encode()


def _encode_landing(document: dict[str, Any], manifest: Manifest) -> bytes:
    """A manifest whose lists of objects are still empty in `document`, as `_encode` would have it.

    There may be tens of thousands of objects, and only what is not indented is encoded in C.
    """
    text = _encode(_MANIFEST_KIND, document)
    for member in ("objects", "quarantine"):
        # No text has a line break of its own: this is the member, and nothing within another.
        empty = f'\n "{member}": []'.encode()
        head, _, tail = text.partition(empty)
        text = head + empty[:-2] + _encode_objects(getattr(manifest, member)) + tail
    return text


def _encode_objects(objects: Sequence[LandedObject]) -> bytes:
    """A list of flat values, indented as a member of a document."""
    if not objects:
        return b"[]"
    values = [value for item in objects for value in _read_members(item)]
    # A value a line: none has a line break of its own.
    lines = json.dumps(values, ensure_ascii=False, separators=(_BREAK, ""), default=_encode_value)
    forms = ",\n".join([_OBJECT_FORM] * len(objects))
    return f"[\n{forms % tuple(lines[1:-1].split(_BREAK))}\n ]".encode()


def _encode_value(value: object) -> str:
    if isinstance(value, dt.datetime):
        return format_time(value)
    raise TypeError(f"{type(value).__name__} is not part of a document")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IntegrityError(
            "A document of the store is not a JSON object; it was cut or edited by hand."
        )
    return document


def _decode(kind: str, body: bytes) -> dict[str, Any]:
    document = _parse(body)
    found, version = document.get("kind"), document.get("format_version")
    if found != kind:
        # Only a kind of ours is named: other text may come from anywhere.
        other = f"of kind '{found}'" if found in _KINDS else "of no kind that this release knows"
        raise IntegrityError(f"A document of the store is {other} where '{kind}' belongs.")
    if type(version) is not int or version != FORMAT_VERSION:
        other = str(version) if type(version) is int else "that is not a number"
        raise IntegrityError(
            f"A '{kind}' document has format version {other}; this release reads "
            f"{FORMAT_VERSION}. Upgrade the side that is older."
        )
    return document
