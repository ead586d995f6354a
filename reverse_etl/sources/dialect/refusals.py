"""What the embedded source does not run, what to use instead, and how that is said."""

from collections.abc import Mapping

from sqlglot import exp

from reverse_etl.errors import ConfigError

#: Functions and constructs people reach for, and the way that runs in both. Shown in docs/sql.md.
INSTEAD: Mapping[str, str] = {
    "CURRENT_DATE": "@partition_date: a re-run of an old day must not depend on today",
    "CURRENT_DATETIME": "@partition_date: a re-run of an old day must not depend on today",
    "CURRENT_TIME": "@partition_date: a re-run of an old day must not depend on today",
    "CURRENT_TIMESTAMP": "@partition_date: a re-run of an old day must not depend on today",
    "RAND": "a column, hashed with SHA256: the same row must give the same answer on every run",
    "GENERATE_UUID": "a column, hashed with SHA256: the same row must give the same answer on every run",
    "SESSION_USER": "a constant: the answer must not depend on who runs the query",
    "LIMIT without ORDER BY": "ORDER BY: which rows come back is not defined without it",
    "OVER without ORDER BY": "ORDER BY in the window: the order of its rows is not defined without it",
    "ARRAY_AGG without ORDER BY": "ORDER BY inside it: the order of the elements is not defined without it",
    "STRING_AGG without ORDER BY": "ORDER BY inside it: the order of the parts is not defined without it",
    "ARRAY(subquery) without ORDER BY": "ORDER BY in the subquery (WITH OFFSET gives the order of an array)",
    "SAFE. prefix": "SAFE_CAST, SAFE_DIVIDE, SAFE_OFFSET or IF",
    "BIGNUMERIC": "NUMERIC",
    "NUMERIC division": "CAST(x AS FLOAT64) on both sides",
    "AVG of NUMERIC": "AVG(CAST(x AS FLOAT64))",
    "CAST of FLOAT64 to NUMERIC": "a NUMERIC literal or column from the start",
    "CAST of FLOAT64 to STRING": "CAST(x AS INT64) first, or carry the number itself",
    "CAST of TIMESTAMP to STRING": "FORMAT_TIMESTAMP",
    "CAST of DATETIME to STRING": "FORMAT_DATETIME",
    "CAST with FORMAT": "FORMAT_DATE, PARSE_DATE and their like",
    "INTERVAL": "DATE_ADD, DATE_SUB, DATE_DIFF and their like",
    "DATE + INT64": "DATE_ADD, DATE_SUB or DATE_DIFF",
    "%": "MOD",
    "&, |, ^, ~, <<, >>": "arithmetic",
    "array[n]": "array[OFFSET(n)] or array[SAFE_OFFSET(n)]",
    "[] without a type": "ARRAY<STRING>[], with the type of its elements",
    "UNNEST without alias": "UNNEST(x) AS name",
    "table.array in FROM": "UNNEST(table.array) AS name",
    "wildcard table": "a view over the tables, or UNION ALL",
    "INFORMATION_SCHEMA": "a table of your own",
    "table$partition": "WHERE on the partition column",
    "FOR SYSTEM_TIME AS OF": "the table itself: `extract` pins a snapshot anyway",
    "TABLESAMPLE": "MOD over a hash of the key",
    "table function": "a table or a view",
    "PIVOT": "SUM(IF(...)) AS name for each column",
    "UNPIVOT": "UNNEST([STRUCT(...), ...]) AS name",
    "WITH RECURSIVE": "a table that was prepared before",
    "WITH inside an expression": "WITH at the top of the query",
    "FROM (subquery) inside an expression": "WITH at the top of the query",
    "pipe syntax": "SELECT ... FROM",
    "ROLLUP, CUBE, GROUPING SETS": "UNION ALL of one query for each grouping",
    "SELECT AS STRUCT": "ARRAY_AGG(STRUCT(...) ORDER BY ...)",
    "SELECT AS VALUE": "named columns",
    "SELECT * with USING": "named columns: the order of the columns differs",
    "SELECT * with UNNEST": "named columns: BigQuery spreads the fields of a STRUCT",
    "LIKE ANY, LIKE ALL": "OR and AND",
    "RANGE with a number": "ROWS, or a join on the range",
    "MAX_BY": "ARRAY_AGG(x ORDER BY y DESC LIMIT 1)[OFFSET(0)]",
    "MIN_BY": "ARRAY_AGG(x ORDER BY y LIMIT 1)[OFFSET(0)]",
    "HAVING MAX, HAVING MIN": "ARRAY_AGG(x ORDER BY y LIMIT 1)[OFFSET(0)]",
    "PERCENTILE_CONT": "APPROX_QUANTILES, which is exact in the embedded source",
    "PERCENTILE_DISC": "APPROX_QUANTILES, which is exact in the embedded source",
    "APPROX_TOP_COUNT": "GROUP BY with COUNT(*), ORDER BY and LIMIT",
    "APPROX_TOP_SUM": "GROUP BY with SUM, ORDER BY and LIMIT",
    "HLL_COUNT.*": "COUNT(DISTINCT x)",
    "FARM_FINGERPRINT": "SHA256 (or a masking rule: that is what they are for)",
    "SHA512": "SHA256",
    "FORMAT('%05d', x)": "LPAD(CAST(x AS STRING), 5, '0')",
    "REVERSE": "a column that holds it",
    "INITCAP": "UPPER and LOWER of SUBSTR",
    "NORMALIZE": "a column that holds it",
    "CONTAINS_SUBSTR": "STRPOS(LOWER(x), 'text') > 0",
    "JSON_EXTRACT": "JSON_VALUE of each scalar",
    "JSON_QUERY": "JSON_VALUE of each scalar",
    "TO_JSON_STRING": "the columns themselves: the landing writes JSON",
    "PARSE_JSON": "JSON_VALUE on the text",
    "NET.*": "REGEXP_EXTRACT",
    "ST_*": "latitude and longitude as FLOAT64",
    "ML.*": "a table that holds the predictions",
    "user-defined function": "the expression itself",
}

