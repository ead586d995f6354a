"""Names and small documents in Redis. Pure; a format, see docs/format.md.

For a sync `user_stats`:

* `user_stats:<version>:<key>`, a string: one record; the key is its canonical bytes, whatever they
  are (colons, newlines and NUL included), and the value is the record's JSON line as it stands in
  the object store, byte for byte, without its newline.
* `user_stats:head`, a string: the head that readers follow; the same document as `head.json`.
* `user_stats:versions`, a hash: version -> JSON `{"state", "buckets", "rows", "since"}`, while it is
  loading also `"loaded_rows", "server"`, for every version that has, or may have, records in Redis. An
  entry is written before the first record and removed after the last, so no record is ever without one.
* `user_stats:loading`, a string that expires: the token of the one run that loads or retires now.

A version begins with a digit, so no record can take the name of one of the other three; a sync's
name holds no colon, so no sync can take the name of another's.
"""

import datetime as dt
import json
from dataclasses import dataclass
from enum import StrEnum

from reverse_etl.errors import IntegrityError
from reverse_etl.landing.layout import check_sync_name, split_version
from reverse_etl.landing.manifest import format_time, parse_time


class VersionState(StrEnum):
    """What may be relied on about a version's records in Redis."""

    LOADING = "loading"  # some may be there; nobody may be pointed at them
    VERIFIED = "verified"  # every one was read back and compared
    RETIRING = "retiring"  # some may be gone; nobody is pointed at them any more


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionEntry:
    """One field of `<sync>:versions`. `since` is when it was written last.

    Of a version that is loading, the first `loaded_rows` records were acknowledged by the server of
    this run id; it is for the next run alone.
    """

    state: VersionState
    buckets: int
    rows: int
    since: dt.datetime
    loaded_rows: int = 0
    server: str = ""


def record_prefix(sync: str, version: str) -> str:
    """What every record key of a version begins with; the record's key follows as it is."""
    split_version(version)
    return f"{check_sync_name(sync)}:{version}:"


def record_key(sync: str, version: str, key: bytes) -> bytes:
    """The Redis key of one record, for a reader; `key` is in its canonical bytes."""
    return record_prefix(sync, version).encode() + key


def head_key(sync: str) -> str:
    """The Redis key of the head."""
    return f"{check_sync_name(sync)}:head"


def versions_key(sync: str) -> str:
    """The Redis key of the hash that names every version with records in Redis."""
    return f"{check_sync_name(sync)}:versions"


def lease_key(sync: str) -> str:
    """The Redis key of the loader's lease."""
    return f"{check_sync_name(sync)}:loading"


def encode_entry(entry: VersionEntry) -> bytes:
    """The bytes of one field of `<sync>:versions`."""
    document = {
        "state": entry.state.value,
        "buckets": entry.buckets,
        "rows": entry.rows,
        "since": format_time(entry.since),
    }
    if entry.loaded_rows:
        document |= {"loaded_rows": entry.loaded_rows, "server": entry.server}
    return json.dumps(document, separators=(",", ":")).encode()


def decode_entry(body: bytes) -> VersionEntry:
    """The entry in these bytes; `IntegrityError` when it is none. Unknown fields are left alone."""
    try:
        document = json.loads(body)
        return VersionEntry(
            state=VersionState(document["state"]),
            buckets=int(document["buckets"]),
            rows=int(document["rows"]),
            since=parse_time(document["since"]),
            loaded_rows=int(document.get("loaded_rows", 0)),
            server=str(document.get("server", "")),
        )
    except (ValueError, TypeError, KeyError):
        raise IntegrityError(
            "An entry of the versions hash in Redis is not one of ours; it was edited by hand or "
            "written by another release. Compare docs/format.md."
        ) from None
