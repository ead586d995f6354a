"""`map`: a table of values, and one answer for all that is not in it."""

from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, Field, StrictInt, StrictStr

from reverse_etl.errors import PolicyError
from reverse_etl.masking.rules.base import MaskContext, Parameters, Rule
from reverse_etl.types import Kind, bigquery_type_name, type_kind

_Integer = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
_Pair = tuple[StrictStr | _Integer, StrictStr | None]


def _check_pairs(pairs: tuple[_Pair, ...]) -> tuple[_Pair, ...]:
    values = [value for value, _ in pairs]
    if len(set(values)) < len(values):
        raise ValueError("values names a value twice")
    if len({type(value) for value in values}) > 1:
        raise ValueError("values mixes texts and numbers; quote all of them or none")
    return pairs


class Map(Rule):
    """What stands beside a value in `values`, and `default` for every value that is not there."""

    rule: Literal["map"]
    values: Annotated[tuple[_Pair, ...], AfterValidator(_check_pairs)] = Field(
        min_length=1,
        max_length=10_000,
        description="Pairs of a value and what it becomes: [[gold, paid], [trial, free]].",
    )
    default: str | None = Field(
        description="What every other value becomes; null is an answer, too, but has to be given."
    )

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from STRING or INT64, whichever the table's values are."""
        kind = type_kind(column)
        if kind not in {Kind.STRING, Kind.INT64}:
            raise self.refuse(column, "STRING or INT64")
        if kind is not self._kind:
            raise PolicyError(
                f"Rule 'map' of column '{self.name}' has values of {self._kind}; the query returns "
                f"{bigquery_type_name(column)}. In YAML '1' is text and 1 is a number."
            )
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The column that is looked up outside of the query, where the table is a hash table."""
        del quoted, context
        return parameters.bind_column(column.name, self._look_up)

    def show_options(self) -> dict[str, Any]:
        """How many values there are, and not each of them."""
        return {"values": len(self.values), "default": self.default}

    @property
    def _kind(self) -> Kind:
        return Kind.STRING if isinstance(self.values[0][0], str) else Kind.INT64

    def _look_up(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        known = pa.array([value for value, _ in self.values], values.type)
        # A value that is not in the table has no index, and takes the last of the answers.
        answers = pa.array([*(answer for _, answer in self.values), self.default], pa.string())
        found: Any = pc.index_in(values, value_set=known)
        answered = answers.take(found.fill_null(len(known)).combine_chunks())
        masked: pa.ChunkedArray = pc.if_else(
            pc.is_null(values), pa.scalar(None, pa.string()), pa.chunked_array([answered])
        )
        return masked
