"""Changes of a sync's `columns` as YAML that can be pasted; each line says in a comment what to do."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reverse_etl.masking.rules import Keep, Rule

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# Plain words that YAML does not take for text.
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
# An option is written where it was only if it is no value: what stands in `map` may come from rows.
_WRITTEN = {"name", "rule", "type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Entries of `columns`, and those in whose place they stand: none for a column that is new.

    `edits` says that they keep the options of the one entry in whose place they stand. `perhaps` has, by
    an entry's name, the one that its column or leaf may have had before.
    """

    entries: tuple[Rule, ...] = ()
    instead_of: tuple[str, ...] = ()
    edits: bool = False
    why: str = ""
    perhaps: Mapping[str, str] = field(default_factory=dict)


def write_changes(changes: Sequence[Change], *, key: str | None = None) -> str:
    """The changes in a few lines; `key` is the key's new name, if it has another."""
    return "\n".join(
        [
            "The smallest change that accepts it, in the sync's YAML:",
            *([] if key is None else [f"key: {write_text(key)}"]),
            "columns:",
            *(f"  {line}" for change in changes for line in _write_change(change)),
        ]
    )


def _write_change(change: Change) -> Iterator[str]:
    if not change.entries:
        for name in change.instead_of:
            yield f"# remove {write_text(name)}: {change.why}"
    for rule in change.entries:
        yield f"- {_write_entry(rule, change)}  # {_explain(rule, change)}"


def _write_entry(rule: Rule, change: Change) -> str:
    options = {"name": rule.name, "rule": rule.rule}
    if rule.type is not None:
        options["type"] = rule.type
    if not change.edits and isinstance(rule, Keep) and rule.reason is not None:
        options["reason"] = rule.reason
    return "{" + ", ".join(f"{name}: {write_text(it)}" for name, it in options.items()) + "}"


def _explain(rule: Rule, change: Change) -> str:
    """What the line does, then why."""
    said = []
    if change.edits and change.instead_of != (rule.name,):
        (old,) = change.instead_of
        said.append(f"rename {write_text(old)} to {write_text(rule.name)}")
    if change.why:
        said.append(" ".join(change.why.split()))
    if change.instead_of and not change.edits:
        said = [f"in place of {', '.join(map(write_text, change.instead_of))}: {said[0]}"]
    if change.edits and rule.model_dump(exclude=_WRITTEN, exclude_defaults=True):
        said.append("its other options stay")
    if rule.name in change.perhaps:
        old = write_text(change.perhaps[rule.name])
        said.append(f"perhaps {old} under a new name: choose its rule by hand")
    return "; ".join(said)


def write_text(text: str) -> str:
    """A text as YAML has it inside of braces: quoted where it must be."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
