"""Changes to tables by statements of DuckDB's, each of which leaves the state before as it was."""

import sqlglot
from sqlglot import exp

from reverse_etl_tests.bigquery.catalog import Catalog
from reverse_etl_tests.bigquery.engine import Engine

# What stands around the table that is written to: no alias fits there.
_WRITES = (exp.Insert, exp.Alter, exp.Schema)


def run_statement(catalog: Catalog, engine: Engine, sql: str) -> None:
    """Run INSERT, UPDATE, DELETE, MERGE or ALTER TABLE; the table gets a new state.

    Column types stay BigQuery's own, but after ALTER TABLE, where they are what DuckDB has.
    """
    statement = sqlglot.parse_one(sql, dialect="duckdb")
    target = statement.find(exp.Table)
    if target is None or not target.db:
        raise ValueError("A change names its table as dataset.table.")
    table = catalog.get_table(target.db, target.name)
    state = engine.next_relation()
    for node in list(statement.find_all(exp.Table)):
        if (node.db, node.name) == (table.dataset, table.name):
            _rename(node, state)
        elif node.db:
            _rename(node, catalog.get_table(node.db, node.name).rows.relation())
    with engine.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {state} AS SELECT * FROM {table.rows.relation()}")
        cursor.execute(statement.sql(dialect="duckdb"))
    schema = None if isinstance(statement, exp.Alter) else table.schema
    catalog.replace_rows(table, engine.keep_relation(state, schema=schema))


def _rename(node: exp.Table, relation: str) -> None:
    schema, name = relation.split(".")
    if not node.alias and not isinstance(node.parent, _WRITES):
        node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name)))
    node.set("this", exp.to_identifier(name))
    node.set("db", exp.to_identifier(schema))
