"""One load into Redis in a process of its own: `python -m benchmarks.redis_load`; prints one JSON object.

`--way land` lands the benchmark's users in a folder; `ours` makes them live from there; `pipe` sends the
commands of ours from a file; `redis-py` is what is usually done: a dict a row, json.dumps, a pipeline.
"""

import argparse
import json
import resource
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import redis

from benchmarks.chain import DAY, NOW
from benchmarks.measure import measured
from benchmarks.sample import BENCH_ATTRIBUTES, BENCH_QUERY
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.wire import build_wire
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.engine import open_engine
from reverse_etl.landing.documents import find_current, read_manifest
from reverse_etl.landing.reading import read_groups
from reverse_etl.masking.keys import generate_masking_key
from reverse_etl.model import Manifest
from reverse_etl.pipeline import extract, mask_and_land, publish
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Secret, Settings
from reverse_etl.spec import SyncConfig, SyncSpec, build_spec

_PIPELINE_COMMANDS = 1_000
_ENGINE_BYTES = 512 << 20
_READ_BYTES = 1 << 20
_LAST = b"$3\r\nEND\r\n"
_ASK_LAST = b"*2\r\n$4\r\nPING\r\n" + _LAST


def build_runtime(folder: Path, *, redis_url: str | None = None, **more: Any) -> Runtime:
    """The store in `folder`, and whatever else is needed."""
    url = None if redis_url is None else Secret(redis_url)
    settings = Settings(store_url=(folder / "store").as_uri(), redis_url=url, **more)
    return Runtime(settings=settings, now=lambda: NOW)


def read_spec(folder: Path) -> SyncSpec:
    """The benchmark's sync with one token less: its records are as long as others' test records.

    A token is 79 characters, and the benchmark's sync has two, which makes 387 bytes of 308.
    """
    (folder / "query.sql").write_text(BENCH_QUERY, encoding="utf-8")
    columns = [
        {"name": column["name"], "rule": "redact"} if column["name"] == "phone" else column
        for column in BENCH_ATTRIBUTES["columns"]
    ]
    attributes = {**BENCH_ATTRIBUTES, "columns": columns}
    return build_spec(SyncConfig.model_validate(attributes), folder=folder)


def land(folder: Path, warehouse: Path) -> dict[str, Any]:
    """Have the users landed as JSON, 256 a bucket."""
    runtime = build_runtime(
        folder,
        duckdb_path=warehouse,
        masking_key=Secret(generate_masking_key("bench")),
        scratch_dir=folder / "scratch",
    )
    spec = read_spec(folder)
    partition = spec.partition(DAY, now=NOW)
    extract(spec, partition, runtime, run_id="bench")
    receipt = mask_and_land(spec, partition, runtime, run_id="bench")
    return {"rows": receipt.manifest.rows}


def load_ours(folder: Path, scratch: Path) -> dict[str, Any]:
    """Load, verify, and flip the heads; the landed objects stay as they are, so the head goes."""
    spec = read_spec(folder)
    with RedisServer() as server:
        runtime = build_runtime(folder, redis_url=server.url, scratch_dir=scratch)
        with _accounted(server) as result:
            receipt = publish(spec, spec.partition(DAY, now=NOW), runtime, run_id="bench")
    (folder / "store" / spec.name / "head.json").unlink()
    return {"rows": receipt.manifest.rows, "stages": receipt.stage_seconds, **result}


def load_piped(folder: Path, scratch: Path) -> dict[str, Any]:
    """Send the same commands from a file, by a client in C where there is one."""
    path = scratch / "commands"
    rows = write_commands(folder, path)
    client = shutil.which("redis-cli") or shutil.which("valkey-cli")
    with RedisServer() as server, _accounted(server) as result:
        if client is None:
            send_file(path, server.port)
        else:
            command = [client, "-p", str(server.port), "--pipe"]
            with path.open("rb") as file:
                subprocess.run(command, check=True, stdin=file, stdout=subprocess.DEVNULL)
    sender = "a file, by a socket" if client is None else f"a file, {Path(client).name} --pipe"
    return {"rows": rows, "sender": sender, **result}


