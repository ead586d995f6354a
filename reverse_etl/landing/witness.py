"""Sees every line of a JSON version on its way from the order to the writers, and says what it saw."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from reverse_etl.engine import Engine, fetch_row, guarded
from reverse_etl.landing.digest import LineSum, sum_columns, sum_from_row
from reverse_etl.landing.formats import text_of
from reverse_etl.landing.spill import LINE
from reverse_etl.sql import quote_identifier


@dataclass(slots=True)
class Witness:
    """Line sum and content digest of the batches that passed, in the order in which they did."""

    engine: Engine
    lines: LineSum = field(default_factory=LineSum)
    _content: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def watch(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same batches, each looked at before it goes on."""
        for batch in batches:
            self.lines += self._sum(batch)
            for chunk in batch.column(LINE).chunks:
                self._content.update(text_of(chunk))
            yield batch

    @property
    def content_digest(self) -> str:
        """The content digest of all that passed."""
        return self._content.hexdigest()

    def _sum(self, batch: pa.Table) -> LineSum:
        with guarded("counting what goes to the writers"):
            self.engine.register("passing_lines", batch.select([LINE]))
            row = fetch_row(
                self.engine, f"SELECT {sum_columns(quote_identifier(LINE))} FROM passing_lines"
            )
            self.engine.unregister("passing_lines")
        return sum_from_row(row)
