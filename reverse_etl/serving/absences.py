"""Keys that a version has no record of, remembered for a moment: a version never changes."""

import hashlib
from collections.abc import Callable

from reverse_etl.serving.bounded import Bounded
from reverse_etl.serving.options import ReaderOptions

# A longer key is remembered by its hash, which together with a mark is longer than any that is not.
_LONGEST_KEY = 64
_MARK = b"#"


class Absences:
    """Which keys were found absent, by version. Redis is asked first all the same."""

    def __init__(self, options: ReaderOptions, *, clock: Callable[[], float]) -> None:
        self._seconds = options.absent_seconds
        self._until: Bounded[float] = Bounded(options.absent_keys if self._seconds > 0 else 0)
        self._clock = clock

    def knows(self, version: str, key: bytes) -> bool:
        """Whether the version was found to have no such record, a moment ago."""
        name = (version, _shorten(key))
        until = self._until.find(name)
        if until is None:
            return False
        if self._clock() < until:
            return True
        self._until.forget(name)
        return False

    def add(self, version: str, key: bytes) -> None:
        """Remember that a whole, checked object did not hold the key."""
        self._until.keep((version, _shorten(key)), self._clock() + self._seconds)


def _shorten(key: bytes) -> bytes:
    return key if len(key) <= _LONGEST_KEY else hashlib.sha512(key).digest() + _MARK
