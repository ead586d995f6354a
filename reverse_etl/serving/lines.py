"""Records found among the lines of a JSON object. Pure."""

import json
import re
from collections.abc import Iterable
from typing import Any

from reverse_etl.model import Head
from reverse_etl.serving.keys import find_key_bytes, locate_object

# Text that JSON writes as it is, whoever writes it: no quote, no backslash, nothing outside ASCII.
_PLAIN = re.compile(rb"[A-Za-z0-9 _.:@+-]*")

Records = dict[bytes, bytes]


def find_lines(lines: bytes, *, head: Head, index: int, keys: Iterable[bytes]) -> Records | None:
    """The lines of `keys` without newline, absent ones left out; None for what is no object of ours.

    `index` is the object's.
    """
    found = {}
    missing = set()
    for key in keys:
        line = _find_line(lines, column=head.key, key=key)
        if line is None:
            missing.add(key)
        else:
            found[key] = line
    if missing:
        scanned = _scan(lines, head=head, index=index, keys=missing)
        if scanned is None:
            return None
        found.update(scanned)
    return found


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


def _scan(lines: bytes, *, head: Head, index: int, keys: set[bytes]) -> Records | None:
    """The same by reading every record, which proves that what is not found is not there."""
    found = {}
    for line in lines.split(b"\n")[:-1]:
        key = _read_key(line, head.key)
        if key is None or locate_object(key, head)[1] != index:
            return None
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
