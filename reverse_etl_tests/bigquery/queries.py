"""Queries: planned as a dry run does, then run in DuckDB through the product's own dialect."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from sqlglot import exp

from reverse_etl.sources.dialect import transpile_query
from reverse_etl_tests.bigquery.catalog import TIME_TRAVEL, Catalog, Table
from reverse_etl_tests.bigquery.clock import to_millis
from reverse_etl_tests.bigquery.engine import Engine, Rows, describe_result, run_query
from reverse_etl_tests.bigquery.errors import invalid_query, not_found_in
from reverse_etl_tests.bigquery.explain import explained
from reverse_etl_tests.bigquery.origins import find_origins, find_projection
from reverse_etl_tests.bigquery.permissions import deny_query
from reverse_etl_tests.bigquery.sqltext import ParsedQuery, Reference, parse, replace_tables

_NOW = re.compile(r"(?i)\bCURRENT_TIMESTAMP\b(\s*\(\s*\))?")
_TABLE_PARTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query as it is asked: its text, parameters, and where it runs."""

    sql: str
    location: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    default_dataset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a dry run finds. `tables` are those read in the end: those below a view, and not the view.

    `projection` is set when rows are only handed on, `duckdb_sql` when DuckDB runs the query.
    """

    question: Question
    schema: pa.Schema
    tables: tuple[Table, ...]
    bytes_processed: int
    rows: Rows | None = None
    projection: Mapping[str, str] | None = None
    duckdb_sql: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """One table of a query: its rows as they are read, and the tables that they come from."""

    rows: Rows
    tables: tuple[Table, ...]


class QueryRunner:
    """Plans and runs queries. `check` raises `ApiError` for a table that may not be read."""

    def __init__(self, catalog: Catalog, engine: Engine, *, check: Callable[[str], None]) -> None:
        self._catalog = catalog
        self._engine = engine
        self._check = check

    def plan(self, question: Question) -> Plan:
        """Everything that can be said of a query before it runs; `ApiError` when it cannot run."""
        parsed = parse(question.sql)
        inputs = [self._find_input(question, reference) for reference in parsed.references]
        size = sum(_count_bytes(parsed.tree, item.rows) for item in inputs)
        tables = {table.full_name: table for item in inputs for table in item.tables}
        base: dict[str, Any] = {
            "question": question,
            "tables": tuple(tables.values()),
            "bytes_processed": size,
        }
        if len(inputs) == 1:
            rows = inputs[0].rows
            projection = find_projection(parsed.tree, rows.schema)
            if projection is not None:
                schema = _project_schema(rows.schema, projection)
                return Plan(schema=schema, rows=rows, projection=projection, **base)
        return self._plan_engine(parsed, [item.rows for item in inputs], base)

    def run(self, plan: Plan) -> pa.Table:
        """The rows of a planned query."""
        if plan.rows is not None and plan.projection is not None:
            table = plan.rows.arrow()
            columns = [table.column(origin) for origin in plan.projection.values()]
            return pa.table(columns, schema=plan.schema)
        with self._engine.cursor() as cursor, explained(plan.question.sql):
            return run_query(cursor, plan.duckdb_sql, plan.schema, plan.parameters)

    def _plan_engine(self, parsed: ParsedQuery, rows: list[Rows], base: dict[str, Any]) -> Plan:
        question: Question = base["question"]
        text = replace_tables(parsed, [each.relation() for each in rows])
        schemas = {
            ".".join(reference.path).lower(): each.schema
            for reference, each in zip(parsed.references, rows, strict=True)
        }
        origins = find_origins(parsed.tree, schemas)
        with self._engine.cursor() as cursor, explained(question.sql):
            transpiled = transpile_query(text, parameters=frozenset(question.parameters))
            values = {name: question.parameters[name] for name in transpiled.parameters}
            schema = describe_result(cursor, transpiled.sql, values, origins)
        return Plan(schema=schema, duckdb_sql=transpiled.sql, parameters=values, **base)

    def _find_input(self, question: Question, reference: Reference) -> _Input:
        table = self._find_table(question, reference)
        if reference.as_of is not None:
            return _Input(rows=self._find_past(question, reference, table), tables=(table,))
        if table.view_query is None:
            return _Input(rows=table.rows, tables=(table,))
        inner = self.plan(Question(sql=table.view_query, location=question.location))
        return _Input(rows=self._engine.keep_arrow(self.run(inner)), tables=inner.tables)

    def _find_table(self, question: Question, reference: Reference) -> Table:
        path = reference.path
        if len(path) == 1 and question.default_dataset is not None:
            path = (question.default_dataset, *path)
        if len(path) == 1:
            raise invalid_query(
                f'Table "{path[0]}" must be qualified with a dataset (e.g. dataset.table).'
            )
        dataset, name = path[-_TABLE_PARTS:]
        project = path[0] if len(path) > _TABLE_PARTS else self._catalog.project
        full_name = f"{project}:{dataset}.{name}"
        if project != self._catalog.project:
            raise deny_query(full_name)
        self._check(full_name)
        if not self._catalog.has_dataset(dataset, location=question.location):
            raise not_found_in("Dataset", f"{project}:{dataset}", question.location)
        table = self._catalog.find_table(dataset, name)
        if table is None:
            raise not_found_in("Table", full_name, question.location)
        return table

    def _find_past(self, question: Question, reference: Reference, table: Table) -> Rows:
        if table.kind != "TABLE":
            raise invalid_query(
                f"FOR SYSTEM_TIME AS OF is not supported for {table.full_name} of type {table.kind} "
                f"at [{reference.line}:{reference.column}]"
            )
        now = self._catalog.clock.now()
        moment = self._evaluate_moment(question, reference.as_of or "", now)
        return find_state(table, moment, now=now)

    def _evaluate_moment(
        self, question: Question, expression: str, now: dt.datetime
    ) -> dt.datetime:
        literal = f"TIMESTAMP '{now.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
        text = f"SELECT {_NOW.sub(literal, expression)} AS moment"
        with self._engine.cursor() as cursor, explained(question.sql):
            transpiled = transpile_query(text, parameters=frozenset(question.parameters))
            values = {name: question.parameters[name] for name in transpiled.parameters}
            column = cursor.sql(transpiled.sql, params=values).to_arrow_table().column(0)
        moment = column[0].as_py()
        if not isinstance(moment, dt.datetime) or moment.tzinfo is None:
            raise invalid_query("FOR SYSTEM_TIME AS OF expects an expression of type TIMESTAMP")
        return moment


def find_state(
    table: Table, moment: dt.datetime, *, now: dt.datetime, word: str = "snapshot time"
) -> Rows:
    """A table's rows at a moment; `ApiError` in BigQuery's words when they cannot be had."""
    millis = to_millis(moment)
    if moment > now:
        raise invalid_query(
            f"Invalid {word} {millis} for table {table.full_name}: it is in the future"
        )
    earliest = max(table.states[0][0], now - TIME_TRAVEL)
    rows = table.find_rows(moment)
    if moment < earliest or rows is None:
        raise invalid_query(
            f"Invalid {word} {millis} for table {table.full_name}@{millis}. "
            f"Cannot read before {to_millis(earliest)}."
        )
    return rows


def _project_schema(schema: pa.Schema, projection: Mapping[str, str]) -> pa.Schema:
    return pa.schema([schema.field(origin).with_name(name) for name, origin in projection.items()])


def _count_bytes(tree: exp.Expr, rows: Rows) -> int:
    """The size of the columns that a query names, of all of them when it says `*`."""
    starred = any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star))
    named = {part.name.lower() for column in tree.find_all(exp.Column) for part in column.parts}
    return sum(
        rows.column_bytes(name) for name in rows.schema.names if starred or name.lower() in named
    )
