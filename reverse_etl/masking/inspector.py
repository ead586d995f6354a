"""What looks at masked rows on their way, before anything of them is written: a gate of the version."""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa

from reverse_etl.engine import Engine


class Inspector(Protocol):
    """Sees something of every masked row once, and decides at the end.

    Batches come from several threads, each with a cursor of its own.
    """

    @property
    def items(self) -> Mapping[str, str]:
        """What it wants to see: SQL over the landed columns, by the name it is given under.

        It is computed in the same pass as masking and encoding. Names begin with a dot, and no two
        inspectors have the same.
        """
        ...

    def see(self, cursor: Engine, seen: pa.Table) -> None:
        """Take a batch: its columns are the items, one row a record, in any order."""
        ...

    def conclude(self) -> None:
        """Return if the version may be written; `DataError` says, with counts, why it may not."""
        ...

    def close(self) -> None:
        """Let go of what it holds; closing twice is closing once."""
        ...
