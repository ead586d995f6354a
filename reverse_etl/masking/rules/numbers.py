"""`round`, `top_code`, `bottom_code`, `geo_round`: fewer digits, no extremes, a place and no address."""

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field

from reverse_etl.errors import PolicyError
from reverse_etl.masking.faults import Fault, Reason
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.types import Kind, type_kind

#: Python rounds decimals to 28 digits unless it is told otherwise.
_EXACT = Context(prec=100)
_INT64 = (-(2**63), 2**63 - 1)
_LARGEST = {Kind.INT64: Decimal(_INT64[1]), Kind.NUMERIC: _EXACT.scaleb(Decimal(10**38 - 1), -9)}
#: From here on doubles are whole numbers, so that a quotient has nothing left to be rounded.
_WHOLE_DOUBLES = 2**52
_ENGINE_TYPES = {Kind.INT64: "BIGINT", Kind.FLOAT64: "DOUBLE", Kind.NUMERIC: "DECIMAL(38, 9)"}
_RIGHT_ANGLE = 90
_ODD_NUMBERS = {Reason.NOT_A_NUMBER: "isnan", Reason.INFINITE: "isinf"}
#: Why a FLOAT64 may be no number to count with.
ODD_NUMBERS = tuple(_ODD_NUMBERS)


def _check_grid(degrees: Decimal) -> Decimal:
    # Otherwise the nearest grid point of a place near a pole could lie beyond it.
    if _RIGHT_ANGLE % degrees:
        raise ValueError("90 must be a multiple of it, as of 0.01, 0.5 or 10")
    return degrees


#: What a NUMERIC of BigQuery holds.
_Number = Annotated[Decimal, Field(max_digits=38, decimal_places=9, allow_inf_nan=False)]


class _NumberRule(Rule):
    """What the rules for numbers have in common: the type that comes in goes out."""

    def output_field(self, column: pa.Field) -> pa.Field:
        """The same type: INT64, FLOAT64 or NUMERIC."""
        if type_kind(column) not in _ENGINE_TYPES:
            raise self.refuse(column, "INT64, FLOAT64 or NUMERIC")
        return column

    def check_option(self, column: pa.Field, option: str, number: Decimal) -> None:
        """`PolicyError` for a number that the column's own type cannot hold."""
        least, most = _INT64
        if type_kind(column) is Kind.INT64 and not (
            number == int(number) and least <= number <= most
        ):
            raise PolicyError(
                f"Rule '{self.rule}' of column '{self.name}' has {option} {number}, which is no INT64, as "
                "the column is. Give a whole number, or cast the column in the query."
            )


def list_odd_numbers(quoted: str, column: pa.Field, reasons: Iterable[Reason]) -> tuple[Fault, ...]:
    """Of a FLOAT64 that is no finite number the faults of these reasons; other types have none."""
    if type_kind(column) is not Kind.FLOAT64:
        return ()
    return tuple(
        Fault(reason=reason, condition=f"{_ODD_NUMBERS[reason]}({quoted})") for reason in reasons
    )


class Round(_NumberRule):
    """The nearest multiple of `to`; what lies in the middle goes away from zero.

    INT64 and NUMERIC are exact. Where the type cannot hold the nearest multiple, the next one
    towards zero stands in.
    """

    rule: Literal["round"]
    to: _Number = Field(gt=0, description="What every number becomes a multiple of.")

    def output_field(self, column: pa.Field) -> pa.Field:
        """The same type: INT64, FLOAT64 or NUMERIC, which `to` is a number of, too."""
        landed = super().output_field(column)
        self.check_option(column, "to", self.to)
        return landed

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """In whole numbers where there are any."""
        del context
        kind = type_kind(column)
        if kind is Kind.FLOAT64:
            return _round_double(quoted, self.to, parameters)
        return _round_exactly(quoted, self.to, kind, parameters)

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """NaN and infinities: they have no nearest multiple."""
        del parameters, context
        return list_odd_numbers(names.raw, column, ODD_NUMBERS)


class _Code(_NumberRule):
    """What the rules with a limit have in common."""

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """NaN, which no limit holds; infinities are values unless `on_error` says otherwise."""
        del parameters, context
        reasons = ODD_NUMBERS if self.is_told else [Reason.NOT_A_NUMBER]
        return list_odd_numbers(names.raw, column, reasons)


