"""A function of the project's own as a rule: what it is given, and everything that stops it."""

import datetime as dt
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from reverse_etl.errors import ConfigError, PolicyError, TerminalError
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import Custom
from reverse_etl_tests.masking.conftest import MaskValues

MODULE = "reverse_etl_tests.masking.custom_functions"


def build_custom(function: str, gives: str = "STRING", *, may_keep: bool = False) -> Custom:
    return Custom(name="x", rule="custom", function=function, gives=gives, may_keep=may_keep)


@pytest.mark.parametrize(
    ("function", "gives", "kind", "values", "expected"),
    [
        ("country", "STRING", pa.string(), ["DE44", None, "", "🙂🙂é"], ["DE", None, "", "🙂🙂"]),
        ("length", "INT64", pa.string(), ["ada", None, ""], [3, None, 0]),
        ("filled", "STRING", pa.string(), ["ada", None], ["ADA", None]),
        ("negate", "int64", pa.int64(), [2**53 + 1, None], [-(2**53) - 1, None]),
        ("negate", "FLOAT64", pa.float64(), [1.5, None], [-1.5, None]),
        (
            "next_day",
            "TIMESTAMP",
            pa.timestamp("us", "UTC"),
            [dt.datetime(2026, 11, 19, tzinfo=dt.UTC), None],
            [dt.datetime(2026, 11, 20, tzinfo=dt.UTC), None],
        ),
        ("emptied", "STRING", pa.string(), ["ada", "b", None], [None, "b", None]),
        ("country", "STRING", pa.string(), [None, None], [None, None]),
        ("country", "STRING", pa.string(), [], []),
    ],
)
def test_column_is_what_the_function_gives(
    mask_values: MaskValues,
    function: str,
    gives: str,
    kind: pa.DataType,
    values: list[object],
    expected: list[object],
) -> None:
    """Values come in nullable types, so that none is rounded, and NULL stays NULL."""
    assert mask_values(build_custom(f"{MODULE}:{function}", gives), values, kind) == expected


@pytest.mark.parametrize(
    ("function", "gives", "message"),
    [
        ("failing", "STRING", "raised ValueError"),
        ("shortened", "STRING", "gave 1 values for 2; expected as many"),
        ("listed", "STRING", "gave a list; expected a pandas Series"),
        ("mixed", "STRING", "gave what is no column"),
        ("length", "STRING", "gave INT64; expected STRING"),
        ("country", "INT64", "gave STRING; expected INT64"),
        ("unchanged", "STRING", "gave all values, or nearly all, as it got them"),
    ],
)
def test_function_that_breaks_its_word_stops_the_sync(
    mask_values: MaskValues, function: str, gives: str, message: str
) -> None:
    """The error names column and function, and neither it nor what lies behind it shows a value."""
    with pytest.raises(TerminalError, match=message) as caught:
        mask_values(build_custom(f"{MODULE}:{function}", gives), ["secret-ada", "b"], pa.string())

    assert "column 'x'" in caught.value.message
    assert f"{MODULE}:{function}" in caught.value.message
    assert caught.value.__cause__ is None
    assert "secret" not in "".join(
        line for line in traceback.format_exception(caught.value) if "mask_values(" not in line
    )


def test_function_may_keep_values_where_that_is_written_down(mask_values: MaskValues) -> None:
    """Two values that stay are no chance; one may have had nothing to mask."""
    masks, may_keep = f"{MODULE}:unchanged", build_custom(f"{MODULE}:unchanged", may_keep=True)

    assert mask_values(build_custom(masks), ["a", None, "a"], pa.string()) == ["a", None, "a"]
    assert mask_values(may_keep, ["a", "b", None], pa.string()) == ["a", "b", None]
    assert may_keep.summary().endswith(", may_keep: true)")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (f"{MODULE}:absent", "has no such function"),
        (f"{MODULE}:NOT_A_FUNCTION", "has no such function"),
        ("reverse_etl_tests.no_module:mask", "no such module"),
        ("reverse_etl.errors.deeper:mask", "no such module"),
        ("sys:exit", "no such module, or it has no source file"),
    ],
)
def test_function_that_cannot_be_imported_is_refused(
    mask_values: MaskValues, function: str, message: str
) -> None:
    """Before a row is masked, by the name that was written down."""
    with pytest.raises(ConfigError, match=message):
        mask_values(build_custom(function), [], pa.string())


