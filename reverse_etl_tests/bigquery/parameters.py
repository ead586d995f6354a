"""Query parameters of the REST API, as DuckDB takes them."""

import base64
import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from reverse_etl_tests.bigquery.errors import ApiError


def _parse_timestamp(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "STRING": str,
    "INT64": int,
    "INTEGER": int,
    "FLOAT64": float,
    "NUMERIC": Decimal,
    "BOOL": lambda text: text.lower() == "true",
    "BOOLEAN": lambda text: text.lower() == "true",
    "DATE": dt.date.fromisoformat,
    "DATETIME": dt.datetime.fromisoformat,
    "TIME": dt.time.fromisoformat,
    "TIMESTAMP": _parse_timestamp,
    "BYTES": base64.b64decode,
}


def parse_parameters(items: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The named parameters of a query's configuration; `ApiError` for what this server does not take."""
    return {str(item.get("name", "")): _parse(item) for item in items}


def _parse(item: Mapping[str, Any]) -> Any:
    kind, value = item["parameterType"], item["parameterValue"]
    if kind["type"] == "ARRAY":
        element = kind["arrayType"]
        return [
            _parse({"name": item.get("name"), "parameterType": element, "parameterValue": each})
            for each in value.get("arrayValues", [])
        ]
    if value.get("value") is None:
        return None
    try:
        return _PARSERS[kind["type"]](value["value"])
    except (KeyError, ValueError, ArithmeticError):
        raise ApiError(
            "invalid",
            f"Invalid value for type {kind['type']} of query parameter {item.get('name')}",
        ) from None
