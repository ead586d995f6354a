"""Hashes and encodings of bytes. BigQuery's hashes are BYTES, DuckDB's are hexadecimal texts."""

from reverse_etl.sources.dialect.calls import Call, Function, same
from reverse_etl.sources.dialect.values import Kind, Value, call

_GROUP = "Hashes and bytes"


def _hash(called: Call) -> Value:
    value = called.expect(0, Kind.STRING, Kind.BYTES)
    return Value(sql=call("unhex", call(called.name.lower(), value.sql)), kind=Kind.BYTES)


def _to_hex(called: Call) -> Value:
    value = called.expect(0, Kind.BYTES)
    return Value(sql=call("lower", call("hex", value.sql)), kind=Kind.STRING)


def _to_base64(called: Call) -> Value:
    return Value(sql=call("to_base64", called.expect(0, Kind.BYTES).sql), kind=Kind.STRING)


FUNCTIONS = (
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(1, 1),
            write=_hash,
            why="BYTES; DuckDB gives a hexadecimal text",
        )
        for name in ("MD5", "SHA1", "SHA256")
    ),
    Function(
        name="TO_HEX",
        group=_GROUP,
        arity=(1, 1),
        write=_to_hex,
        why="small letters; DuckDB's are capital",
    ),
    Function(name="FROM_HEX", group=_GROUP, arity=(1, 1), write=same("unhex", Kind.BYTES)),
    Function(name="TO_BASE64", group=_GROUP, arity=(1, 1), write=_to_base64),
    Function(name="FROM_BASE64", group=_GROUP, arity=(1, 1), write=same("from_base64", Kind.BYTES)),
)
