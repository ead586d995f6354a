"""Who may do what in Redis: the least that the pipeline and the application's readers need. Pure.

One table of commands and keys for each, and the two ways to write it down: a server's `ACL SETUSER`,
and ElastiCache's access string. docs/redis.md shows both; the doctor prints them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from reverse_etl.landing.layout import check_sync_name

# A version begins with a digit, and no other key of a sync does.
_RECORDS = "[0-9]*"


class Role(StrEnum):
    """Who logs in to Redis."""

    WRITER = "writer"  # loads, verifies, publishes, rolls back, retires
    READER = "reader"  # an application's, which writes nothing
    WARMING_READER = "warming_reader"  # one that writes back what it had to read from the store


#: The records; head and list of versions, under WATCH and MULTI; the lease; the memory that is left.
_WRITER = (
    *("get", "mget", "set", "mset", "unlink", "ping"),
    *("hget", "hgetall", "hset", "hdel", "watch", "unwatch", "multi", "exec"),
    *("del", "pexpire", "info"),
)
_READER = ("get", "mget", "ping")
#: Where slots lie, what a client says to a node that is giving one away, and where a command has its keys.
CLUSTER = ("cluster|slots", "cluster|shards", "asking", "command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one user may: these commands, on keys that these patterns say (as Redis writes them)."""

    keys: tuple[str, ...]
    commands: tuple[str, ...]

    def render_setuser(self, user: str) -> str:
        """The command that makes the user; the password is for whoever runs it to put in."""
        return f"ACL SETUSER {user} reset on >PASSWORD {' '.join(self._rules)}"

    def render_access_string(self) -> str:
        """The same for ElastiCache, where passwords, or IAM, are set apart and `reset` is refused."""
        return f"on resetchannels -@all {' '.join(self._rules)}"

    def render_additions(self) -> str:
        """The commands that it has beyond those of a server that is alone."""
        return " ".join(f"+{command}" for command in self.commands if command in CLUSTER)

    @property
    def _rules(self) -> tuple[str, ...]:
        return *self.keys, *(f"+{command}" for command in self.commands)


def build_grant(role: Role, syncs: Sequence[str], *, cluster: bool = False) -> Grant:
    """What a role needs for these syncs, and nothing else; `cluster` adds finding one's way in one.

    Readers have the head and records alone. A warming reader may write records of any version, none
    of a sync's other keys: who holds it cannot move the head, but could write a wrong record.
    """
    names = [check_sync_name(name) for name in syncs]
    commands: tuple[str, ...]
    match role:
        case Role.WRITER:
            keys, commands = [f"~{name}:*" for name in names], _WRITER
        case Role.READER:
            keys, commands = _read_keys(names, records="%R~"), _READER
        case Role.WARMING_READER:
            keys, commands = _read_keys(names, records="~"), (*_READER, "set")
    more = CLUSTER if cluster else ()
    return Grant(keys=tuple(keys), commands=(*commands, *more))


def _read_keys(names: Sequence[str], *, records: str) -> list[str]:
    return [
        pattern for name in names for pattern in (f"%R~{name}:head", f"{records}{name}:{_RECORDS}")
    ]
