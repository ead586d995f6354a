"""What may go wrong with one load between our loader and Redis; pure: commands in, commands out."""

import random
from dataclasses import dataclass
from enum import StrEnum

Command = list[bytes]

STORED = b"+OK\r\n"
_CODES = (
    b"OOM command not allowed when used memory > 'maxmemory'.",
    b"READONLY You can't write against a read only replica.",
    b"LOADING Redis is loading the dataset in memory",
    b"MISCONF Errors writing to the AOF file",
    b"MOVED 1234 127.0.0.1:7001",
    b"NOPERM this user has no permissions",
    b"ERR something else",
)


class Mishap(StrEnum):
    """One kind of thing that goes wrong, once in a load."""

    DROPPED = "record dropped"
    DROPPED_MANY = "records dropped"
    MISPLACED = "record stored under another key"
    DOUBLED = "record stored under a neighbour's key too"
    TWICE = "records stored twice"
    SWAPPED = "two records swapped"
    ALTERED = "record altered"
    SHORTENED = "record cut short"
    CUT_REQUEST = "request cut"
    CUT_REPLY = "reply to a write cut"
    WITHHELD_REPLY = "reply to a write withheld"
    ERROR_REPLY = "error reply to a write"
    STRANGE_REPLY = "strange reply to a write"
    FULL = "Redis full"
    EVICTED = "record evicted after the load"
    OVERWRITTEN = "record overwritten after the load"
    EMPTIED = "Redis emptied after the load"
    FOUND_ALTERED = "record altered when read back"
    FOUND_CUT = "reply to a read cut"
    FOUND_ERROR = "error reply to a read"


#: Done to a command that stores, before it reaches Redis.
STORING = {
    Mishap.DROPPED,
    Mishap.DROPPED_MANY,
    Mishap.MISPLACED,
    Mishap.DOUBLED,
    Mishap.TWICE,
    Mishap.SWAPPED,
    Mishap.ALTERED,
    Mishap.SHORTENED,
    Mishap.CUT_REQUEST,
    Mishap.FULL,
}
_OF_SEVERAL = {Mishap.DROPPED, Mishap.DROPPED_MANY, Mishap.DOUBLED, Mishap.SWAPPED}
#: Does no harm: the same stored again is the same, so the load goes live, whole.
HARMLESS = {Mishap.TWICE}
#: Done to the replies to those.
STORED_REPLIES = {
    Mishap.CUT_REPLY,
    Mishap.WITHHELD_REPLY,
    Mishap.ERROR_REPLY,
    Mishap.STRANGE_REPLY,
}
#: Done in Redis, just before the first record is asked for.
IN_BETWEEN = {Mishap.EVICTED, Mishap.OVERWRITTEN, Mishap.EMPTIED}
#: Done to the answer.
FOUND_REPLIES = {Mishap.FOUND_ALTERED, Mishap.FOUND_CUT, Mishap.FOUND_ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A mishap, and where: at the command of this number, at a place in it."""

    mishap: Mishap
    command: int
    place: float
    text: bytes = b""

    def __str__(self) -> str:
        return f"{self.mishap} (command {self.command}, place {self.place:.3f})"


def draw_aim(mishap: Mishap, chance: random.Random, *, commands: int) -> Aim:
    """One of so many commands."""
    return Aim(
        mishap=mishap,
        command=chance.randrange(commands),
        place=chance.random(),
        text=chance.choice(_CODES),
    )


def spoil_command(command: Command, aim: Aim) -> Command:
    """The command, MSET key value..., with what the mishap does to one of its records."""
    name, pairs = command[0], _pair(command[1:])
    at = int(aim.place * len(pairs))
    beside = (at + 1) % len(pairs)
    key, value = pairs[at]
    # The only record of its command has no neighbour, and a command has to have one.
    mishap = Mishap.MISPLACED if len(pairs) == 1 and aim.mishap in _OF_SEVERAL else aim.mishap
    match mishap:
        case Mishap.DROPPED:
            del pairs[at]
        case Mishap.DROPPED_MANY:
            pairs = pairs[:1] if at else pairs[-1:]
        case Mishap.MISPLACED:
            pairs[at] = (key + b"0", value)
        case Mishap.DOUBLED:
            pairs.append((pairs[beside][0], value))
        case Mishap.SWAPPED:
            pairs[at], pairs[beside] = (key, pairs[beside][1]), (pairs[beside][0], value)
        case Mishap.ALTERED:
            pairs[at] = (key, flip_byte(value, aim.place))
        case Mishap.SHORTENED:
            pairs[at] = (key, value[:-1])
    return [name, *(word for pair in pairs for word in pair)]


def flip_byte(text: bytes, place: float) -> bytes:
    """One bit of one byte is another."""
    at = int(place * len(text))
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


def spoil_stored(replies: bytes, aim: Aim) -> bytes:
    """`+OK` once and again, but for one of them: an error, or something strange."""
    if aim.mishap is Mishap.ERROR_REPLY:
        other = b"-" + aim.text + b"\r\n"
    else:
        other = b":1\r\n" if aim.place < 0.5 else b"+NO\r\n"
    return other + replies[len(STORED) :]


def encode_command(command: Command) -> bytes:
    """As it goes over the wire."""
    parts = [b"*%d\r\n" % len(command)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
    return b"".join(parts)


def cut_command(buffer: bytes) -> tuple[Command, int] | None:
    """The first command in the buffer, and how long it is; None while it is not whole."""
    end = buffer.find(b"\r\n")
    if end < 0:
        return None
    at = end + 2
    words = []
    for _ in range(int(buffer[1:end])):
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(buffer[at + 1 : end])
        at = end + 2
        if len(buffer) < at + size + 2:
            return None
        words.append(buffer[at : at + size])
        at += size + 2
    return words, at


def _pair(words: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(words[::2], words[1::2], strict=True))
