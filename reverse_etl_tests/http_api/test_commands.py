"""`reverse-etl serve` and `reverse-etl token`: what they ask for, and that they do what they say."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from reverse_etl.cli import main
from reverse_etl.http_api.tokens import parse_tokens
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl_tests.http_api.conftest import ROWS
from reverse_etl_tests.serving.builders import NEW, SYNC, build_head, land, publish


def test_token_and_its_line_belong_together(capsys: pytest.CaptureFixture[str]) -> None:
    """The line that is printed grants what is asked for to the token that is printed."""
    assert main(["token", "web", "user_stats", "orders", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    grant = parse_tokens(document["line"]).find(document["token"].encode())
    assert grant is not None
    assert grant.syncs == {"user_stats", "orders"}
    assert document["token"] not in document["line"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["token", "web", "User Stats"], "User Stats"),
        (["token", "a b", "user_stats"], "1 to 63 letters"),
        (["serve", SYNC], "REVERSE_ETL_API_TOKENS_FILE"),
        (["serve", SYNC, "--no-tokens", "--host", "192.0.2.1"], "not a loopback address"),
        (["serve", SYNC, "--no-tokens", "--host", "localhost.example"], "not a loopback address"),
    ],
)
def test_wrong_use_is_told_before_anything_listens(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """Exit code 2 and what to do."""
    assert main(words) == 2

    assert said in capsys.readouterr().err


@pytest.mark.e2e
def test_command_serves_and_ends_well(tmp_path: Path, redis_url: str) -> None:
    """Started as a person starts it, asked as an application asks, stopped by Ctrl-C."""
    store = DirectoryStore(tmp_path / "store")
    land(store, build_head(NEW), ROWS)  # type: ignore[arg-type]
    publish(build_head(NEW), store=store)  # type: ignore[arg-type]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": "/usr/bin:/bin",
        "REVERSE_ETL_STORE_URL": (tmp_path / "store").as_uri(),
        "REVERSE_ETL_REDIS_URL": redis_url,
    }
    words = ["serve", SYNC, "--port", str(port), "--no-tokens"]
    with subprocess.Popen(
        [sys.executable, "-m", "reverse_etl.cli", *words],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        heard = ""
        while "Uvicorn running" not in heard:
            line = process.stderr.readline()
            assert line, heard
            heard += line
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/{SYNC}/u-3") as answer:
            found = json.load(answer)
        process.send_signal(signal.SIGINT)
        heard += process.stderr.read()

    assert found == ROWS[3]
    assert process.returncode == 0
    assert re.search(rf"Serving {SYNC} at http://127\.0\.0\.1:{port}/", heard)
    assert "u-3" not in heard
