"""A server in a process of its own: its CPU time is counted apart from its client's.

`python -m reverse_etl_tests.s3.process --bucket NAME --delay-ms 30` prints its port and serves until its
standard input ends or it is sent SIGTERM. GET `/-/counts` tells how much was asked, as JSON; POST
`/-/reset` begins to count anew. Signatures are checked with `--verify` only; `--ca-file PATH` serves TLS
and writes there what clients have to trust.

S3 takes none of its client's processors, and this server shares them: it is as lean as it can be while it
reads, checks and keeps every byte. It runs on uvloop where that is installed, and makes etags of the SHA-256
that it had to check anyway, in place of an MD5.
"""

import argparse
import asyncio
import gc
import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

import psutil  # type: ignore[import-untyped]

from reverse_etl_tests.s3.server import BUCKET, REGION, S3Server

_PATIENCE_SECONDS = 60.0
_GARBAGE_THRESHOLD = 100_000


class S3Process:
    """A running server. `endpoint`, `bucket`, `region`, the keys and `ca_file` are an `S3Server`'s.

    Counts are asked for over plain HTTP only.
    """

    access_key_id = S3Server.access_key_id
    secret_access_key = S3Server.secret_access_key
    region = REGION

    def __init__(
        self,
        *,
        bucket: str = BUCKET,
        delay_seconds: float = 0.0,
        verify: bool = False,
        ca_file: Path | None = None,
    ) -> None:
        self.bucket = bucket
        self.ca_file = ca_file
        command = [sys.executable, "-m", "reverse_etl_tests.s3.process", "--bucket", bucket]
        command += ["--delay-ms", str(delay_seconds * 1000)]
        command += ["--verify"] if verify else []
        command += ["--ca-file", str(ca_file)] if ca_file else []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._usage = psutil.Process(self._process.pid)
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            self.close()
            raise RuntimeError("The S3 process ended before it served. Its own output says why.")
        self.endpoint = f"{'https' if ca_file else 'http'}://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process: it ends by itself when nobody holds its input any more."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def read_counts(self) -> dict[str, Any]:
        """How much was asked: `log.Counts` as a dictionary."""
        with urlopen(f"{self.endpoint}/-/counts") as answer:  # noqa: S310 - our own address
            counts: dict[str, Any] = json.load(answer)
        return counts

    def reset_counts(self) -> None:
        """Begin to count anew."""
        request = Request(f"{self.endpoint}/-/reset", method="POST")  # noqa: S310 - our own address
        with urlopen(request):  # noqa: S310 - the same
            pass

    @property
    def cpu_seconds(self) -> float:
        """CPU time that the server has used so far."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)


def main() -> None:
    """Serve as the command line says, until nobody listens any more."""
    options = _parse_options()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with S3Server(
        bucket=options.bucket,
        region=options.region,
        port=options.port,
        delay_seconds=options.delay_ms / 1000,
        verify=options.verify,
        tls=options.ca_file is not None,
        keep_log=False,
        has_md5_etags=False,
        make_loop=_make_loop,
    ) as server:
        if server.ca_file is not None:
            shutil.copyfile(server.ca_file, options.ca_file)
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        threading.Thread(target=_watch_input, args=(ended,), daemon=True).start()
        # What is kept are bodies and their names; going through them all finds nothing to free.
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        ended.wait()


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reverse_etl_tests.s3.process")
    parser.add_argument("--bucket", default=BUCKET)
    parser.add_argument("--region", default=REGION)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--verify", action="store_true", help="check signatures")
    parser.add_argument("--ca-file", type=Path, help="serve TLS, and write its certificate here")
    return parser.parse_args()


def _make_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - Windows does without
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _watch_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
