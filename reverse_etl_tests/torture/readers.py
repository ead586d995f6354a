"""Readers at work: threads and an event loop, one key and many, pinned, with Redis and without."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from reverse_etl.errors import TransientError
from reverse_etl.model import Head
from reverse_etl.serving import AsyncReader, Event, Reader
from reverse_etl_tests.torture.check import Answer, Check, Fault, Findings
from reverse_etl_tests.torture.truth import SYNC, draw
from reverse_etl_tests.torture.world import World

#: What readers hold on to for a moment; heads for less than the writers' grace.
SETTINGS = {
    "head_cache_seconds": 0.05,
    "head_stale_seconds": 0.1,
    "write_back_seconds": 0.5,
    "breaker_pause_seconds": 0.05,
    "breaker_longest_pause_seconds": 0.2,
}
_LONGEST_REST_SECONDS = 0.03
_MOST_KEYS = 30
_HOT_KEYS = 40
_LONG_BLOCK_SECONDS = 2.0


class Counted:
    """A reader's events, added up."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def record(self, event: Event, *, count: int = 1, seconds: float | None = None) -> None:
        del seconds
        self._findings.count(f"event {event}", count)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for next. More than one part: inside a pinned block, with pauses between."""

    parts: tuple[tuple[str, ...], ...]
    is_pinned: bool
    is_parsed: bool
    pause_seconds: float


class Wishes:
    """What a reader asks for, one after the other."""

    def __init__(self, world: World, name: str) -> None:
        self._random = draw(world.seed, f"reader {name}")
        self._keys = world.truth.keys

    def draw(self) -> Wish:
        """The next one."""
        chance = self._random.random()
        is_pinned = chance < 0.15
        parts = self._random.randint(2, 5) if is_pinned else 1
        longest = _LONG_BLOCK_SECONDS if chance < 0.004 else 0.02
        return Wish(
            parts=tuple(self._draw_keys() for _ in range(parts)),
            is_pinned=is_pinned,
            is_parsed=self._random.random() < 0.2,
            pause_seconds=self._random.uniform(0, longest),
        )

    def rest(self) -> float:
        """How long to do nothing: writers need the processor too."""
        return self._random.uniform(0, _LONGEST_REST_SECONDS)

    def _draw_keys(self) -> tuple[str, ...]:
        if self._random.random() < 0.5:
            return (self._draw_key(),)
        count = self._random.randint(2, _MOST_KEYS)
        return tuple({self._draw_key(): None for _ in range(count)})

    def _draw_key(self) -> str:
        chance = self._random.random()
        if chance < 0.02:
            return f"nobody-{self._random.randrange(1000)}"
        # Some are asked for again and again, as in life: in every version, and from its first moment.
        return self._random.choice(self._keys[: _HOT_KEYS if chance < 0.5 else None])


class Session:
    """One reader's answers on their way to the check; the reader itself belongs to others too."""

    def __init__(
        self, name: str, kind: str, world: World, check: Check, findings: Findings
    ) -> None:
        self.name = name
        self.wishes = Wishes(world, name)
        self.generation = 0
        self._kind = kind
        self._world = world
        self._check = check
        self._findings = findings

    @contextmanager
    def watched(self, wish: Wish) -> Iterator[None]:
        """Nothing may be raised inside, but by a pinned block that outlasted its version."""
        was_away = self._world.is_redis_away
        try:
            yield
        except TransientError as error:
            if not wish.is_pinned or "pinned block" not in error.message:
                self._tell(error)
            self._findings.count("pinned blocks that outlasted their version")
        except Exception as error:  # noqa: BLE001 - told
            self._tell(error)
        calls = len(wish.parts)
        self._findings.count(f"calls of {self._kind}", calls)
        self._findings.count("calls in pinned blocks", calls if wish.is_pinned else 0)
        self._findings.count("calls of many keys", sum(len(part) > 1 for part in wish.parts))
        if was_away or self._world.is_redis_away:
            self._findings.count("calls while Redis was away", calls)

    def add(self, found: dict[str, bytes | None], part: dict[str, bytes | None]) -> None:
        """A part of what a pinned block answers: what it was asked twice it answers alike."""
        if any(found.get(key, record) != record for key, record in part.items()):
            self._findings.add(Fault.MIXED, f"{self.name} was answered twice, and not alike")
        found.update(part)

    def take(self, first: Head, last: Head, found: dict[str, bytes | None]) -> None:
        """An answer, and the heads before and after."""
        if first.generation < self.generation:
            self._findings.add(
                Fault.BACKWARDS, f"{self.name}: {self.generation}, then {first.generation}"
            )
        self.generation = last.generation
        self._check.take(Answer(reader=self.name, first=first, last=last, found=found))

    def _tell(self, error: Exception) -> None:
        self._findings.add(Fault.ERROR, f"{self.name} raised {type(error).__name__}: {error}")


