"""Keys are cut out of lines exactly as a JSON parser would find them, whatever the lines are."""

import json
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reverse_etl.cache.keys import find_first_members, find_keys
from reverse_etl.cache.views import view_column
from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.formats import split_lines
from reverse_etl_tests.cache.builders import CANARY

FILLER = {"is": CANARY * 3}

keys = st.text(max_size=30) | st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all examples."""
    with open_engine(memory_limit_bytes=64 << 20) as opened:
        yield opened


def encode(record: dict[str, object]) -> str:
    """A record as the encoder has it: integers that JSON would spoil are strings."""
    spared = {
        name: str(value) if isinstance(value, int) and abs(value) > 2**53 else value
        for name, value in record.items()
    }
    return json.dumps(spared, ensure_ascii=False, separators=(",", ":"))


def read_lines(lines: list[str]) -> pa.Array:
    """The lines as they are read from an object: views of its bytes, nothing behind the last."""
    return split_lines(b"".join(line.encode() + b"\n" for line in lines))


def expect(values: list[str | int]) -> list[bytes]:
    return [str(value).encode() for value in values]


@given(values=st.lists(keys, min_size=1, max_size=20))
@example(values=["a", "", "b" * 12, "c" * 13, "d" * 7, "e" * 8, "f" * 9, "k" * 70_000])
@example(values=["no escape", 'one "', "\\", "\n", "é", "\x00", "😀{}"])
@example(values=[0, -1, 2**53, 2**53 + 1, -(2**63)])
@example(values=["1", 2, "three"])
@settings(max_examples=40)
def test_keys_of_first_members_are_found(engine: Engine, values: list[str | int]) -> None:
    """Strings of any length and bytes, integers of any size, both in one column."""
    lines = [encode({"user_id": value, **FILLER}) for value in values]

    assert find_keys(engine, read_lines(lines), key_column="user_id").to_pylist() == expect(values)


@given(values=st.lists(keys, min_size=1, max_size=20))
@settings(max_examples=30)
def test_keys_of_other_members_are_found(engine: Engine, values: list[str | int]) -> None:
    """The key may stand anywhere, also behind a member that has it as its text."""
    lines = [encode({"a": '"user_id":"x"', "user_id": value, "b": 1}) for value in values]

    assert find_keys(engine, read_lines(lines), key_column="user_id").to_pylist() == expect(values)


@given(
    values=st.lists(
        st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cc", "Cs"])),
        min_size=1,
        max_size=20,
    )
    | st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=20)
)
def test_usual_keys_are_not_parsed(values: list[str] | list[int]) -> None:
    """First members without an escape are cut out of the bytes, up to the last byte of all."""
    lines = [encode({"user_id": value, **FILLER}) for value in values]

    found = find_first_members(view_column(read_lines(lines)), "user_id")

    assert found is not None
    assert found.to_pylist() == expect(list(values))


@pytest.mark.parametrize(
    "last", ['{"user_id":7777}', '{"user_id":"77"}', '{"user_id":"12345678901234567890"}']
)
def test_key_at_the_end_of_the_bytes_is_found(last: str) -> None:
    """Words are read eight bytes at a time: the last record is short of that."""
    lines = [encode({"user_id": json.loads(last)["user_id"], **FILLER}), last]

    found = find_first_members(view_column(read_lines(lines)), "user_id")

    assert found is not None
    assert found.to_pylist() == expect([json.loads(last)["user_id"]] * 2)


@pytest.mark.parametrize(
    "odd",
    [
        '{"user_id":"not closed, and the next line is not its end',
        '{"user_id":tru}',
        '{"user_id":12345678901234',
        '{"user_idx":"1234567890"}',
        '{ "user_id":"1234567890"}',
        '{"user_id":',
        '{"user_id":"a\\u0041a"}',
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_odd_lines_are_left_to_the_parser(odd: str, at: int) -> None:
    """What does not look as ours does is never guessed at: the whole group is parsed."""
    lines = ['{"user_id":"1234567890"}', '{"user_id":"1234567890"}']
    lines.insert(at, odd)

    assert find_first_members(view_column(read_lines(lines)), "user_id") is None


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "tilde~/slash", "ключ"])
def test_any_column_name_is_found(engine: Engine, name: str) -> None:
    """The key's column may be called anything that BigQuery, or a query, calls a column."""
    lines = [encode({name: f"key {number}", **FILLER}) for number in range(5)]

    found = find_keys(engine, read_lines(lines), key_column=name).to_pylist()

    assert found == [b"key %d" % number for number in range(5)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_any_kind_of_column_is_taken(engine: Engine, kind: pa.DataType) -> None:
    """However the lines lie in memory, in slices and in pieces, the keys are the same."""
    lines = pa.array([encode({"user_id": f"u{number}", **FILLER}) for number in range(9)]).cast(
        kind
    )
    pieces = pa.chunked_array([lines.slice(2, 3), lines.slice(6)])

    assert find_keys(engine, lines.slice(3, 2), key_column="user_id").to_pylist() == [b"u3", b"u4"]
    assert find_keys(engine, pieces, key_column="user_id").to_pylist() == [
        b"u%d" % number for number in (2, 3, 4, 6, 7, 8)
    ]


@pytest.mark.parametrize("line", ['{"user_id":null,"is":"' + CANARY + '"}', '{"x":1}'])
def test_record_without_a_key_is_refused(engine: Engine, line: str) -> None:
    """NULL or no such member: none could have been landed, and nothing of it is shown."""
    lines = read_lines([encode({"user_id": "a", **FILLER}), line])

    with pytest.raises(IntegrityError, match="without a value for the key column") as raised:
        find_keys(engine, lines, key_column="user_id")

    assert CANARY not in str(raised.value)


def test_no_lines_have_no_keys(engine: Engine) -> None:
    """A group without a record is no special case."""
    assert find_keys(engine, read_lines([]), key_column="user_id").to_pylist() == []
