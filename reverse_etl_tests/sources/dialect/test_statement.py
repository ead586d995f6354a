"""One query that reads, and its parameters: for every source."""

import pytest

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect import check_single_query, parameter_names


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select 1;",
        "SELECT 1 ; ; -- done",
        "-- first\n/* then */ # and\nWITH a AS (SELECT 1) SELECT * FROM a",
        "((SELECT 1))",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "FROM t |> WHERE x = 1 |> SELECT x",
        "SELECT ';' AS a, \"x;y\" AS b, '''multi;\nline''' AS c, r'\\;' AS d, `odd;name` FROM t",
        "SELECT '-- ;' AS a -- '; DELETE FROM t",
        "SELECT 5 /1 AS a",
        "SELECT /*+ a hint to others */ 1",
    ],
)
def test_query_that_reads_passes(sql: str) -> None:
    """One SELECT is one SELECT, whatever its strings, names and comments hold."""
    check_single_query(sql)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("", "is empty"),
        (" ; -- nothing", "is empty"),
        ("DELETE FROM t WHERE TRUE", "starts with 'DELETE' in line 1"),
        ("\n\nCREATE TABLE t AS SELECT 1", "starts with 'CREATE' in line 3"),
        ("INSERT INTO t SELECT 1", "starts with 'INSERT'"),
        ("EXPORT DATA OPTIONS (uri = 'gs://x') AS SELECT 1", "starts with 'EXPORT'"),
        ("CALL dataset.procedure()", "starts with 'CALL'"),
        ("DECLARE x INT64; SELECT x", "starts with 'DECLARE'"),
        ("BEGIN SELECT 1; END", "starts with 'BEGIN'"),
        ("EXECUTE IMMEDIATE 'SELECT 1'", "starts with 'EXECUTE'"),
        ("(DELETE FROM t)", "starts with 'DELETE'"),
        ("'hunter2'", "starts with a value"),
        ("SELECT 1; DROP TABLE t", "second statement"),
        ("SELECT 1;\nSELECT 2", "second statement"),
        ("SELECT 'a'; -- '\nDROP TABLE t", "second statement"),
        ("SELECT 1 -- \r; DROP TABLE t", "second statement"),
        ("SELECT 1 /* /* */ ; DROP TABLE t -- */", "second statement"),
        ("SELECT 1 {#\n; DROP TABLE t; #}", "comment"),
        ("SELECT @{#\nx=1} 1; DROP TABLE t; SELECT @{ #} x=1} 1", "comment"),
        ("SELECT 'open", "line 1 does not end"),
        ("SELECT 1 /* open", "does not end"),
        ("FROM t |> EXPORT DATA OPTIONS (uri = 'x')", "EXPORT in line 1 writes"),
        ("FROM t |> INSERT INTO u", "INSERT in line 1 writes"),
    ],
)
def test_anything_else_is_refused(sql: str, reason: str) -> None:
    """A write, a script, a second statement, or one that hides in a comment, is refused with its reason."""
    with pytest.raises(ConfigError, match=reason) as caught:
        check_single_query(sql)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT 1", set()),
        ("SELECT @a, @a, @b_2", {"a", "b_2"}),
        ("SELECT @date, @from", {"date", "from"}),
        ("SELECT '@a', \"@b\", `@c` -- @d\n/* @e */ FROM t", set()),
        ("SELECT x FROM t WHERE d=@partition_date", {"partition_date"}),
    ],
)
def test_parameters_are_found_outside_of_strings(sql: str, names: set[str]) -> None:
    """A parameter is an @name that stands in the query itself."""
    assert parameter_names(sql) == names


@pytest.mark.parametrize(
    "sql", ["SELECT ?", "SELECT @@error.message", "SELECT @", "SELECT @{x=1} 1"]
)
def test_other_parameters_are_refused(sql: str) -> None:
    """Positional parameters, system variables and hints are not a sync's."""
    with pytest.raises(ConfigError, match="parameter"):
        parameter_names(sql)
