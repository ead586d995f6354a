"""A sync's full set of rules, resolved against the schema of what its query returns.

Deny by default: a column without a rule, or a rule without a column, stops the sync before a row
is read. So does a leaf of a nested column that has rules by path.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from reverse_etl.errors import ConfigError, PolicyError, ReverseEtlError
from reverse_etl.masking.advice import advise
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.nested import (
    ByPath,
    check_paths,
    find_roots,
    group_by_column,
    list_leaving_columns,
    list_rules,
)
from reverse_etl.masking.nested_paths import list_places, parse_path
from reverse_etl.masking.rules import Hmac, MaskContext, Rule
from reverse_etl.model import KeyToken
from reverse_etl.types import Kind, bigquery_type_name, normalise_type_name, type_kind

# Options that may change without changing a byte of what lands.
_SAYS_NOTHING_OF_VALUES = {"type", "reason"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedColumn:
    """One column that leaves: how it comes, how it lands, and by which rule."""

    rule: Rule
    source: pa.Field
    landed: pa.Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules and types of every column that leaves, in output order."""

    key: str
    columns: tuple[MaskedColumn, ...]
    dropped: tuple[str, ...]

    @property
    def source_schema(self) -> pa.Schema:
        """What is read: the columns that leave, as the source gives them."""
        return pa.schema([column.source for column in self.columns])

    @property
    def landed_schema(self) -> pa.Schema:
        """What lands."""
        return pa.schema([column.landed for column in self.columns])

    @property
    def needs_key(self) -> bool:
        """Whether a rule needs a masking key."""
        return any(rule.needs_key for rule in list_rules(column.rule for column in self.columns))

    def describe_token(self, context: MaskContext) -> KeyToken | None:
        """How the key column's values become tokens; None where they land without a masking key."""
        rule = next(column.rule for column in self.columns if column.source.name == self.key)
        if not isinstance(rule, Hmac) or context.masking_key is None:
            return None
        return rule.describe_token(context.masking_key, sync=context.sync)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every column's rule, options and types: equal means masked alike."""
        document = {
            "key": self.key,
            "dropped": sorted(self.dropped),
            "columns": [
                {
                    "rule": _dump(column.rule),
                    "source": bigquery_type_name(column.source),
                    "landed": bigquery_type_name(column.landed),
                }
                for column in self.columns
            ],
        }
        text = json.dumps(document, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def check_rules(rules: Sequence[Rule], *, key: str) -> None:
    """What can be said of the rules without a schema; `ConfigError` when they contradict themselves."""
    for rule in rules:
        parse_path(rule.name)
    twice = _repeated(rule.name for rule in rules)
    if twice:
        raise ConfigError(
            f"These columns have more than one rule: {_join(twice)}. BigQuery's column names do not "
            "differ by case alone; leave one rule for each."
        )
    check_paths(rules, key=key)
    of_key = next((rule for rule in rules if rule.name == key), None)
    if of_key is None:
        raise ConfigError(
            f"The key column '{key}' has no rule. Add it under columns, with rule keep or hmac."
        )
    if not of_key.leaves:
        raise ConfigError(
            f"The key column '{key}' has rule '{of_key.rule}', but records are found by it. "
            "Use rule keep or hmac."
        )


def resolve_policy(
    rules: Sequence[Rule], *, key: str, schema: pa.Schema, guarded: Mapping[str, str] | None = None
) -> Policy:
    """Match rules and columns one to one, by exact name; `PolicyError` names all that do not match.

    `guarded` names columns that are protected where they come from, and why: such a column is not
    kept unless its rule gives a reason. The error ends with the smallest change of the YAML that
    would accept it.
    """
    check_rules(rules, key=key)
    refusals = find_refusals(rules, key=key, schema=schema, guarded=guarded or {})
    if refusals:
        raise refusals[0]
    return _build_policy(rules, key=key, schema=schema)


def find_refusals(
    rules: Sequence[Rule], *, key: str, schema: pa.Schema, guarded: Mapping[str, str]
) -> list[ReverseEtlError]:
    """Everything that `resolve_policy` would refuse, not only what it meets first; none: it resolves.

    The first ends with the change of the YAML that would accept all of it.
    """
    refusals = _list_refusals(rules, key=key, schema=schema, guarded=guarded)
    if refusals:
        first = refusals[0]

        def resolves(changed: Sequence[Rule], new_key: str) -> bool:
            return not _list_refusals(changed, key=new_key, schema=schema, guarded=guarded)

        told = advise(rules, key=key, schema=schema, guarded=guarded, resolves=resolves)
        refusals[0] = type(first)(f"{first.message}\n{told}")
    return refusals


def _list_refusals(
    rules: Sequence[Rule], *, key: str, schema: pa.Schema, guarded: Mapping[str, str]
) -> list[ReverseEtlError]:
    by_path = find_roots(rules)
    places = list_places(schema, by_path=by_path)

    def check_column(rule: Rule) -> None:
        landed = _resolve_place(rule, places[rule.name])
        if landed is not None and rule.name == key:
            _check_key(landed)

    checks = [
        partial(_check_columns, rules, schema.names, places),
        partial(_check_guarded, rules, guarded),
    ]
    once = {name for name, count in Counter(schema.names).items() if count == 1}
    checks += [
        partial(check_column, rule)
        for rule in rules
        if rule.name in places and parse_path(rule.name).root in once
    ]
    refusals = []
    for check in checks:
        try:
            check()
        except ReverseEtlError as error:
            refusals.append(error)
    return refusals


def _build_policy(rules: Sequence[Rule], *, key: str, schema: pa.Schema) -> Policy:
    """The policy of rules that were held against the schema."""
    columns = [(rule, schema.field(rule.name)) for rule in group_by_column(rules)]
    return Policy(
        key=key,
        columns=tuple(
            MaskedColumn(rule=rule, source=source, landed=rule.output_field(source))
            for rule, source in columns
            if rule.leaves
        ),
        dropped=tuple(rule.name for rule, _ in columns if not rule.leaves),
    )


def resolve_pinned_policy(rules: Sequence[Rule], *, key: str, schema: pa.Schema) -> Policy:
    """The policy over a snapshot's schema, in which dropped columns are absent already.

    `PolicyError` when the rules have changed since the snapshot was pinned.
    """
    check_rules(rules, key=key)
    if list_leaving_columns(rules) != schema.names:
        raise PolicyError(
            "The sync's columns have changed since extract pinned its snapshot. Materialise extract "
            "again, so that what is pinned is what may leave."
        )
    pinned = [rule for rule in rules if rule.leaves or parse_path(rule.name).steps]
    # Without advice: what to do is to pin again, under the rules as they are.
    refusals = _list_refusals(pinned, key=key, schema=schema, guarded={})
    if refusals:
        raise refusals[0]
    dropped = tuple(rule.name for rule in group_by_column(rules) if not rule.leaves)
    return replace(_build_policy(pinned, key=key, schema=schema), dropped=dropped)


def check_masking_key(policy: Policy, key: MaskingKey | None) -> None:
    """`ConfigError` when a rule needs a key and there is none: there is no unkeyed form."""
    require_masking_key([column.rule for column in policy.columns], key)


def require_masking_key(rules: Iterable[Rule], key: MaskingKey | None) -> None:
    """The same for rules that may not have been resolved."""
    needing = [rule.name for rule in list_rules(rules) if rule.needs_key]
    if needing and key is None:
        raise ConfigError(
            f"No masking key is configured, and columns {_join(needing)} need one. Set "
            "REVERSE_ETL_MASKING_KEY or REVERSE_ETL_MASKING_KEY_FILE; there is no unkeyed form."
        )


def compute_policy_fingerprint(policy: Policy, *, context: MaskContext, gates: str = "") -> str:
    """SHA-256 over the policy and the key it is applied with: equal means the same masked bytes.

    `gates` is the fingerprint of what the masked rows were held against, empty for the defaults.
    """
    key = context.masking_key if policy.needs_key else None
    used = "none" if key is None else key.fingerprint
    parts = [policy.fingerprint, used, *([gates] if gates else [])]
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


def _check_columns(
    rules: Sequence[Rule], found: Sequence[str], places: Mapping[str, pa.Field]
) -> None:
    twice = _repeated(found)
    if twice:
        raise PolicyError(
            f"The query returns more than one column named {_join(twice)}. Give each an alias."
        )
    declared = {rule.name for rule in rules}
    unruled = [name for name in places if name not in declared]
    absent = [rule.name for rule in rules if rule.name not in places]
    problems = []
    if unruled:
        problems.append(
            f"The query returns {len(unruled)} columns that no rule names: {_join(unruled)}. Add each "
            "under columns (rule: drop if it must not leave), or take it out of the query."
        )
    if absent:
        problems.append(
            f"Rules name {len(absent)} columns that the query does not return: {_join(absent)}. "
            "Take the rule out, or mend the query; names count by exact case."
        )
    if problems:
        raise PolicyError(" ".join(problems))


def _check_guarded(rules: Sequence[Rule], guarded: Mapping[str, str]) -> None:
    refused = [
        f"'{rule.name}' ({guarded[root]})"
        for rule in rules
        if (root := parse_path(rule.name).root) in guarded and rule.shows_guarded_values
    ]
    if refused:
        raise PolicyError(
            f"Rule 'keep' would let {len(refused)} protected columns out as they are: "
            f"{', '.join(refused)}. Choose a rule that masks, or write why it may leave: "
            "{rule: keep, reason: ...}. Nothing was read or paid."
        )


def _check_type(rule: Rule, source: pa.Field) -> None:
    found = bigquery_type_name(source)
    if rule.type is not None and normalise_type_name(rule.type) != found:
        raise PolicyError(
            f"Column '{rule.name}' is declared as {normalise_type_name(rule.type)}; the query returns "
            f"{found}. If the new type is right, declare it; nothing was read."
        )


def _resolve_place(rule: Rule, source: pa.Field) -> pa.Field | None:
    """How one column or leaf leaves; None when it is dropped."""
    _check_type(rule, source)
    return rule.output_field(source) if rule.leaves else None


def _check_key(landed: pa.Field) -> None:
    if type_kind(landed) not in {Kind.STRING, Kind.INT64}:
        raise PolicyError(
            f"The key column '{landed.name}' lands as {bigquery_type_name(landed)}; a key is STRING or "
            "INT64. Cast it in the query, or use rule hmac."
        )


def _dump(rule: Rule) -> dict[str, Any]:
    """A rule and its options, without those that change no byte of what lands."""
    if isinstance(rule, ByPath):
        leaves = sorted(rule.rules, key=lambda it: it.name)
        return {"name": rule.name, "rule": rule.rule, "rules": [_dump(leaf) for leaf in leaves]}
    return rule.model_dump(mode="json", exclude=_SAYS_NOTHING_OF_VALUES)


def _repeated(names: Iterable[str]) -> list[str]:
    counts = Counter(name.casefold() for name in names)
    return sorted(name for name, count in counts.items() if count > 1)


def _join(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
