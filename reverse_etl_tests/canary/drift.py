"""A source's columns as somebody upstream changes them, and what each change makes of the rows.

The verdict is computed from names and types alone, apart from the product's own way to it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from reverse_etl_tests.canary.values import DROPPED, KEPT, MASKED, STRAY, Canary

ROWS = 3
_JSON = {b"ARROW:extension:name": b"google:sqlType:json"}
_GROUPS: Mapping[str, Mapping[str, Canary]] = {
    "kept": {name.removeprefix("kept_"): it for name, it in KEPT.items()},
    "masked": {name.removeprefix("masked_"): it for name, it in MASKED.items()},
    "dropped": {name.removeprefix("dropped_"): it for name, it in DROPPED.items()},
    "stray": {name.removeprefix("stray_"): it for name, it in STRAY.items()},
}
#: BigQuery's name of a type, and the forms of it that Arrow has.
_FORMS: Mapping[str, tuple[pa.DataType, ...]] = {
    "STRING": (pa.string(), pa.large_string()),
    "INT64": (pa.int64(),),
    "FLOAT64": (pa.float64(),),
    "NUMERIC": (pa.decimal128(38, 9), pa.decimal128(29, 9)),
    "BYTES": (pa.binary(), pa.large_binary()),
    "BOOL": (pa.bool_(),),
    "DATE": (pa.date32(),),
    "DATETIME": (pa.timestamp("us"), pa.timestamp("ms")),
    "TIMESTAMP": (pa.timestamp("us", "UTC"), pa.timestamp("ms", "UTC")),
}
_VALUES: Mapping[str, str] = {
    "STRING": "text",
    "INT64": "number",
    "NUMERIC": "numeric",
    "BYTES": "bytes",
    "DATE": "date",
    "TIMESTAMP": "moment",
}
_SCALARS = st.sampled_from(sorted([*_FORMS, "JSON"]))

Shape = str | tuple["Column", ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column or member. `shape` is a scalar's type, or the members; `form` one of Arrow's forms."""

    name: str
    shape: Shape
    is_array: bool = False
    form: int = 0
    nullable: bool = True
    #: Whose canaries its values are.
    group: str = field(default="stray", compare=False)

    @property
    def type(self) -> str:
        """As BigQuery writes it."""
        inner = self.shape
        if not isinstance(inner, str):
            inner = f"STRUCT<{', '.join(f'{it.name} {it.type}' for it in inner)}>"
        return f"ARRAY<{inner}>" if self.is_array else inner

    @property
    def arrow(self) -> pa.Field:
        """As the source gives it."""
        metadata = None
        if not isinstance(self.shape, str):
            kind: pa.DataType = pa.struct([it.arrow for it in self.shape])
        elif self.shape == "JSON":
            kind, metadata = pa.string(), _JSON
        else:
            forms = _FORMS[self.shape]
            kind = forms[self.form % len(forms)]
        if self.is_array:
            return pa.field(self.name, pa.list_(pa.field("item", kind, metadata=metadata)))
        return pa.field(self.name, kind, nullable=self.nullable, metadata=metadata)

    def value(self, group: str) -> Any:
        """One value, all canaries of the group."""
        if isinstance(self.shape, str):
            one = _pick(self.shape, _GROUPS[group])
        else:
            one = {it.name: it.value(group) for it in self.shape}
        return [one] if self.is_array else one


def _pick(kind: str, canaries: Mapping[str, Canary]) -> Any:
    match kind:
        case "JSON":
            return canaries["json"].value
        case "BOOL":
            return True
        case "FLOAT64":
            return float(canaries["number"].value)
        case "DATETIME":
            return canaries["moment"].value.replace(tzinfo=None, microsecond=0)
        case "TIMESTAMP":
            return canaries["moment"].value.replace(microsecond=0)
        case _:
            return canaries[_VALUES[kind]].value


