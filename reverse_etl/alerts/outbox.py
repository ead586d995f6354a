"""The outbox: one object an alert in the store, made once, changed by compare-and-set alone."""

import datetime as dt
import random
import time
from collections.abc import Callable, Iterable, Iterator

from reverse_etl.alerts.entry import Entry, build_entry, decode_entry, encode_entry
from reverse_etl.alerts.model import Alert
from reverse_etl.errors import ConflictError, TransientError
from reverse_etl.landing.store import ObjectStore, StoredObject, find

#: Everything of alerts. No sync's folder: their names begin with a letter.
FOLDER = "_alerts/"
_OUTBOX = FOLDER + "outbox/"
_ENDING = ".json"

_ATTEMPTS = 20
_LONGEST_PAUSE_SECONDS = 0.1


class Outbox:
    """Alerts that were raised, each with how it stands with its channels."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def add(self, alert: Alert, channels: tuple[str, ...], *, now: dt.datetime) -> bool:
        """Put an alert in, due at once; False when it is there already, told or not."""
        body = encode_entry(build_entry(alert, channels, now=now))
        try:
            self._store.put_if_absent(_name(alert.alert_id), body)
        except ConflictError:
            return False
        return True

    def list_objects(self) -> Iterator[StoredObject]:
        """Everything that lies in it, unread."""
        return self._store.list_objects(_OUTBOX)

    def find(self, alert_id: str) -> tuple[Entry, str] | None:
        """An alert and its object's etag, if it is there; `IntegrityError` when it cannot be read."""
        name = _name(alert_id)
        found = find(self._store, name)
        return None if found is None else (decode_entry(name, found[0]), found[1])

    def change(self, alert_id: str, change: Callable[[Entry], Entry | None]) -> Entry | None:
        """Replace an entry by what `change` makes of it; None when it makes nothing, or it is gone.

        `change` is asked again when somebody else was faster.
        """
        for _ in range(_ATTEMPTS):
            found = self.find(alert_id)
            if found is None:
                return None
            entry, etag = found
            changed = change(entry)
            if changed is None:
                return None
            try:
                self._store.put_if_match(_name(alert_id), encode_entry(changed), etag=etag)
            except ConflictError:
                pause_after_conflict()
                continue
            return changed
        raise TransientError(
            f"Alert {alert_id} was changed by others {_ATTEMPTS} times meanwhile. The next tick tries again."
        )

    def remove(self, alert_ids: Iterable[str]) -> None:
        """Forget alerts."""
        self._store.delete([_name(alert_id) for alert_id in alert_ids])


def pause_after_conflict() -> None:
    """A moment by chance, so that two who collided do not collide again."""
    time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - spreads writers


def read_alert_id(name: str) -> str:
    """Whose entry an object is."""
    return name.removeprefix(_OUTBOX).removesuffix(_ENDING)


def _name(alert_id: str) -> str:
    return f"{_OUTBOX}{alert_id}{_ENDING}"