def test_module_that_fails_to_load_is_refused(
    mask_values: MaskValues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own error stays where it was, for it may hold anything."""
    (tmp_path / "broken_masks.py").write_text("raise RuntimeError('secret')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match="its module raises RuntimeError") as caught:
        mask_values(build_custom("broken_masks:mask"), [], pa.string())

    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("function", "gives"),
    [("no colon", "STRING"), ("a:b:c", "STRING"), ("a.b:c", "TEXT"), ("a.b:c", "ARRAY<STRING>")],
)
def test_rule_that_names_no_function_or_type_is_refused(function: str, gives: str) -> None:
    """What can be seen without importing anything is seen when the sync loads."""
    with pytest.raises(ValidationError):
        build_custom(function, gives)


def test_nested_column_is_refused(mask_values: MaskValues) -> None:
    """A function is given one column of plain values."""
    with pytest.raises(PolicyError, match="takes STRING, INT64"):
        mask_values(build_custom(f"{MODULE}:country"), [], pa.list_(pa.string()))


def test_edited_function_is_another_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint holds the module's text, which is read and not run."""
    module = tmp_path / "edited_masks.py"
    monkeypatch.syspath_prepend(tmp_path)
    schema = pa.schema([("x", pa.string())])
    policy = resolve_policy([build_custom("edited_masks:mask")], key="x", schema=schema)

    found = {policy.fingerprint}
    for text in ("raise RuntimeError", "raise RuntimeError  # edited"):
        module.write_text(text)
        found.add(policy.fingerprint)

    assert len(found) == 3
    assert "edited_masks" not in sys.modules


def test_function_of_another_file_is_refused(
    mask_values: MaskValues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fingerprint covers the named module's file alone, so what masks has to stand in it."""
    (tmp_path / "other_masks.py").write_text(
        "import functools\n"
        "def first(values): return values.str[:1]\n"
        "def wrapping(function):\n"
        "    @functools.wraps(function)\n"
        "    def wrapped(values): return values\n"
        "    return wrapped\n"
    )
    (tmp_path / "naming_masks.py").write_text(
        "from functools import partial\n"
        "from other_masks import first, wrapping\n"
        "def own(values): return values.str[:1]\n"
        "part = partial(own)\n"
        "@wrapping\n"
        "def wrapped(values): return values.str[:1]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    for name in ("first", "part", "wrapped"):
        with pytest.raises(ConfigError, match="not written in that module's file"):
            mask_values(build_custom(f"naming_masks:{name}"), ["ada"], pa.string())
    assert mask_values(build_custom("naming_masks:own"), ["ada"], pa.string()) == ["a"]


@pytest.mark.parametrize("is_loaded_before", [True, False])
def test_module_edited_after_it_was_loaded_needs_a_restart(
    mask_values: MaskValues,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_loaded_before: bool,
) -> None:
    """No version says that one function masked it when another did, whoever loaded the module."""
    name = f"stale_masks_{is_loaded_before}".lower()
    module = tmp_path / f"{name}.py"
    module.write_text("def mask(values): return values.str[:2]\n")
    monkeypatch.syspath_prepend(tmp_path)
    rule = build_custom(f"{name}:mask")
    before = rule.source_sha256
    if is_loaded_before:
        import_module(name)
    else:
        assert mask_values(rule, ["ada"], pa.string()) == ["ad"]
    module.write_text("def mask(values): return values.str[:1]  # mended\n")

    with pytest.raises(ConfigError, match="Restart the process"):
        mask_values(build_custom(f"{name}:mask"), ["ada"], pa.string())

    assert is_loaded_before or build_custom(f"{name}:mask").source_sha256 == before


NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "function", "values", "is_refused"),
    [
        (pa.string(), "one_nulled", ["ada", "bob", "eve"], True),
        (pa.string(), "one_nulled", ["ada", "eve"], False),
        (pa.float64(), "unchanged", [1.5, NAN, 2.5], True),
        (pa.float64(), "unchanged", [NAN, NAN], False),
        (pa.string(), "tenth_cut", [f"{n:03}" for n in range(20)], True),
        (pa.string(), "tenth_cut", [f"{n:03}" for n in range(19)], False),
        (pa.string(), "fifth_cut", [f"{n:03}" for n in range(20)], False),
        (pa.string(), "fifth_cut", [f"{n:03}" for n in (*range(20), *[10] * 30)], False),
    ],
)
def test_values_that_nearly_all_stay_stop_the_sync(
    mask_values: MaskValues,
    kind: pa.DataType,
    function: str,
    values: list[object],
    *,
    is_refused: bool,
) -> None:
    """Neither a NULL nor a NaN nor a few masked ones hide that the rest came back as it was."""
    gives = "FLOAT64" if pa.types.is_floating(kind) else "STRING"
    rule = build_custom(f"{MODULE}:{function}", gives)
    if not is_refused:
        mask_values(rule, values, kind)
        return

    with pytest.raises(TerminalError, match="as it got them"):
        mask_values(rule, values, kind)


def test_summary_names_the_function() -> None:
    """The lineage shows what masks, and no hash of it."""
    assert build_custom("a.b:c").summary() == 'custom(function: "a.b:c", gives: "STRING")'


def test_rules_load_no_heavy_library() -> None:
    """A process that only reads a sync's configuration pays for neither pandas nor polars."""
    code = "import sys, reverse_etl.masking.rules; print({'pandas', 'polars'} & set(sys.modules))"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "set()"
