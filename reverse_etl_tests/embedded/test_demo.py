"""`make demo` and `make dev`: the whole main job, shown, and nothing left behind."""

import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import redis
from rich.cells import cell_len

from reverse_etl.embedded.demo import main
from reverse_etl.settings import VARIABLES, child_environment

ROOT = Path(__file__).parents[2]

#: Small, and yet within the guards of the sample syncs.
SIZE = ("--users", "3000", "--events", "20000")
DEMO = (sys.executable, "-m", "reverse_etl.embedded.demo", *SIZE)
DEV = (sys.executable, "-m", "reverse_etl.embedded.dev", *SIZE)


def build_environment(**changes: str) -> dict[str, str]:
    """This process' environment without settings of the developer's."""
    return child_environment(dict.fromkeys(VARIABLES) | {"DAGSTER_HOME": None} | changes)


def run_demo(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*DEMO, *words],
        cwd=folder,
        env=build_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@contextmanager
def started(
    command: tuple[str, ...], folder: Path, *, until: str
) -> Iterator[subprocess.Popen[str]]:
    """The program, once it has printed `until`."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=build_environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while until not in said:
            line = process.stdout.readline()
            assert line, f"it ended early, after: {said}"
            said += line
        yield process
    finally:
        process.kill()
        process.communicate()


def list_processes_in(folder: Path) -> list[str]:
    """Command lines of processes that name the folder, or work in it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words or str(process.info["cwd"]).startswith(str(folder)):
            found.append(words)
    return found


def is_quiet(folder: Path) -> bool:
    """Whether nothing runs there, given a moment: a server that was told to stop takes one."""
    deadline = time.monotonic() + 5
    while list_processes_in(folder):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


@dataclass(frozen=True)
class Finished:
    """A demo that has ended, and the folder it was run in."""

    folder: Path
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One demo from start to end, looked at by several tests."""
    folder = tmp_path_factory.mktemp("checkout")
    done = run_demo(folder)
    return Finished(folder=folder, code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.mark.e2e
def test_demo_shows_the_main_job(finished: Finished) -> None:
    """One command builds, masks, lands, caches and reads back every sync, and tells it in 80 columns."""
    shown = finished.out

    assert finished.code == 0, finished.err
    for sync in ("user_profile", "user_stats"):
        for step in ("extract", "masked", "cache"):
            assert re.search(rf"{sync}/{step} +[\d,]+ +[\d.]+ [kM]B +[\d.]+ s", shown)
        assert re.search(rf"{sync} +2,000 +[\d.]+ +[\d.]+ +Redis", shown)
        assert f"The record that a reader of {sync} gets" in shown
    assert "without Redis: the same bytes" in shown
    assert "Done in" in shown
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert "\x1b" not in shown + finished.err
    assert "Traceback" not in finished.err


@pytest.mark.e2e
def test_demo_shows_no_raw_value_of_a_masked_column(finished: Finished) -> None:
    """Before masking only names and rules are told: no address, no phone number, no birthday."""
    shown = finished.out + finished.err

    assert "(never left the source)" in shown
    assert "[redacted]" in shown
    assert not re.search(r"[\w.+-]+@[\w.-]+\.(com|org|net)", shown)
    assert not re.search(r"\b(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+", shown)
    assert not re.search(r"birthday\W+\d{4}-\d\d-\d\d", shown)


@pytest.mark.e2e
def test_demo_leaves_nothing_but_its_key(finished: Finished) -> None:
    """Redis is stopped and the files are gone; the masking key stays, private."""
    folder = finished.folder

    left = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )

    assert left == [".local/.demo.lock", ".local/masking.key"]
    assert (folder / ".local" / "masking.key").stat().st_mode & 0o777 == 0o600
    assert is_quiet(folder)


@pytest.mark.e2e
def test_kept_warehouse_serves_the_next_demo(tmp_path: Path) -> None:
    """With --keep what was made can be looked at, and the next demo does not build it again.

    That one speaks to a terminal without Unicode, which is no reason to fail either.
    """
    first = run_demo(tmp_path, "--keep")
    kept = tmp_path / ".local" / "demo"
    warehouse = (kept / "warehouse.duckdb").stat()
    manifests = len(list(kept.rglob("manifest.json")))

    second = run_demo(tmp_path, "--keep", PYTHONIOENCODING="ascii")

    assert (first.returncode, second.returncode) == (0, 0)
    assert "What happened ---" in second.stdout
    assert (kept / "warehouse.duckdb").stat().st_mtime_ns == warehouse.st_mtime_ns
    assert manifests == len(list(kept.rglob("manifest.json"))) == 2
    assert not (kept / "tmp").exists()


@pytest.mark.e2e
def test_demo_leaves_a_borrowed_redis_as_it_was(tmp_path: Path, redis_url: str) -> None:
    """A Redis of the user's is used if it is free of the syncs, and every record is taken out again."""
    with redis.Redis.from_url(redis_url) as client:
        client.set("theirs", "stays")

        done = run_demo(tmp_path, REVERSE_ETL_REDIS_URL=redis_url)

        assert done.returncode == 0, done.stderr
        assert "your Redis is left as it was" in done.stdout
        assert client.keys("*") == [b"theirs"]


