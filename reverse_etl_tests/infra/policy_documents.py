"""Terraform's `aws_iam_policy_document` as the JSON policy that AWS gets, for given variables."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reverse_etl_tests.infra.sources import Block, Sources, find_typed, unquote

Policy = dict[str, Any]

_KINDS = {
    "sid": "Sid",
    "effect": "Effect",
    "actions": "Action",
    "resources": "Resource",
    "principals": "Principal",
    "condition": "Condition",
}


def find_documents(sources: Sources) -> dict[str, Block]:
    """Every policy document by name."""
    return {
        name: body
        for kind, name, body in find_typed(sources, "data")
        if kind == "aws_iam_policy_document"
    }


def render_document(body: Block, values: Mapping[str, Any]) -> Policy:
    """The policy, with `values` for references; `KeyError` for a reference that has none."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            _render_statement(statement, seen) for statement, seen in _expand(body, values)
        ],
    }


def list_statements(body: Block) -> list[Block]:
    """Every statement, those included that depend on a variable."""
    return [statement for statement, _ in _expand(body, None)]


def _expand(
    body: Block, values: Mapping[str, Any] | None
) -> Iterator[tuple[Block, Mapping[str, Any]]]:
    for statement in body.get("statement", []):
        yield statement, values or {}
    for dynamic in body.get("dynamic", []):
        ((_, block),) = dynamic.items()
        (reference,) = re.findall(r"^\$\{(var\.\w+) == null \? \[\] : \[\1\]\}$", block["for_each"])
        value = None if values is None else values[reference]
        if values is None or value is not None:
            yield block["content"][0], {**(values or {}), "statement.value": value}


def _render_statement(statement: Block, values: Mapping[str, Any]) -> Policy:
    def fill(text: Any) -> str:
        return re.sub(r"\$\{([\w.]+)\}", lambda it: str(values[it[1]]), str(unquote(text)))

    rendered: Policy = {"Effect": "Allow"}
    for name, value in statement.items():
        if name.startswith("__"):
            continue
        if name == "principals":
            rendered["Principal"] = {
                fill(it["type"]): _unwrap([fill(one) for one in it["identifiers"]]) for it in value
            }
        elif name == "condition":
            rendered["Condition"] = tested = {}
            for it in value:
                held = tested.setdefault(fill(it["test"]), {})
                held[fill(it["variable"])] = _unwrap([fill(one) for one in it["values"]])
        elif isinstance(value, list):
            rendered[_KINDS[name]] = [fill(one) for one in value]
        else:
            rendered[_KINDS[name]] = fill(value)
    return rendered


def _unwrap(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
