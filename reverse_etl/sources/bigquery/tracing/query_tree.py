"""A BigQuery query as a tree in which nothing that was written is missing; anything else is refused.

sqlglot rebuilds the functions it knows, and may leave out an argument it does not expect. What is left
out could be the protected column, so functions stay the calls that were written, and every word of the
text has to be found again in the tree.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError
from sqlglot.parsers.bigquery import BigQueryParser

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.statement import check_single_query, read_tokens

TOO_DEEP = (
    "The query nests too deep to be followed. Split it, or read a view instead of a part of it."
)

_WORD = re.compile(r"\w+")
# Reserved: never a name without backquotes, so nothing is lost with them.
# Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords
_RESERVED = (
    "all and any array as asc assert_rows_modified at between by case cast collate contains create "
    "cross cube current default define desc distinct else end enum escape except exclude exists "
    "extract false fetch following for from full group grouping groups hash having if ignore in "
    "inner intersect interval into is join lateral left like limit lookup merge natural new no not "
    "null nulls of on or order outer over partition preceding proto qualify range recursive respect "
    "right rollup rows select set some struct tablesample then to treat true unbounded union unnest "
    "using when where window with within"
)
_TYPES = (
    "bool boolean int int64 integer bigint smallint tinyint byteint float64 numeric decimal bignumeric "
    "bigdecimal string bytes date datetime time timestamp json geography interval"
)
_RESERVED_WORDS = frozenset(_RESERVED.split())
# Words of the grammar that a node stands for without keeping them.
_SPOKEN: Mapping[type[exp.Expr], str] = {
    exp.DataType: _TYPES,
    exp.Bracket: "offset ordinal safe_offset safe_ordinal",
    exp.Cast: "format",
    exp.TryCast: "safe_cast format",
    exp.SafeFunc: "safe",
    exp.NetFunc: "net",
    exp.HavingMax: "max min",
    exp.Ordered: "first last",
    exp.Offset: "offset",
    exp.Unnest: "offset",
    exp.Select: "value",
    exp.SetOperation: "name corresponding",
    exp.Star: "replace",
    exp.Version: "system system_time time",
    exp.TableSample: "percent",
    exp.AtTimeZone: "time zone",
    exp.WindowSpec: "row",
    exp.Pivot: "pivot unpivot include",
    exp.CurrentDate: "current_date",
    exp.CurrentDatetime: "current_datetime",
    exp.CurrentTime: "current_time",
    exp.CurrentTimestamp: "current_timestamp",
    exp.ParseJSON: "json",
    exp.Case: "case",
    exp.GroupingSets: "sets",
}
_VALUES = frozenset(
    {
        TokenType.STRING,
        TokenType.RAW_STRING,
        TokenType.BYTE_STRING,
        TokenType.HEREDOC_STRING,
        TokenType.NUMBER,
    }
)


class _LiteralParser(BigQueryParser):
    #: Otherwise `list[OFFSET(0)]` and `ARRAY(SELECT ...)[OFFSET(0)]` lose what stands before the bracket.
    ARRAY_CONSTRUCTORS: ClassVar[dict[str, type[exp.Func]]] = {}
    FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {
        "ARRAY": BigQueryParser.FUNCTIONS["ARRAY"]
    }
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {
        name: BigQueryParser.FUNCTION_PARSERS[name] for name in ("CAST", "SAFE_CAST", "EXTRACT")
    }


class _LiteralBigQuery(BigQuery):
    Parser = _LiteralParser


def parse_query(sql: str) -> exp.Query:
    """The query's tree; `ConfigError`, without a value of the query, when it is not understood whole."""
    check_single_query(sql)
    tokens = read_tokens(sql)
    try:
        statements = _LiteralBigQuery().parse(sql)
    except ParseError as error:
        raise ConfigError(f"The query is not understood{_place(error)}.") from None
    except RecursionError:
        raise ConfigError(TOO_DEEP) from None
    tree = statements[0]
    if not isinstance(tree, exp.Query):
        raise ConfigError("The query is not a SELECT.")
    _check_nothing_lost(tree, tokens)
    return tree


def uses_pipes(sql: str) -> bool:
    """Whether the query is written, in part or whole, in pipe syntax; `ConfigError` if it is no query."""
    check_single_query(sql)
    return any(token.token_type is TokenType.PIPE_GT for token in read_tokens(sql))


def _place(error: ParseError) -> str:
    found = error.errors[0] if error.errors else {}
    line, column = found.get("line"), found.get("col")
    return "" if line is None else f" in line {line}, column {column}"


def _check_nothing_lost(tree: exp.Query, tokens: list[Token]) -> None:
    kept = Counter[str]()
    for node in tree.walk():
        kept.update(_words_of(node))
    written = Counter[str]()
    for token in tokens:
        words = list(_written_words(token))
        written.update(words)
        if any(written[word] > kept[word] for word in words):
            raise ConfigError(
                f"The query is not understood in line {token.line}: '{token.text}' plays a part there "
                "that is not known."
            )


def _written_words(token: Token) -> Iterable[str]:
    if token.token_type in _VALUES:
        return ()
    words = [word.casefold() for word in _WORD.findall(token.text)]
    if token.token_type is TokenType.IDENTIFIER:
        return words
    return [word for word in words if word not in _RESERVED_WORDS]


def _words_of(node: exp.Expr) -> Iterable[str]:
    """The words that a node holds, or stands for."""
    text = node.args.get("this")
    if isinstance(text, str) and not isinstance(node, exp.Literal):
        for word in _WORD.findall(text.casefold()):
            yield word
            # `2024_users` without backquotes is a number and a name to the tokenizer.
            yield from (word.lstrip("0123456789"),) if word[0].isdigit() else ()
    for kind, words in _SPOKEN.items():
        if isinstance(node, kind):
            yield from words.split()
