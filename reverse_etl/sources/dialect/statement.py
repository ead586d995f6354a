"""A query as tokens: that it is one query, and which parameters it names. Holds for every source."""

import functools
import re
from collections.abc import Sequence

from sqlglot import Token, TokenType
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import TokenError

from reverse_etl.errors import ConfigError

_QUERY_STARTS = frozenset({TokenType.SELECT, TokenType.WITH, TokenType.FROM})
#: Pipe operators that end in a write.
_WRITING_PIPES = frozenset({"EXPORT", "INSERT", "CREATE"})
_COMMENTS = re.compile(r"(?:\s|(?:--|#)[^\r\n]*(?=[\r\n]|\Z)|/\*[\s\S]*?\*/)*")
_LONGEST_WORD = 40
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_single_query(sql: str) -> None:
    """Raise `ConfigError` unless `sql` is one query that only reads: SELECT, WITH or FROM, and no second one.

    It looks at the first word and at the semicolons, outside of strings and comments. Whatever else is wrong
    with the query, the engine that runs it will say.
    """
    tokens = every = _tokenize(sql)
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise ConfigError("The query is empty. Write one SELECT.")
    start = next(
        (token for token in tokens if token.token_type is not TokenType.L_PAREN), tokens[0]
    )
    if start.token_type not in _QUERY_STARTS:
        raise ConfigError(
            f"The query starts with {_show(start)} in line {start.line}. Only a query that reads is run: "
            "one SELECT, or WITH ... SELECT."
        )
    _check_comments(sql, every)
    for index, token in enumerate(tokens):
        if token.token_type is TokenType.SEMICOLON:
            raise ConfigError(
                f"The query holds a second statement (there is a ';' in line {token.line}). "
                "A sync is one SELECT: remove the others."
            )
        if token.token_type is TokenType.PIPE_GT and _text(tokens, index + 1) in _WRITING_PIPES:
            raise ConfigError(
                f"The pipe operator {_text(tokens, index + 1)} in line {token.line} writes. "
                "Only a query that reads is run."
            )


def parameter_names(sql: str) -> frozenset[str]:
    """The names of the query's parameters, without the `@`.

    Raises `ConfigError` for what is no named parameter: `?` and `@@system_variable`.
    """
    tokens = read_tokens(sql)
    names = set()
    for index, token in enumerate(tokens):
        if token.token_type is TokenType.PLACEHOLDER:
            raise ConfigError(
                f"There is a positional parameter '?' in line {token.line}. Use a named one, "
                "such as @partition_date."
            )
        if token.token_type is not TokenType.PARAMETER:
            continue
        name = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"The '@' in line {token.line} is not followed by a parameter's name. System variables "
                "(@@name) are not available; use @partition_date and its like."
            )
        names.add(name)
    return frozenset(names)


def check_parameters(sql: str, *, allowed: frozenset[str]) -> frozenset[str]:
    """The query's parameters, each one of `allowed`; `ConfigError` names those that exist otherwise."""
    used = parameter_names(sql)
    unknown = sorted(used - allowed)
    if unknown:
        exist = ", ".join(f"@{name}" for name in sorted(allowed)) or "none"
        raise ConfigError(
            f"The query names @{unknown[0]}, which is no parameter of a sync. These exist: {exist}."
        )
    return used


def read_tokens(sql: str) -> list[Token]:
    """The query's tokens, comments left out; `ConfigError` when a string or comment never ends."""
    tokens = _tokenize(sql)
    _check_comments(sql, tokens)
    return list(tokens)


# Several checks in a row look at the same query, and half of reading one is cutting it into tokens.
@functools.lru_cache(maxsize=8)
def _tokenize(sql: str) -> tuple[Token, ...]:
    try:
        return tuple(BigQuery().tokenize(sql))
    except TokenError as error:
        # The message quotes the query; its cause names the line.
        place = re.search(r"from (\d+):", str(error.__cause__))
        line = f" in line {place[1]}" if place else ""
        raise ConfigError(
            f"The query cannot be read: a string, a quoted name or a number{line} does not end as it "
            "should. Close it."
        ) from None


def _check_comments(sql: str, tokens: Sequence[Token]) -> None:
    """Refuse what sqlglot leaves out as a comment and BigQuery would not: a nested /* */, a Jinja {# #}.

    A second statement could hide there.
    """
    end = 0
    for token in tokens:
        if not _COMMENTS.fullmatch(sql, end, token.start):
            raise ConfigError(
                f"There is a comment before line {token.line} that BigQuery reads differently. "
                "Write -- to the end of the line, or /* */ without another inside."
            )
        end = token.end + 1
    if not _COMMENTS.fullmatch(sql, end):
        raise ConfigError(
            "The comment at the end of the query does not end as BigQuery's do. Remove it."
        )


def _text(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].text.upper() if index < len(tokens) else ""


def _show(token: Token) -> str:
    """A token's text, unless it could be a value."""
    if token.token_type in (TokenType.STRING, TokenType.NUMBER) or len(token.text) > _LONGEST_WORD:
        return "a value"
    return f"'{token.text}'"
