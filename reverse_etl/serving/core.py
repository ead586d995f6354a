"""How a reader answers: programs that both drivers carry out, and the state that they share.

Redis first; what it has not, from the same version's objects; what those had, back into Redis.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

from reverse_etl.errors import IntegrityError, ReverseEtlError, TransientError, locate
from reverse_etl.landing.layout import check_sync_name, manifest_name
from reverse_etl.landing.manifest import decode_manifest
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.serving.absences import Absences
from reverse_etl.serving.breaker import Breaker
from reverse_etl.serving.faults import RedisGate
from reverse_etl.serving.heads import HeadFollower
from reverse_etl.serving.keys import Key
from reverse_etl.serving.metrics import Event, Metrics, NoMetrics
from reverse_etl.serving.objects import ObjectGoneError, VersionObjects
from reverse_etl.serving.options import ReaderOptions
from reverse_etl.serving.steps import AskRedis, Once, Program, Together, Work, WriteBack
from reverse_etl.serving.views import Terms, View

Record = dict[str, Any]
Found = dict[bytes, bytes]

_MILLISECONDS = 1000
# A longer MGET would keep the server, and so all other readers, for milliseconds.
_NAMES_AT_ONCE = 1000


class Core:
    """One sync's live version, as programs. Holds no connection and waits for nothing."""

    def __init__(
        self,
        sync: str,
        *,
        store: Callable[[], ObjectStore],
        location: str,
        options: ReaderOptions,
        terms: Terms,
        metrics: Metrics | None,
        clock: Callable[[], float],
    ) -> None:
        self.sync = check_sync_name(sync)
        self.store = store
        #: The store's root as people write it.
        self.location = location
        self.options = options
        #: None when nobody listens: then nothing is timed on the way of a hit.
        self.listener = metrics
        self.metrics: Metrics = NoMetrics() if metrics is None else metrics
        self.gate = RedisGate(
            Breaker(options, metrics=self.metrics, clock=clock),
            metrics=self.metrics,
            write_back=options.write_back_seconds > 0,
            clock=clock,
        )
        self.heads = HeadFollower(
            sync, store=store, options=options, terms=terms, metrics=self.metrics, clock=clock
        )
        # A context variable, not a thread's: tasks of one event loop pin apart from each other.
        self.pin: ContextVar[View | None] = ContextVar("pin", default=None)
        self._objects = VersionObjects(sync, store=store, options=options, metrics=self.metrics)
        self._absences = Absences(options, clock=clock)

    def read(
        self, keys: Sequence[Key], view: View, *, has_answered: bool | None = None
    ) -> Program[list[bytes | None]]:
        """The records of keys, in order, all of one version: that of `view`, or else of a newer one.

        `has_answered` where the caller has asked Redis already: True, it has none of them; False, it
        did not answer.
        """
        try:
            return (yield from self._read_version(keys, view, has_answered=has_answered))
        except ObjectGoneError as error:
            gone = error
        newer = yield from self.heads.reread(after=view)
        if newer.head.version == view.head.version:
            raise gone.explain()
        if self.pin.get() is not None:
            raise TransientError(
                f"Version '{view.head.version}' was retired inside a pinned block. "
                "Leave the block and pin again; keep blocks short."
            )
        try:
            return (yield from self._read_version(keys, newer, has_answered=None))
        except ObjectGoneError as error:
            gone = error
        raise gone.explain()

    def refresh(self) -> Program[None]:
        """Learn the head behind the callers' backs: a failure is counted, and met again by who waits."""
        try:
            yield from self.heads.learn()
        except ReverseEtlError:
            self.metrics.record(Event.HEAD_FAILED)
        finally:
            self.heads.end_asking()

    def read_columns(self, view: View) -> Program[list[str]]:
        """The column names of the version, from its manifest: for when no record tells them."""
        name = manifest_name(self.sync, view.head.version)
        body = yield Work(lambda: self.store().get(name))
        return [column.name for column in decode_manifest(body).columns]

    def _read_version(
        self, keys: Sequence[Key], view: View, *, has_answered: bool | None
    ) -> Program[list[bytes | None]]:
        landed = [view.key_bytes(key) for key in keys]
        wanted = list(dict.fromkeys(landed))
        found: Found = {}
        if has_answered is None:
            has_answered = yield from self._read_redis(wanted, view, found)
        missing = [key for key in wanted if key not in found]
        if missing:
            records = yield from self._read_store(missing, view)
            if has_answered and records:
                yield from self._write_back(records, view)
            found.update(records)
        return [found.get(key) for key in landed]

    def _read_redis(self, keys: Sequence[bytes], view: View, found: Found) -> Program[bool]:
        """Put into `found` what Redis has; whether it answered to the end."""
        for start in range(0, len(keys), _NAMES_AT_ONCE):
            part = keys[start : start + _NAMES_AT_ONCE]
            values = yield AskRedis([view.prefix + key for key in part])
            if values is None:
                return False
            found.update({key: it for key, it in zip(part, values, strict=True) if it is not None})
        if found:
            self.metrics.record(Event.HIT, count=len(found))
        return True

    def _read_store(self, keys: Sequence[bytes], view: View) -> Program[Found]:
        head = view.head
        wanted = [key for key in keys if not self._absences.knows(head.version, key)]
        if len(wanted) < len(keys):
            self.metrics.record(Event.NEGATIVE, count=len(keys) - len(wanted))
        if not wanted:
            return {}
        self.metrics.record(Event.MISS, count=len(wanted))
        places = self._objects.group(wanted, head)
        parts = yield Together(
            [Once((head.version, place), partial(self._fetch, view, place)) for place in places]
        )
        records: Found = yield Work(partial(self._objects.find, head, places, parts))
        for key in wanted:
            if key not in records:
                self._absences.add(head.version, key)
        return records

    def _fetch(self, view: View, place: int) -> Program[Any]:
        return (yield Work(partial(self._objects.fetch, view.head, place)))

    def _write_back(self, records: Found, view: View) -> Program[None]:
        if self.gate.may_write():
            yield WriteBack(
                {view.prefix + key: line for key, line in records.items()},
                int(self.options.write_back_seconds * _MILLISECONDS) or 1,
            )

    @contextlib.contextmanager
    def pinned_to(self, view: View) -> Iterator[None]:
        """Every call inside reads this view, in this thread or task."""
        token = self.pin.set(view)
        try:
            yield
        finally:
            self.pin.reset(token)

    def relocate(self, error: ReverseEtlError) -> ReverseEtlError:
        """The same error, which says of which sync it is."""
        try:
            with locate(sync=self.sync):
                raise error
        except ReverseEtlError as located:
            return located


def measure_age(head: Head) -> float:
    """Seconds since the snapshot of the head's version was pinned, by this machine's clock."""
    return max(0.0, (dt.datetime.now(dt.UTC) - head.snapshot_pinned_at).total_seconds())


def parse_record(raw: bytes | None) -> Record | None:
    """A record as a dict; `IntegrityError` for what is none."""
    if raw is None:
        return None
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise IntegrityError(
            "A record of the live version is not a JSON object. It was altered in Redis or in the "
            "store. Materialise masked and cache of the live day again."
        )
    return record
