"""The store in a local directory: the contract, other processes, crashes, and what disks do."""

import contextlib
import errno
import functools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from reverse_etl.errors import NotFoundError, ReverseEtlError, TerminalError, TransientError
from reverse_etl.landing import directory
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl_tests.contracts.store import StoreContract, count_up, run_together, try_create

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Not there yet: the store makes it."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root)


class TestDirectoryStore(StoreContract):
    """Every promise of the contract, on a disk."""


def create_each(root: Path, names: list[str], body: bytes) -> list[bool]:
    store = DirectoryStore(root)
    return [try_create(store, name, body) for name in names]


def count_up_at(root: Path, times: int) -> None:
    count_up(DirectoryStore(root), "counter", times)


@pytest.fixture
def processes() -> Iterator[ProcessPoolExecutor]:
    """Three processes of their own, nothing shared but the directory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        yield pool


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def list_files(root: Path) -> list[str]:
    """Every file on the disk, those that no listing shows too; lock files apart."""
    found = (path for path in root.rglob("*") if path.is_file() and path.parent.name != ".locks")
    return [path.name for path in found]


def test_one_of_many_processes_creates(root: Path, processes: ProcessPoolExecutor) -> None:
    """Three processes race for 200 names: each name has one winner, whose bytes are there."""
    names = [f"race/{number}" for number in range(200)]
    bodies = [b"first", b"second", b"third"]

    outcomes = list(processes.map(create_each, [root] * 3, [names] * 3, bodies))

    store = DirectoryStore(root)
    for name, *won in zip(names, *outcomes, strict=True):
        assert won.count(True) == 1
        assert store.get(name) == bodies[won.index(True)]
    assert not [file for file in list_files(root) if file.startswith(".")]


def test_no_increment_is_lost_between_processes(
    root: Path, store: DirectoryStore, processes: ProcessPoolExecutor
) -> None:
    """Compare-and-set holds across processes: 3 times 50 increments make 150."""
    store.put("counter", b"0")

    list(processes.map(count_up_at, [root] * 3, [50] * 3))

    assert store.get("counter") == b"150"


def test_put_does_not_slip_between_compare_and_set(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain put that lands while a compare-and-set is under way is not overwritten by it."""
    etag = store.put_if_absent("a", b"1")
    real_fsync = os.fsync
    puts: list[Future[None]] = []

    def fsync_after_another_put(descriptor: int) -> None:
        if not puts:
            puts.append(pool.submit(store.put, "a", b"put"))
            # Time to do harm; a put that waits for the lock, as it should, is not waited for.
            with contextlib.suppress(TimeoutError):
                puts[0].result(timeout=0.2)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_after_another_put)
    with ThreadPoolExecutor(1) as pool:
        store.put_if_match("a", b"2", etag=etag)

    assert store.get("a") == b"put"


@pytest.mark.parametrize("call", ["put('s/a', b'new')", "put_if_absent('s/b', b'new')"])
def test_killed_writer_leaves_nothing_visible(root: Path, store: DirectoryStore, call: str) -> None:
    """A writer killed before its object has a name leaves a file that only the sweep sees."""
    store.put("s/a", b"old")
    code = (
        "import os, sys, pathlib\n"
        "from reverse_etl.landing import directory\n"
        "die = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "os.fsync = os.link = directory.Path.replace = die\n"
        f"directory.DirectoryStore(pathlib.Path(sys.argv[1])).{call}\n"
    )

    killed = run_python(code, root)

    assert killed.returncode == -signal.SIGKILL
    assert [item.name for item in store.list_objects("")] == ["s/a"]
    assert store.get("s/a") == b"old"
    assert len(list_files(root)) == 2


def test_killed_writer_leaves_no_lock(root: Path, store: DirectoryStore) -> None:
    """A writer killed inside a compare-and-set holds up nobody."""
    etag = store.put_if_absent("a", b"1")
    code = (
        "import os, sys, pathlib\n"
        "from reverse_etl.landing.directory import DirectoryStore\n"
        "os.fsync = lambda *_: os.kill(os.getpid(), 9)\n"
        "DirectoryStore(pathlib.Path(sys.argv[1])).put_if_match('a', b'2', etag=sys.argv[2])\n"
    )

    killed = run_python(code, root, etag)

    assert killed.returncode == -signal.SIGKILL
    store.put_if_match("a", b"3", etag=etag)
    assert store.get("a") == b"3"


