"""Functions of STRING. DuckDB's refuse other types by themselves, as BigQuery's do."""

from reverse_etl.sources.dialect.calls import Call, Function, same
from reverse_etl.sources.dialect.guards import Guard, stop
from reverse_etl.sources.dialect.operators import join_texts
from reverse_etl.sources.dialect.values import Kind, Value, bind, call, cast
from reverse_etl.sql import quote_literal

_GROUP = "Text"

#: Unicode's White_Space, which TRIM removes.
_WHITE_SPACE = (
    "".join(
        map(
            chr,
            [
                *range(9, 14),
                0x20,
                0x85,
                0xA0,
                0x1680,
                *range(0x2000, 0x200B),
                0x2028,
                0x2029,
                0x202F,
            ],
        )
    )
    + "\u205f\u3000"
)
# Unicode's full case mapping turns these into several letters ('ß' into 'SS'), and a sigma by its place in
# the word; DuckDB maps letter by letter. Found by comparing every code point: see the test.
_UPPER_DIFFERS = (
    "[\u00df\u0149\u01f0\u0390\u03b0\u0587\u1e96-\u1e9a\u1f50\u1f52\u1f54\u1f56\u1f80-\u1faf"
    "\u1fb2-\u1fb4\u1fb6\u1fb7\u1fbc\u1fc2-\u1fc4\u1fc6\u1fc7\u1fcc\u1fd2\u1fd3\u1fd6\u1fd7"
    "\u1fe2-\u1fe4\u1fe6\u1fe7\u1ff2-\u1ff4\u1ff6\u1ff7\u1ffc\ufb00-\ufb06\ufb13-\ufb17]"
)
_LOWER_DIFFERS = "[\u0130\u03a3]"


def _change_case(called: Call, *, name: str, differs: str) -> Value:
    def write(text: str) -> str:
        # Lengths in letters and bytes are equal for ASCII: most texts never meet the expression.
        special = (
            f"length({text}) <> strlen({text}) AND regexp_matches({text}, {quote_literal(differs)})"
        )
        return f"CASE WHEN {special} THEN {stop(Guard.LETTER, called.name)} ELSE {name}({text}) END"

    return Value(sql=bind(called.value(0), body=write), kind=Kind.STRING)


def _upper(called: Call) -> Value:
    return _change_case(called, name="upper", differs=_UPPER_DIFFERS)


def _lower(called: Call) -> Value:
    return _change_case(called, name="lower", differs=_LOWER_DIFFERS)


def _trim(called: Call) -> Value:
    name = called.name.lower()
    letters = called.text(1) if called.has(1) else quote_literal(_WHITE_SPACE)
    return Value(sql=call(name, called.text(0), letters), kind=Kind.STRING)


def _substring(called: Call) -> Value:
    """The start may lie before the text: BigQuery then begins at the first letter."""

    def write(text: str, start: str, *length: str) -> str:
        clamped = f"CASE WHEN {start} = 0 OR {start} < -length({text}) THEN 1 ELSE {start} END"
        return call("substring", text, clamped, *length)

    return Value(sql=bind(*called.values(), body=write), kind=Kind.STRING)


def _concat(called: Call) -> Value:
    return join_texts(called.values(), node=called.node)


def _split(called: Call) -> Value:
    separator = called.text(1) if called.has(1) else "','"
    return Value(sql=call("string_split", called.text(0), separator), kind=Kind.ARRAY)


def _pad(called: Call) -> Value:
    width = f"CAST({called.text(1)} AS INTEGER)"
    padding = called.text(2) if called.has(2) else "' '"
    return Value(sql=call(called.name.lower(), called.text(0), width, padding), kind=Kind.STRING)


