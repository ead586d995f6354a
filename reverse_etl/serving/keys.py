"""Canonical key bytes: UTF-8 of a string, decimal digits of an integer (docs/format.md, Keys)."""

import operator
import zlib

from reverse_etl.errors import ConfigError
from reverse_etl.model import Head

#: What a caller may ask for; other integers (numpy's) are taken too.
Key = str | int


def encode_key(key: Key) -> bytes:
    """The canonical bytes of a key; `ConfigError`, without the key, for what cannot be one."""
    encoded = find_key_bytes(key)
    if encoded is None:
        raise ConfigError(
            f"A key of type '{type(key).__name__}' was asked for, or text that is not Unicode. "
            "A key is a string, or an integer: convert it before asking."
        )
    return encoded


def find_key_bytes(value: object) -> bytes | None:
    """The canonical bytes of what a caller or a record gives as a key; None for what is no key."""
    try:
        if isinstance(value, str):
            return value.encode()
        # True is an integer to Python; a key that is one would be somebody's mistake.
        return None if isinstance(value, bool) else b"%d" % operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def locate_object(key: bytes, head: Head) -> tuple[int, int]:
    """A key's bucket, and the index of the object that holds it, from the head alone."""
    # As landing.buckets.bucket_of has it; that module loads numpy and Arrow, which a reader spares.
    bucket = zlib.crc32(key) % head.buckets
    return bucket, bucket // head.buckets_per_object
