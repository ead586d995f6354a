"""A policy as one vectorised query over a batch: the only way from raw columns to masked ones."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from reverse_etl.engine import Engine, guarded, unslice
from reverse_etl.masking.policy import Policy
from reverse_etl.masking.rules import MaskContext, Parameters
from reverse_etl.sql import quote_identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """The compiled policy of one partition.

    `select` names columns only; `parameters` holds what is bound, derived keys among it.
    """

    select: str
    parameters: dict[str, Any]
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
    return Mask(select=", ".join(items), parameters=parameters.values, schema=policy.landed_schema)


def mask_batch(engine: Engine, mask: Mask, batch: pa.Table) -> pa.Table:
    """The batch masked: as many rows, in any order, of exactly the mask's schema."""
    with guarded("masking"):
        engine.register("raw_batch", unslice(batch))
        try:
            masked = engine.sql(f"SELECT {mask.select} FROM raw_batch", params=mask.parameters)
            table: pa.Table = masked.to_arrow_table()
        finally:
            engine.unregister("raw_batch")
        return table.cast(mask.schema)
