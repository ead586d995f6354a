"""The smallest change of the YAML that would accept what a query returns, to be pasted. Pure.

Names and types only. What is new is dropped, also inside of a column that is kept; what was renamed or
retyped keeps its rule where that rule takes it. A rule that shows values is never carried to another
name: the column there may hold anything, so it is dropped and a person chooses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.masking.advice_text import Change, write_changes
from reverse_etl.masking.nested import find_roots
from reverse_etl.masking.nested_paths import ELEMENT, Path, list_leaves, list_places, parse_path
from reverse_etl.masking.renames import (
    find_renames,
    is_surely_renamed,
    measure_likeness,
    shows_values,
)
from reverse_etl.masking.rules import Drop, Hmac, Keep, Rule
from reverse_etl.types import (
    Kind,
    bigquery_type_name,
    normalise_type_name,
    parse_type_name,
    type_kind,
)

#: Whether rules, with the key of this name, resolve.
Resolves = Callable[[Sequence[Rule], str], bool]

_KEY_KINDS = {Kind.STRING, Kind.INT64}


def advise(
    rules: Sequence[Rule],
    *,
    key: str,
    schema: pa.Schema,
    guarded: Mapping[str, str],
    resolves: Resolves,
) -> str:
    """The change as YAML, or why there is none. What is told was held against `resolves`."""
    if len({name.casefold() for name in schema.names}) < len(schema.names):
        return _refuse("two columns have one name. Give each an alias in the query.")
    draft = _Draft(rules, key=key, schema=schema, guarded=guarded)
    changes = draft.find_changes()
    if draft.key is None or not resolves(apply_changes(rules, changes), draft.key):
        return _refuse(
            f"the query returns no column that can be the key '{key}', which is STRING or INT64 as "
            "it lands. Mend the query, or name another column as key."
        )
    return write_changes(changes, key=draft.key if draft.key != key else None)


def apply_changes(rules: Sequence[Rule], changes: Sequence[Change]) -> list[Rule]:
    """The rules after the changes: new ones stand where those did whose place they take."""
    after = list(rules)
    for change in changes:
        replaced = [at for at, rule in enumerate(after) if rule.name in change.instead_of]
        at = replaced[0] if replaced else len(after)
        left = [rule for rule in after if rule.name not in change.instead_of]
        after = [*left[:at], *change.entries, *left[at:]]
    return after


def advise_types(rules: Sequence[Rule], places: Mapping[str, pa.Field]) -> str:
    """The change that declares the types of these rules' columns as they are now."""
    changes = []
    for rule in rules:
        typed = rule.model_copy(update={"type": bigquery_type_name(places[rule.name])})
        changes.append(Change(entries=(typed,), instead_of=(rule.name,), edits=True, why="retyped"))
    return write_changes(changes)


def _refuse(reason: str) -> str:
    return f"No change of the YAML alone accepts it: {reason}"


