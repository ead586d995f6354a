"""How far a load has come, for a run that goes on with it: part of the version's entry in Redis.

It says that the version's first so many records were acknowledged by a server whose run id is the same
still: a server that restarted, or took another's place, may hold less. That is never relied on for more
than for not sending them again: verification asks for every record. When it finds a difference, how far
the load had come is forgotten, so the next run sends all.
"""

import time
from contextlib import suppress

from reverse_etl.cache.bulk import Bulk, Tally
from reverse_etl.cache.versions import list_versions, note_loaded, register_version
from reverse_etl.errors import ReverseEtlError
from reverse_etl.model import Manifest

_NOTE_SECONDS = 1.0


class Resume:
    """One version's load: where it begins, and how far it is, which is written down as it goes on."""

    def __init__(self, manifest: Manifest, bulk: Bulk) -> None:
        self._manifest = manifest
        self._bulk = bulk
        self._server = bulk.target.read_run_id()
        self._noted_at = time.monotonic()
        self._noted = self._loaded = 0
        self.rows = 0

    def begin(self) -> None:
        """Name the version as loading; `rows` says how many of its first records are there already."""
        self.rows = register_version(
            self._bulk.target, self._manifest, now=self._bulk.clock(), server=self._server
        )
        self._noted = self._loaded = self.rows

    def note(self, total: Tally) -> None:
        """So many records from the first one on are acknowledged; written down now and then."""
        self._loaded = max(self._loaded, total.rows)
        if time.monotonic() - self._noted_at >= _NOTE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write it down now, if Redis lets us: it is only an advantage."""
        self._noted_at = time.monotonic()
        if self._server is None or self._loaded == self._noted:
            return
        with suppress(ReverseEtlError):
            # Who has lost the lease may speak of records that another run has taken out since.
            self._bulk.check()
            note_loaded(self._bulk.target, self._manifest, rows=self._loaded, server=self._server)
            self._noted = self._loaded


def is_another_server(manifest: Manifest, bulk: Bulk) -> bool:
    """Whether the server that was loaded is known to be gone: restarted, or replaced by a replica."""
    entry = list_versions(bulk.target, manifest.sync).get(manifest.version)
    if entry is None or not entry.server:
        return False
    return bulk.target.read_run_id() not in (None, entry.server)


def forget_loaded(manifest: Manifest, bulk: Bulk) -> None:
    """Have the next run send every record; Redis being away is no error."""
    with suppress(ReverseEtlError):
        note_loaded(bulk.target, manifest, rows=0, server="")
