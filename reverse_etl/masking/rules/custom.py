"""`custom`: a reviewed function of the project's own, for what no other rule does.

It is the one rule that runs Python on values, and the one that loads pandas. What it gives is checked
on every batch, and no error of it is shown with a value.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, Field, computed_field

from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.masking.faults import Fault, Reason
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.types import (
    Kind,
    bigquery_type_name,
    canonical_field,
    normalise_type_name,
    parse_type_name,
    type_kind,
)

if TYPE_CHECKING:
    import pandas as pd

_KINDS = (
    Kind.STRING,
    Kind.INT64,
    Kind.FLOAT64,
    Kind.NUMERIC,
    Kind.BOOL,
    Kind.DATE,
    Kind.DATETIME,
    Kind.TIMESTAMP,
)
# One value may be masked already; of two or more in a batch that all stay, the function masks nothing.
_TELLING_VALUES = 2
# Of many that nearly all stay, it masks next to nothing.
_MANY_VALUES, _TELLING_SHARE = 20, 0.9
# By module, the hash of the file that this process loaded it from: it stays what it is until the end.
_LOADED: dict[str, str] = {}
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


def _check_gives(text: str) -> str:
    try:
        name = normalise_type_name(text)
    except ConfigError as error:
        raise ValueError(error.message) from None
    if name not in _KINDS:
        raise ValueError(f"a custom rule gives one of {', '.join(_KINDS)}")
    return name


class Custom(Rule):
    """What a function of the project makes of the column: a pandas Series to one of as many values."""

    rule: Literal["custom"]
    function: str = Field(
        pattern=rf"^{_NAME}(\.{_NAME})*:{_NAME}$",
        description="The function, as package.module:name; it takes and gives a pandas Series.",
    )
    gives: Annotated[str, AfterValidator(_check_gives)] = Field(
        description="The BigQuery type of what it gives; another type stops the sync."
    )

    may_keep: bool = Field(
        default=False,
        description="The function may give all values of a batch, or nearly all, back as it got them.",
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def source_sha256(self) -> str | None:
        """SHA-256 of the function's module, so that another function is another policy.

        Once the module was loaded to mask, that of what was loaded. None where there is no such file;
        the policy does not compile then.
        """
        module_name, _, _ = self.function.partition(":")
        if (loaded := _LOADED.get(module_name)) is not None:
            return loaded
        origin = _find_module(module_name)
        return None if origin is None else _hash(origin.read_bytes())

    def output_field(self, column: pa.Field) -> pa.Field:
        """The declared type, from any that is not nested and has a type of pandas'."""
        if type_kind(column) not in _KINDS:
            raise self.refuse(column, ", ".join(_KINDS))
        return parse_type_name(self.gives, name=column.name)

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The column that the function gives; `ConfigError` when there is no such function."""
        del quoted, context
        caller = _Caller(rule=self, call=self._import(), landed=self.output_field(column))
        return parameters.bind_column(column.name, caller)

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """What the function gave NULL for: an answer, unless `on_error` says that it is none."""
        del column, parameters, context
        if not self.is_told:
            return ()
        no_result = f"{names.raw} IS NOT NULL AND {names.masked} IS NULL"
        return (Fault(reason=Reason.NO_RESULT, condition=no_result),)

    def show_options(self) -> dict[str, Any]:
        """The function and its type, and no hash of it."""
        shown: dict[str, Any] = {"function": self.function, "gives": self.gives}
        return shown | ({"may_keep": True} if self.may_keep else {})

    def _import(self) -> Callable[["pd.Series[Any]"], object]:
        module_name, _, name = self.function.partition(":")
        origin = _find_module(module_name)
        if origin is None:
            raise self._refuse_function("there is no such module, or it has no source file")
        source = origin.read_bytes()
        try:
            found = getattr(import_module(module_name), name, None)
        except Exception as error:  # noqa: BLE001 - a module may raise anything while it loads
            raise self._refuse_function(f"its module raises {type(error).__name__}") from None
        if not callable(found):
            raise self._refuse_function("its module has no such function")
        code = getattr(found, "__code__", None)
        if code is None or not _is_written_in(origin, found, code, module_name=module_name):
            raise self._refuse_function(
                "it is not written in that module's file, and the policy's fingerprint covers no other"
            )
        loaded = _hash(source)
        # Loaded by somebody else before, the module may be of an older file than this one.
        if _LOADED.setdefault(module_name, loaded) != loaded or not _holds_code(source, code):
            raise ConfigError(
                f"The module of function '{self.function}' of column '{self.name}' was edited after "
                "this process loaded it, so what would run is not what the file says. Restart the "
                "process (reload the code location) and run again; nothing was masked."
            )
        call: Callable[[pd.Series[Any]], object] = found
        return call

    def _refuse_function(self, reason: str) -> ConfigError:
        return ConfigError(
            f"Rule 'custom' of column '{self.name}' names function '{self.function}', but {reason}. "
            "Write package.module:name of a function that can be imported where the sync runs."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """Calls the function for a batch and checks what it gives."""

    rule: Custom
    call: Callable[["pd.Series[Any]"], object]
    landed: pa.Field

    def __call__(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = self.landed.type
        if len(values) == values.null_count:
            return _wrap(pa.nulls(len(values), kind))
        try:
            found = self.call(_build_series(values, name=self.rule.name))
        except Exception as error:  # noqa: BLE001 - a function may raise anything, values in its text
            raise self._stop(f"raised {type(error).__name__}", "a Series") from None
        masked = self._read(found, rows=len(values))
        if not self.rule.may_keep and _is_same(masked, values):
            raise self._stop(
                "gave all values, or nearly all, as it got them",
                "values that are masked (or may_keep: true)",
            )
        nulled: pa.ChunkedArray = pc.if_else(pc.is_null(values), pa.scalar(None, kind), masked)
        return nulled

    def _read(self, found: object, *, rows: int) -> pa.ChunkedArray:
        import pandas as pd  # noqa: PLC0415 - 0.4 s, which other rules do not need

        if not isinstance(found, pd.Series):
            raise self._stop(f"gave a {type(found).__name__}", "a pandas Series")
        if len(found) != rows:
            raise self._stop(f"gave {len(found)} values for {rows}", "as many as it got")
        try:
            given = pa.array(found, from_pandas=True)
            if not pa.types.is_null(given.type):
                self._check_type(given.type)
            return _wrap(given).cast(self.landed.type)
        except (pa.ArrowException, ConfigError, TypeError, ValueError) as error:
            # Their texts may quote a value.
            reason = f"gave what is no column ({type(error).__name__})"
            raise self._stop(reason, f"a Series of {self.rule.gives}") from None

    def _check_type(self, given: pa.DataType) -> None:
        field = canonical_field(pa.field(self.rule.name, given))
        if field.type != self.landed.type:
            raise self._stop(f"gave {bigquery_type_name(field)}", self.rule.gives)

    def _stop(self, found: str, expected: str) -> TerminalError:
        return TerminalError(
            f"Function '{self.rule.function}' of column '{self.rule.name}' {found}; expected {expected}. "
            "Nothing of the batch was masked. Its own text is withheld: mend the function and test it "
            "with values of your own."
        )


def _wrap(values: Any) -> pa.ChunkedArray:
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def _is_same(masked: pa.ChunkedArray, values: pa.ChunkedArray) -> bool:
    """Whether different values came back as they were, too many of them for chance.

    Those count that are NULL on neither side, each once however often it stands there.
    """
    if masked.type != values.type:
        return False
    both: Any = pc.and_(pc.is_valid(masked), pc.is_valid(values))
    given, known = masked.filter(both), values.filter(both)
    equal: Any = pc.equal(given, known)
    if pa.types.is_floating(known.type):
        equal = pc.or_(equal, pc.and_(pc.is_nan(given), pc.is_nan(known)))
    all_values, same_values = len(known.unique()), len(known.filter(equal).unique())
    if same_values == all_values:
        return all_values >= _TELLING_VALUES
    return all_values >= _MANY_VALUES and same_values >= _TELLING_SHARE * all_values


def _build_series(values: pa.ChunkedArray, *, name: str) -> "pd.Series[Any]":
    """The column in pandas' nullable types, so that an INT64 beside a NULL stays one."""
    import pandas as pd  # noqa: PLC0415 - 0.4 s, which other rules do not need

    nullable = {
        pa.string(): pd.StringDtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    dtype = nullable.get(values.type)
    types_mapper = None if dtype is None else partial(nullable.get)
    series: pd.Series[Any] = values.to_pandas(types_mapper=types_mapper)
    return series.rename(name)


def _find_module(name: str) -> Path | None:
    """The source file of a module, found without running any of it."""
    path: list[str] | None = None
    origin: str | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        origin = spec.origin
        if path is None and depth < len(parts):
            return None
    file = None if origin is None else Path(origin)
    return file if file is not None and file.suffix == ".py" else None


def _hash(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()


def _is_written_in(origin: Path, function: object, code: CodeType, *, module_name: str) -> bool:
    """Whether the function is the module's own, and its text stands in the module's file."""
    is_own = getattr(function, "__module__", None) == module_name
    return is_own and Path(code.co_filename).resolve() == origin.resolve()


def _holds_code(source: bytes, code: CodeType) -> bool:
    """Whether a module of this text has a function of this code; none of it is run."""
    try:
        module = compile(source, code.co_filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return any(found == code for found in _list_code(module))


def _list_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_code(constant)
