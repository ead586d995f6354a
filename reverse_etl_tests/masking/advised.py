"""What a person does with the change that a refusal prints: parse the YAML, merge it by name."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import TypeAdapter

from reverse_etl.masking.rules import AnyRule, Rule

Entry = dict[str, Any]

_HEAD = "The smallest change that accepts it, in the sync's YAML:\n"
_NAME = r'"(?:\\.|[^"\\])*"|[\w.]+'
_RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(tuple[AnyRule, ...])


@dataclass(frozen=True)
class Advised:
    """The entries and the key after the change."""

    columns: list[Entry]
    key: str

    @property
    def rules(self) -> tuple[Rule, ...]:
        return build_rules(self.columns)


def build_rules(columns: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    return _RULES.validate_python([dict(column) for column in columns])


def has_advice(message: str) -> bool:
    return _HEAD in message


def apply_advice(message: str, *, columns: Sequence[Mapping[str, Any]], key: str) -> Advised:
    """The change applied as it is printed; comments say which entry a line is about."""
    text = message.split(_HEAD)[1]
    document = yaml.safe_load(text)
    after = [dict(column) for column in columns]
    entries = iter(document["columns"] or ())
    for line in text.splitlines():
        place = line.strip()
        if match := re.match(rf"# remove ({_NAME}): ", place):
            after = [it for it in after if it["name"] != _read(match[1])]
        elif place.startswith("- "):
            after = _apply_entry(dict(next(entries)), place.split("}  # ", 1)[1], after)
    assert next(entries, None) is None
    return Advised(columns=after, key=document.get("key", key))


def _apply_entry(entry: Entry, comment: str, after: list[Entry]) -> list[Entry]:
    if comment == "new":
        return [*after, entry]
    if match := re.match(rf"in place of ((?:{_NAME})(?:, (?:{_NAME}))*): ", comment):
        names = {_read(name) for name in re.findall(_NAME, match[1])}
        return [*(it for it in after if it["name"] not in names), entry]
    old = entry["name"]
    if match := re.match(rf"rename ({_NAME}) to ({_NAME})", comment):
        assert _read(match[2]) == entry["name"]
        old = _read(match[1])
    assert old in [it["name"] for it in after]
    return [it | entry if it["name"] == old else it for it in after]


def _read(name: str) -> str:
    return str(json.loads(name)) if name.startswith('"') else name
