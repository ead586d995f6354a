"""What remains of a number: known answers, and exact Python arithmetic over many inputs."""

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reverse_etl.errors import PolicyError
from reverse_etl.masking.rules import BottomCode, GeoRound, Round, Rule, TopCode
from reverse_etl_tests.masking.conftest import MaskValues

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
INT64 = (-(2**63), 2**63 - 1)
NUMERIC = pa.decimal128(38, 9)
# Python rounds decimals to 28 digits unless it is told otherwise.
EXACT = Context(prec=400)
LARGEST_NUMERIC = EXACT.scaleb(Decimal(10**38 - 1), -9)
integers = st.integers(*INT64) | st.integers(-30, 30) | st.sampled_from(INT64)
numerics = st.builds(
    lambda digits: EXACT.scaleb(Decimal(digits), -9), st.integers(-(10**38) + 1, 10**38 - 1)
) | st.sampled_from([Decimal(0), Decimal("0.5"), Decimal("-2.5"), Decimal("1.005")])
floats = st.floats() | st.sampled_from([0.15, -0.15, -0.0, 0.5, 2.5, 1e22, 5e-324, -180.0, 180.0])


def round_exactly(number: int | Decimal, to: Decimal, largest: int | Decimal) -> Fraction:
    magnitude, step = abs(Fraction(number)), Fraction(to)
    low = magnitude // step * step
    goes_up = magnitude - low >= step / 2 and low + step <= Fraction(largest)
    return (low + step if goes_up else low) * (-1 if number < 0 else 1)


@many
@given(
    values=st.lists(st.none() | integers, max_size=20),
    to=st.sampled_from([1, 2, 3, 10, 1000, 7**20, 2**63 - 1]) | st.integers(1, 2**63 - 1),
)
def test_integers_are_rounded_exactly(
    mask_values: MaskValues, values: list[int | None], to: int
) -> None:
    """From one end of INT64 to the other, the middle away from zero; NULL stays NULL."""
    rule = Round(name="x", rule="round", to=Decimal(to))

    masked = mask_values(rule, values, pa.int64())

    assert masked == [
        None if value is None else round_exactly(value, rule.to, INT64[1]) for value in values
    ]


@many
@given(
    values=st.lists(st.none() | numerics, max_size=20),
    to=st.sampled_from(["1", "0.01", "0.000000001", "0.3", "2.5", "1000", "99999999999999999999999999999"]),
)  # fmt: skip
def test_numerics_are_rounded_exactly(
    mask_values: MaskValues, values: list[Decimal | None], to: str
) -> None:
    """Decimals are never made doubles on the way."""
    rule = Round(name="x", rule="round", to=Decimal(to))

    masked = mask_values(rule, values, NUMERIC)

    assert masked == [
        None if value is None else round_exactly(value, rule.to, LARGEST_NUMERIC)
        for value in values
    ]


def round_double(number: float, to: Decimal) -> float:
    numerator, denominator = to.as_integer_ratio()
    multiples = number * float(denominator) / float(numerator)
    if not abs(multiples) < 2**52:
        return number
    whole = Decimal(multiples).quantize(Decimal(1), ROUND_HALF_UP, EXACT)
    return float(whole) * float(numerator) / float(denominator) if whole else 0.0


def show(numbers: list[Any]) -> list[object]:
    """NaN is equal to itself here, and the two zeros are not equal."""
    return [repr(it) if isinstance(it, float) else it for it in numbers]


@many
@given(
    values=st.lists(st.none() | floats, max_size=20),
    to=st.sampled_from(
        ["1", "0.01", "0.3", "2.5", "1000", "0.000000001", "99999999999999999999999999999"]
    ),
)
def test_doubles_are_rounded_to_what_is_written(
    mask_values: MaskValues, values: list[float | None], to: str
) -> None:
    """A multiple of 0.1 is the double that is written 0.3; NaN and infinities stay, no zero has a sign."""
    rule = Round(name="x", rule="round", to=Decimal(to))

    masked = mask_values(rule, values, pa.float64())

    assert show(masked) == show(
        [None if value is None else round_double(value, rule.to) for value in values]
    )


@pytest.mark.parametrize(
    ("to", "kind", "value", "expected"),
    [
        ("10", pa.int64(), 15, 20),
        ("10", pa.int64(), -15, -20),
        ("10", pa.int64(), 14, 10),
        ("1000", pa.int64(), 2**63 - 1, 9223372036854775000),
        ("1000", pa.int64(), -(2**63), -9223372036854775000),
        ("2", pa.int64(), -(2**63), -(2**63)),
        ("0.05", NUMERIC, Decimal("1.025"), Decimal("1.05")),
        ("0.01", NUMERIC, Decimal("-1.005"), Decimal("-1.01")),
        ("1", NUMERIC, LARGEST_NUMERIC, Decimal(10**29 - 1)),
        ("0.1", pa.float64(), 0.30000000000000004, 0.3),
        ("0.1", pa.float64(), 0.25, 0.3),
        ("0.1", pa.float64(), -0.25, -0.3),
        ("100", pa.float64(), 1e300, 1e300),
        ("100", pa.float64(), math.inf, math.inf),
        ("1", pa.float64(), 0.49999999999999994, 0.0),
    ],
)
def test_round_of_known_numbers(
    mask_values: MaskValues, to: str, kind: pa.DataType, value: object, expected: object
) -> None:
    """The middle goes away from zero, and nothing leaves its type."""
    rule = Round(name="x", rule="round", to=Decimal(to))

    assert mask_values(rule, [value, None], kind) == [expected, None]


