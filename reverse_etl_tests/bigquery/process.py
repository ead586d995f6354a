"""A server in a process of its own: its CPU time and memory are counted apart from its client's."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from operator import attrgetter
from typing import IO, Any, Self

import psutil  # type: ignore[import-untyped]

from reverse_etl_tests.bigquery.server import BigQueryServer

_PATIENCE_SECONDS = 60.0


class BigQueryProcess:
    """A running server; `tables` gives each table's SQL (DuckDB's), such as `SELECT i FROM range(9) t(i)`.

    `endpoint`, `storage_endpoint`, `project` and `location` are a `BigQueryServer`'s. TCP connections
    cannot be reset unless `resettable`: bytes then go to gRPC without a door between.
    """

    def __init__(
        self,
        *,
        tables: Mapping[str, str] | None = None,
        datasets: Iterable[str] = ("staging",),
        project: str = "test-project",
        location: str = "EU",
        resettable: bool = False,
    ) -> None:
        self.project = project
        self.location = location
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reverse_etl_tests.bigquery.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._usage = psutil.Process(self._process.pid)
        options = {"project": project, "location": location, "resettable": resettable}
        try:
            started = self._ask({"options": options})
            self.endpoint: str = started["endpoint"]
            self.storage_endpoint: str = started["storage_endpoint"]
            for name in datasets:
                self.call("create_dataset", name)
            for name, sql in (tables or {}).items():
                self.call("create_table", name, sql=sql)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process: it ends by itself when nobody speaks to it any more."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, *arguments: Any, **named: Any) -> None:
        """Call a method of the server over there: `create_table`, `faults.stream`, `streams.set`."""
        self._ask({"method": method, "arguments": arguments, "named": named})

    def read_log(self) -> list[dict[str, Any]]:
        """The requests that were logged, as dictionaries."""
        log: list[dict[str, Any]] = self._ask({"log": True})
        return log

    @property
    def cpu_seconds(self) -> float:
        """CPU time that the server has used so far."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    @property
    def resident_bytes(self) -> int:
        """Memory that the server holds now."""
        return int(self._usage.memory_info().rss)

    def _ask(self, question: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The BigQuery process ended. Its own output says why.")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"The BigQuery process refused: {answer['error']}")
        return answer["answer"]


def _serve(questions: IO[str], answers: IO[str]) -> None:
    """Run a server as the first line says, and do what the others say until there are no more."""
    options = json.loads(questions.readline())["options"]
    with BigQueryServer(**options) as server:
        where = {"endpoint": server.endpoint, "storage_endpoint": server.storage_endpoint}
        _answer(answers, {"answer": where})
        for line in questions:
            try:
                _answer(answers, {"answer": _do(server, json.loads(line))})
            except Exception as error:  # noqa: BLE001 - whoever asked is told, and decides
                _answer(answers, {"error": f"{type(error).__name__}: {error}"})


def _do(server: BigQueryServer, question: Mapping[str, Any]) -> Any:
    if "log" in question:
        return [asdict(request) for request in server.log]
    attrgetter(question["method"])(server)(*question["arguments"], **question["named"])
    return None


def _answer(answers: IO[str], answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