def _format(called: Call) -> Value:
    """Only %s and %d: their parts are joined with ||, so that a NULL makes the whole NULL."""
    pattern = called.constant_text(0, what="pattern")
    parts: list[str] = []
    index = 1
    pieces = pattern.replace("%%", "\0").split("%")
    parts.append(quote_literal(pieces[0].replace("\0", "%")))
    for piece in pieces[1:]:
        if piece[:1] not in ("s", "d") or not called.has(index):
            raise called.refuse(f"FORMAT('%{piece[:3]}', x)", instead="%s, %d, or CONCAT and LPAD")
        wanted = Kind.STRING if piece[0] == "s" else Kind.INT64
        parts.append(cast(called.expect(index, wanted).sql, Kind.STRING))
        parts.append(quote_literal(piece[1:].replace("\0", "%")))
        index += 1
    if called.has(index):
        raise called.refuse("FORMAT with more arguments than its pattern names", instead="as many")
    return Value(sql=f"({' || '.join(parts)})", kind=Kind.STRING)


FUNCTIONS = (
    Function(name="LENGTH", group=_GROUP, arity=(1, 1), write=same("length", Kind.INT64)),
    Function(name="CHAR_LENGTH", group=_GROUP, arity=(1, 1), write=same("length", Kind.INT64)),
    Function(name="CHARACTER_LENGTH", group=_GROUP, arity=(1, 1), write=same("length", Kind.INT64)),
    Function(name="BYTE_LENGTH", group=_GROUP, arity=(1, 1), write=same("strlen", Kind.INT64)),
    Function(
        name="UPPER",
        group=_GROUP,
        arity=(1, 1),
        write=_upper,
        why="'ß' becomes 'SS' in BigQuery alone: a text with such a letter stops the query",
    ),
    Function(
        name="LOWER",
        group=_GROUP,
        arity=(1, 1),
        write=_lower,
        why="'Σ' and 'İ' differ: a text with such a letter stops the query",
    ),
    Function(
        name="TRIM",
        group=_GROUP,
        arity=(1, 2),
        write=_trim,
        why="DuckDB removes spaces only, BigQuery all white space of Unicode",
    ),
    Function(
        name="LTRIM",
        group=_GROUP,
        arity=(1, 2),
        write=_trim,
        why="DuckDB removes spaces only, BigQuery all white space of Unicode",
    ),
    Function(
        name="RTRIM",
        group=_GROUP,
        arity=(1, 2),
        write=_trim,
        why="DuckDB removes spaces only, BigQuery all white space of Unicode",
    ),
    Function(
        name="SUBSTR",
        group=_GROUP,
        arity=(2, 3),
        write=_substring,
        why="a start before the first letter (0, or -9 of five) means the first letter",
    ),
    Function(
        name="SUBSTRING",
        group=_GROUP,
        arity=(2, 3),
        write=_substring,
        why="a start before the first letter (0, or -9 of five) means the first letter",
    ),
    Function(name="LEFT", group=_GROUP, arity=(2, 2), write=same("left", Kind.STRING)),
    Function(name="RIGHT", group=_GROUP, arity=(2, 2), write=same("right", Kind.STRING)),
    Function(name="STRPOS", group=_GROUP, arity=(2, 2), write=same("instr", Kind.INT64)),
    Function(name="REPLACE", group=_GROUP, arity=(3, 3), write=same("replace", Kind.STRING)),
    Function(name="REPEAT", group=_GROUP, arity=(2, 2), write=same("repeat", Kind.STRING)),
    Function(name="STARTS_WITH", group=_GROUP, arity=(2, 2), write=same("starts_with", Kind.BOOL)),
    Function(name="ENDS_WITH", group=_GROUP, arity=(2, 2), write=same("ends_with", Kind.BOOL)),
    Function(
        name="CONCAT",
        group=_GROUP,
        arity=(1, 255),
        write=_concat,
        why="a NULL part makes the whole NULL; DuckDB leaves the part out",
    ),
    Function(name="SPLIT", group=_GROUP, arity=(1, 2), write=_split),
    Function(name="LPAD", group=_GROUP, arity=(2, 3), write=_pad),
    Function(name="RPAD", group=_GROUP, arity=(2, 3), write=_pad),
    Function(
        name="FORMAT",
        group=_GROUP,
        arity=(1, 255),
        write=_format,
        why="DuckDB's FORMAT has another language; %s and %d are written as CONCAT",
    ),
)
