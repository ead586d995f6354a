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
    for kind, block in _unfold(body):
        for value in [None] if values is None else _list_values(block, values):
            yield block["content"][0], {**(values or {}), f"{kind}.value": value}


def _unfold(body: Block) -> Iterator[tuple[str, Block]]:
    """Kind and text of each `dynamic` block."""
    for dynamic in body.get("dynamic", []):
        for kind, block in dynamic.items():
            yield unquote(kind), block


def _list_values(block: Block, values: Mapping[str, Any]) -> list[Any]:
    """What a `dynamic` block is repeated for: a variable that is set, or one that another switches on."""
    where_set = re.fullmatch(r"\$\{(var\.\w+) == null \? \[\] : \[\1\]\}", block["for_each"])
    if where_set:
        return [] if values[where_set[1]] is None else [values[where_set[1]]]
    switched = re.fullmatch(r"\$\{(var\.\w+) \? \[(var\.\w+)\] : \[\]\}", block["for_each"])
    if switched is None:
        raise ValueError(block["for_each"])
    return [values[switched[2]]] if values[switched[1]] else []


def _render_statement(statement: Block, values: Mapping[str, Any]) -> Policy:
    rendered: Policy = {"Effect": "Allow"}
    for name, value in statement.items():
        if name.startswith("__") or name in ("condition", "dynamic"):
            continue
        if name == "principals":
            rendered["Principal"] = {
                _fill(it["type"], values): _unwrap(
                    [_fill(one, values) for one in it["identifiers"]]
                )
                for it in value
            }
        elif isinstance(value, list):
            rendered[_KINDS[name]] = [_fill(one, values) for one in value]
        else:
            rendered[_KINDS[name]] = _fill(value, values)
    conditions = _render_conditions(statement, values)
    return rendered | ({"Condition": conditions} if conditions else {})


def _render_conditions(statement: Block, values: Mapping[str, Any]) -> dict[str, Any]:
    blocks = [(block, values) for block in statement.get("condition", [])]
    for kind, dynamic in _unfold(statement):
        blocks += [
            (dynamic["content"][0], {**values, f"{kind}.value": value})
            for value in _list_values(dynamic, values)
        ]
    tested: dict[str, Any] = {}
    for block, seen in blocks:
        held = tested.setdefault(_fill(block["test"], seen), {})
        held[_fill(block["variable"], seen)] = _unwrap([_fill(it, seen) for it in block["values"]])
    return tested


def _fill(text: Any, values: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{([\w.\[\]]+)\}", lambda it: str(values[it[1]]), str(unquote(text)))


def _unwrap(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
