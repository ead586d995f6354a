"""A policy as one vectorised query over a batch: the only way from raw columns to masked ones."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from reverse_etl.engine import Engine, guarded, unslice
from reverse_etl.errors import TerminalError
from reverse_etl.masking.faults_query import FOUND_BEFORE, FaultQuery
from reverse_etl.masking.faults_values import ValueCheck, list_checks, take_out
from reverse_etl.masking.nested import ByPath
from reverse_etl.masking.nested_apply import NestedMask, compile_nested
from reverse_etl.masking.policy import Policy
from reverse_etl.masking.rules import Computed, MaskContext, Names, Parameters
from reverse_etl.sql import quote_identifier
from reverse_etl.types import canonical_field

_RAW = "raw_batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """The compiled policy of one partition.

    `query` names columns only; `parameters` holds what is bound, `computed` and `nested` the columns
    that are made before the query runs, derived keys inside. `checks` come before all of them.
    """

    query: FaultQuery
    parameters: dict[str, Any]
    computed: tuple[Computed, ...]
    nested: tuple[NestedMask, ...]
    schema: pa.Schema
    checks: tuple[ValueCheck, ...]

    @property
    def select(self) -> str:
        """The query of a batch in which nothing was found before."""
        return self.query.write(_RAW)

    def __repr__(self) -> str:
        return f"Mask(columns={len(self.schema)})"


def compile_mask(policy: Policy, *, context: MaskContext) -> Mask:
    """The select list that masks; `ConfigError` when a rule needs a key and there is none."""
    parameters, query = Parameters(), FaultQuery()
    for column in policy.columns:
        rule, source, name = column.rule, column.source, quote_identifier(column.source.name)
        names = Names(raw=name, masked=query.name_value())
        query.add(
            column.landed.name,
            rule.expression(name, source, parameters, context),
            faults=rule.list_faults(names, source, parameters, context),
            action=rule.action,
        )
    return Mask(
        query=query,
        parameters=parameters.values,
        computed=tuple(parameters.computed),
        nested=tuple(
            compile_nested(column.rule, column.source, context=context)
            for column in policy.columns
            if isinstance(column.rule, ByPath)
        ),
        schema=policy.landed_schema,
        checks=tuple(
            check for column in policy.columns for check in list_checks(column.rule, column.source)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedRows:
    """A batch masked, as a query that has not run yet: whoever needs more of it does so in one pass.

    It has the mask's columns, and as many rows as the batch, in any order. With `has_reasons` it has
    REASONS too: what could not be masked, by row. Such a value is NULL, or what its rule made of it
    where the version is refused for it.
    """

    query: str
    parameters: dict[str, Any]
    has_reasons: bool

    def __repr__(self) -> str:
        return "MaskedRows()"


@contextlib.contextmanager
def open_masked(engine: Engine, mask: Mask, batch: pa.Table) -> Iterator[MaskedRows]:
    """The batch's masked rows, which can be queried as long as this is open."""
    with guarded("masking"):
        raw = take_out(batch, mask.checks)
        for nested in mask.nested:
            raw = nested.replace(engine, raw)
        found_before = FOUND_BEFORE in raw.column_names
        raw = unslice(raw)
        for item in mask.computed:
            raw = raw.append_column(item.name, item.compute(raw.column(item.source)))
        engine.register(_RAW, raw)
        try:
            yield MaskedRows(
                query=mask.query.write(_RAW, found_before=found_before),
                parameters=mask.parameters,
                has_reasons=found_before or mask.query.finds_faults,
            )
        finally:
            engine.unregister(_RAW)


def check_types(engine: Engine, mask: Mask, source: pa.Schema) -> None:
    """`TerminalError` when the rules give other types than they say: the manifest would be wrong."""
    with open_masked(engine, mask, source.empty_table()) as rows:
        found = engine.sql(rows.query, params=rows.parameters).to_arrow_table().schema
    wrong = [
        name
        for name in mask.schema.names
        if canonical_field(found.field(name)).type != mask.schema.field(name).type
    ]
    if wrong:
        raise TerminalError(
            f"The rules of columns {', '.join(map(repr, wrong))} gave another type than they say. "
            "Nothing was masked. This is a fault of the rules, not of the rows: report it."
        )


def mask_batch(engine: Engine, mask: Mask, batch: pa.Table) -> pa.Table:
    """The batch masked: as many rows, in any order, of exactly the mask's schema.

    What could not be masked is as in `MaskedRows`, and nothing says which values these were.
    """
    with open_masked(engine, mask, batch) as rows:
        masked = engine.sql(rows.query, params=rows.parameters)
        table: pa.Table = masked.to_arrow_table()
    return table.select(mask.schema.names).cast(mask.schema)
