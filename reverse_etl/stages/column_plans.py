"""The columns of a run beforehand: as they come, as they land, by which rule. Pure."""

from collections.abc import Sequence

import pyarrow as pa

from reverse_etl.errors import PolicyError
from reverse_etl.masking.nested import find_roots
from reverse_etl.masking.nested_paths import list_places, parse_path
from reverse_etl.masking.rules import Rule
from reverse_etl.sources.base import Description
from reverse_etl.stages.run_plan import ColumnPlan
from reverse_etl.types import bigquery_type_name


def plan_columns(rules: Sequence[Rule], description: Description | None) -> tuple[ColumnPlan, ...]:
    """Every rule's column, or path, in output order, then those of the query that no rule names."""
    schema = pa.schema([]) if description is None else description.schema
    guarded = {} if description is None else description.guarded
    found = list_places(schema, by_path=find_roots(rules))
    ruled = {rule.name for rule in rules}
    return (
        *(
            _plan_column(
                rule, found.get(rule.name), guarded=guarded.get(parse_path(rule.name).root)
            )
            for rule in rules
        ),
        *(
            ColumnPlan(
                name=name,
                rule=None,
                leaves=False,
                source_type=bigquery_type_name(field),
                landed_type=None,
                guarded=guarded.get(parse_path(name).root),
            )
            for name, field in found.items()
            if name not in ruled
        ),
    )


def _plan_column(rule: Rule, field: pa.Field | None, *, guarded: str | None) -> ColumnPlan:
    landed = None if field is None or not rule.leaves else _find_landed(rule, field)
    return ColumnPlan(
        name=rule.name,
        rule=rule.summary(),
        leaves=rule.leaves,
        source_type=None if field is None else bigquery_type_name(field),
        landed_type=None if landed is None else bigquery_type_name(landed),
        guarded=guarded,
    )


def _find_landed(rule: Rule, field: pa.Field) -> pa.Field | None:
    """The column as it lands; None where the rule does not take it, which stands among the stops."""
    try:
        return rule.output_field(field)
    except PolicyError:
        return None
