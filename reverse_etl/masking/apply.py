"""A policy as one vectorised query over a batch: the only way from raw columns to masked ones."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from reverse_etl.engine import Engine, guarded, unslice
from reverse_etl.errors import TerminalError
from reverse_etl.masking.policy import Policy
from reverse_etl.masking.rules import Computed, MaskContext, Parameters
from reverse_etl.sql import quote_identifier
from reverse_etl.types import canonical_field

_RAW = "raw_batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """The compiled policy of one partition.

    `select` names columns only; `parameters` holds what is bound, `computed` the columns that are
    made before the query runs, derived keys inside.
    """

    select: str
    parameters: dict[str, Any]
    computed: tuple[Computed, ...]
    schema: pa.Schema

    def __repr__(self) -> str:
        return f"Mask(columns={len(self.schema)})"


def compile_mask(policy: Policy, *, context: MaskContext) -> Mask:
    """The select list that masks; `ConfigError` when a rule needs a key and there is none."""
    parameters = Parameters()
    items = []
    for column in policy.columns:
        name = quote_identifier(column.source.name)
        masked = column.rule.expression(name, column.source, parameters, context)
        items.append(f"{masked} AS {quote_identifier(column.landed.name)}")
    return Mask(
        select=", ".join(items),
        parameters=parameters.values,
        computed=tuple(parameters.computed),
        schema=policy.landed_schema,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedRows:
    """A batch masked, as a query that has not run yet: whoever needs more of it does so in one pass.

    It has the mask's columns, and as many rows as the batch, in any order.
    """

    query: str
    parameters: dict[str, Any]

    def __repr__(self) -> str:
        return "MaskedRows()"


@contextlib.contextmanager
def open_masked(engine: Engine, mask: Mask, batch: pa.Table) -> Iterator[MaskedRows]:
    """The batch's masked rows, which can be queried as long as this is open."""
    with guarded("masking"):
        raw = unslice(batch)
        for item in mask.computed:
            raw = raw.append_column(item.name, item.compute(batch.column(item.source)))
        engine.register(_RAW, raw)
        try:
            yield MaskedRows(query=f"SELECT {mask.select} FROM {_RAW}", parameters=mask.parameters)
        finally:
            engine.unregister(_RAW)


def check_types(engine: Engine, mask: Mask, source: pa.Schema) -> None:
    """`TerminalError` when the rules give other types than they say: the manifest would be wrong."""
    with open_masked(engine, mask, source.empty_table()) as rows:
        found = engine.sql(rows.query, params=rows.parameters).to_arrow_table().schema
    wrong = [
        name
        for name, given in zip(mask.schema.names, found, strict=True)
        if canonical_field(given).type != mask.schema.field(name).type
    ]
    if wrong:
        raise TerminalError(
            f"The rules of columns {', '.join(map(repr, wrong))} gave another type than they say. "
            "Nothing was masked. This is a fault of the rules, not of the rows: report it."
        )


def mask_batch(engine: Engine, mask: Mask, batch: pa.Table) -> pa.Table:
    """The batch masked: as many rows, in any order, of exactly the mask's schema."""
    with open_masked(engine, mask, batch) as rows:
        masked = engine.sql(rows.query, params=rows.parameters)
        table: pa.Table = masked.to_arrow_table()
    return table.cast(mask.schema)
