"""Names of columns, and the traps where both engines take a bare name for different things."""

from sqlglot import exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.refusals import find_line, refuse
from reverse_etl.sources.dialect.values import Value
from reverse_etl.sql import quote_identifier


def write_column(context: Context, node: exp.Column) -> Value:
    """A column, a field of one, or what the SELECT list calls so where BigQuery lets that win."""
    parts = [part.name for part in node.parts]
    if isinstance(node.this, exp.Star):
        raise refuse("* outside of SELECT and COUNT", node=node, instead="named columns")
    first = parts[0].lower()
    alias = context.scope.aliases.get(first)
    if alias is not None and len(parts) == 1:
        return alias
    if alias is not None:
        raise _ambiguous(node, parts[0], "it is also a name of the SELECT list")
    if len(parts) == 1:
        _check_bare(context, node, first)
    return Value(sql=".".join(quote_identifier(part) for part in parts), simple=True)


def _check_bare(context: Context, node: exp.Column, name: str) -> None:
    """Refuse a bare name that DuckDB would look up elsewhere than BigQuery, without an error."""
    scope = context.scope
    if name in scope.hidden:
        raise _ambiguous(node, node.name, "DuckDB would take it from the SELECT list")
    if scope.only is not None and name not in scope.only:
        raise _ambiguous(node, node.name, "it could be a field of an UNNEST")


def _ambiguous(node: exp.Column, name: str, reason: str) -> ConfigError:
    line = find_line(node)
    where = f" in line {line}" if line is not None else ""
    return ConfigError(
        f"The name '{name}'{where} could mean two things ({reason}). Write the table in front of it: "
        f"table.{name}."
    )
