"""Which columns of which tables the values of a query's output columns are made of.

Fails closed: a column is called resolved only when all of its way was followed. A column that is used
only to choose rows (WHERE, JOIN ON, GROUP BY, the rows of UNION) does not flow into the others; one
inside the expression of a value does, in a condition too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reverse_etl.sources.bigquery.references import TableReference
from reverse_etl.sources.bigquery.tracing.columns import ColumnFacts
from reverse_etl.sources.bigquery.tracing.flows import ColumnPath, Taint
from reverse_etl.sources.bigquery.tracing.relations import Catalog
from reverse_etl.sources.bigquery.tracing.views import match_columns, trace_text

_SHOWN_REASONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What an output column is made of: paths of columns as the tables' schemas name them.

    A path stands for all that is nested below it; one that ends in `ELEMENTS` for the length of an
    array alone. `unresolved` says why there may be others; None: there are none.
    """

    columns: frozenset[ColumnPath]
    unresolved: str | None = None


def trace_origins(
    query: str,
    *,
    columns: Sequence[str],
    schemas: Mapping[TableReference, Sequence[ColumnFacts]],
    views: Mapping[TableReference, str | None] | None = None,
    project: str,
) -> dict[str, Origin]:
    """The origin of each of a query's output `columns`, which the warehouse named in order.

    `schemas` are the columns of tables and views; `views` the queries of the views among them, None
    where one is not known. `project` is that of tables named without one.
    """
    catalog = Catalog(schemas=schemas, views=views or {})
    traced = trace_text(query, catalog=catalog, project=project)
    flows = match_columns(traced, columns)
    return {name: _build_origin(flow.taint) for name, flow in zip(columns, flows, strict=True)}


def _build_origin(taint: Taint) -> Origin:
    shown = sorted(taint.reasons)[:_SHOWN_REASONS]
    more = len(taint.reasons) - len(shown)
    reason = ", ".join(shown) + (f" and {more} more" if more else "")
    return Origin(columns=taint.columns, unresolved=reason or None)
