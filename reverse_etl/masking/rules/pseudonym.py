"""`hmac`: a keyed pseudonym. Equal values give equal tokens; nobody without the key can recompute one.

An unkeyed hash is no masking: all e-mail addresses of a country can be hashed in minutes. So there
is no form of this rule without a key.
"""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from reverse_etl.errors import ConfigError
from reverse_etl.masking.rules.base import MaskContext, Parameters, Rule
from reverse_etl.types import Kind, type_kind

_BLOCK_BYTES = 64  # of SHA-256: RFC 2104, section 2


class Hmac(Rule):
    """`<key id>.<64 hexadecimal digits>`: HMAC-SHA256 under a key derived for the domain.

    The domain is the sync unless `domain` names one, so that tokens of two syncs cannot be joined
    unless both say so. STRING is hashed as its UTF-8 bytes, INT64 as its decimal digits.
    """

    rule: Literal["hmac"]
    domain: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="Syncs and columns that name the same domain get the same token for a value.",
    )

    needs_key: ClassVar[bool] = True

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from STRING or INT64."""
        if type_kind(column) not in {Kind.STRING, Kind.INT64}:
            raise self.refuse(column, "STRING or INT64")
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """HMAC composed of two SHA-256, the padded keys bound as parameters."""
        if context.masking_key is None:
            raise ConfigError(
                f"Column '{self.name}' has rule 'hmac' and no masking key is configured."
            )
        domain = f"sync:{context.sync}" if self.domain is None else f"shared:{self.domain}"
        key = context.masking_key.derive(domain).ljust(_BLOCK_BYTES, b"\0")
        inner = parameters.bind(bytes(byte ^ 0x36 for byte in key))
        outer = parameters.bind(bytes(byte ^ 0x5C for byte in key))
        key_id = parameters.bind(f"{context.masking_key.key_id}.")
        text = quoted if pa.types.is_string(column.type) else f"{quoted}::VARCHAR"
        first = f"unhex(sha256({inner}::BLOB || encode({text})))"
        return f"({key_id}::VARCHAR || sha256({outer}::BLOB || {first}))"
