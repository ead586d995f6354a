"""A query's text: the tables it names, the moment each is read at, and Google's way of saying it is wrong."""

import re
from dataclasses import dataclass

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError, TokenError

from reverse_etl_tests.bigquery.errors import ApiError, invalid_query

_STARTS = (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN, TokenType.FROM)
_CLAUSES = (["FOR", "SYSTEM_TIME", "AS", "OF"], ["FOR", "SYSTEM", "TIME", "AS", "OF"])
_ALIASES = (TokenType.ALIAS, TokenType.VAR, TokenType.IDENTIFIER)
_LONGEST_PATH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A table in a query: its path, where it stands in the text, and the expression it is read as of."""

    path: tuple[str, ...]
    start: int
    end: int
    alias: str | None
    as_of: str | None
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedQuery:
    """A query: its text without FOR SYSTEM_TIME (as long as before), its tree, and its tables."""

    text: str
    tree: exp.Query
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clause:
    """FOR SYSTEM_TIME AS OF: what lies in `text[start:end]`, and its expression."""

    start: int
    end: int
    expression: str


def parse(sql: str) -> ParsedQuery:
    """Read a query; `ApiError` with Google's words when it is no query."""
    tokens = _tokenize(sql)
    _check_start(tokens)
    clauses = _find_clauses(sql, tokens)
    text = sql
    for clause in clauses:
        blank = re.sub(r"[^\n]", " ", sql[clause.start : clause.end])
        text = text[: clause.start] + blank + text[clause.end :]
    tree = _parse_tree(text, tokens)
    return ParsedQuery(
        text=text, tree=tree, references=tuple(_find_references(text, tree, clauses))
    )


def replace_tables(query: ParsedQuery, relations: list[str]) -> str:
    """The query's text with each of its tables replaced, in order; aliases stay as they were."""
    text = query.text
    pairs = zip(query.references, relations, strict=True)
    for reference, relation in sorted(pairs, key=lambda pair: -pair[0].start):
        alias = "" if reference.alias else f" AS `{reference.path[-1]}`"
        text = text[: reference.start] + relation + alias + text[reference.end :]
    return text


def locate(sql: str, offset: int) -> str:
    """`[line:column]` of a character, both from 1."""
    before = sql[:offset]
    return f"[{before.count(chr(10)) + 1}:{offset - before.rfind(chr(10))}]"


def _tokenize(sql: str) -> list[Token]:
    try:
        return BigQuery().tokenize(sql)
    except TokenError:
        raise invalid_query("Syntax error: Unclosed string literal at [1:1]") from None


def _check_start(tokens: list[Token]) -> None:
    if not tokens:
        raise invalid_query("Syntax error: Unexpected end of script")
    if tokens[0].token_type not in _STARTS:
        raise _unexpected(tokens[0])


def _parse_tree(text: str, tokens: list[Token]) -> exp.Query:
    try:
        tree = BigQuery().parse(text)[0]
    except ParseError as error:
        raise _syntax_error(error, tokens) from None
    if not isinstance(tree, exp.Query):
        raise _unexpected(tokens[0])
    return tree


def _syntax_error(error: ParseError, tokens: list[Token]) -> ApiError:
    """Google's message for the token at which sqlglot gave up."""
    details = error.errors[0]
    place = (details.get("line"), details.get("col"))
    for index, token in enumerate(tokens):
        if (token.line, token.col) == place:
            missing = "missing" in str(details.get("description"))
            if missing and index + 1 < len(tokens):
                return _unexpected(tokens[index + 1])
            return _end_of_script(token) if missing else _unexpected(token)
    return _end_of_script(tokens[-1])


def _end_of_script(token: Token) -> ApiError:
    return invalid_query(
        f"Syntax error: Unexpected end of script at [{token.line}:{token.col + 1}]"
    )


