"""The whitelist: every function that is known to give the same answer in both engines."""

from collections.abc import Mapping

from reverse_etl.sources.dialect.calls import Function
from reverse_etl.sources.dialect.functions import (
    aggregates,
    arrays,
    conditions,
    dates,
    datetimes,
    documents,
    hashes,
    numbers,
    patterns,
    ranks,
    texts,
    timestamps,
)

_ROOMS = (
    conditions,
    texts,
    patterns,
    numbers,
    dates,
    datetimes,
    timestamps,
    aggregates,
    ranks,
    arrays,
    hashes,
    documents,
)

WHITELIST: Mapping[str, Function] = {
    function.name: function for room in _ROOMS for function in room.FUNCTIONS
}