def test_sweep_removes_old_temporary_files_only(root: Path, store: DirectoryStore) -> None:
    """What a killed writer left goes once it is old enough; objects and the young stay."""
    store.put("s/a", b"")
    for name, seconds in ((".tmp-1-old", 100), (".tmp-2-young", 10)):
        (root / "s" / name).write_bytes(b"left behind")
        os.utime(root / "s" / name, (1000 - seconds, 1000 - seconds))
    (root / "t").mkdir()
    (root / "t" / ".tmp-3-old").write_bytes(b"")
    os.utime(root / "t" / ".tmp-3-old", (0, 0))

    swept = store.sweep_unfinished("", older_than_seconds=60, now=1000)

    assert swept == 2
    assert sorted(list_files(root)) == [".tmp-2-young", "a"]
    assert not (root / "t").exists()


def test_reading_makes_no_directory(root: Path, store: DirectoryStore) -> None:
    """A reader that points at the wrong place leaves no empty store there."""
    with pytest.raises(NotFoundError):
        store.get("a")
    store.delete(["a"])
    store.sweep_unfinished("", older_than_seconds=0, now=0)

    assert list(store.list_objects("")) == []
    assert store.list_folders("") == []
    assert not root.exists()


def test_folder_removed_by_another_is_made_again(root: Path) -> None:
    """A store that remembers having made a folder still writes when another removed it."""
    ours, theirs = DirectoryStore(root), DirectoryStore(root)
    ours.put("s/a", b"1")
    theirs.delete(["s/a"])
    assert not (root / "s").exists()

    ours.put("s/a", b"2")

    assert theirs.get("s/a") == b"2"


def test_writes_survive_removal_of_empty_folders(store: DirectoryStore) -> None:
    """One thread empties a folder again and again while another fills it: every write lands."""

    def write() -> None:
        for number in range(300):
            store.put(f"s/deep/{number}", b"")

    def remove() -> None:
        for number in range(300):
            store.delete([f"s/deep/other-{number}", f"s/deep/{number - 200}"])
            with contextlib.suppress(TransientError):
                store.put(f"s/deep/other-{number + 1}", b"")

    run_together([write, remove])

    names = {item.name for item in store.list_objects("s/deep/")}
    assert {f"s/deep/{number}" for number in range(100, 300)} <= names


@pytest.mark.parametrize("round_", range(3))
def test_writers_win_against_a_folder_that_keeps_vanishing(root: Path, round_: int) -> None:
    """Folders made and removed by several stores at once are never taken for somebody's file."""

    def fill_and_empty(own: str) -> None:
        store = DirectoryStore(root)
        for _ in range(200):
            store.put(f"s/{round_}/deep/{own}", b"")
            store.delete([f"s/{round_}/deep/{own}"])

    run_together([functools.partial(fill_and_empty, own) for own in "abcd"])

    assert not (root / "s").exists()


def test_locks_stay_few(root: Path, store: DirectoryStore) -> None:
    """Ten thousand objects would not leave ten thousand lock files."""
    for number in range(400):
        store.put(f"s/{number}", b"")
        store.put(f"s/{number}", b"again")

    assert 0 < len(list((root / ".locks").iterdir())) <= 256


def test_foreign_dot_files_are_not_objects(root: Path, store: DirectoryStore) -> None:
    """What a desktop or an editor leaves beside objects is not listed."""
    store.put("s/a", b"")
    (root / "s" / ".DS_Store").write_bytes(b"")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"")

    assert [item.name for item in store.list_objects("")] == ["s/a"]
    assert store.list_folders("") == ["s"]


def test_object_below_a_file_is_refused(store: DirectoryStore) -> None:
    """Where a name goes through a file, the error says that a retry will not help."""
    store.put("a", b"")
    store.put("b/c", b"")

    with pytest.raises(TerminalError, match="part of its name is a file"):
        store.put("a/b", b"")
    with pytest.raises(TerminalError, match="it is a folder there"):
        store.put("b", b"")


def test_file_too_large_is_a_full_disk(root: Path, store: DirectoryStore) -> None:
    """At the system's limit for a file the run stops, and the old object is untouched."""
    store.put("s/a", b"old")
    code = (
        "import pathlib, resource, sys\n"
        "from reverse_etl.errors import TerminalError\n"
        "from reverse_etl.landing.directory import DirectoryStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "store = DirectoryStore(pathlib.Path(sys.argv[1]))\n"
        "try:\n"
        "    store.put('s/a', b'x' * 100_000)\n"
        "except TerminalError as error:\n"
        "    print(error, error.__cause__, error.__suppress_context__)\n"
    )

    limited = run_python(code, root)

    assert "disk is full while writing 's/a'" in limited.stdout
    assert limited.stdout.endswith("None True\n")
    assert store.get("s/a") == b"old"
    assert list_files(root) == ["a"]


