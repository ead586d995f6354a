"""The scripts of the containers, run: secrets from files, health checks, what compose prepares."""

import os
import subprocess
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from urllib.parse import urlsplit

import boto3
import grpc
import pytest
import redis
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from moto.server import ThreadedMotoServer

from reverse_etl.http_api.tokens import read_tokens
from reverse_etl.masking.key_ring import parse_key_ring
from reverse_etl_tests.docker.files import DOCKER
from reverse_etl_tests.docker.test_commands import load_script
from reverse_etl_tests.identity.fixtures import clean_aws

__all__ = ["clean_aws"]

PROGRAM = DOCKER / "with-secrets"


def start(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with the secrets of a folder, and no other environment."""
    return subprocess.run(
        ["sh", PROGRAM, *words],
        env={"PATH": os.environ["PATH"], "SECRETS_FOLDER": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_named_like_variables_become_variables(tmp_path: Path) -> None:
    """Every byte but the last line's end; other files are left alone."""
    (tmp_path / "REVERSE_ETL_REDIS_URL").write_text("redis://u:p$w'\" x@h/0\n")
    (tmp_path / "masking.key").write_text("k")
    (tmp_path / "Lower").write_text("x")

    done = start(
        tmp_path, "sh", "-c", 'printf "%s|" "$REVERSE_ETL_REDIS_URL" "$1"; env', "_", "a b"
    )

    assert done.stdout.startswith("redis://u:p$w'\" x@h/0|a b|")
    assert "masking" not in done.stdout
    assert "Lower" not in done.stdout
    assert "SECRETS_FOLDER" not in done.stdout


def test_no_folder_is_no_secret(tmp_path: Path) -> None:
    """Where secrets come as variables, nothing has to be there."""
    assert start(tmp_path / "absent", "echo", "hello").stdout == "hello\n"


def test_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    """It is replaced by the command: signals and codes are the command's own."""
    assert start(tmp_path, "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("words", [(), ("true",)])
def test_contradictions_start_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Neither without a command, nor where a variable has two values; no value is shown."""
    (tmp_path / "PASSWORD").write_text("of-the-file")

    done = start(tmp_path, *words, PASSWORD="of-the-environment")

    assert done.returncode == 2
    assert "of-the" not in done.stdout + done.stderr
    assert ("PASSWORD" in done.stderr) == bool(words)


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return load_script("healthcheck")


class _Answers(BaseHTTPRequestHandler):
    """Well at one path."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in {"/server_info", "/healthz"} else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Nothing."""


@pytest.mark.parametrize("role", ["webserver", "reader"])
def test_http_health_is_seen(
    check: ModuleType, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 while it answers, 1 and a reason when it does not."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        port = str(server.server_port)
        thread = Thread(target=server.serve_forever)
        thread.start()
        well = check.main([role, port])
        server.shutdown()
        thread.join()

    assert well == 0
    assert check.main([role, port]) == 1
    assert f"the {role} does not answer (ConnectionRefusedError)" in capsys.readouterr().err


def test_code_server_health_is_seen(check: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """By the same protocol, and under the same name, as Dagster's own check."""
    servicer = health.HealthServicer()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = str(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    try:
        servicer.set("DagsterApi", health_pb2.HealthCheckResponse.SERVING)
        assert check.main(["code-server", port]) == 0
        servicer.set("DagsterApi", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert check.main(["code-server", port]) == 1
    finally:
        server.stop(None).wait()
    assert "it says that it does not serve" in capsys.readouterr().err


def test_unknown_role_is_wrong_use(check: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """And the roles that there are, are named."""
    assert check.main(["postgres"]) == 2
    assert "code-server, webserver, daemon, reader" in capsys.readouterr().err


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    return load_script("compose/prepare")


def test_secrets_are_random_kept_and_for_nobody_else(prepare: ModuleType, tmp_path: Path) -> None:
    """Two installations share none; a second start changes none."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        prepare.make_secrets(folder)
    texts = [
        {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    ]

    prepare.make_secrets(folders[0])

    assert texts[0].keys() == texts[1].keys()
    assert [name for name in texts[0] if texts[0][name] == texts[1][name]] == [Path("made")]
    for name, text in texts[0].items():
        path = folders[0] / name
        assert path.read_text() == text
        assert path.stat().st_mode & 0o777 == (0o400 if name.name == "masking.key" else 0o440)
    assert parse_key_ring(texts[0][Path("masking.key")]).current is not None
    grants = read_tokens(folders[0] / "reader" / "tokens")
    assert grants.find(texts[0][Path("reader/token")].encode()) is not None


def test_cut_short_it_begins_again(prepare: ModuleType, tmp_path: Path) -> None:
    """Half of the secrets is as good as none, and no obstacle."""
    prepare.make_secrets(tmp_path)
    (tmp_path / "made").unlink()
    (tmp_path / "servers" / "valkey.acl").unlink()

    prepare.make_secrets(tmp_path)

    assert (tmp_path / "servers" / "valkey.acl").is_file()


def test_valkey_takes_the_users(
    prepare: ModuleType, tmp_path: Path, raw: redis.Redis, redis_url: str
) -> None:
    """The pipeline writes its syncs, the reader reads them, and everybody else may say PING."""
    parts = urlsplit(redis_url)
    address = f"{parts.hostname}:{parts.port}"
    prepare.make_secrets(tmp_path, redis_host=address)
    lines = (tmp_path / "servers" / "valkey.acl").read_text().splitlines()
    default, *users = [line.removeprefix("user ") for line in lines]
    assert default.startswith("default on nopass")
    # The server is shared with other tests: as a user of another name.
    raw.execute_command("ACL", "SETUSER", *default.replace("default", "anybody", 1).split())
    for user in users:
        raw.execute_command("ACL", "SETUSER", *user.split())
    try:
        urls = {
            part: (tmp_path / part / "REVERSE_ETL_REDIS_URL").read_text()
            for part in ("pipeline", "reader")
        }
        with redis.Redis.from_url(urls["pipeline"], protocol=2) as writer:
            writer.set("user_stats:head", b"x")
            with pytest.raises(redis.exceptions.NoPermissionError):
                writer.set("elsewhere", b"x")
            with pytest.raises(redis.exceptions.NoPermissionError):
                writer.flushall()
        with redis.Redis.from_url(urls["reader"], protocol=2) as reader:
            assert reader.get("user_stats:head") == b"x"
            with pytest.raises(redis.exceptions.NoPermissionError):
                reader.set("user_stats:head", b"y")
        anybody = redis.Redis.from_url(f"redis://anybody:any@{address}/0", protocol=2)
        with anybody:
            assert anybody.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                anybody.get("user_stats:head")
    finally:
        raw.execute_command("ACL", "DELUSER", "anybody", "writer", "reader")


def test_buckets_are_made_once(
    prepare: ModuleType, clean_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both of them; what is there already is left as it is."""
    del clean_aws
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for _ in range(2):
            prepare.make_buckets(f"http://{host}:{port}", region="eu-central-1")
        client = boto3.client(
            "s3", endpoint_url=f"http://{host}:{port}", region_name="eu-central-1"
        )
        # Moto's servers of one process share their buckets: others' may be there.
        found = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        client.close()
    finally:
        server.stop()

    assert found >= set(prepare.BUCKETS)


def test_wrong_words_prepare_nothing(
    prepare: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip in compose.yaml ends the start, and says why."""
    assert prepare.main(["row"]) == 2
    assert "rows or buckets" in capsys.readouterr().err
