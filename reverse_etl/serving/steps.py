"""What a reader asks the world for, one step at a time; two drivers carry the steps out.

A program is a generator: it yields a step and is sent what came of it, or thrown what went wrong. So
the way from a miss to a record is written once, for threads and for event loops.
"""

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class AskRedis:
    """GET each name: a value or None each, in order; None instead when Redis is away or not asked."""

    names: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class WriteBack:
    """SET each name that is not there, to expire after so long. Whatever comes of it is no error."""

    records: Mapping[bytes, bytes]
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Work:
    """Call it; it may wait for the store, or compute for long."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Once:
    """Run a program; whoever wants the same `key` meanwhile waits for this one's result."""

    key: Hashable
    program: Callable[[], "Program[Any]"]


@dataclass(frozen=True, slots=True)
class Together:
    """Run several at the same time; results in order."""

    parts: Sequence[Once]


Step = AskRedis | WriteBack | Work | Once | Together
Program = Generator[Step, Any, Result]
