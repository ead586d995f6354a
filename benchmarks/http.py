"""`make bench BENCH_ARGS="http"`: requests a second of the HTTP API, beside a bare endpoint over redis-py.

Each server is a process of its own with one event loop. Besides the wall clock it is told how many
requests a second of the server's own CPU answers: what a core of its own would give.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.reader import PREFIX, SYNC, build_head, land
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.manifest import encode_head
from reverse_etl.serving.clients import build_opener

_TIMEOUT_SECONDS = 5.0
_CONNECTIONS = 16
_WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.05

# What somebody writes who needs no more than a value of Redis: no versions, no store, no limits.
_BARE = """
import sys
import redis.asyncio as redis
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
url, prefix, port = sys.argv[1:]
client = redis.Redis.from_url(url, protocol=2)
async def find(request):
    value = await client.get(prefix + request.path_params["key"])
    return Response(value, 200 if value else 404, media_type="application/json")
app = Starlette(routes=[Route("/v1/bench/{key}", find)])
uvicorn.run(app, port=int(port), log_level="error", access_log=False)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPlan:
    """How many turns each server has, and of how many requests."""

    turns: int
    requests: int


FULL = HttpPlan(turns=5, requests=10_000)
SHORT = HttpPlan(turns=3, requests=3_000)


def run(folder: Path, plan: HttpPlan, console: Console) -> dict[str, Any]:
    """Both servers in turns, on the same records."""
    store = DirectoryStore(folder / "store")
    lines = land(store)
    keys = list(lines)
    with RedisServer() as server:
        client: Any = build_opener(server.url, timeout_seconds=_TIMEOUT_SECONDS)()
        client.set(f"{SYNC}:head", encode_head(build_head()))
        client.mset({PREFIX + key.encode(): line for key, line in lines.items()})
        client.close()
        console.print("asking over HTTP ...")
        with (
            _serve_ours(server.url, store.location) as ours,
            _serve_bare(server.url) as bare,
        ):
            turns = [
                {"ours": _measure(ours, keys, plan), "bare": _measure(bare, keys, plan)}
                for _ in range(plan.turns)
            ]
    return {
        name: {
            figure: statistics.median(turn[name][figure] for turn in turns)
            for figure in turns[0][name]
        }
        for name in ("ours", "bare")
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    process: psutil.Process
    port: int


@contextmanager
def _serve_ours(redis_url: str, store_url: str) -> Iterator[_Server]:
    environment = os.environ | {
        "REVERSE_ETL_REDIS_URL": redis_url,
        "REVERSE_ETL_STORE_URL": store_url,
    }
    words = ["-m", "reverse_etl.cli", "serve", SYNC, "--no-tokens", "--port"]
    with _serve(words, environment) as server:
        yield server


@contextmanager
def _serve_bare(redis_url: str) -> Iterator[_Server]:
    with _serve(["-c", _BARE, redis_url, PREFIX.decode()], dict(os.environ)) as server:
        yield server


@contextmanager
def _serve(words: Sequence[str], environment: dict[str, str]) -> Iterator[_Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, *words, str(port)], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port)
            yield _Server(process=psutil.Process(process.pid), port=port)
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _measure(server: _Server, keys: Sequence[str], plan: HttpPlan) -> dict[str, float]:
    before = _read_cpu(server)
    started = time.perf_counter()
    seconds = asyncio.run(_ask_all(server.port, keys, plan.requests))
    elapsed = time.perf_counter() - started
    cpu = _read_cpu(server) - before
    hundredths = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        "requests_per_second": plan.requests / elapsed,
        "requests_per_cpu_second": plan.requests / cpu,
        "p50_ms": hundredths[49] * 1000,
        "p99_ms": hundredths[98] * 1000,
        "rss_mib": server.process.memory_info().rss / 2**20,
    }


def _read_cpu(server: _Server) -> float:
    times = server.process.cpu_times()
    return float(times.user + times.system)


async def _ask_all(port: int, keys: Sequence[str], requests: int) -> list[float]:
    """The seconds of each request, asked over some connections that stay open."""
    seconds: list[float] = []
    share = requests // _CONNECTIONS

    async def ask(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, first + share):
            key = keys[number % len(keys)]
            started = time.perf_counter()
            writer.write(f"GET /v1/{SYNC}/{key} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:20]:
                raise RuntimeError(head[:40].decode())
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            seconds.append(time.perf_counter() - started)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(ask(place * share) for place in range(_CONNECTIONS)))
    return seconds


def print_result(console: Console, result: dict[str, Any]) -> None:
    """A row for each server."""
    table = Table(title="HTTP API, hits in Redis", title_justify="left", box=None)
    table.add_column("server")
    for name in ("requests/s", "requests/CPU s", "p50 ms", "p99 ms", "RSS MiB"):
        table.add_column(name, justify="right")
    titles = {"ours": "reverse-etl serve", "bare": "Starlette and redis.asyncio, bare"}
    for name, title in titles.items():
        told = result[name]
        table.add_row(
            title,
            f"{told['requests_per_second']:,.0f}",
            f"{told['requests_per_cpu_second']:,.0f}",
            f"{told['p50_ms']:.2f}",
            f"{told['p99_ms']:.2f}",
            f"{told['rss_mib']:.0f}",
        )
    console.print(table)