class Readers:
    """A context manager: readers at work inside."""

    def __init__(self, world: World, check: Check, findings: Findings) -> None:
        self._world = world
        self._check = check
        self._findings = findings
        self._stop = threading.Event()
        self.sessions: list[Session] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            shared, own, alone = (
                stack.enter_context(self._connect(uses_redis=uses)) for uses in (True, True, False)
            )
            work = [("thread", shared), ("thread", shared), ("thread", own), ("store", alone)]
            threads = [
                threading.Thread(target=self._read, args=(self._open(f"{kind} {number}", kind), it))
                for number, (kind, it) in enumerate(work)
            ]
            threads.append(threading.Thread(target=lambda: asyncio.run(self._read_in_loop())))
            stack.callback(self._end, threads)
            for thread in threads:
                thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait_for(self, generation: int, *, seconds: float) -> None:
        """Until every reader has come to this generation; those that have not are a finding."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            behind = [it for it in self.sessions if it.generation < generation]
            if not behind:
                return
            time.sleep(0.05)
        for session in behind:
            self._findings.add(
                Fault.BACKWARDS,
                f"{session.name} stays at generation {session.generation}; {generation} is live",
            )

    def _open(self, name: str, kind: str) -> Session:
        session = Session(name, kind, self._world, self._check, self._findings)
        self.sessions.append(session)
        return session

    def _connect(self, *, uses_redis: bool) -> Reader:
        return Reader.connect(
            SYNC,
            redis_url=self._world.redis_url if uses_redis else None,
            store_url=(self._world.folder / "store").as_uri(),
            metrics=Counted(self._findings),
            **SETTINGS,
        )

    def _end(self, threads: list[threading.Thread]) -> None:
        self._stop.set()
        for thread in threads:
            thread.join()

    def _read(self, session: Session, reader: Reader) -> None:
        while not self._stop.is_set():
            wish = session.wishes.draw()
            with session.watched(wish):
                if wish.is_pinned:
                    with reader.pinned():
                        first, found = reader.head(), {}
                        for part in wish.parts:
                            session.add(found, _ask(reader, part, wish))
                            time.sleep(wish.pause_seconds)
                        session.take(first, reader.head(), found)
                else:
                    first = reader.head()
                    found = _ask(reader, wish.parts[0], wish)
                    session.take(first, reader.head(), found)
            time.sleep(session.wishes.rest())

    async def _read_in_loop(self) -> None:
        async with AsyncReader.connect(
            SYNC,
            redis_url=self._world.redis_url,
            store_url=(self._world.folder / "store").as_uri(),
            metrics=Counted(self._findings),
            **SETTINGS,
        ) as reader:
            sessions = [self._open(f"task {number}", "event loop") for number in range(3)]
            await asyncio.gather(*(self._read_in_task(session, reader) for session in sessions))

    async def _read_in_task(self, session: Session, reader: AsyncReader) -> None:
        while not self._stop.is_set():
            wish = session.wishes.draw()
            with session.watched(wish):
                if wish.is_pinned:
                    async with reader.pinned():
                        first, found = await reader.head(), {}
                        for part in wish.parts:
                            session.add(found, await _ask_async(reader, part, wish))
                            await asyncio.sleep(wish.pause_seconds)
                        session.take(first, await reader.head(), found)
                else:
                    first = await reader.head()
                    found = await _ask_async(reader, wish.parts[0], wish)
                    session.take(first, await reader.head(), found)
            await asyncio.sleep(session.wishes.rest())


def _ask(reader: Reader, keys: tuple[str, ...], wish: Wish) -> dict[str, bytes | None]:
    if len(keys) == 1:
        (key,) = keys
        return {key: _dump(reader.get(key)) if wish.is_parsed else reader.get_raw(key)}
    if wish.is_parsed:
        return {str(key): _dump(record) for key, record in reader.get_many(keys).items()}
    return {str(key): record for key, record in reader.get_many_raw(keys).items()}


async def _ask_async(
    reader: AsyncReader, keys: tuple[str, ...], wish: Wish
) -> dict[str, bytes | None]:
    if len(keys) == 1:
        (key,) = keys
        return {key: _dump(await reader.get(key)) if wish.is_parsed else await reader.get_raw(key)}
    if wish.is_parsed:
        return {str(key): _dump(record) for key, record in (await reader.get_many(keys)).items()}
    return {str(key): record for key, record in (await reader.get_many_raw(keys)).items()}


def _dump(record: dict[str, object] | None) -> bytes | None:
    """A record as it was landed: here no value is written in more than one way."""
    return None if record is None else json.dumps(record, separators=(",", ":")).encode()