#: sqlglot's name for a construct, and ours.
_CONSTRUCTS: Mapping[type[exp.Expr], str] = {
    exp.Mod: "%",
    exp.BitwiseAnd: "&, |, ^, ~, <<, >>",
    exp.BitwiseOr: "&, |, ^, ~, <<, >>",
    exp.BitwiseXor: "&, |, ^, ~, <<, >>",
    exp.BitwiseNot: "&, |, ^, ~, <<, >>",
    exp.BitwiseLeftShift: "&, |, ^, ~, <<, >>",
    exp.BitwiseRightShift: "&, |, ^, ~, <<, >>",
    exp.Interval: "INTERVAL",
    exp.Rollup: "ROLLUP, CUBE, GROUPING SETS",
    exp.Cube: "ROLLUP, CUBE, GROUPING SETS",
    exp.GroupingSets: "ROLLUP, CUBE, GROUPING SETS",
    exp.HavingMax: "HAVING MAX, HAVING MIN",
    exp.SafeFunc: "SAFE. prefix",
    exp.NetFunc: "NET.*",
    exp.CurrentDate: "CURRENT_DATE",
    exp.CurrentDatetime: "CURRENT_DATETIME",
    exp.CurrentTime: "CURRENT_TIME",
    exp.CurrentTimestamp: "CURRENT_TIMESTAMP",
    exp.Any: "LIKE ANY, LIKE ALL",
    exp.All: "LIKE ANY, LIKE ALL",
    exp.Tuple: "a tuple",
    exp.AtTimeZone: "AT TIME ZONE outside of EXTRACT",
    exp.Star: "* outside of SELECT and COUNT",
}

#: sqlglot's arguments of a node that are constructs of their own.
_ARGUMENTS: Mapping[str, str] = {
    "version": "FOR SYSTEM_TIME AS OF",
    "sample": "TABLESAMPLE",
    "pivots": "PIVOT",
    "joins": "a join in parentheses",
    "recursive": "WITH RECURSIVE",
    "format": "CAST with FORMAT",
    "method": "NATURAL JOIN",
}


def name_construct(node: exp.Expr) -> str:
    """What to call a construct that has no place in the whitelist."""
    if isinstance(node, exp.Anonymous):
        return node.name.upper()
    known = _CONSTRUCTS.get(type(node))
    if known is not None:
        return known
    return node.sql_name() if isinstance(node, exp.Func) else type(node).__name__.upper()


def find_line(node: exp.Expr | None) -> int | None:
    """The first line that the node (or else what encloses it) is known to stand on; None: not known."""
    while node is not None:
        lines = [part.meta["line"] for part in node.walk() if "line" in part.meta]
        if lines:
            return int(min(lines))
        node = node.parent
    return None


def refuse(what: str, *, node: exp.Expr | None = None, instead: str | None = None) -> ConfigError:
    """The error for a query that BigQuery runs and the embedded source does not; the caller raises it."""
    line = find_line(node)
    where = f" (line {line})" if line is not None else ""
    use = instead or INSTEAD.get(what)
    advice = f"or use {use}" if use else "or use what docs/sql.md lists"
    return ConfigError(
        f"{what}{where} is not known to give the same answer in the embedded source. This query runs on "
        f"BigQuery only: set `source.kind: bigquery`, {advice}."
    )


def check_arguments(node: exp.Expr, *, allowed: frozenset[str]) -> None:
    """Refuse a node that carries anything beyond `allowed`: a clause nobody looked at must not be lost."""
    for name, argument in node.args.items():
        if name not in allowed and argument not in (None, False, [], ""):
            child = argument[0] if isinstance(argument, list) else argument
            spelled = _ARGUMENTS.get(name, f"{name.strip('_').upper()} in {name_construct(node)}")
            if isinstance(child, exp.Pivot) and child.args.get("unpivot"):
                spelled = "UNPIVOT"
            raise refuse(spelled, node=child if isinstance(child, exp.Expr) else node)
