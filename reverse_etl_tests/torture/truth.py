"""What every version holds, computed and not read: a mark, and who is there under it.

Each attempt to land has a mark of its own, which is in its run's id and in every record. So an answer
tells which version it is of, and what that version holds is known without asking anybody.
"""

import functools
import json
import random
import zlib

import pyarrow as pa

from reverse_etl.masking.key_ring import parse_key_ring
from reverse_etl.masking.tokens import make_token
from reverse_etl.model import KeyToken
from reverse_etl_tests.builders import MASKING_KEY

SYNC = "crowd"

# One user in so many is missing under a mark, each time another.
_MISSING_OF = 8
_RUN_PREFIX = "torture"


def draw(seed: int, purpose: str) -> random.Random:
    """What is drawn for one purpose: the same for the same seed, whatever else is drawn."""
    return random.Random(f"{seed}:{purpose}")  # noqa: S311 - repeatable, not secret


def build_run_id(mark: int) -> str:
    """A run's id, which its version's manifest carries."""
    return f"{_RUN_PREFIX}-{mark}"


def find_mark(run_id: str) -> int:
    """The mark in a run's id."""
    return int(run_id.removeprefix(f"{_RUN_PREFIX}-"))


def is_there(mark: int, number: int) -> bool:
    """Whether the user is in the version with this mark."""
    return zlib.crc32(b"%d:%d" % (mark, number)) % _MISSING_OF != 0


class Truth:
    """The records of all versions of a sync with so many users."""

    def __init__(self, users: int) -> None:
        self.users = users
        self.keys = [f"u-{number:05d}" for number in range(users)]
        self._tokens = _make_tokens(users)

    def find(self, mark: int, key: str) -> bytes | None:
        """The bytes of a key's record; None when there is no such user."""
        return self.records(mark).get(key)

    @functools.cache  # noqa: B019 - one of these lives as long as the process
    def records(self, mark: int) -> dict[str, bytes]:
        """All records of a mark, by key."""
        return {
            self.keys[number]: self._build_record(mark, number)
            for number in range(self.users)
            if is_there(mark, number)
        }

    def build_table(self, mark: int) -> pa.Table:
        """The same users as the warehouse has them, not masked."""
        there = [number for number in range(self.users) if is_there(mark, number)]
        return pa.table(
            {
                "user_id": [self.keys[number] for number in there],
                "email": [_email(number) for number in there],
                "mark": pa.array([mark] * len(there), pa.int64()),
                "points": pa.array([_points(mark, number) for number in there], pa.int64()),
            }
        )

    def _build_record(self, mark: int, number: int) -> bytes:
        record = {
            "user_id": self.keys[number],
            "email": self._tokens[number],
            "mark": mark,
            "points": _points(mark, number),
        }
        return json.dumps(record, separators=(",", ":")).encode()


def read_mark(record: bytes) -> int:
    """The mark that a record carries."""
    mark: int = json.loads(record)["mark"]
    return mark


def _points(mark: int, number: int) -> int:
    return zlib.crc32(b"%d/%d" % (number, mark))


def _email(number: int) -> str:
    return f"canary{number}@example.com"


def _make_tokens(users: int) -> list[str]:
    key = parse_key_ring(MASKING_KEY).current
    token = KeyToken(key_id=key.key_id, domain=f"sync:{SYNC}")
    return [make_token(token, _email(number), masking_key=key) for number in range(users)]
