"""`hmac`: a keyed pseudonym. Equal values give equal tokens; nobody without the key can recompute one.

An unkeyed hash is no masking: all e-mail addresses of a country can be hashed in minutes. So there
is no form of this rule without a key.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from reverse_etl.errors import ConfigError
from reverse_etl.masking.hashing import compute_hmac
from reverse_etl.masking.rules.base import MaskContext, Parameters, Rule
from reverse_etl.types import Kind, type_kind


@dataclass(frozen=True, slots=True)
class _Hasher:
    """Hashes a column under a key that no repr shows."""

    key: str = field(repr=False)

    def __call__(self, values: pa.ChunkedArray) -> pa.Array:
        return compute_hmac(values, key=self.key)


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
        """The key's id before the HMAC, which is computed outside the engine."""
        if context.masking_key is None:
            raise ConfigError(
                f"Column '{self.name}' has rule 'hmac' and no masking key is configured."
            )
        del quoted
        domain = f"sync:{context.sync}" if self.domain is None else f"shared:{self.domain}"
        hasher = _Hasher(context.masking_key.derive(domain))
        token = parameters.bind_column(column.name, hasher)
        return f"({parameters.bind(f'{context.masking_key.key_id}.')}::VARCHAR || {token})"