#: The columns that the sync declares, each with its rule.
DECLARED: Mapping[Column, str] = {
    Column("user_id", "STRING", group="kept"): "keep",
    Column("points", "INT64", group="kept"): "keep",
    Column("note", "STRING", group="kept"): "keep",
    Column("amount", "NUMERIC", group="kept"): "keep",
    Column("born", "DATE", group="kept"): "keep",
    Column("doc", "JSON", group="kept"): "keep",
    Column("profile", (Column("city", "STRING"), Column("zip", "STRING")), group="kept"): "keep",
    Column(
        "visits", (Column("day", "DATE"), Column("place", "STRING")), is_array=True, group="kept"
    ): "keep",
    Column("email", "STRING", group="masked"): "hmac",
    Column("phone", "INT64", group="masked"): "hmac",
    Column("photo", "BYTES", group="masked"): "redact",
    Column(
        "address", (Column("street", "STRING"), Column("no", "INT64")), group="masked"
    ): "redact",
    # What is in it has rules by path.
    Column(
        "orders", (Column("mail", "STRING"), Column("no", "INT64")), is_array=True, group="masked"
    ): "by_path",
    Column("secret", "STRING", group="dropped"): "drop",
    Column("token", "BYTES", group="dropped"): "drop",
}
Columns = tuple[Column, ...]
#: The rules by path, in place of one for the column.
BY_PATH: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "orders": (
        {"name": "orders[].mail", "rule": "hmac", "type": "STRING"},
        {"name": "orders[].no", "rule": "drop", "type": "INT64"},
    )
}


def declare(*, typed: bool) -> list[dict[str, Any]]:
    """The sync's columns, with their types, or with those alone that a rule asks for."""
    return [
        {name: it for name, it in entry.items() if name != "type" or typed or needs_type}
        for column, rule in DECLARED.items()
        for needs_type in [rule == "keep" and not isinstance(column.shape, str)]
        for entry in BY_PATH.get(
            column.name, ({"name": column.name, "rule": rule, "type": column.type},)
        )
    ]


