"""Where alerts are raised: noted in a sync's ledger, then put into the outbox. It may be repeated at will."""

import datetime as dt
from collections.abc import Callable
from functools import partial

from reverse_etl.alerts.ledger import (
    Fold,
    Ledger,
    Problem,
    clear_pending,
    close_problems,
    flush,
    note,
)
from reverse_etl.alerts.ledger_documents import decode_ledger, encode_ledger
from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl.alerts.outbox import FOLDER, Outbox, pause_after_conflict
from reverse_etl.alerts.wording import Place, describe_folded
from reverse_etl.errors import ConflictError, TransientError
from reverse_etl.landing.store import ObjectStore, find

_LEDGERS = FOLDER + "ledgers/"
_NO_SYNC = _LEDGERS + "runs.json"
_OF_SYNC = _LEDGERS + "sync."
_ENDING = ".json"
_ATTEMPTS = 20


class Desk:
    """Takes what happened, and sees to it that each is told once, and that a flood is told as one."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        channels: tuple[str, ...],
        place: Place,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._store = store
        self._outbox = Outbox(store)
        self._channels = channels
        self._place = place
        self._now = now

    def tell(self, alert: Alert, *, problem: tuple[str, Problem] | None = None) -> None:
        """Raise `alert`, and remember what is bad until `resolve`; nothing when it was raised before."""

        def change(ledger: Ledger) -> Ledger:
            summarise = partial(self._summarise, alert.sync)
            return note(ledger, alert, now=self._now(), summarise=summarise, problem=problem)

        self._change(alert.sync, change)

    def resolve(
        self,
        sync: str | None,
        is_over: Callable[[str, Problem], bool],
        describe: Callable[[Problem], Alert],
    ) -> int:
        """Close the problems that are over; tell so of each that somebody was told of. How many closed."""
        found = find(self._store, _name(sync))
        if found is None:
            return 0
        standing = decode_ledger(_name(sync), found[0]).problems
        keys = tuple(key for key, problem in standing.items() if is_over(key, problem))
        in_vain = {key for key in keys if self._was_in_vain(standing[key])}

        def change(ledger: Ledger) -> Ledger:
            ledger, _ = close_problems(ledger, tuple(in_vain))
            ledger, known = close_problems(ledger, tuple(key for key in keys if key not in in_vain))
            summarise = partial(self._summarise, sync)
            for problem in known:
                alert = describe(problem)
                ledger = note(ledger, alert, now=self._now(), summarise=summarise)
            return ledger

        if keys:
            self._change(sync, change)
        return len(keys)

    def find_problem(self, sync: str, key: str) -> Problem | None:
        """What is known as bad and not over, under this key."""
        found = find(self._store, _name(sync))
        return None if found is None else decode_ledger(_name(sync), found[0]).problems.get(key)

    def flush(self) -> None:
        """Tell what was collected and whose hour is over, of every sync; finish what a crash left."""
        for item in list(self._store.list_objects(_LEDGERS)):
            sync = _read_sync(item.name)

            def change(ledger: Ledger, sync: str | None = sync) -> Ledger:
                summarise = partial(self._summarise, sync)
                return flush(ledger, now=self._now(), summarise=summarise)

            self._change(sync, change)

    def _summarise(self, sync: str | None, kind: AlertKind, fold: Fold) -> Alert:
        return describe_folded(sync, kind, fold, place=self._place)

    def _was_in_vain(self, problem: Problem) -> bool:
        found = self._outbox.find(problem.alert_id)
        return found is not None and found[0].was_in_vain

    def _change(self, sync: str | None, change: Callable[[Ledger], Ledger]) -> None:
        """Change the ledger, then put into the outbox what is pending in it, then strike that out."""
        ledger = self._replace(sync, change)
        if ledger.pending:
            for alert in ledger.pending:
                self._outbox.add(alert, self._channels, now=self._now())
            self._replace(sync, partial(clear_pending, posted=ledger.pending))

    def _replace(self, sync: str | None, change: Callable[[Ledger], Ledger]) -> Ledger:
        name = _name(sync)
        for _ in range(_ATTEMPTS):
            found = find(self._store, name)
            ledger = Ledger() if found is None else decode_ledger(name, found[0])
            changed = change(ledger)
            if changed == ledger:
                return ledger
            try:
                if found is None:
                    self._store.put_if_absent(name, encode_ledger(changed))
                else:
                    self._store.put_if_match(name, encode_ledger(changed), etag=found[1])
            except ConflictError:
                pause_after_conflict()
                continue
            return changed
        raise TransientError(
            f"'{name}' was changed by others {_ATTEMPTS} times meanwhile. The next tick tries again."
        )


def _name(sync: str | None) -> str:
    return _NO_SYNC if sync is None else f"{_OF_SYNC}{sync}{_ENDING}"


def _read_sync(name: str) -> str | None:
    return None if name == _NO_SYNC else name.removeprefix(_OF_SYNC).removesuffix(_ENDING)
