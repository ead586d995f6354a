"""The content digest: what two places hold the same records, whatever their order, agree on.

Each record's line (without its newline) is hashed with MD5. The 16 bytes of the hash, read as one
little-endian number, are cut into a low lane (the first 8 bytes) and a high lane (the last 8); each
lane is summed over all lines modulo 2^64. Sums of parts add up to the sum of the whole. MD5 is here
for its speed and its spread: nobody but ourselves writes what is compared.
"""

import hashlib
from collections.abc import Iterable, Sequence

from reverse_etl.model import ContentDigest

_LANE_BITS = 64
_LANE_MASK = (1 << _LANE_BITS) - 1


def digest_columns(line_expression: str) -> str:
    """A SELECT list over lines, none of them NULL, for `digest_from_row`: count and both lanes' sums.

    DuckDB's `md5_number` is that little-endian number. It is computed once a line although it is
    written twice, and taking it apart costs a third of `md5_number_lower` and `md5_number_upper`.
    """
    number = f"md5_number({line_expression})"
    return (
        f"count(*), sum(({number} & {_LANE_MASK}::UHUGEINT)::UBIGINT), "
        f"sum(({number} >> {_LANE_BITS})::UBIGINT)"
    )


def digest_from_row(row: Sequence[int | None]) -> ContentDigest:
    """The digest in the only row of a SELECT of `digest_columns`; of no lines, all zeros."""
    rows, low, high = (number or 0 for number in row)
    return ContentDigest(rows=rows, low=low & _LANE_MASK, high=high & _LANE_MASK)


def digest_lines(lines: Iterable[bytes]) -> ContentDigest:
    """The digest of lines given one by one: the definition in plain Python, to test and port by."""
    digest = ContentDigest()
    for line in lines:
        hashed = hashlib.md5(line, usedforsecurity=False).digest()
        low, high = (int.from_bytes(half, "little") for half in (hashed[:8], hashed[8:]))
        digest += ContentDigest(rows=1, low=low, high=high)
    return digest
