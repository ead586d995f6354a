"""INTERVAL as text: ISO 8601, each part with its own sign, as BigQuery's TO_JSON_STRING has it.

`INTERVAL '-1-2 3 -4:5:6.5' YEAR TO SECOND` is `P-1Y-2M3DT-4H-5M-6.5S`, none at all is `P0Y`: the form
is that of "JSON encodings" in GoogleSQL's reference (docs/json_functions.md of google/googlesql), and
what the page leaves open that of the source beside it (`IntervalValue::ToISO8601`).

Sources write it, because nothing behind them holds all that BigQuery does: there the time goes up to
87,840,000 hours, in Arrow's type to 2,562,047; Parquet has no such type.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.sources.texts import choose_texts, join_texts, write_digits

# What BigQuery holds of each part, in either direction; DuckDB holds more.
_MOST_MONTHS, _MOST_DAYS, _MOST_HOURS = 120_000, 3_660_000, 87_840_000

_LAYOUT = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])
_MONTHS_PER_YEAR = 12
_NANOS_PER_SECOND = 10**9
_NANOS_PER_MINUTE = 60 * _NANOS_PER_SECOND
_NANOS_PER_HOUR = 60 * _NANOS_PER_MINUTE


def write_intervals(array: pa.Array) -> pa.Array:
    """The texts of Arrow's intervals; NULL stays NULL."""
    if not len(array):
        return pa.array([], pa.string())
    _, buffer = array.buffers()
    assert buffer is not None  # noqa: S101 - an array of intervals that is not empty has one
    values = np.frombuffer(memoryview(buffer), _LAYOUT)[array.offset :][: len(array)]
    years, months = _divide(values["months"], _MONTHS_PER_YEAR)
    hours, rest = _divide(values["nanos"], _NANOS_PER_HOUR)
    minutes, nanos = _divide(rest, _NANOS_PER_MINUTE)
    text = join_texts(
        "P",
        _write_part(years, "Y"),
        _write_part(months, "M"),
        _write_part(values["days"], "D"),
        choose_texts(values["nanos"] == 0, "", "T"),
        _write_part(hours, "H"),
        _write_part(minutes, "M"),
        _write_seconds(nanos),
    )
    return choose_texts(
        array.is_null(), None, choose_texts(pc.equal(text, pa.scalar("P")), "P0Y", text)
    )


def interval_expression(value: str) -> str:
    """SQL of DuckDB for the text of its INTERVAL `value`; NULL stays NULL."""
    micros = f"datepart('microsecond', {value})"
    digits = f"printf('%d.%06d', abs({micros}) // 1000000, abs({micros}) % 1000000)"
    seconds = f"CASE WHEN {micros} < 0 THEN '-' ELSE '' END, rtrim(rtrim({digits}, '0'), '.'), 'S'"
    date = ", ".join(_part_expression(value, unit) for unit in ("year", "month", "day"))
    time = ", ".join(_part_expression(value, unit) for unit in ("hour", "minute"))
    time = f"concat({time}, CASE WHEN {micros} = 0 THEN '' ELSE concat({seconds}) END)"
    text = f"concat('P', {date}, rtrim(concat('T', {time}), 'T'))"
    return f"CASE WHEN {value} IS NOT NULL THEN coalesce(nullif({text}, 'P'), 'P0Y') END"


def interval_fits_expression(value: str) -> str:
    """SQL of DuckDB for whether BigQuery has the INTERVAL `value` too; NULL for NULL."""
    months = f"datepart('year', {value}) * 12 + datepart('month', {value})"
    clock = f"datepart('minute', {value}) * 60000000 + datepart('microsecond', {value})"
    hours = f"datepart('hour', {value})"
    return (
        f"(abs({months}) <= {_MOST_MONTHS} AND abs(datepart('day', {value})) <= {_MOST_DAYS} "
        f"AND (abs({hours}) < {_MOST_HOURS} OR (abs({hours}) = {_MOST_HOURS} AND {clock} = 0)))"
    )


def _part_expression(value: str, unit: str) -> str:
    part = f"datepart('{unit}', {value})"
    return f"CASE WHEN {part} = 0 THEN '' ELSE concat({part}, '{unit[0].upper()}') END"


def _divide(numbers: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
    """Quotient and remainder, both with the number's sign."""
    rest = np.fmod(numbers, by)
    return (numbers - rest) // by, rest


def _write_part(numbers: np.ndarray, unit: str) -> pa.Array:
    return choose_texts(numbers == 0, "", join_texts(write_digits(numbers), unit))


def _write_seconds(nanos: np.ndarray) -> pa.Array:
    whole, fraction = np.divmod(np.abs(nanos), _NANOS_PER_SECOND)
    places = pc.utf8_lpad(write_digits(fraction), 9, "0")
    digits = join_texts(write_digits(whole), ".", places)
    digits = pc.utf8_rtrim(pc.utf8_rtrim(digits, "0"), ".")
    sign = choose_texts(nanos < 0, "-", "")
    return choose_texts(nanos == 0, "", join_texts(sign, digits, "S"))