def build_table(columns: Columns) -> pa.Table:
    """The source's rows: canaries everywhere, those of kept columns only where they are as declared."""
    declared = {(column.name, column.type): column.group for column in DECLARED}
    fields, arrays = [], []
    for column in columns:
        group = declared.get((column.name, column.type), _stray_group(column))
        values = [column.value(group) for _ in range(ROWS)]
        if column.name == "user_id" and column.type == "STRING":
            values = [f"u-{number}" for number in range(ROWS)]
        fields.append(column.arrow)
        arrays.append(pa.array(values, column.arrow.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _stray_group(column: Column) -> str:
    """Whose values lie in a column that is not as declared: a masked one stays somebody's secret."""
    return column.group if column.group in ("masked", "dropped") else "stray"


def find_changed(columns: Columns) -> frozenset[str]:
    """Names of the columns that are not what was declared; none: the drift is harmless."""
    found, wanted = (Counter(map(_tell_apart, each)) for each in (columns, DECLARED))
    return frozenset(name for name, _ in (found - wanted) + (wanted - found))


def can_be_accepted(columns: Columns, *, typed: bool) -> bool:
    """Whether a change of the YAML alone accepts them: names are told apart, and the key can be one."""
    names = Counter(column.name.casefold() for column in columns)
    if max(names.values()) > 1:
        return False
    types = {column.name.casefold(): column.type for column in columns}
    if "user_id" in types:
        return types["user_id"] in ("STRING", "INT64")
    # A similar name is the key's only if it was declared which type that is of.
    return typed and types.get("user_id_") == "STRING"


def _tell_apart(column: Column) -> tuple[str, str]:
    """Name and type; where rules are by path members stand in no order."""
    if column.name in BY_PATH and not isinstance(column.shape, str):
        members = tuple(sorted(column.shape, key=lambda it: it.name))
        column = replace(column, shape=members)
    return column.name, column.type


@st.composite
def drifts(draw: st.DrawFn) -> Columns:
    """The declared columns after one to three changes."""
    columns = tuple(DECLARED)
    for _ in range(draw(st.integers(1, 3))):
        columns = draw(st.sampled_from(_CHANGES))(draw, columns)
    return columns


def _choose(draw: st.DrawFn, columns: Columns) -> int:
    return draw(st.integers(0, len(columns) - 1))


def _put(columns: Columns, at: int, *new: Column) -> Columns:
    return (*columns[:at], *new, *columns[at + 1 :])


def _draw_name(draw: st.DrawFn, columns: Columns) -> str:
    names = ["fresh", "emails", "Note2", "user_id_", "ssn"]
    taken = {column.name.casefold() for column in columns}
    free = [name for name in names if name.casefold() not in taken]
    return draw(st.sampled_from(free)) if free else f"more{len(columns)}"


def _add(draw: st.DrawFn, columns: Columns) -> Columns:
    at = draw(st.integers(0, len(columns)))
    new = Column(_draw_name(draw, columns), draw(_SCALARS), is_array=draw(st.booleans()))
    return (*columns[:at], new, *columns[at:])


def _remove(draw: st.DrawFn, columns: Columns) -> Columns:
    return _put(columns, _choose(draw, columns)) if len(columns) > 1 else columns


def _rename(draw: st.DrawFn, columns: Columns) -> Columns:
    at = _choose(draw, columns)
    return _put(columns, at, replace(columns[at], name=_draw_name(draw, columns)))


def _change_case(draw: st.DrawFn, columns: Columns) -> Columns:
    at = _choose(draw, columns)
    return _put(columns, at, replace(columns[at], name=columns[at].name.swapcase()))


def _double_by_case(draw: st.DrawFn, columns: Columns) -> Columns:
    at = _choose(draw, columns)
    twin = replace(columns[at], name=columns[at].name.title(), group="stray")
    return _put(columns, at, columns[at], twin)


def _retype(draw: st.DrawFn, columns: Columns) -> Columns:
    at = _choose(draw, columns)
    return _put(columns, at, replace(columns[at], shape=draw(_SCALARS)))


def _repeat(draw: st.DrawFn, columns: Columns) -> Columns:
    at = _choose(draw, columns)
    return _put(columns, at, replace(columns[at], is_array=not columns[at].is_array))


def _widen(draw: st.DrawFn, columns: Columns) -> Columns:
    wider = {"INT64": "NUMERIC", "NUMERIC": "FLOAT64", "DATE": "TIMESTAMP", "STRING": "BYTES"}
    at = _choose(draw, columns)
    shape = columns[at].shape
    if not isinstance(shape, str) or shape not in wider:
        return columns
    return _put(columns, at, replace(columns[at], shape=wider[shape]))


def _swap_json(draw: st.DrawFn, columns: Columns) -> Columns:
    other = {"JSON": "STRING", "STRING": "JSON"}
    able = [at for at, it in enumerate(columns) if it.shape in ("JSON", "STRING")]
    if not able:
        return columns
    at = draw(st.sampled_from(able))
    return _put(columns, at, replace(columns[at], shape=other[str(columns[at].shape)]))


def _reform(draw: st.DrawFn, columns: Columns) -> Columns:
    at = _choose(draw, columns)
    return _put(columns, at, replace(columns[at], form=columns[at].form + 1))


def _require(draw: st.DrawFn, columns: Columns) -> Columns:
    at = _choose(draw, columns)
    return _put(columns, at, replace(columns[at], nullable=not columns[at].nullable))


def _reorder(draw: st.DrawFn, columns: Columns) -> Columns:
    return tuple(draw(st.permutations(columns)))


def _change_members(draw: st.DrawFn, columns: Columns) -> Columns:
    """Any of the changes above, one level down."""
    nested = [at for at, it in enumerate(columns) if not isinstance(it.shape, str)]
    if not nested:
        return columns
    at = draw(st.sampled_from(nested))
    members: Any = columns[at].shape
    changes = (_add, _remove, _rename, _change_case, _retype, _widen, _swap_json, _reorder)
    changed = draw(st.sampled_from(changes))(draw, members)
    return _put(columns, at, replace(columns[at], shape=changed))


_CHANGES = (
    _add,
    _remove,
    _rename,
    _change_case,
    _double_by_case,
    _retype,
    _repeat,
    _widen,
    _swap_json,
    _reform,
    _require,
    _reorder,
    _change_members,
    _change_members,
)
