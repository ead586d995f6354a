"""The masking keys that a process knows: the current one makes tokens, earlier ones find what they made.

Light: nothing but Python is imported.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from reverse_etl.errors import ConfigError
from reverse_etl.masking.keys import MaskingKey, parse_masking_key

_SEPARATOR = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """One current key and any number of previous ones; each has an id and material of its own.

    The pipeline masks with `current` and with nothing else; readers take whichever key a version
    names. `ConfigError` when two keys have one id, or one key has two ids.
    """

    current: MaskingKey
    previous: tuple[MaskingKey, ...] = ()

    def __post_init__(self) -> None:
        for key_id, count in Counter(key.key_id for key in self.keys).items():
            if count > 1:
                raise ConfigError(
                    f"Two masking keys have the id '{key_id}', so a version could not say which one it "
                    "needs. A new key takes a new id; name each key once."
                )
        by_fingerprint: dict[str, str] = {}
        for key in self.keys:
            other = by_fingerprint.setdefault(key.fingerprint, key.key_id)
            if other != key.key_id:
                raise ConfigError(
                    f"Masking keys '{other}' and '{key.key_id}' are the same key under two ids. A rotation "
                    "needs a new one: `openssl rand -base64 32`."
                )

    @property
    def keys(self) -> tuple[MaskingKey, ...]:
        """Every key, the current one first."""
        return (self.current, *self.previous)

    def find(self, key_id: str) -> MaskingKey:
        """The key of this id; `ConfigError` when it is not in the ring."""
        for key in self.keys:
            if key.key_id == key_id:
                return key
        raise ConfigError(
            f"The version was made with masking key '{key_id}', which is not configured here; these are: "
            f"{', '.join(repr(key.key_id) for key in self.keys)}. Add it to the others as a previous key "
            "(docs/masking.md, Keys and rotation)."
        )


def parse_key_ring(text: str) -> KeyRing:
    """Read one or more `<key id>:<base64>`, between them blanks, line ends or commas; the first is current.

    `ConfigError` says what is wrong, and of several keys with which, without showing any of it.
    """
    if text.lstrip().startswith(("{", "[", '"')):
        raise ConfigError(
            "The masking key is a JSON document. Store plain text instead: `<key id>:<base64>`, one for "
            "each key, the current one first."
        )
    parts = [part for part in _SEPARATOR.split(text) if part] or [""]
    current, *previous = (
        _parse_one(part, number, len(parts)) for number, part in enumerate(parts, 1)
    )
    return KeyRing(current, tuple(previous))


def refuse_keys(ring: KeyRing, fingerprints: Mapping[str, str]) -> None:
    """`ConfigError` when a key has one of these fingerprints; each leads to an environment's name, or ''."""
    for key in ring.keys:
        environment = fingerprints.get(key.fingerprint)
        if environment is not None:
            whose = f"of environment '{environment}'" if environment else "of another environment"
            raise ConfigError(
                f"Masking key '{key.key_id}' (fingerprint {key.fingerprint}) is the one {whose}, and "
                "REVERSE_ETL_REFUSED_KEY_FINGERPRINTS refuses it here: tokens made with it could be joined "
                "with those. Configure this environment's own key."
            )


def _parse_one(part: str, number: int, count: int) -> MaskingKey:
    try:
        return parse_masking_key(part)
    except ConfigError as error:
        if count == 1:
            raise
        raise ConfigError(f"Masking key {number} of {count}: {error.message}") from None
