"""What the command line says when something is wrong: one message, the right exit code, no values."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reverse_etl.cli.commands import syncs as syncs_command
from reverse_etl.cli.failures import describe_bug
from reverse_etl_tests.cli.conftest import DAY, SYNC, Run, Shop


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(
            ("run", "peple", "--partition", DAY),
            2,
            "no sync 'peple'. Did you mean 'people'? There are: people, secrets.",
            id="unknown sync",
        ),
        pytest.param(
            ("run", "people", "--partition", "yesterday"),
            2,
            "Partition 'yesterday' is not a date such as 2026-11-19.",
            id="bad partition",
        ),
        pytest.param(
            ("run", "people", "--partition", "2024-04-30"),
            2,
            "Partition '2024-04-30' lies before the sync's start, 2024-05-01.",
            id="before the start",
        ),
        pytest.param(
            ("run", "people", "--partition", "9999-01-01"),
            2,
            "Partition '9999-01-01' is not over",
            id="not over",
        ),
        pytest.param(
            ("read", "people", "u-1"), 1, "Sync 'people' was never published", id="never published"
        ),
    ],
)
def test_wrong_words_are_explained(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    """What was found and what to do, on stderr, without a traceback; as JSON too."""
    plain = run(*words)
    document = run(*words, "--json").document

    assert plain.code == document["exit_code"] == code
    assert plain.out == ""
    assert said in plain.err
    assert "Traceback" not in plain.err
    assert said in document["error"]["message"]


@pytest.mark.parametrize(
    ("variable", "value", "code", "said"),
    [
        (
            "REVERSE_ETL_DUCKDB_PATH",
            "nowhere.duckdb",
            2,
            "nowhere.duckdb', where REVERSE_ETL_DUCKDB_PATH points",
        ),
        ("REVERSE_ETL_REDIS_URL", "redis://127.0.0.1:1/0", 1, "Redis at 127.0.0.1:1 cannot be"),
        ("REVERSE_ETL_REDIS_URL", None, 2, "REVERSE_ETL_REDIS_URL is not set"),
        ("REVERSE_ETL_MASKING_KEY", None, 2, "No masking key is configured"),
        ("REVERSE_ETL_MASKING_KEY", "k1:AAAA", 2, "The masking key has 3 bytes; 32 or more"),
        ("REVERSE_ETL_MASKING_KEI", "oops", 2, "REVERSE_ETL_MASKING_KEI: there is no such setting"),
        ("REVERSE_ETL_THREADS", "many", 2, "REVERSE_ETL_THREADS: Worker threads"),
    ],
)
def test_wrong_surroundings_are_explained(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str | None,
    code: int,
    said: str,
) -> None:
    """A missing file, key or server is named, and what to set; never a traceback."""
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)

    done = run("run", "secrets", "--partition", DAY)

    assert done.code == code
    assert done.err.count("error: ") == 1
    assert said in done.err
    assert "Traceback" not in done.err


def test_run_without_redis_fails_before_it_reads(
    run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot succeed says so at once, and neither pins nor lands anything."""
    monkeypatch.setenv("REVERSE_ETL_REDIS_URL", "redis://127.0.0.1:1/0")

    done = run("run", "people", "--partition", DAY)

    assert done.code == 1
    assert f"[sync 'people', partition '{DAY}', step 'cache'] Redis at 127.0.0.1:1" in done.err
    assert not list(shop.store.rglob("*.json"))


def test_error_as_json_says_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program learns kind, sync, partition and step, each in a field of its own."""
    monkeypatch.setenv("REVERSE_ETL_DUCKDB_PATH", "nowhere.duckdb")

    error = run("run", "people", "--partition", DAY, "--json").document["error"]

    assert (error["kind"], error["sync"], error["partition"], error["step"]) == (
        "ConfigError",
        "people",
        DAY,
        "extract",
    )


def test_first_error_after_success_leaves_the_live_version(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails changes nothing for readers."""
    run("run", "people", "--partition", "2024-05-05")
    live = run("versions", "people", "--json").document
    monkeypatch.setenv("REVERSE_ETL_DUCKDB_PATH", "nowhere.duckdb")

    failed = run("run", "people", "--partition", DAY)

    assert failed.code == 2
    assert run("versions", "people", "--json").document == live


def test_key_that_many_users_share_finds_nobody(run: Run, shop: Shop) -> None:
    """A raw key is refused where the rule gives many users the same one."""
    text = SYNC.format(name="coarse", rule="truncate, length: 1")
    shop.declare("coarse", text=text)

    done = run("read", "coarse", "u-1")

    assert done.code == 2
    assert "has rule 'truncate', so a raw key leads to no single record" in done.err
    assert "u-1" not in done.err


def test_key_that_is_no_text_is_refused(run: Run) -> None:
    """Bytes that are not UTF-8 are named by position."""
    done = run("read", "people", "u-1", "\udcff")

    assert done.code == 2
    assert "Key 2 is not UTF-8 text." in done.err


def test_bug_tells_its_place_and_no_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody raised on purpose may hold a value: its class and place are all that is said."""

    def break_down(_folder: Path | None) -> Path:
        raise ValueError("Canary Ω7")

    monkeypatch.setattr(syncs_command, "find_defs_folder", break_down)

    plain = run("syncs")
    document = run("syncs", "--json").document

    assert plain.code == 1
    assert "error: ValueError, which is a bug in reverse_etl." in plain.err
    assert "commands/syncs.py:" in plain.err
    assert "Canary" not in plain.err
    assert document["error"]["message"] is None
    assert "Canary" not in str(document)


def test_bug_of_a_library_is_placed_without_its_folder() -> None:
    """Paths of the machine stay out of what people paste into reports."""
    try:
        subprocess.run([], check=True)
    except Exception as error:  # noqa: BLE001 - any will do
        told = describe_bug(error)

    assert "/subprocess.py:" in told
    assert sys.prefix not in told
    assert str(Path.home()) + "/" not in told


@pytest.mark.parametrize("engine_hides_it", [True, False])
def test_interrupt_is_told_in_a_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, *, engine_hides_it: bool
) -> None:
    """Ctrl-C ends with 130, also where an engine makes an error of its own of it."""

    def interrupt(_folder: Path | None) -> Path:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            if engine_hides_it:
                raise RuntimeError("Query interrupted") from None
            raise
        raise AssertionError

    monkeypatch.setattr(syncs_command, "find_defs_folder", interrupt)

    done = run("syncs")

    assert done.code == 130
    assert done.err.startswith("Interrupted.")
    assert len(done.err.splitlines()) == 1


def test_closed_pipe_is_silent(shop: Shop) -> None:
    """`reverse-etl ... | head` ends without a word about the pipe."""
    command = [sys.executable, "-m", "reverse_etl.cli", "--defs", str(shop.defs), "syncs"]
    read_end, write_end = os.pipe()
    os.close(read_end)

    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)

    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize("words", [(), ("dance",), ("run", "people"), ("read", "people")])
def test_wrong_use_exits_with_two(
    run: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """What cannot be understood is answered with the usage, before anything is loaded."""
    with pytest.raises(SystemExit) as left:
        run(*words)

    assert left.value.code == 2
    assert "usage: reverse-etl" in capsys.readouterr().err
