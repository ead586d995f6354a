"""Records found in a version's objects, which are named from the head alone: the reader's miss path.

A record is found or is not there; an object that is not what a writer leaves is an `IntegrityError`.
"""

import gzip
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from reverse_etl.errors import IntegrityError, NotFoundError
from reverse_etl.landing.layout import object_file_name, version_prefix
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.serving.keys import find_key_bytes, locate_object

# Text that JSON writes as it is, whoever writes it: no quote, no backslash, nothing outside ASCII.
_PLAIN = re.compile(rb"[A-Za-z0-9 _.:@+-]*")

Records = dict[bytes, bytes]


class ObjectGoneError(Exception):
    """A version's object is not there: the version was retired, or the store lost something."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._name = name

    def explain(self) -> IntegrityError:
        """What the application is told when the version is still the live one."""
        return IntegrityError(
            f"Object '{self._name}' of the live version is missing from the store. Whether the user "
            "exists cannot be told; materialise masked and cache again, or roll back."
        )


def read_records(
    store: ObjectStore, *, sync: str, head: Head, keys: Iterable[bytes]
) -> dict[bytes, bytes | None]:
    """JSON bytes by key, None where the version has no such record: one GET for each object.

    `ObjectGoneError` when an object is not there, `IntegrityError` when one was altered or cut.
    """
    wanted: dict[int, list[bytes]] = defaultdict(list)
    for key in keys:
        wanted[locate_object(key, head)[1]].append(key)
    found: dict[bytes, bytes | None] = {}
    for index, together in wanted.items():
        file_name = object_file_name(head.format, head.compression, index)
        name = version_prefix(sync, head.version) + file_name
        try:
            body = store.get(name)
        except NotFoundError:
            raise ObjectGoneError(name) from None
        records = find_records(body, name=name, head=head, index=index, keys=together)
        found.update({key: records.get(key) for key in together})
    return found


def find_records(
    body: bytes, *, name: str, head: Head, index: int, keys: Iterable[bytes]
) -> Records:
    """The records of `keys` in an object's bytes, as JSON without newline; absent ones are left out.

    `name` and `index` are the object's. Before a key is taken as absent, everything that could
    have held it is checked: what was altered is an `IntegrityError`, never "no such user".
    """
    if head.format == "parquet":
        # Arrow is loaded by whoever reads a Parquet version, and by nobody else.
        from reverse_etl.serving.parquet import find_rows  # noqa: PLC0415

        rows = find_rows(body, head=head, index=index, keys=keys)
        if rows is None:
            raise _altered(name)
        return rows
    lines = _decompress(body, name=name, compression=head.compression)
    found = {}
    missing = []
    for key in keys:
        line = _find_line(lines, column=head.key, key=key)
        if line is None:
            missing.append(key)
        else:
            found[key] = line
    if missing:
        found.update(_scan(lines, name=name, head=head, index=index, keys=missing))
    return found


def _altered(name: str) -> IntegrityError:
    """The error for an object that is there and is not what was written."""
    return IntegrityError(
        f"Object '{name}' of the live version was altered or cut: it does not hold what belongs "
        "there. Whether the user exists cannot be told; materialise masked and cache again."
    )


def _decompress(body: bytes, *, name: str, compression: str) -> bytes:
    if compression == "none":
        lines = body
    else:
        try:
            lines = gzip.decompress(body)
        except (EOFError, OSError, zlib.error):
            raise _altered(name) from None
        if not body:
            # An empty bucket is an empty gzip frame; nothing at all is what a cut leaves.
            raise _altered(name)
    if lines and not lines.endswith(b"\n"):
        raise _altered(name)
    return lines


def _find_line(lines: bytes, *, column: str, key: bytes) -> bytes | None:
    """The key's line by searching for its member's text; None when only a scan can tell."""
    if not _PLAIN.fullmatch(key):
        return None
    member = f'"{column}":'.encode()
    needles = [member + b'"' + key + b'"']
    if key.removeprefix(b"-").isdigit():
        needles.append(member + key)
    for needle in needles:
        at = lines.find(needle)
        while at >= 0:
            end = lines.index(b"\n", at)
            line = lines[lines.rfind(b"\n", 0, at) + 1 : end]
            # The text may as well stand inside another column, or go on.
            if _read_key(line, column) == key:
                return line
            at = lines.find(needle, end)
    return None


def _scan(lines: bytes, *, name: str, head: Head, index: int, keys: list[bytes]) -> Records:
    """The same by reading every record, which proves that what is not found is not there."""
    found = {}
    for line in lines.split(b"\n")[:-1]:
        key = _read_key(line, head.key)
        if key is None or locate_object(key, head)[1] != index:
            raise _altered(name)
        if key in keys:
            found[key] = line
    return found


def _read_key(line: bytes, column: str) -> bytes | None:
    """The canonical key of a record's line; None when the line is no record."""
    try:
        record: Any = json.loads(line)
        return find_key_bytes(record[column])
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
