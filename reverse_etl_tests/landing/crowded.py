"""A store in memory that says of itself that its calls are spent waiting: so several are made at once."""

import threading
from collections.abc import Iterator
from typing import Any

from reverse_etl.landing.store import MemoryStore, StoredObject


class CrowdedStore(MemoryStore):
    """Notes every call: in which thread, which, and on what; and the listings with their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str, str]] = []
        self.listed: list[tuple[str, str | None, str | None]] = []
        self.stops = 0

    @property
    def concurrency(self) -> int:
        return 8

    def note(self, call: str, name: str) -> None:
        """A test's own store raises here, or waits."""
        self.calls.append((threading.current_thread().name, call, name))

    def put(self, name: str, body: bytes, **options: Any) -> str:
        self.note("put", name)
        return super().put(name, body, **options)

    def put_if_absent(self, name: str, body: bytes) -> str:
        self.note("put_if_absent", name)
        return super().put_if_absent(name, body)

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        self.note("get", name)
        return super().get_with_etag(name)

    def list_objects(
        self, prefix: str, *, after: str | None = None, until: str | None = None
    ) -> Iterator[StoredObject]:
        self.note("list_objects", prefix)
        self.listed.append((prefix, after, until))
        return super().list_objects(prefix, after=after, until=until)

    def list_folders(self, prefix: str) -> list[str]:
        self.note("list_folders", prefix)
        return super().list_folders(prefix)

    def sweep_unfinished(self, folder: str, *, older_than_seconds: float, now: float) -> int:
        self.note("sweep_unfinished", folder)
        return super().sweep_unfinished(folder, older_than_seconds=older_than_seconds, now=now)

    def stop(self) -> None:
        self.stops += 1
