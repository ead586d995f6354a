"""`truncate` and `bucket`: less of a text, less of a number."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field

from reverse_etl.masking.faults import Fault
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.masking.rules.numbers import ODD_NUMBERS, list_odd_numbers
from reverse_etl.types import Kind, type_kind


class Truncate(Rule):
    """The first `length` characters (code points) of a text."""

    rule: Literal["truncate"]
    length: int = Field(ge=0, le=10_000, description="How many characters remain.")

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from STRING."""
        if type_kind(column) is not Kind.STRING:
            raise self.refuse(column, "STRING")
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """Its beginning."""
        del column, parameters, context
        return f"left({quoted}, {self.length})"


def _check_ascending(edges: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if not all(edge.is_finite() for edge in edges):
        raise ValueError("edges must be finite numbers")
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError("edges must ascend, each larger than the one before")
    return edges


class Bucket(Rule):
    """A number as the interval it lies in: "(-inf, 0)", "[0, 100)", "[100, inf)"; NaN is "nan".

    Infinities have a place, and NaN its word, unless `on_error` says otherwise.
    """

    rule: Literal["bucket"]
    edges: Annotated[tuple[Decimal, ...], AfterValidator(_check_ascending)] = Field(
        min_length=1, max_length=100, description="Where one interval ends and the next begins."
    )

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from INT64, FLOAT64 or NUMERIC."""
        kind = column.type
        numeric = pa.types.is_decimal128(kind) or pa.types.is_float64(kind)
        if not (numeric or pa.types.is_int64(kind)):
            raise self.refuse(column, "INT64, FLOAT64 or NUMERIC")
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """A chain of comparisons, in the column's own kind of number so that nothing rounds."""
        del context
        is_float = pa.types.is_float64(column.type)
        kind = "DOUBLE" if is_float else "DECIMAL(38, 9)"
        names = [_format_edge(edge) for edge in self.edges]
        labels = [f"(-inf, {names[0]})"]
        labels += [f"[{low}, {high})" for low, high in pairwise(names)]
        labels += [f"[{names[-1]}, inf)"]
        branches = [f"WHEN isnan({quoted}) THEN 'nan'"] if is_float else []
        branches += [
            f"WHEN {quoted} < {parameters.bind(name)}::{kind} THEN {parameters.bind(label)}"
            for name, label in zip(names, labels, strict=False)
        ]
        last = parameters.bind(labels[-1])
        return f"CASE {' '.join(branches)} WHEN {quoted} IS NOT NULL THEN {last} END"

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """Doubles that are no finite numbers, where `on_error` is given."""
        del parameters, context
        return list_odd_numbers(names.raw, column, ODD_NUMBERS) if self.is_told else ()


def _format_edge(edge: Decimal) -> str:
    """Plain digits: neither an exponent nor trailing zeros."""
    text = f"{edge:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
