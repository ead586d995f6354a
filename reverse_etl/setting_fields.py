"""How a setting is declared, and how its text becomes a value; `ValueError` when it is none."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that no repr, log or error shows."""

    _value: str

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self._value


def variable(
    name: str,
    meaning: str,
    *,
    default: Any = None,
    parse: Callable[[str], Any] = str,
    shown_default: str | None = None,
) -> Any:
    """A settings field: where it comes from, and what it means (docs/settings.md says the same).

    `shown_default` is what the documentation says where the default depends on the machine.
    """
    metadata = {
        "variable": name,
        "meaning": meaning,
        "parse": parse,
        "shown_default": shown_default,
    }
    return field(default=default, metadata=metadata)


def parse_count(text: str) -> int:
    """A whole number, 1 or more."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def parse_amount(text: str) -> float:
    """A number, 0 or more, and finite."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number


def parse_switch(text: str) -> bool:
    """`1` or `0`."""
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def parse_names(text: str) -> tuple[str, ...]:
    """Names between commas; empty ones do not count."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_fingerprints(text: str) -> tuple[str, ...]:
    """Fingerprints of masking keys between commas, each with the name of its environment or without."""
    found = parse_names(text)
    for item in found:
        if not re.fullmatch(r"([A-Za-z0-9-]{1,32}=)?[0-9a-f]{16}", item):
            raise ValueError(item)
    return found


def _parse_between(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise ValueError(text)
    return number


def parse_concurrency(text: str) -> int:
    """10 to 100."""
    return _parse_between(text, 10, 100)


def parse_session_seconds(text: str) -> int:
    """What STS takes: a quarter of an hour to twelve hours."""
    return _parse_between(text, 900, 12 * 3600)


def parse_encryption(text: str) -> str:
    """One of S3's two kinds that need nothing with each request."""
    if text not in ("AES256", "aws:kms"):
        raise ValueError(text)
    return text


def parse_environment(text: str) -> str:
    """A short name that may stand in the name of a session at AWS."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,32}", text):
        raise ValueError(text)
    return text


def parse_eviction(text: str) -> str:
    """A policy of Redis that drops any key."""
    if not re.fullmatch(r"allkeys-[a-z]{1,16}", text):
        raise ValueError(text)
    return text


def parse_table(text: str) -> str:
    """A table's name: up to three parts of letters, digits, underscores and, in a project's, dashes."""
    if not re.fullmatch(
        r"([a-z][a-z0-9-]{4,28}[a-z0-9]\.)?([A-Za-z_]\w{0,127}\.)?[A-Za-z_]\w{0,127}", text
    ):
        raise ValueError(text)
    return text