@pytest.mark.e2e
def test_demo_refuses_a_redis_with_live_data(tmp_path: Path, redis_url: str) -> None:
    """What readers see in somebody's Redis is never replaced by a sample."""
    with redis.Redis.from_url(redis_url) as client:
        client.set("user_stats:head", "somebody's")

        done = run_demo(tmp_path, REVERSE_ETL_REDIS_URL=redis_url)

        assert done.returncode == 2
        assert "holds versions of sync 'user_stats' already" in done.stderr
        assert client.keys("*") == [b"user_stats:head"]


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_demo_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or a termination in the middle of a run leaves nothing running and nothing lying about."""
    with started(DEMO, tmp_path, until="Dagster job") as demo:
        time.sleep(1.0)
        demo.send_signal(number)
        rest, _ = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert "Interrupted; what the demo started is stopped and removed." in rest
    assert "Traceback" not in rest
    assert not (tmp_path / ".local" / "demo").exists()
    assert is_quiet(tmp_path)


@pytest.mark.e2e
def test_failing_demo_tells_why_and_cleans_up(tmp_path: Path) -> None:
    """A step that refuses says so in its own words, without Dagster's stack, and nothing is left."""
    done = run_demo(tmp_path, "--users", "500")

    assert done.returncode == 1
    assert "error: [sync 'user_profile'" in done.stderr
    assert "guards.min_rows asks for 1000" in done.stderr
    assert "Traceback" not in done.stderr
    assert "dagster/_core" not in done.stderr
    assert not (tmp_path / ".local" / "demo").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--partition", "2020-01-01"), 2, "lies before the sync's start"),
        (("--partition", "soon"), 2, "is not a date"),
        (("--users", "0"), 2, "users of 1 or more"),
    ],
)
def test_impossible_demo_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    """Options that cannot work end with one message, and leave no files."""
    monkeypatch.chdir(tmp_path)

    found = main(words)

    told = capfd.readouterr().err
    assert found == code
    assert said in told
    assert "Traceback" not in told
    assert not (tmp_path / ".local" / "demo").exists()


def test_demo_stays_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the cloud profile set nothing of the demo is begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")

    code = main([])

    assert code == 2
    assert "the demo runs on this machine alone" in capfd.readouterr().err


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder as `make dev` is run in."""
    for name in ("workspace.yaml", "dagster.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_serves_dagster_and_stops_whole(checkout: Path, number: signal.Signals) -> None:
    """The UI answers at the printed address; a signal ends Dagster, all it started, and Redis."""
    with started(DEV, checkout, until="Ctrl-C stops all of it.") as dev:
        environment = (checkout / ".local" / "dev" / "environment").read_text(encoding="utf-8")
        running = list_processes_in(checkout)
        status = ask_for_status(find_ui_port(checkout))
        dev.send_signal(number)
        rest, _ = dev.communicate(timeout=60)

    assert status == 200
    assert any("dagster" in words for words in running)
    assert "export REVERSE_ETL_REDIS_URL=redis://127.0.0.1:" in environment
    assert dev.returncode == 0
    assert "Stopped: Dagster and Redis are gone." in rest
    assert "Traceback" not in rest
    assert is_quiet(checkout)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", find_redis_port(environment)), timeout=5)


def find_ui_port(folder: Path) -> int:
    """The port that Dagster's webserver was told."""
    (words,) = [words for words in list_processes_in(folder) if "dagster_webserver" in words]
    found = re.search(r"--port (\d+)", words)
    assert found is not None
    return int(found[1])


def ask_for_status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection):
        connection.request("GET", "/server_info")
        return connection.getresponse().status


def find_redis_port(environment: str) -> int:
    found = re.search(r"redis://127\.0\.0\.1:(\d+)", environment)
    assert found is not None
    return int(found[1])


def test_dev_needs_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere it says what is missing, before anything is built or started."""
    from reverse_etl.embedded import dev  # noqa: PLC0415 - beside its only use

    monkeypatch.chdir(tmp_path)

    code = dev.main([])

    assert code == 2
    assert "There is no 'workspace.yaml' here." in capfd.readouterr().err