class TopCode(_Code):
    """What is above `limit` becomes `limit`."""

    rule: Literal["top_code"]
    limit: _Number = Field(description="The largest number that leaves.")

    def output_field(self, column: pa.Field) -> pa.Field:
        """The same type: INT64, FLOAT64 or NUMERIC, which `limit` is a number of, too."""
        landed = super().output_field(column)
        self.check_option(column, "limit", self.limit)
        return landed

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """One comparison; NaN, which the engine sorts above all numbers, stays NaN."""
        del context
        kind = type_kind(column)
        limit = _bind_number(self.limit, kind, parameters)
        number = f"NOT isnan({quoted}) AND " if kind is Kind.FLOAT64 else ""
        return f"CASE WHEN {number}{quoted} > {limit} THEN {limit} ELSE {quoted} END"


class BottomCode(_Code):
    """What is below `limit` becomes `limit`."""

    rule: Literal["bottom_code"]
    limit: _Number = Field(description="The smallest number that leaves.")

    def output_field(self, column: pa.Field) -> pa.Field:
        """The same type: INT64, FLOAT64 or NUMERIC, which `limit` is a number of, too."""
        landed = super().output_field(column)
        self.check_option(column, "limit", self.limit)
        return landed

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """One comparison, which NaN passes."""
        del context
        limit = _bind_number(self.limit, type_kind(column), parameters)
        return f"CASE WHEN {quoted} < {limit} THEN {limit} ELSE {quoted} END"


class GeoRound(Rule):
    """A latitude or longitude as the nearest point of a grid: the centre of the cell it lies in.

    What is no angle between -180 and 180 cannot be masked.
    """

    rule: Literal["geo_round"]
    degrees: Annotated[_Number, AfterValidator(_check_grid)] = Field(
        gt=0, le=_RIGHT_ANGLE, description="Width of a cell; 0.01 degrees are about a kilometre."
    )

    def output_field(self, column: pa.Field) -> pa.Field:
        """FLOAT64, from FLOAT64."""
        if type_kind(column) is not Kind.FLOAT64:
            raise self.refuse(column, "FLOAT64")
        return column

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The angle rounded to the grid."""
        del column, context
        half_turn = 2 * _RIGHT_ANGLE
        nearest = _round_double(quoted, self.degrees, parameters)
        return f"CASE WHEN {quoted} BETWEEN -{half_turn} AND {half_turn} THEN {nearest} END"

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """What is no number, and what is no angle."""
        del column, parameters, context
        no_angle = f"{names.raw} IS NOT NULL AND {names.masked} IS NULL"
        return (
            Fault(reason=Reason.NOT_A_NUMBER, condition=f"isnan({names.raw})"),
            Fault(reason=Reason.OUT_OF_RANGE, condition=no_angle),
        )


def _round_exactly(quoted: str, to: Decimal, kind: Kind, parameters: Parameters) -> str:
    # HUGEINT holds the magnitude of the smallest INT64, which INT64 does not.
    number = f"{quoted}::HUGEINT" if kind is Kind.INT64 else quoted
    engine_type = "HUGEINT" if kind is Kind.INT64 else _ENGINE_TYPES[kind]
    step = f"{parameters.bind(f'{to:f}')}::{engine_type}"
    highest = f"{parameters.bind(f'{_EXACT.subtract(_LARGEST[kind], to):f}')}::{engine_type}"
    rest = f"(abs({number}) % {step})"
    low = f"(abs({number}) - {rest})"
    # Neither side of the comparison can overflow: what would not fit is never computed.
    goes_up = f"{rest} >= {step} - {rest} AND {low} <= {highest}"
    nearest = f"(CASE WHEN {goes_up} THEN {low} + {step} ELSE {low} END)"
    signed = f"CASE WHEN {quoted} < 0 THEN -{nearest} ELSE {nearest} END"
    return f"({signed})::{_ENGINE_TYPES[kind]}"


def _round_double(quoted: str, to: Decimal, parameters: Parameters) -> str:
    """Multiples as quotients of whole numbers, `3 * 1 / 10`: the double that is written 0.3."""
    numerator, denominator = to.as_integer_ratio()
    above = f"{parameters.bind(str(numerator))}::DOUBLE"
    below = f"{parameters.bind(str(denominator))}::DOUBLE"
    multiples = f"({quoted} * {below} / {above})"
    whole = f"round({multiples})"
    # Nothing is left to be rounded of larger ones, nor of infinities and NaN; and no zero has a sign.
    return (
        f"CASE WHEN {whole} = 0 THEN 0.0::DOUBLE "
        f"WHEN abs({multiples}) < {_WHOLE_DOUBLES} THEN {whole} * {above} / {below} "
        f"ELSE {quoted} END"
    )


def _bind_number(number: Decimal, kind: Kind, parameters: Parameters) -> str:
    return f"{parameters.bind(f'{number:f}')}::{_ENGINE_TYPES[kind]}"
