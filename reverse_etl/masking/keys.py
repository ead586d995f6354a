"""The secret of rule `hmac`: its id, its bytes, and what may be shown of it."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from reverse_etl.errors import ConfigError

#: HMAC-SHA256 gains nothing from a key longer than its block and loses strength below its output:
#: RFC 2104, section 3.
MIN_KEY_BYTES = 32

_KEY_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,15}")


@dataclass(frozen=True, slots=True)
class MaskingKey:
    """A key and its id; the id stands in every output of `hmac`, the bytes stand nowhere."""

    key_id: str
    _material: bytes = field(repr=False)

    def __repr__(self) -> str:
        return f"MaskingKey({self.key_id!r}, ***)"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell keys apart and reveal nothing of them."""
        tag = hmac.digest(self._material, b"reverse_etl fingerprint v1", "sha256")
        return hashlib.sha256(tag).hexdigest()[:16]

    def derive(self, domain: str) -> str:
        """The key of one domain, 64 hexadecimal digits: tokens of two domains cannot be compared.

        Text, because that is what engines take for a key; it is exactly one block of SHA-256.
        """
        label = b"reverse_etl hmac v2\0" + domain.encode()
        return hmac.digest(self._material, label, "sha256").hex()


def parse_masking_key(text: str) -> MaskingKey:
    """Read `<key id>:<base64>`; `ConfigError` says what is wrong without showing any of it."""
    key_id, separator, encoded = text.strip().partition(":")
    if not separator or not _KEY_ID.fullmatch(key_id):
        raise ConfigError(
            "The masking key has no valid id. It is written `<key id>:<base64>`; the id is 1 to 16 "
            "lower-case letters, digits, dashes and underscores, such as `k1`."
        )
    try:
        material = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError("The masking key is not base64 after its id.") from None
    if len(material) < MIN_KEY_BYTES:
        raise ConfigError(
            f"The masking key has {len(material)} bytes; {MIN_KEY_BYTES} or more are needed. "
            "Make one: `openssl rand -base64 32`."
        )
    return MaskingKey(key_id, material)


def generate_masking_key(key_id: str) -> str:
    """A new random key, in the form that `parse_masking_key` reads."""
    material = secrets.token_bytes(MIN_KEY_BYTES)
    return f"{key_id}:{base64.b64encode(material).decode('ascii')}"
