"""Building a DuckDB file: whole or not at all, once, and never over a stranger's."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from reverse_etl.embedded.building import Built, build_warehouse, compute_fingerprint
from reverse_etl.errors import ConfigError, TerminalError, TransientError

# A builder in a process of its own: says when it is in the middle, then stays there.
STUCK_BUILDER = """
import sys, time
from pathlib import Path
from reverse_etl.embedded.building import build_warehouse

def fill(connection):
    connection.execute("CREATE TABLE numbers AS FROM range(1000000)")
    connection.execute("CHECKPOINT")
    connection.execute("INSERT INTO numbers VALUES (0)")
    print("filling", flush=True)
    time.sleep(60)

build_warehouse(Path(sys.argv[1]), fingerprint="stuck", fill=fill, reuse=True)
"""

# A builder on a disk that is full after 300 KB.
CRAMPED_BUILDER = """
import resource, sys
from pathlib import Path
from reverse_etl.embedded.building import build_warehouse
from reverse_etl.errors import ReverseEtlError

resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

def fill(connection):
    connection.execute("CREATE TABLE numbers AS SELECT hash(n) FROM range(1000000) AS numbers(n)")

try:
    build_warehouse(Path(sys.argv[1]), fingerprint="cramped", fill=fill, reuse=True)
except ReverseEtlError as error:
    print(type(error).__name__)
"""


def fill_one(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE numbers AS SELECT 1 AS number")


def fill_two(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE numbers AS SELECT 2 AS number")


def read_number(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        ((number,),) = connection.execute("SELECT number FROM numbers").fetchall()
    return int(number)


def list_files(folder: Path) -> set[str]:
    """What is there beside the lock, which stays."""
    return {item.name for item in folder.iterdir() if not item.name.endswith(".lock")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


@pytest.fixture
def old(path: Path) -> Built:
    """A file that was built before."""
    return build_warehouse(path, fingerprint="one", fill=fill_one, reuse=True)


def test_file_appears_alone(path: Path) -> None:
    """Nothing but the finished file is left: no log, no spill, no temporary name."""
    built = build_warehouse(path, fingerprint="one", fill=fill_one, reuse=True)

    assert list_files(path.parent) == {path.name}
    assert built == Built(bytes=path.stat().st_size, seconds=built.seconds, reused=False)
    assert read_number(path) == 1


@pytest.mark.usefixtures("old")
def test_same_fingerprint_is_reused_only_on_request(path: Path) -> None:
    """`reuse` decides whether an equal file is built again."""
    reused = build_warehouse(path, fingerprint="one", fill=fill_two, reuse=True)
    number_reused = read_number(path)

    rebuilt = build_warehouse(path, fingerprint="one", fill=fill_two, reuse=False)

    assert reused.reused
    assert number_reused == 1
    assert not rebuilt.reused
    assert read_number(path) == 2


def test_folder_that_may_not_be_written_serves_what_it_has(path: Path, old: Built) -> None:
    """A file that is there is found without taking the lock, so that a read-only mount will do."""
    (path.parent / f".{path.name}.lock").unlink()

    found = build_warehouse(path, fingerprint="one", fill=fill_two, reuse=True)

    assert found == Built(bytes=old.bytes, seconds=found.seconds, reused=True)
    assert {item.name for item in path.parent.iterdir()} == {path.name}


@pytest.mark.usefixtures("old")
def test_failing_fill_leaves_the_old_file(path: Path) -> None:
    """What was there stays until its successor is whole."""

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        fill_two(connection)
        connection.execute("SELECT error('canary')")

    with pytest.raises(TerminalError) as caught:
        build_warehouse(path, fingerprint="two", fill=fail, reuse=True)

    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert list_files(path.parent) == {path.name}
    assert read_number(path) == 1


def test_killed_builder_leaves_no_file(path: Path) -> None:
    """After SIGKILL there is nothing at the path; the next builder gets in and clears up."""
    command = [sys.executable, "-c", STUCK_BUILDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "filling\n"
        builder.send_signal(signal.SIGKILL)
    left_behind = list_files(path.parent)

    build_warehouse(path, fingerprint="one", fill=fill_one, reuse=True)

    assert left_behind
    assert path.name not in left_behind
    assert list_files(path.parent) == {path.name}
    assert read_number(path) == 1


def test_full_disk_leaves_no_file(path: Path) -> None:
    """When space runs out the error is one of ours, and the space is given back."""
    done = subprocess.run(
        [sys.executable, "-c", CRAMPED_BUILDER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert done.stdout == f"{TransientError.__name__}\n"
    assert list_files(path.parent) == set()


def test_builders_at_once_take_turns(path: Path) -> None:
    """Of several that want the same file one builds it, and the others are given it."""
    fills = []
    barrier = threading.Barrier(4)

    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        fills.append(connection)
        fill_one(connection)

    def build(_: int) -> Built:
        barrier.wait()
        return build_warehouse(path, fingerprint="one", fill=fill, reuse=True)

    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(build, range(4)))

    assert len(fills) == 1
    assert sorted(item.reused for item in built) == [False, True, True, True]
    assert {item.bytes for item in built} == {path.stat().st_size}


@pytest.mark.usefixtures("old")
def test_reader_keeps_the_file_it_opened(path: Path) -> None:
    """A file that is replaced stays whole for whoever has it open."""
    with duckdb.connect(":memory:") as reader:
        reader.execute(f"ATTACH '{path}' AS warehouse (READ_ONLY)")

        build_warehouse(path, fingerprint="two", fill=fill_two, reuse=True)

        ((number,),) = reader.execute("SELECT number FROM warehouse.numbers").fetchall()
    assert number == 1
    assert read_number(path) == 2


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("kind", ["warehouse", "text", "folder"])
def test_stranger_is_never_replaced(path: Path, kind: str, *, reuse: bool) -> None:
    """A warehouse of the user's own, or any other file, is refused and left as it is."""
    match kind:
        case "warehouse":
            with duckdb.connect(str(path)) as connection:
                fill_one(connection)
        case "text":
            path.write_text("no database")
        case _:
            path.mkdir()
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(ConfigError, match="left as it is"):
        build_warehouse(path, fingerprint="two", fill=fill_two, reuse=reuse)

    assert (path.read_bytes() if path.is_file() else None) == before


def test_path_below_a_file_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be made is named with what to do, not as a foreign error."""
    (tmp_path / "file").write_text("")

    with pytest.raises(TerminalError, match="Name a file in a folder") as caught:
        build_warehouse(
            tmp_path / "file" / "warehouse.duckdb", fingerprint="one", fill=fill_one, reuse=True
        )

    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("arguments", "recipe"),
    [({"users": 2}, ["a", "b"]), ({"people": 1}, ["a", "b"]), ({"users": 1}, ["ab"])],
)
def test_fingerprint_depends_on_each_part(arguments: dict[str, object], recipe: list[str]) -> None:
    """Names and values of arguments count, and each text of the recipe, apart from the others."""
    base = compute_fingerprint(arguments={"users": 1}, recipe=["a", "b"])

    assert compute_fingerprint(arguments=arguments, recipe=recipe) != base
    assert compute_fingerprint(arguments={"users": 1}, recipe=["a", "b"]) == base
