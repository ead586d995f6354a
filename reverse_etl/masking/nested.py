"""Rules by path: what several entries of `columns` make of one nested column."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import pyarrow as pa
from pydantic import SerializeAsAny

from reverse_etl.errors import ConfigError
from reverse_etl.masking.nested_paths import ELEMENT, Path, list_leaves, parse_path
from reverse_etl.masking.rules.base import MaskContext, Parameters, Rule
from reverse_etl.sql import quote_identifier
from reverse_etl.types import Kind, type_kind

_PREFIX = "by_path("


class ByPath(Rule):
    """A nested column whose every leaf has a rule of its own. It is no rule that YAML can name.

    Only the leaves change: structs, arrays, what in them is NULL and in which order it stands stay.
    """

    rule: Literal["by_path"] = "by_path"
    rules: tuple[SerializeAsAny[Rule], ...]

    @property
    def masked_name(self) -> str:
        """The name under which the masked column stands in a batch."""
        # No column of a batch has such a name: those begin with a letter or an underscore.
        return f".masked.{self.name}"

    @property
    def rules_by_name(self) -> Mapping[str, Rule]:
        """The rule of each leaf by its path."""
        return {rule.name: rule for rule in self.rules}

    def output_field(self, column: pa.Field) -> pa.Field:
        """The same structure without the leaves that are dropped, each other as its rule gives it.

        What has nothing left in it is left out too. Every leaf is to have its rule.
        """
        landed = {
            path: self.rules_by_name[str(path)].output_field(leaf)
            for path, leaf in list_leaves(column)
            if self.rules_by_name[str(path)].leaves
        }
        field = build_masked_field(column, Path(column.name), landed)
        if field is None:
            raise refuse_empty(self.name)
        return field

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The column as it was masked beside the query (`nested_apply`), and never the raw one."""
        del quoted, column, parameters, context
        return quote_identifier(self.masked_name)

    def summary(self) -> str:
        """Each path and its rule."""
        return f"{_PREFIX}{'; '.join(f'{rule.name}: {rule.summary()}' for rule in self.rules)})"


def build_masked_field(
    field: pa.Field, path: Path, landed: Mapping[Path, pa.Field]
) -> pa.Field | None:
    """`field` at `path` with its leaves as `landed` has them; None where nothing of it is left."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        item = build_masked_field(field.type.value_field, path.step(ELEMENT), landed)
        return None if item is None else pa.field(field.name, pa.list_(item))
    if kind is Kind.STRUCT:
        members = [
            build_masked_field(member, path.step(member.name), landed)
            for member in field.type.fields
        ]
        left = [member for member in members if member is not None]
        return pa.field(field.name, pa.struct(left)) if left else None
    return landed[path].with_name(field.name) if path in landed else None


def find_roots(rules: Iterable[Rule]) -> set[str]:
    """The columns that have rules by path."""
    paths = [parse_path(rule.name) for rule in rules]
    return {path.root for path in paths if path.steps}


def group_by_column(rules: Sequence[Rule]) -> list[Rule]:
    """One rule a column, in output order: a column stands where the first of its paths does."""
    roots = find_roots(rules)
    grouped: dict[str, list[Rule]] = {}
    for rule in rules:
        grouped.setdefault(parse_path(rule.name).root, []).append(rule)
    return [
        ByPath(name=root, rules=tuple(each)) if root in roots else each[0]
        for root, each in grouped.items()
    ]


def list_leaving_columns(rules: Sequence[Rule]) -> list[str]:
    """The columns of which anything leaves, in output order: what a source is asked for."""
    return [rule.name for rule in group_by_column(rules) if rule.leaves]


def find_rule_name(summary: str, path: Path) -> str | None:
    """The name of the rule of a path in what `ByPath.summary` gave; None: it has none."""
    inside = summary.removeprefix(_PREFIX)
    found = re.search(rf"(?:^|; ){re.escape(str(path))}: (\w+)", inside)
    return found[1] if found is not None and inside != summary else None


def list_rules(rules: Iterable[Rule]) -> Iterator[Rule]:
    """The rules that values go through: those of the leaves in place of a column's."""
    for rule in rules:
        yield from rule.rules if isinstance(rule, ByPath) else (rule,)


def check_paths(rules: Sequence[Rule], *, key: str) -> None:
    """What can be said of rules by path without a schema; `ConfigError` when they contradict others."""
    by_root: dict[str, list[Path]] = {}
    for rule in rules:
        path = parse_path(rule.name)
        by_root.setdefault(path.root.casefold(), []).append(path)
    for paths in by_root.values():
        _check_root(paths)
    for root in find_roots(rules):
        if not any(rule.leaves for rule in rules if parse_path(rule.name).root == root):
            raise refuse_empty(root)
    of_key = parse_path(key)
    if of_key.steps or of_key.root in find_roots(rules):
        raise ConfigError(
            f"The key '{key}' lies in a nested column; a key is a flat column. Select it as a column "
            "of its own in the query, and name that one as key."
        )


def _check_root(paths: Sequence[Path]) -> None:
    roots = sorted({path.root for path in paths})
    if len(roots) > 1:
        raise ConfigError(
            f"Rules by path name a column as {' and as '.join(map(repr, roots))}. BigQuery's column "
            "names do not differ by case alone; write it one way."
        )
    inside = [str(path) for path in paths if path.steps]
    if inside and len(inside) < len(paths):
        raise ConfigError(
            f"Column '{roots[0]}' has a rule of its own and rules for what is in it: "
            f"{', '.join(map(repr, inside))}. Leave either the one or the others."
        )


def refuse_empty(root: str) -> ConfigError:
    """The error for a column of which nothing would be left."""
    return ConfigError(
        f"Every path of column '{root}' is dropped. Drop the column itself, so that it is not even "
        f"pinned: - {{name: {root}, rule: drop}}"
    )
