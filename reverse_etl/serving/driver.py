"""Carries a reader's steps out in the calling thread."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from reverse_etl.serving import forks
from reverse_etl.serving.clients import RedisPort
from reverse_etl.serving.core import Core
from reverse_etl.serving.faults import FOREIGN
from reverse_etl.serving.flights import Flights
from reverse_etl.serving.metrics import Event
from reverse_etl.serving.steps import AskRedis, Once, Program, Step, Together, Work, WriteBack

Result = TypeVar("Result")


class Driver:
    """Runs programs in the thread that calls; `redis` is None for a reader of the store alone."""

    def __init__(self, core: Core, redis: RedisPort | None) -> None:
        self._core = core
        self._redis = redis
        self._flights = Flights()
        self.renew_after_fork()
        forks.watch(self)

    def renew_after_fork(self) -> None:
        """The threads: the parent's do nothing here."""
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._behind: threading.Thread | None = None

    def run(self, program: Program[Result]) -> Result:
        """The program's result; raises what it raises."""
        try:
            step = next(program)
            while True:
                try:
                    came = self._perform(step)
                except BaseException as error:  # noqa: BLE001 - it is the program that takes it
                    step = program.throw(error)
                else:
                    step = program.send(came)
        except StopIteration as end:
            found: Result = end.value
            return found

    def start(self, program: Callable[[], Program[None]]) -> None:
        """Run a program in a thread of its own."""
        thread = threading.Thread(
            target=lambda: self.run(program()), name="reverse-etl-head", daemon=True
        )
        self._behind = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends, or there are no more threads to be had
            self._core.heads.end_asking()

    def close(self) -> None:
        """Return when nothing goes on any more, threads let go of; a later call takes new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
            behind, self._behind = self._behind, None
        if threads is not None:
            threads.shutdown()
        if behind is not None and behind.is_alive():
            behind.join()

    def _perform(self, step: Step) -> Any:
        match step:
            case AskRedis():
                return self._ask(step.names)
            case WriteBack():
                return self._write(step)
            case Work():
                return step.run()
            case Once():
                return self._flights.run(step.key, lambda: self.run(step.program()))
            case Together():
                return self._run_together(step.parts)

    def _ask(self, names: Sequence[bytes]) -> list[bytes | None] | None:
        gate = self._core.gate
        if self._redis is None or not gate.breaker.allows():
            return None
        try:
            values = self._redis.get_many(names)
        except FOREIGN as error:
            gate.take_read_error(error)
            return None
        gate.breaker.succeed()
        return values

    def _write(self, step: WriteBack) -> None:
        if self._redis is None:
            return
        try:
            self._redis.add_many(step.records, step.milliseconds)
        except FOREIGN as error:
            self._core.gate.take_write_error(error)
        else:
            self._core.metrics.record(Event.WRITE_BACK, count=len(step.records))

    def _run_together(self, parts: Sequence[Once]) -> list[Any]:
        calls = min(self._core.options.store_calls, self._core.store().concurrency)
        if len(parts) == 1 or calls == 1:
            return [self._perform(part) for part in parts]
        return list(self._open_threads(calls).map(self._perform, parts))

    def _open_threads(self, calls: int) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(calls, thread_name_prefix="reverse-etl-read")
            return self._threads
