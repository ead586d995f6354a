"""Which column of a query is one that a rule names, under another name. Names and types only."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.masking.nested import find_roots
from reverse_etl.masking.nested_paths import ELEMENT, Path, list_leaves, list_places, parse_path
from reverse_etl.masking.rules import Custom, Keep, Rule
from reverse_etl.types import Kind, bigquery_type_name, normalise_type_name, type_kind

_SAME = 2.0  # but for case
_SIMILAR = 0.7
_FEWEST_LETTERS = 3


def find_renames(rules: Sequence[Rule], *, schema: pa.Schema) -> dict[str, str]:
    """The new names of columns and paths that are gone, by old ones, where that is likely.

    They are equal but for case; or similar, in one step of a path, and of the type that the rule
    declares. Where it declares none, any that a rule which masks takes. Likely is not sure: see
    `is_surely_renamed`.
    """
    by_path = find_roots(rules)
    places = list_places(schema, by_path=by_path)
    absent = [rule for rule in rules if rule.name not in places]
    fresh = {name: it for name, it in places.items() if name not in {rule.name for rule in rules}}
    renames = _rename_roots([rule for rule in absent if parse_path(rule.name).steps], fresh)
    taken = set(renames.values())
    scores = [
        (score, old, name)
        for old in absent
        if old.name not in renames
        for name, field in fresh.items()
        if name not in taken
        and (score := measure_likeness(old.name, name)) is not None
        and (score == _SAME or _is_of_type(old, field))
    ]
    for _, rule, name in sorted(scores, key=lambda it: -it[0]):
        if rule.name not in renames and name not in renames.values():
            renames[rule.name] = name
    return renames


def shows_values(rule: Rule) -> bool:
    """Whether values may land as they are: then a wrong guess of a name would let new data out."""
    return isinstance(rule, Keep) or (isinstance(rule, Custom) and rule.may_keep)


def is_surely_renamed(rule: Rule, field: pa.Field) -> bool:
    """Whether the names are equal but for case, and the type is the one that was declared, if any was."""
    if rule.name.casefold() != field.name.casefold():
        return False
    try:
        return rule.type is None or normalise_type_name(rule.type) == bigquery_type_name(field)
    except ConfigError:
        return False


def measure_likeness(old: str, new: str) -> float | None:
    """How alike two paths are that differ in the name of one step; None: they are not."""
    one, other = parse_path(old), parse_path(new)
    if len(one.steps) != len(other.steps):
        return None
    steps = zip((one.root, *one.steps), (other.root, *other.steps), strict=True)
    differing = [(left, right) for left, right in steps if left != right]
    if len(differing) != 1:
        return None
    left, right = differing[0]
    return None if left is ELEMENT or right is ELEMENT else _compare(left, right)


def _compare(left: str, right: str) -> float | None:
    left, right = left.casefold(), right.casefold()
    if left == right:
        return _SAME
    shorter, longer = sorted((left, right), key=len)
    if len(shorter) >= _FEWEST_LETTERS and (longer.startswith(shorter) or longer.endswith(shorter)):
        return 1.0
    ratio = SequenceMatcher(None, left, right, autojunk=False).ratio()
    return ratio if ratio >= _SIMILAR else None


def _rename_roots(absent: Sequence[Rule], fresh: Mapping[str, pa.Field]) -> dict[str, str]:
    """Paths of a column that is there under another name, with the same leaves."""
    renames: dict[str, str] = {}
    by_root: dict[str, dict[Path, Rule]] = {}
    for rule in absent:
        path = parse_path(rule.name)
        by_root.setdefault(path.root, {})[path] = rule
    roots = [(name, it) for name, it in fresh.items() if type_kind(it) in {Kind.ARRAY, Kind.STRUCT}]
    for root, rules in by_root.items():
        for name, field in roots:
            leaves = {Path(root, path.steps): leaf for path, leaf in list_leaves(field)}
            if leaves.keys() != rules.keys() or (score := _compare(root, name)) is None:
                continue
            if score == _SAME or all(_is_of_type(rules[at], leaf) for at, leaf in leaves.items()):
                renames |= {rules[at].name: str(Path(name, at.steps)) for at in rules}
                break
    return renames


def _is_of_type(rule: Rule, field: pa.Field) -> bool:
    try:
        if rule.type is not None:
            return normalise_type_name(rule.type) == bigquery_type_name(field)
        if isinstance(rule, Keep):
            return False
        if rule.leaves:
            rule.output_field(field)
    except ConfigError:
        return False
    return True
