"""A server in a process of its own: serves, counts, and ends with whoever started it."""

import base64
import hashlib
import json
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

from reverse_etl_tests.s3.clients import get, make_boto3, make_obstore, put, refuse
from reverse_etl_tests.s3.process import S3Process
from reverse_etl_tests.s3.server import S3Server
from reverse_etl_tests.s3.wire import send

COMMAND = [sys.executable, "-m", "reverse_etl_tests.s3.process"]


def test_process_serves_and_counts() -> None:
    """Clients see an S3, its counts are asked for and begun anew; asking is not counted."""
    with S3Process(bucket="bench", delay_seconds=0.001) as process:
        store = make_obstore(process)
        for number in range(3):
            store.put(f"x{number}", b"12345")
        counts = process.read_counts()
        process.reset_counts()

        assert counts["operations"] == {"PutObject": 3}
        assert counts["statuses"] == {"200": 3}
        assert (counts["bytes_in"], counts["most_in_flight"]) == (15, 1)
        assert process.read_counts()["operations"] == {}
        assert process.cpu_seconds > 0


def test_process_makes_etags_of_what_it_checked() -> None:
    """An etag is made of the SHA-256 that came along, and is the same wherever it is told."""
    body = b"x" * 30_000
    with S3Process() as process:
        store = make_obstore(process, checksum_algorithm="SHA256")
        etag = store.put("x", body)["e_tag"]
        read = store.get("x")
        (listed,) = store.list().collect()

        assert bytes(read.bytes()) == body
        assert etag == f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        assert {read.meta["e_tag"], listed["e_tag"]} == {etag}


def test_process_refuses_what_its_digest_belies() -> None:
    """As lean as it is, no body is kept that is not what its checksum says; the present one stays."""
    with S3Process() as process, closing(make_boto3(process)) as client:
        put(client, "x", b"1")
        wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()

        refused = refuse(lambda: put(client, "x", b"2", ChecksumSHA256=wrong))

        assert refused == (400, "BadDigest")
        assert get(client, "x")["Body"].read() == b"1"


def test_process_ends_though_a_handshake_does_not(tmp_path: Path) -> None:
    """Its end waits for nobody: neither for a client between two requests, nor for one at the door."""
    with S3Process(ca_file=tmp_path / "ca.pem") as process:
        port = int(process.endpoint.rpartition(":")[2])
        with (
            closing(make_boto3(process)) as client,
            socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
        ):
            connection.sendall(b"\x16\x03")
            put(client, "x")
            process.close()

    assert process._process.returncode == 0


def test_process_speaks_tls_and_verifies(tmp_path: Path) -> None:
    """With a file for its certificate it serves TLS; asked to, it checks signatures."""
    with S3Process(ca_file=tmp_path / "ca.pem", verify=True) as process:
        with closing(make_boto3(process)) as client:
            put(client, "x")
            assert get(client, "x")["Body"].read() == b"1"
        with closing(make_boto3(process, aws_secret_access_key="other")) as client:
            assert refuse(lambda: get(client, "x")) == (403, "SignatureDoesNotMatch")


def test_process_ends_by_a_signal() -> None:
    """SIGTERM ends it in order; it printed its port and nothing else."""
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with urlopen(f"http://127.0.0.1:{port}/-/counts") as answer:
            counts = json.load(answer)

        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0
        assert process.stdout.read() == ""
    assert counts["operations"] == {}


def test_control_is_no_bucket(server: S3Server) -> None:
    """Paths of the control are not S3's: they need no signature, and are not in the log."""
    assert send(server, "GET", "/-/counts", headers={}) == (200, "")
    assert send(server, "GET", "/-/other", headers={}) == (404, "")
    assert not server.log
    assert server.counts.most_in_flight == 0