def _unexpected(token: Token) -> ApiError:
    length = token.end - token.start + 1
    where = f"[{token.line}:{max(1, token.col - length + 1)}]"
    if token.token_type in (TokenType.VAR, TokenType.IDENTIFIER):
        what = f'identifier "{token.text}"'
    elif token.token_type is TokenType.STRING:
        what = f'string literal "{token.text}"'
    elif token.token_type is TokenType.NUMBER:
        what = f'integer literal "{token.text}"'
    elif token.text.isalpha():
        what = f"keyword {token.text.upper()}"
    else:
        what = f'"{token.text}"'
    return invalid_query(f"Syntax error: Unexpected {what} at {where}")


def _find_clauses(sql: str, tokens: list[Token]) -> list[_Clause]:
    words = [token.text.upper() for token in tokens]
    clauses = []
    for index in range(len(words)):
        beginning = next((it for it in _CLAUSES if words[index : index + len(it)] == it), None)
        if beginning is None:
            continue
        first = index + len(beginning)
        last = _find_expression_end(tokens, first)
        if last >= len(tokens):
            raise _end_of_script(tokens[-1])
        if last + 1 < len(tokens) and tokens[last + 1].token_type in _ALIASES:
            # An alias stands before the clause, and nowhere else.
            raise _unexpected(tokens[last + 1])
        start, end = tokens[first].start, tokens[last].end + 1
        clauses.append(_Clause(start=tokens[index].start, end=end, expression=sql[start:end]))
    return clauses


def _find_expression_end(tokens: list[Token], first: int) -> int:
    """The last token of `@name`, `TIMESTAMP '...'` or `FUNCTION(...)`."""
    following = first + 1
    if following >= len(tokens):
        return first
    if tokens[first].token_type is TokenType.PARAMETER:
        return following
    if tokens[following].token_type is TokenType.STRING:
        return following
    if tokens[following].token_type is not TokenType.L_PAREN:
        return first
    depth = 0
    for index in range(following, len(tokens)):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(tokens[index].token_type, 0)
        if depth == 0:
            return index
    return len(tokens)


def _find_references(text: str, tree: exp.Query, clauses: list[_Clause]) -> list[Reference]:
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    found = []
    for node in tree.find_all(exp.Table):
        parts = [part for part in node.parts if isinstance(part, exp.Identifier)]
        path = tuple(word for part in parts for word in part.name.split("."))
        if not parts or (len(path) == 1 and path[0].lower() in ctes) or _is_array(node, path):
            continue
        start, end = _find_extent(text, parts)
        line, column = locate(text, start)[1:-1].split(":")
        found.append(
            Reference(
                path=path[-_LONGEST_PATH:],
                start=start,
                end=end,
                alias=node.alias or None,
                as_of=_find_as_of(text, end, clauses),
                line=int(line),
                column=int(column),
            )
        )
    return sorted(found, key=lambda reference: reference.start)


def _find_extent(text: str, parts: list[exp.Identifier]) -> tuple[int, int]:
    """The path's place; a project's name may hold dashes, which sqlglot does not count."""
    start, end = parts[0].meta["start"], parts[-1].meta["end"] + 1
    while start > 0 and re.match(r"[\w-]", text[start - 1]):
        start -= 1
    return start, end


def _find_as_of(text: str, end: int, clauses: list[_Clause]) -> str | None:
    """The clause that follows a table's path, an alias perhaps between."""
    for clause in clauses:
        if clause.start < end:
            continue
        if re.fullmatch(r"\s*(?:(?i:AS)\s+)?(?:\w+|`[^`]+`)?\s*", text[end : clause.start]):
            return clause.expression
    return None


def _is_array(node: exp.Table, path: tuple[str, ...]) -> bool:
    """Whether `alias.array` stands there: an array of a table that the same FROM names."""
    select = node.find_ancestor(exp.Select)
    if select is None or len(path) == 1:
        return False
    aliases = {
        other.alias_or_name.lower()
        for other in select.find_all(exp.Table, exp.Subquery)
        if other is not node
    }
    return path[0].lower() in aliases
