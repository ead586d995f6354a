"""Commands and replies of Redis' wire protocol (RESP2) for whole columns of records. Pure.

A record's part of a command or a reply is a row of pieces: the head before its key, the key, the head
before its line, the line. A head begins with the line end of what stands before it, so the stream's first
line end is one too many, and its last one is missing. Everything is length-prefixed: no byte of a key
or a line means anything to the protocol.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.cache.views import Coded, Places, Views, join_pieces, view_column

#: The reply to a successful SET or MSET.
STORED_REPLY = b"+OK\r\n"

#: The bytes of a reply to UNLINK of one key: `:0` when there was none, else `:1`.
UNLINK_REPLY_BYTES = 4

_END = b"\r\n"
_LAST_END = view_column(pa.array([_END], pa.binary()))

# Up to here a table with a place for every length costs less than to sort them.
_COUNTED_LENGTH = 1 << 16

Lengths = npt.NDArray[np.int64]


def build_store(keys: Views, lines: Views, *, prefix: bytes, together: int | None) -> pa.Buffer:
    """What stores every line under `prefix` and its key.

    MSETs of `together` records each, the last of what is left; or, where it is None, SETs.
    """
    name = b"SET" if together is None else b"MSET"
    key_heads = _build_key_heads(keys, name=name, words=2, prefix=prefix, together=together)
    return _join([key_heads, keys, _build_heads(lines.lengths), lines])


def build_ask(keys: Views, *, prefix: bytes, together: int | None) -> pa.Buffer:
    """What asks for every line: MGETs, or GETs."""
    name = b"GET" if together is None else b"MGET"
    return _join(
        [_build_key_heads(keys, name=name, words=1, prefix=prefix, together=together), keys]
    )


def build_unlink(keys: Views, *, prefix: bytes) -> pa.Buffer:
    """An UNLINK for every key."""
    heads = _build_key_heads(keys, name=b"UNLINK", words=1, prefix=prefix, together=None)
    return _join([heads, keys])


def build_found(lines: Views, *, together: int | None) -> tuple[pa.Buffer, Lengths]:
    """What is answered when every line is there, and where in it the replies begin."""

    def lead(count: int) -> bytes:
        return b"" if together is None else b"\r\n*%d" % count

    heads = _build_heads(lines.lengths, lead=lead, together=together or 1)
    ends = np.cumsum(heads.lengths + lines.lengths)
    starts = np.concatenate((np.zeros(1, dtype=np.int64), ends))[: len(lines) : together]
    return _join([heads, lines]), starts


def count_commands(rows: int, *, together: int | None) -> int:
    """How many commands so many records make, and so how many replies."""
    return -(-rows // (together or 1))


def _build_key_heads(
    keys: Views, *, name: bytes, words: int, prefix: bytes, together: int | None
) -> Coded:
    """What stands before each key: now and then the head of a command; its length; the prefix."""

    def lead(count: int) -> bytes:
        return b"\r\n*%d\r\n$%d\r\n%b" % (count * words + 1, len(name), name)

    return _build_heads(keys.lengths + len(prefix), lead=lead, together=together or 1, after=prefix)


def _build_heads(
    lengths: Lengths,
    *,
    lead: Callable[[int], bytes] = lambda _count: b"",
    together: int = 1,
    after: bytes = b"",
) -> Coded:
    """A line end, `$`, each length, a line end, `after`.

    Before the first of every `together` of them stands what `lead` makes of how many they are.
    """
    distinct, places = _number(lengths)
    whole, rest = len(lengths) // together * together, len(lengths) % together
    leads = [b"", lead(together), lead(rest)]
    # One after the other: all heads without a lead, all with the usual one, all with the last one.
    texts = [
        b"%b\r\n$%d\r\n%b" % (before, length, after)
        for before in leads
        for length in distinct.tolist()
    ]
    places[:whole:together] += len(distinct)
    if rest:
        places[whole] += 2 * len(distinct)
    return Coded(view_column(pa.array(texts, pa.binary_view())), places)


def _number(lengths: Lengths) -> tuple[Lengths, Places]:
    """The different lengths, and which of them each is."""
    if len(lengths) == 0 or int(lengths.max()) > _COUNTED_LENGTH:
        return np.unique(lengths, return_inverse=True)
    distinct = np.flatnonzero(np.bincount(lengths))
    numbers = np.empty(int(distinct[-1]) + 1, dtype=np.intp)
    numbers[distinct] = np.arange(len(distinct))
    return distinct, numbers[lengths]


def _join(columns: Sequence[Views | Coded]) -> pa.Buffer:
    """The pieces in order, as they go over the wire."""
    if len(columns[0]) == 0:
        return pa.py_buffer(b"")
    return join_pieces(columns, end=_LAST_END).slice(len(_END))
