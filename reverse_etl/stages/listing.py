"""What versions there are, and which of them readers see."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from reverse_etl.errors import NotFoundError
from reverse_etl.landing.documents import find_head, read_manifest
from reverse_etl.landing.layout import is_version
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """One committed version. `status`: live, in Redis, landed or blocked.

    `masking_key` is `<id>:<fingerprint>` of the key it was made with; None where no column needed one.
    """

    version: str
    partition: str
    rows: int
    bytes: int
    committed_at: dt.datetime
    status: str
    policy_fingerprint: str
    masking_key: str | None


def list_committed(store: ObjectStore, sync: str) -> list[VersionLine]:
    """Every committed version of a sync, newest day first."""
    head = find_head(store, sync)
    return [
        line
        for version in sorted(_list_versions(store, sync), reverse=True)
        if (line := _describe(store, sync, version, head)) is not None
    ]


def _list_versions(store: ObjectStore, sync: str) -> Iterator[str]:
    for day in store.list_folders(f"{sync}/"):
        if day.startswith("dt="):
            yield from filter(is_version, store.list_folders(f"{sync}/{day}/"))


def _describe(store: ObjectStore, sync: str, version: str, head: Head | None) -> VersionLine | None:
    try:
        manifest = read_manifest(store, sync, version)
    except NotFoundError:
        return None  # not committed (yet)
    return VersionLine(
        version=version,
        partition=manifest.partition,
        rows=manifest.rows,
        bytes=manifest.bytes,
        committed_at=manifest.committed_at,
        status=_find_status(version, head),
        policy_fingerprint=manifest.policy_fingerprint,
        masking_key=manifest.key_id,
    )


def _find_status(version: str, head: Head | None) -> str:
    if head is None:
        return "landed"
    if version in head.blocked:
        return "blocked"
    if version == head.version:
        return "live"
    return "in Redis" if version in head.kept else "landed"
