"""Tables as they stood at a moment: FOR SYSTEM_TIME AS OF, written into a query's own text."""

import datetime as dt
from collections.abc import Iterable, Mapping

from sqlglot import Token, TokenType, exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.references import References, TablePlace, find_references
from reverse_etl.sources.bigquery.tracing.query_tree import parse_query, uses_pipes
from reverse_etl.sources.dialect.statement import read_tokens

#: BigQuery's default, and the most that a dataset can keep.
WINDOW_HOURS = 168

#: What time travel reaches, as `Table.table_type` calls it.
_REACHABLE = frozenset({"TABLE", "SNAPSHOT"})
_NO_VERSION = (
    "snapshot.as_of: after_partition_end reads every table of the query as it stood at one moment"
)
_INSTEAD = "or set snapshot.as_of: query, and let the query filter by @partition_date"


def read_as_of(query: str, moment: dt.datetime) -> str:
    """The query with FOR SYSTEM_TIME AS OF `moment` behind each of its tables; all else stays byte for byte.

    `ConfigError` when a table is not one whose past can be read, or something is not understood.
    """
    if uses_pipes(query):
        raise _refuse("pipe syntax", "Write SELECT ... FROM")
    tree = parse_query(query)
    if tree.find(exp.Version) is not None:
        raise _refuse("FOR SYSTEM_TIME of its own, and one query reads at one moment", "Remove it")
    # The names matter, not whose project they are in.
    references = find_references(tree, project="-", default_dataset="-")
    _check_functions(references)
    for place in references.places:
        _check_place(place)
    tokens = read_tokens(query)
    ends = [_find_end(place.node, tokens) for place in references.places]
    return _check_written(query, _insert(query, ends, f" {_write_clause(moment)}"), references)


def check_window(
    moment: dt.datetime, *, now: dt.datetime, window_hours: float = WINDOW_HOURS
) -> None:
    """`ConfigError` unless tables can still be read as they stood at `moment`."""
    oldest = now - dt.timedelta(hours=window_hours)
    if moment < oldest:
        raise ConfigError(
            f"The tables would be read as they stood at {_show(moment)}, but BigQuery keeps their past "
            f"for {window_hours:g} hours, since {_show(oldest)}. Re-running an old day must not silently "
            "write today's data under an old date, so nothing was read. If the tables hold their own "
            "history (a date on each row, a copy of each day), set snapshot.as_of: query and let the "
            "query filter by @partition_date; that can be run for any day. A dataset keeps at most "
            f"{WINDOW_HOURS} hours (max_time_travel_hours)."
        )
    if moment > now:
        raise ConfigError(
            f"The tables would be read as they stand at {_show(moment)}, which is yet to come. "
            "Run it then."
        )


def check_reachable(kinds: Mapping[str, str]) -> None:
    """`ConfigError` naming what a query reads that has no past; `kinds` are table types by name."""
    refused = [f"'{name}' ({kind})" for name, kind in kinds.items() if kind not in _REACHABLE]
    if refused:
        raise ConfigError(
            f"{_NO_VERSION}, which BigQuery cannot do for {', '.join(refused)}: time travel does not "
            "reach through views, and external tables have no past. Name the tables themselves, "
            f"{_INSTEAD}."
        )


def _check_functions(references: References) -> None:
    if references.functions:
        names = ", ".join(f"'{name}'" for name in references.functions)
        raise _refuse(
            f"the function {names}, which may read tables as they are now",
            "Put its SQL into the query",
        )


def _check_place(place: TablePlace) -> None:
    table, unusual = place.node, place.reference.unusual
    if unusual is not None:
        raise _refuse(f"the {unusual} {_name(table)}", "Name the tables themselves")
    if table.args.get("pivots"):
        raise _refuse(
            f"{_name(table)} with PIVOT or UNPIVOT behind it; FOR SYSTEM_TIME cannot stand there",
            f"Write (SELECT * FROM {_name(table)[1:-1]}) in its place",
        )


def _name(table: exp.Table) -> str:
    return "'" + ".".join(part.name for part in table.parts) + "'"


def _refuse(found: str, instead: str) -> ConfigError:
    return ConfigError(f"{_NO_VERSION}, but it has {found}. {instead}, {_INSTEAD}.")


def _find_end(table: exp.Table, tokens: list[Token]) -> int:
    """The place behind a table and its alias: the clause stands before TABLESAMPLE, JOIN and the rest."""
    parts: list[exp.Expr] = [*table.parts]
    alias = table.args.get("alias")
    if isinstance(alias, exp.TableAlias) and alias.this is not None:
        parts.append(alias.this)
    last = max(part.meta.get("end", -1) for part in parts)
    starts = {token.start: token for token in tokens}
    # `2024_users` without backquotes is two tokens, of which the tree has the first.
    cut = any(token.end == last and token.token_type is TokenType.NUMBER for token in tokens)
    return starts[last + 1].end + 1 if cut and last + 1 in starts else last + 1


def _write_clause(moment: dt.datetime) -> str:
    return f"FOR SYSTEM_TIME AS OF TIMESTAMP '{_show(moment)}'"


def _show(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(sep=" ")


def _insert(query: str, places: Iterable[int], text: str) -> str:
    for place in sorted(places, reverse=True):
        query = query[:place] + text + query[place:]
    return query


def _check_written(query: str, written: str, references: References) -> str:
    """`written`, once it was read again: the same query, with a version on exactly these tables."""
    try:
        found = find_references(parse_query(written), project="-", default_dataset="-").places
        same = _strip(written) == _strip(query)
    except (ConfigError, RecursionError):
        found, same = (), False
    names = [place.reference for place in references.places]
    versioned = [place.reference for place in found if place.node.args.get("version") is not None]
    if not same or versioned != names:
        raise ConfigError(
            f"{_NO_VERSION}, and where that belongs in this query is not understood. Write each table "
            f"in backquotes with an alias, {_INSTEAD}."
        )
    return written


def _strip(query: str) -> exp.Query:
    """The tree without what the clause adds; a sample behind it hangs elsewhere in the tree."""
    tree = parse_query(query)
    for node in [*tree.find_all(exp.Version, exp.TableSample)]:
        node.pop()
    return tree
