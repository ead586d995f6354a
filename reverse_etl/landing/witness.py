"""Sees every line of a version on its way from the order to the writers, and says what it saw."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from reverse_etl.engine import Engine, fetch_row, guarded
from reverse_etl.landing.digest import LineSum, sum_columns, sum_from_row
from reverse_etl.landing.encode import record_expression
from reverse_etl.landing.formats import join_lines, text_of
from reverse_etl.landing.kept import LINE
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.refusals import refused_by_value
from reverse_etl.sql import quote_identifier

_PASSING = "passing_lines"


@dataclass(slots=True)
class Witness:
    """Line sum and content digest of the batches that passed, in the order in which they did.

    Batches of a format that holds no lines are encoded as lines once more to be seen.
    """

    engine: Engine
    plan: LandingPlan
    lines: LineSum = field(default_factory=LineSum)
    _content: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def watch(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same batches, each looked at before it goes on."""
        for batch in batches:
            self._see(batch)
            yield batch

    @property
    def content_digest(self) -> str:
        """The content digest of all that passed."""
        return self._content.hexdigest()

    def _see(self, batch: pa.Table) -> None:
        if LINE in batch.column_names:
            passing = batch.select([LINE])
            texts = [text_of(chunk) for chunk in passing.column(0).chunks]
        else:
            passing = self._encode(batch)
            texts = [join_lines(chunk) for chunk in passing.column(0).chunks]
        for text in texts:
            self._content.update(text)
        self.lines += self._sum(passing)

    def _encode(self, batch: pa.Table) -> pa.Table:
        """The batch's records as lines without newline, in their order: one thread reads them."""
        record = record_expression(self.plan.schema)
        with guarded("encoding landed rows"), refused_by_value():
            self.engine.register(_PASSING, batch)
            lines: pa.Table = self.engine.sql(
                f"SELECT {record} AS {quote_identifier(LINE)} FROM {_PASSING}"
            ).to_arrow_table()
            self.engine.unregister(_PASSING)
        return lines

    def _sum(self, passing: pa.Table) -> LineSum:
        with guarded("counting what goes to the writers"):
            self.engine.register(_PASSING, passing)
            row = fetch_row(
                self.engine, f"SELECT {sum_columns(quote_identifier(LINE))} FROM {_PASSING}"
            )
            self.engine.unregister(_PASSING)
        return sum_from_row(row)
