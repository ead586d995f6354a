"""Functions that rule `custom` is tried with: one that is right, and one for each way to be wrong."""

from typing import Any

import pandas as pd

Series = pd.Series  # type: ignore[type-arg]


def country(values: "Series[Any]") -> "Series[Any]":
    return values.str[:2]


def length(values: "Series[Any]") -> "Series[Any]":
    return values.str.len()


def negate(values: "Series[Any]") -> "Series[Any]":
    return -values


def next_day(values: "Series[Any]") -> "Series[Any]":
    return values + pd.Timedelta(days=1)


def unchanged(values: "Series[Any]") -> "Series[Any]":
    return values.copy()


def one_nulled(values: "Series[Any]") -> "Series[Any]":
    return values.where(values != "eve")


def tenth_cut(values: "Series[Any]") -> "Series[Any]":
    return values.where(values > "001", values.str[:1])


def fifth_cut(values: "Series[Any]") -> "Series[Any]":
    return values.where(values > "003", values.str[:1])


def emptied(values: "Series[Any]") -> "Series[Any]":
    return values.where(values != "ada")


def shortened(values: "Series[Any]") -> "Series[Any]":
    return values.iloc[1:]


def listed(values: "Series[Any]") -> list[Any]:
    return list(values)


def mixed(values: "Series[Any]") -> "Series[Any]":
    return pd.Series([1, "secret-ada", *[None] * (len(values) - 2)], dtype=object)


def filled(values: "Series[Any]") -> "Series[Any]":
    return values.str.upper().fillna("none")


def tagged(values: "Series[Any]") -> "Series[Any]":
    return "of " + values


def failing(values: "Series[Any]") -> "Series[Any]":
    raise ValueError(values.iloc[0])


NOT_A_FUNCTION = 1
