"""What a writer is told to do, and when it is to die of it."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a writer does."""

    RUN = "run"  # all three steps of a day
    LAND = "land"  # the first two
    PUBLISH = "publish"  # the last one
    WARM = "warm"
    ROLLBACK = "rollback"
    REBUILD = "rebuild"
    VERIFY = "verify"


class Point(StrEnum):
    """Places in a writer's way where it kills itself: too narrow to be hit from outside."""

    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"
    BEFORE_FLIP = "before the flips"
    BETWEEN_FLIPS = "between the flips"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a writer dies: so long after a mark of its way, or at a point."""

    mark: str = "begin"
    delay_seconds: float = 0.0
    point: Point | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One piece of work. `words` are a command line of ours; without them the pipeline is called."""

    kind: Kind
    shift_seconds: float
    day: str = ""
    run_id: str = ""
    version: str | None = None
    flag: bool = False  # of a rollback: do not block; of a rebuild: the kept ones too
    words: tuple[str, ...] = ()
    point: Point | None = None

    def encode(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"


def decode_order(line: bytes) -> Order:
    """The order in such a line."""
    found: dict[str, Any] = json.loads(line)
    point = found["point"]
    return Order(
        **found
        | {
            "kind": Kind(found["kind"]),
            "words": tuple(found["words"]),
            "point": None if point is None else Point(point),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a writer ended. `mark` is the last of its way that it told of.

    One of: it was killed; it returned a `document`; it raised `error`, one of ours; it did something else.
    """

    mark: str
    was_killed: bool = False
    document: dict[str, Any] | None = None
    error: str | None = None
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was told."""
        return self.document is not None
