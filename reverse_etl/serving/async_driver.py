"""Carries a reader's steps out in an event loop; what waits for the store does so in threads."""

import asyncio
import weakref
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from reverse_etl.serving import forks
from reverse_etl.serving.clients import AsyncRedisPort
from reverse_etl.serving.core import Core
from reverse_etl.serving.faults import FOREIGN
from reverse_etl.serving.metrics import Event
from reverse_etl.serving.steps import AskRedis, Once, Program, Step, Together, Work, WriteBack

Result = TypeVar("Result")

# A store that is not waited for (a directory) still reads from a disk.
_LEAST_THREADS = 4


class AsyncDriver:
    """Runs programs in the loop that calls; `redis` is None for a reader of the store alone."""

    def __init__(self, core: Core, redis: AsyncRedisPort | None) -> None:
        self._core = core
        self._redis = redis
        self.renew_after_fork()
        forks.watch(self)

    def renew_after_fork(self) -> None:
        """Threads and tasks: the parent's do nothing here."""
        # By loop: a task of one cannot be awaited in another, and closing is of one alone.
        self._threads: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = (
            weakref.WeakKeyDictionary()
        )
        self._under_way: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[Any]] = {}

    async def run(self, program: Program[Result]) -> Result:
        """The program's result; raises what it raises."""
        try:
            step = next(program)
            while True:
                try:
                    came = await self._perform(step)
                except BaseException as error:  # noqa: BLE001 - it is the program that takes it
                    step = program.throw(error)
                else:
                    step = program.send(came)
        except StopIteration as end:
            found: Result = end.value
            return found

    def start(self, program: Callable[[], Program[None]]) -> None:
        """Run a program in a task of its own."""
        self._begin(("behind", program), program)

    async def close(self) -> None:
        """End what this loop has under way, and let go of threads; a later call takes new ones."""
        here = asyncio.get_running_loop()
        tasks = [task for (loop, _), task in self._under_way.items() if loop is here]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        threads = self._threads.pop(here, None)
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _perform(self, step: Step) -> Any:
        match step:
            case AskRedis():
                return await self._ask(step.names)
            case WriteBack():
                return await self._write(step)
            case Work():
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._open_threads(loop), step.run)
            case Once():
                return await self._join(step)
            case Together():
                return await asyncio.gather(*(self._join(part) for part in step.parts))

    async def _join(self, step: Once) -> Any:
        task = self._under_way.get((asyncio.get_running_loop(), step.key))
        if task is None:
            task = self._begin(step.key, step.program)
        # A caller who is cancelled leaves; the work goes on for the others.
        return await asyncio.shield(task)

    def _begin(self, key: Hashable, program: Callable[[], Program[Any]]) -> "asyncio.Task[Any]":
        loop = asyncio.get_running_loop()
        task = loop.create_task(self.run(program()))
        self._under_way[loop, key] = task

        def end(task: "asyncio.Task[Any]") -> None:
            self._under_way.pop((loop, key), None)
            if not task.cancelled():
                task.exception()  # taken note of, also when all who waited for it have left

        task.add_done_callback(end)
        return task

    async def _ask(self, names: Sequence[bytes]) -> list[bytes | None] | None:
        gate = self._core.gate
        if self._redis is None or not gate.breaker.allows():
            return None
        try:
            values = await self._redis.get_many(names)
        except FOREIGN as error:
            gate.take_read_error(error)
            return None
        gate.breaker.succeed()
        return values

    async def _write(self, step: WriteBack) -> None:
        if self._redis is None:
            return
        try:
            await self._redis.add_many(step.records, step.milliseconds)
        except FOREIGN as error:
            self._core.gate.take_write_error(error)
        else:
            self._core.metrics.record(Event.WRITE_BACK, count=len(step.records))

    def _open_threads(self, loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
        threads = self._threads.get(loop)
        if threads is None:
            calls = min(self._core.options.store_calls, self._core.store().concurrency)
            threads = self._threads[loop] = ThreadPoolExecutor(
                max(_LEAST_THREADS, calls), thread_name_prefix="reverse-etl-read"
            )
        return threads