def write_commands(folder: Path, path: Path) -> int:
    """What ours would send, in one file; how many records that is."""
    runtime = build_runtime(folder)
    manifest = read_landed(folder, runtime)
    prefix = record_prefix(manifest.sync, manifest.version)
    with open_engine(memory_limit_bytes=_ENGINE_BYTES) as engine, path.open("wb") as file:
        for group in read_groups(runtime.store, manifest, engine=engine, threads=2):
            wire = build_wire(engine, group, prefix=prefix, key_column=manifest.key)
            file.write(memoryview(wire.store))
    return manifest.rows


def read_landed(folder: Path, runtime: Runtime) -> Manifest:
    """The manifest of what `land` left."""
    spec = read_spec(folder)
    current = find_current(runtime.store, spec.name, DAY)
    if current is None:
        raise SystemExit(f"nothing was landed in {folder}")
    return read_manifest(runtime.store, spec.name, current.version)


def send_file(path: Path, port: int) -> None:
    """As fast as the socket takes it; another thread reads the replies, and finds errors among them."""
    with socket.create_connection(("127.0.0.1", port)) as connection, path.open("rb") as file:
        refused: list[bytes] = []

        def read() -> None:
            tail = b""
            while not tail.endswith(_LAST):
                found = connection.recv(_READ_BYTES)
                if b"-" in found:
                    refused.append(found[:100])
                tail = (tail + found)[-len(_LAST) :]

        reader = threading.Thread(target=read)
        reader.start()
        connection.sendfile(file)
        connection.sendall(_ASK_LAST)
        reader.join()
    if refused:
        raise SystemExit("the server refused a command")


def load_rows(warehouse: Path, *, users: int) -> dict[str, Any]:
    """The usual way; the rows are in memory beforehand, and nothing is masked or proved."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.execute("SELECT * FROM bench.users LIMIT $users", {"users": users})
        names = [column[0] for column in found.description or ()]
        records = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    with (
        RedisServer() as server,
        redis.Redis.from_url(server.url) as client,
        _accounted(server) as result,
    ):
        for start in range(0, len(records), _PIPELINE_COMMANDS):
            pipeline = client.pipeline(transaction=False)
            for record in records[start : start + _PIPELINE_COMMANDS]:
                pipeline.set(f"user:{record['user_id']}", json.dumps(record, default=str))
            pipeline.execute()
    return {"rows": len(records), **result}


@contextmanager
def _accounted(server: RedisServer) -> Iterator[dict[str, Any]]:
    """Fills what was used meanwhile: seconds by the clock, of ours, of the server's; peak memory."""
    result: dict[str, Any] = {}
    own, others = _read_own_seconds(), _read_seconds(server)
    with measured() as measure:
        yield result
    result |= {
        "seconds": measure.seconds,
        "peak_mib": measure.peak_mib,
        "own_seconds": _read_own_seconds() - own,
        "server_seconds": _read_seconds(server) - others,
    }


def _read_own_seconds() -> float:
    """Of this process and of children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(it.ru_utime + it.ru_stime for it in used)


def _read_seconds(server: RedisServer) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100  # user and system time, in hundredths


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=("land", "ours", "pipe", "redis-py"), required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument("--users", type=int, default=0)
    options = parser.parse_args()
    ways = {
        "land": lambda: land(options.folder, options.warehouse),
        "ours": lambda: load_ours(options.folder, options.scratch),
        "pipe": lambda: load_piped(options.folder, options.scratch),
        "redis-py": lambda: load_rows(options.warehouse, users=options.users),
    }
    print(json.dumps(ways[options.way]()))


if __name__ == "__main__":
    main()
