"""Dependencies point one way, heavy clients are imported late, and no room knows its neighbour."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "reverse_etl"

#: Each room, and the rooms of ours that it may import. Modules beside the rooms stand by their name.
FLOOR = {
    "ahead",
    "scratch_file",
    "errors",
    "model",
    "sql",
    "progress",
    "engine",
    "types",
    "locks",
    "quiet",
    "uptime",
    "memory",
}
FORMATS = {
    f"landing.{name}" for name in ("layout", "manifest", "encode", "digest", "buckets", "store")
}
ALLOWED: dict[str, set[str]] = {
    "ahead": set(),
    "scratch_file": {"errors"},
    "errors": set(),
    "sql": {"errors"},
    "model": set(),
    "locks": set(),
    "uptime": set(),
    "memory": set(),
    "progress": set(),
    "quiet": set(),
    "engine": {"errors", "sql"},
    "types": {"errors", "sql"},
    "setting_fields": set(),
    "operations_settings": {"setting_fields"},
    "service_settings": {"setting_fields", "operations_settings"},
    "settings": {"errors", "setting_fields", "service_settings"},
    "masking": FLOOR,
    "sources": FLOOR,
    "landing": FLOOR,
    "cache": FLOOR | FORMATS,
    "serving": FLOOR
    | FORMATS
    | {"cache.layout", "masking.keys", "masking.key_ring", "masking.tokens"}
    | {"landing.directory", "landing.s3"},  # the two stores that a URL may name, opened late
    "http_api": {"__version__", "errors", "serving"},
    "auth": FLOOR,
    "spec_days": {"setting_fields"},
    "spec": FLOOR | {"landing.layout", "masking", "spec_days"},
    "alerts": FLOOR | {"landing.store", "landing.layout"},
    "run_log": FLOOR,
    "room_options": FLOOR | {"settings", "sources", "landing", "auth"},
    "runtime": FLOOR
    | {"settings", "room_options", "sources", "landing", "cache", "masking", "auth"},
    "stages": FLOOR | {"settings", "sources", "landing", "cache", "masking", "spec", "runtime"},
    "pipeline": FLOOR | {"run_log", "runtime", "spec", "stages"},
}
#: What stands above the pipeline may import everything below it.
ABOVE = {"resources", "components", "checks", "jobs", "sensors", "definitions", "cli", "embedded"}

#: Clients that take long to import, and the places that may import them at their top.
HEAVY = {"boto3", "botocore", "google", "dagster_gcp", "dagster_aws", "pandas", "obstore"}

#: What these modules are imported for, and so, only when a run asks for it.
LATE = ("sources.bigquery.", "landing.s3.", "auth.")
#: What of it may be imported early all the same.
LIGHT = {
    "reverse_etl.sources.bigquery.options",
    "reverse_etl.landing.s3.options",
    "reverse_etl.auth.options",
}


def list_modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def list_imports(path: Path, *, top_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_allowed(target: str, allowed: set[str]) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize(("module", "path"), list(list_modules()), ids=lambda it: str(it)[-60:])
def test_dependencies_point_one_way(module: str, path: Path) -> None:
    """A room imports what lies below it, itself, and nothing else of ours."""
    room = module.split(".", 1)[0]
    if room in ABOVE or module == "__init__":
        return
    allowed = ALLOWED[room] | {room}

    targets = {
        name.removeprefix("reverse_etl.")
        for name in list_imports(path)
        if name.startswith("reverse_etl.")
    }

    assert {target for target in targets if not is_allowed(target, allowed)} == set()


@pytest.mark.parametrize(("module", "path"), list(list_modules()), ids=lambda it: str(it)[-60:])
def test_heavy_clients_are_imported_late(module: str, path: Path) -> None:
    """Loading the definitions, or the reader, must not wait for a cloud's SDK."""
    if module.startswith(LATE):
        return
    roots = {name.split(".", 1)[0] for name in list_imports(path, top_only=True)}

    assert roots & HEAVY == set()


@pytest.mark.parametrize(("module", "path"), list(list_modules()), ids=lambda it: str(it)[-60:])
def test_wrappers_of_heavy_clients_are_imported_late(module: str, path: Path) -> None:
    """What wraps a heavy client is as heavy: nothing outside its room has it at its top."""
    if module.startswith(LATE):
        return
    wrappers = {
        name
        for name in list_imports(path, top_only=True)
        if name.startswith(tuple(f"reverse_etl.{room}" for room in LATE))
        and not is_allowed(name, LIGHT)
    }

    assert wrappers == set()


def test_reader_needs_neither_dagster_nor_warehouse() -> None:
    """An application that reads installs redis-py and our package, not a data platform."""
    serving = [path for module, path in list_modules() if module.split(".", 1)[0] == "serving"]

    roots = {name.split(".", 1)[0] for path in serving for name in list_imports(path)}

    assert roots & {"dagster", "duckdb", "google", "sqlglot"} == set()


def test_modules_stay_small() -> None:
    """A module is one concept; none is over 400 lines."""
    long = {
        module: count
        for module, path in list_modules()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }

    assert long == {}