@pytest.mark.parametrize("to", [0, -1, math.nan, math.inf, "x", "1e-10", "1e29"])
def test_round_refuses_what_has_no_multiples(to: object) -> None:
    """Multiples are those of a finite number above zero."""
    with pytest.raises(ValidationError):
        Round.model_validate({"name": "x", "rule": "round", "to": to})


limits = st.sampled_from(["-1", "0", "100", "9007199254740993"])


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), NUMERIC], ids=str)
@many
@given(data=st.data(), limit=limits)
def test_extremes_become_the_limit(
    mask_values: MaskValues, kind: pa.DataType, data: st.DataObject, limit: str
) -> None:
    """What is beyond the limit is the limit, everything else is as it was, NaN too."""
    of_kind = {pa.int64(): integers, pa.float64(): floats, NUMERIC: numerics}[kind]
    values = data.draw(st.lists(st.none() | of_kind, max_size=20))
    top = TopCode(name="x", rule="top_code", limit=Decimal(limit))
    bottom = BottomCode(name="x", rule="bottom_code", limit=Decimal(limit))
    found: Any = float(limit) if kind == pa.float64() else Decimal(limit)

    highest, lowest = mask_values(top, values, kind), mask_values(bottom, values, kind)

    assert show(highest) == show([found if it is not None and it > found else it for it in values])
    assert show(lowest) == show([found if it is not None and it < found else it for it in values])


@pytest.mark.parametrize(
    ("rule", "kind", "message"),
    [
        (Round(name="x", rule="round", to=Decimal("0.5")), pa.int64(), "to 0.5, which is no INT64"),
        (Round(name="x", rule="round", to=Decimal(2**63)), pa.int64(), "which is no INT64"),
        (TopCode(name="x", rule="top_code", limit=Decimal("1.5")), pa.int64(), "limit 1.5, which is"),
        (BottomCode(name="x", rule="bottom_code", limit=Decimal(-(2**63) - 1)), pa.int64(), "no INT64"),
        (Round(name="x", rule="round", to=Decimal(1)), pa.string(), "takes INT64, FLOAT64 or NUMERIC"),
        (TopCode(name="x", rule="top_code", limit=Decimal(1)), pa.date32(), "takes INT64, FLOAT64"),
        (BottomCode(name="x", rule="bottom_code", limit=Decimal(1)), pa.bool_(), "takes INT64, FLOAT"),
        (GeoRound(name="x", rule="geo_round", degrees=Decimal(1)), NUMERIC, "takes FLOAT64; .* NUMERIC"),
    ],
)  # fmt: skip
def test_number_that_does_not_fit_is_refused(
    mask_values: MaskValues, rule: Rule, kind: pa.DataType, message: str
) -> None:
    """What cannot be exact is refused before anything is read."""
    with pytest.raises(PolicyError, match=message):
        mask_values(rule, [], kind)


@many
@given(
    values=st.lists(st.none() | floats | st.floats(-180, 180), max_size=20),
    degrees=st.sampled_from(["0.001", "0.01", "0.25", "0.5", "1", "10", "90"]),
)
def test_place_becomes_the_nearest_grid_point(
    mask_values: MaskValues, values: list[float | None], degrees: str
) -> None:
    """Half a cell away at most, still an angle, and never a zero with a sign."""
    rule = GeoRound(name="x", rule="geo_round", degrees=Decimal(degrees))

    masked = mask_values(rule, values, pa.float64())

    assert show(masked) == show(
        [
            None if value is None or not -180 <= value <= 180 else round_double(value, rule.degrees)
            for value in values
        ]
    )
    assert all(it is None or -180 <= it <= 180 for it in masked)


def test_geo_round_of_known_places(mask_values: MaskValues) -> None:
    """Poles and the date line stay where they are; what is no angle is no place."""
    rule = GeoRound(name="x", rule="geo_round", degrees=Decimal("0.1"))

    masked = mask_values(
        rule,
        [52.5163, -33.8568, 90.0, -180.0, -0.04, -0.0, 180.5, math.nan, -math.inf, None],
        pa.float64(),
    )

    assert show(masked) == show([52.5, -33.9, 90.0, -180.0, 0.0, 0.0, None, None, None, None])


@pytest.mark.parametrize("degrees", [0, -1, 0.7, 91, 180, 1e-10, math.nan, math.inf])
def test_grid_that_does_not_meet_the_poles_is_refused(degrees: float) -> None:
    """A grid point beyond a pole would be no place."""
    with pytest.raises(ValidationError):
        GeoRound.model_validate({"name": "x", "rule": "geo_round", "degrees": degrees})