def test_full_disk_stops_the_run(tmp_path: Path) -> None:
    """On a file system of 64 KB the third object finds no room; the first two stay whole."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here; test_file_too_large_is_a_full_disk holds the mapping")
    code = (
        "import pathlib, sys\n"
        "from reverse_etl.errors import TerminalError\n"
        "from reverse_etl.landing.directory import DirectoryStore\n"
        "store = DirectoryStore(pathlib.Path(sys.argv[1]))\n"
        "for name in 'abc':\n"
        "    try:\n"
        "        store.put(f's/{name}', b'x' * 25_000)\n"
        "    except TerminalError as error:\n"
        "        print(error)\n"
        "print([(item.name, item.bytes) for item in store.list_objects('')])\n"
    )
    mount = 'mount -t tmpfs -o size=64k none "$0" && exec "$1" -c "$2" "$0"'
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "-r"]

    ran = subprocess.run(
        [*namespace, "sh", "-c", mount, str(tmp_path), sys.executable, code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    if ran.returncode != 0 and "DirectoryStore" not in ran.stderr:
        pytest.skip("no mount here; test_file_too_large_is_a_full_disk holds the mapping")
    assert "disk is full while writing 's/c'" in ran.stdout
    assert ran.stdout.endswith("[('s/a', 25000), ('s/b', 25000)]\n")


@pytest.fixture
def closed_root() -> Iterator[Path]:
    """A store with a folder that may not be entered, as a user whom that stops."""
    # Not tmp_path: its parents are closed to others, so nobody would not even get this far.
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    DirectoryStore(root).put("open/a", b"1")
    DirectoryStore(root).put("closed/a", b"1")
    (root / "closed").chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield root
    finally:
        if is_root:
            os.seteuid(0)
        (root / "closed").chmod(0o755)
        shutil.rmtree(root)


def test_unreadable_folder_is_no_empty_folder(closed_root: Path) -> None:
    """A listing that may not look everywhere is refused, not shortened."""
    store = DirectoryStore(closed_root)

    for call in (
        lambda: list(store.list_objects("")),
        lambda: list(store.list_objects("closed/")),
        lambda: store.list_folders("closed/"),
        lambda: store.list_folders(""),
        lambda: store.get("closed/a"),
        lambda: store.put("closed/b", b""),
        lambda: store.put_if_absent("closed/b", b""),
        lambda: store.put_if_match("closed/a", b"", etag="x"),
        lambda: store.delete(["closed/a"]),
        lambda: store.sweep_unfinished("", older_than_seconds=0, now=0),
    ):
        with pytest.raises(TerminalError, match="Permission denied"):
            call()


@pytest.mark.parametrize(
    ("number", "mapped", "said"),
    [
        (errno.ENOSPC, TerminalError, "disk is full while writing 'a'"),
        (errno.EDQUOT, TerminalError, "disk is full while writing 'a'"),
        (errno.EROFS, TerminalError, "'a' was refused"),
        (errno.EIO, TransientError, "failed on 'a': Input/output error"),
        (errno.EMFILE, TransientError, "failed on 'a': Too many open files"),
        (None, TransientError, "failed on 'a': OSError"),
    ],
)
def test_system_error_is_mapped_by_what_helps(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int | None,
    mapped: type[ReverseEtlError],
    said: str,
) -> None:
    """What a person must mend stops the run, the rest is worth a retry; no error holds a path."""

    def fail(*_: object) -> None:
        raise OSError(number, "its own words", str(root))

    store = DirectoryStore(root)
    store.put("a", b"")
    monkeypatch.setattr(directory, "_read", fail)

    with pytest.raises(mapped, match=said) as raised:
        store.get("a")
    assert str(root) not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_object_that_goes_during_a_listing_is_not_listed(
    root: Path, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file seen by the walk and gone before it is measured is absent, not an error."""
    store.put("a", b"1")
    monkeypatch.setattr(store, "_walk", lambda _: iter([root / "a", root / "gone"]))

    assert [item.name for item in store.list_objects("")] == ["a"]