class _Draft:
    """The changes in the making. `key` is the key's name after them; None: there is none left."""

    def __init__(
        self, rules: Sequence[Rule], *, key: str, schema: pa.Schema, guarded: Mapping[str, str]
    ) -> None:
        self._rules = rules
        self._schema = schema
        self._guarded = guarded
        self._places = list_places(schema, by_path=find_roots(rules))
        self._old_key = key
        self.key: str | None = key

    def find_changes(self) -> list[Change]:
        """One for each entry that does not fit, in their order; then those for what is new."""
        renames = find_renames(self._rules, schema=self._schema)
        changes = [
            change
            for rule in self._rules
            if (change := self._change_entry(rule, renames.get(rule.name, rule.name))) is not None
        ]
        ruled = {rule.name for rule in self._rules} | set(renames.values())
        ruled |= {parse_path(name).root for name in renames.values()}
        changes += [
            Change(entries=(Drop(name=name, rule="drop"),), why="new")
            for name in self._places
            if name not in ruled
        ]
        return list(self._drop_empty_columns(changes))

    def _change_entry(self, rule: Rule, name: str) -> Change | None:
        """What becomes of an entry whose column is called `name` now; None: it stays as it is."""
        field = self._find_field(name)
        is_key = rule.name == self._old_key
        if is_key:
            self.key = name
        if field is None:
            if is_key:
                self.key = None
            return Change(instead_of=(rule.name,), why="the query does not return it")
        if rule.name != name and shows_values(rule) and not is_surely_renamed(rule, field):
            change = self._mask(rule, field, is_key=is_key, why="the query does not return it")
        else:
            change = self._fit(rule, field, is_key=is_key)
        if change is None and is_key:
            self.key = None
        return None if change is None or change.entries == (rule,) else change

    def _find_field(self, name: str) -> pa.Field | None:
        """The column, or the leaf, also one of a column that has no rules by path yet."""
        path = parse_path(name)
        if name in self._places or not path.steps or path.root not in self._schema.names:
            return self._places.get(name)
        leaves = list_leaves(self._schema.field(path.root))
        return next((leaf for found, leaf in leaves if found == path), None)

    def _fit(self, rule: Rule, field: pa.Field, *, is_key: bool) -> Change | None:
        """The entry, changed so that it takes the field; None for a key that cannot."""
        is_guarded = parse_path(field.name).root in self._guarded and rule.shows_guarded_values
        found = bigquery_type_name(field)
        named = rule.model_copy(update={"name": field.name})
        for wanted in (named, named.model_copy(update={"type": found})):
            if is_guarded or not _takes(wanted, field, is_key=is_key):
                continue
            split = None if wanted is named else _split(rule, field)
            if split is not None:
                return split
            was = (
                "" if wanted is named else f"was {rule.type}" if rule.type else "declares the type"
            )
            return Change(entries=(wanted,), instead_of=(rule.name,), edits=True, why=was)
        why = "protected upstream" if is_guarded else f"rule {rule.rule} does not take {found}"
        return self._mask(rule, field, is_key=is_key, why=why)

    def _mask(self, rule: Rule, field: pa.Field, *, is_key: bool, why: str) -> Change | None:
        """A rule in place of the entry's that shows nothing; None for a key that cannot have one."""
        masked = (
            Hmac(name=field.name, rule="hmac") if is_key else Drop(name=field.name, rule="drop")
        )
        if is_key and not _takes(masked, field, is_key=True):
            return None
        perhaps = {} if rule.name == field.name else {field.name: rule.name}
        return Change(entries=(masked,), instead_of=(rule.name,), why=why, perhaps=perhaps)

    def _drop_empty_columns(self, changes: Sequence[Change]) -> Iterator[Change]:
        """One entry for a column in place of paths of which none would leave."""
        after = apply_changes(self._rules, changes)
        leaving = {parse_path(rule.name).root for rule in after if rule.leaves}
        empty = find_roots(after) - leaving
        replaced: dict[str, str] = {}
        for change in changes:
            names = (*change.instead_of, *(rule.name for rule in change.entries))
            roots = empty.intersection(parse_path(name).root for name in names)
            if not roots:
                yield change
            # Entries of another column whose leaves are perhaps here now.
            replaced |= {name: root for name in change.instead_of for root in roots}
        for root in sorted(empty):
            paths = tuple(
                it.name
                for it in self._rules
                if parse_path(it.name).root == root or replaced.get(it.name) == root
            )
            others = sorted({parse_path(path).root for path in paths} - {root})
            yield Change(
                entries=(Drop(name=root, rule="drop"),),
                instead_of=paths,
                why="nothing of it would leave",
                perhaps=dict.fromkeys([root], others[0]) if others else {},
            )


def _takes(rule: Rule, field: pa.Field, *, is_key: bool) -> bool:
    """Whether the rule, with the type that it declares, takes the field as it is."""
    try:
        if rule.type is not None and normalise_type_name(rule.type) != bigquery_type_name(field):
            return False
        if not rule.leaves:
            return not is_key
        landed = rule.output_field(field)
    except ConfigError:
        return False
    return not is_key or type_kind(landed) in _KEY_KINDS


def _split(rule: Rule, field: pa.Field) -> Change | None:
    """Rules by path for a column with fields that is kept, so that new ones stay; None: it has none."""
    if not isinstance(rule, Keep) or rule.type is None:
        return None
    before, after = _list_declared(rule), dict(list_leaves(field))
    if not any(_list_names(path) for path in (*before, *after)):
        return None
    known = _find_known(before, after)
    if len(known) == len(after):
        return None
    entries: tuple[Rule, ...] = (Drop(name=field.name, rule="drop"),)
    if known:
        entries = tuple(
            rule.model_copy(update={"name": leaf.name, "type": bigquery_type_name(leaf)})
            if path in known
            else Drop(name=leaf.name, rule="drop")
            for path, leaf in after.items()
        )
    return Change(
        entries=entries,
        instead_of=(rule.name,),
        why="what is new in it does not leave",
        perhaps=_find_perhaps(before, after, known=known) if known else {},
    )


def _list_declared(rule: Rule) -> dict[Path, pa.Field]:
    """The leaves of the type that the rule declares; none where it is no type."""
    try:
        return dict(list_leaves(parse_type_name(rule.type or "", name=rule.name)))
    except ConfigError:
        return {}


def _find_known(before: Mapping[Path, pa.Field], after: Mapping[Path, pa.Field]) -> set[Path]:
    """The leaves that were there before, of the same type: whatever case, wherever there are arrays now."""
    declared = {(_fold(path), bigquery_type_name(leaf)) for path, leaf in before.items()}
    return {
        path for path, leaf in after.items() if (_fold(path), bigquery_type_name(leaf)) in declared
    }


def _find_perhaps(
    before: Mapping[Path, pa.Field], after: Mapping[Path, pa.Field], *, known: set[Path]
) -> dict[str, str]:
    """By new leaves the names of those that are gone and were called alike."""
    gone = [str(path) for path in before if _fold(path) not in {_fold(it) for it in after}]
    fresh = [leaf.name for path, leaf in after.items() if path not in known]
    alike = {new: [old for old in gone if measure_likeness(old, new) is not None] for new in fresh}
    return {new: olds[0] for new, olds in alike.items() if olds}


def _fold(path: Path) -> tuple[str, ...]:
    return tuple(name.casefold() for name in _list_names(path))


def _list_names(path: Path) -> tuple[str, ...]:
    return tuple(step for step in path.steps if step is not ELEMENT)
