"""What `dg check yaml` holds a sync against: one wrong line gives one error, at that line.

Pydantic's own JSON schema says the same with `oneOf` and `anyOf`, of which a validator can only
tell that nothing fitted. Here the branch that is meant is chosen first (`if`), so that the error is
that branch's own.
"""

from collections.abc import Mapping
from typing import Any

from reverse_etl.spec import SyncConfig

Schema = dict[str, Any]

_NULL = {"type": "null"}


class SyncAttributes(SyncConfig):
    """`SyncConfig` with a JSON schema for people who make mistakes."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> Schema:
        """The sharpened schema."""
        sharpened: Schema = sharpen_schema(super().model_json_schema(*args, **kwargs))
        return sharpened


def sharpen_schema(schema: Any) -> Any:
    """The same schema, accepting the same values, with every choice made by condition."""
    if isinstance(schema, list):
        return [sharpen_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    sharpened = {name: sharpen_schema(value) for name, value in schema.items()}
    if "discriminator" in sharpened:
        return _choose_by_tag(sharpened)
    if _is_optional(sharpened):
        return _choose_by_null(sharpened)
    return sharpened


def _choose_by_tag(schema: Schema) -> Schema:
    """`oneOf` by tag: the tag is one of those there are, and its branch holds for the rest."""
    discriminator = schema["discriminator"]
    tag, branches = discriminator["propertyName"], discriminator["mapping"]
    rest = {name: value for name, value in schema.items() if name not in ("discriminator", "oneOf")}
    return {
        **rest,
        "type": "object",
        "required": [tag],
        "properties": {tag: {"enum": sorted(branches)}},
        "allOf": [
            {
                "if": {"required": [tag], "properties": {tag: {"const": value}}},
                "then": {"$ref": reference},
            }
            for value, reference in branches.items()
        ],
    }


def _is_optional(schema: Schema) -> bool:
    choices = schema.get("anyOf")
    return isinstance(choices, list) and len(choices) == len((_NULL, "value")) and _NULL in choices


def _choose_by_null(schema: Schema) -> Schema:
    """`anyOf` with null: whatever is not null is held against the other branch."""
    choices = [choice for choice in schema["anyOf"] if choice != _NULL]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**rest, "if": {"not": _NULL}, "then": choices[0]}
