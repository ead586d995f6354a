"""BigQuery's grammar as sqlglot reads it, kept literal: a function call stays the call that was written.

sqlglot knows most functions and rebuilds them as its own, which loses their names and sometimes their
meaning. Here all but three become a name with arguments, and the whitelist decides what they mean.
"""

from collections.abc import Callable
from typing import ClassVar

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError
from sqlglot.parsers.bigquery import BigQueryParser

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.refusals import INSTEAD, refuse
from reverse_etl.sources.dialect.statement import check_single_query, read_tokens

#: Their arguments are no expressions: a type, or a part of a date.
_SPECIAL_SYNTAX = ("CAST", "SAFE_CAST", "EXTRACT")
#: Names that this package gives in the SQL it writes.
_NAMES = (TokenType.VAR, TokenType.IDENTIFIER)
_OWN_NAMES = ("__bound", "__unnest", "__element")


class _LiteralParser(BigQueryParser):
    FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {
        name: BigQueryParser.FUNCTION_PARSERS[name] for name in _SPECIAL_SYNTAX
    }


class _LiteralBigQuery(BigQuery):
    Parser = _LiteralParser


def parse_query(sql: str) -> exp.Query:
    """The query's tree. `ConfigError` with line and column when it cannot be read; never a value of it."""
    check_single_query(sql)
    tokens = read_tokens(sql)
    _check_tokens(tokens)
    try:
        statements = _LiteralBigQuery().parser().parse(tokens, sql)
    except ParseError as error:
        raise _map_parse_error(error, tokens) from None
    except RecursionError:
        raise ConfigError("The query nests too deep to be read. Split it with WITH.") from None
    query = statements[0]
    if not isinstance(query, exp.Query):
        raise ConfigError("The query is not a SELECT. Only a query that reads is run.")
    return query


def _check_tokens(tokens: list[Token]) -> None:
    """Refuse what leaves no trace in the tree, or could be taken for a name of ours."""
    for index, token in enumerate(tokens):
        if token.token_type is TokenType.PIPE_GT or (
            index == 0 and token.token_type is TokenType.FROM
        ):
            raise refuse(f"pipe syntax (line {token.line})", instead=INSTEAD["pipe syntax"])
        if token.token_type is TokenType.DCOLON:
            raise ConfigError(f"There is a '::' in line {token.line}. Use CAST(x AS type).")
        if token.token_type in _NAMES and token.text.lower().startswith(_OWN_NAMES):
            raise ConfigError(
                f"A name in line {token.line} starts with one of {', '.join(_OWN_NAMES)}, which the embedded "
                "source keeps for itself. Use another name."
            )
        if "\0" in token.text and token.token_type is not TokenType.BYTE_STRING:
            raise ConfigError(f"There is a zero byte in line {token.line}. Remove it.")


def _map_parse_error(error: ParseError, tokens: list[Token]) -> ConfigError:
    found = error.errors[0] if error.errors else {}
    description = str(found.get("description") or "").rstrip(".")
    values = {
        token.text
        for token in tokens
        if token.token_type in (TokenType.STRING, TokenType.RAW_STRING, TokenType.NUMBER)
    }
    if description.startswith("Required keyword"):
        description = "something is missing"
    # Some descriptions repeat the token they stumbled over, which may be a value.
    if not description or "<Token" in description or any(v in description for v in values if v):
        description = "unexpected text"
    line, column = found.get("line"), found.get("col")
    where = f" in line {line}, column {column}" if line is not None else ""
    return ConfigError(f"The query cannot be read{where}: {description}.")
