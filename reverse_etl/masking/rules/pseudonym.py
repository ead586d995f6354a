"""`hmac`: a keyed pseudonym. Equal values give equal tokens; nobody without the key can recompute one.

An unkeyed hash is no masking: all e-mail addresses of a country can be hashed in minutes. So there
is no form of this rule without a key.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from reverse_etl.errors import ConfigError
from reverse_etl.masking.hashing import compute_hmac
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.rules.base import MaskContext, Parameters, Rule
from reverse_etl.masking.rules.normalise import Step, normalise_column, normalise_text
from reverse_etl.model import KeyToken
from reverse_etl.types import Kind, type_kind

#: What most countries dial before a number inside of the country, and nobody does from outside.
_TRUNK = "0"


class Hmac(Rule):
    """`<key id>.<64 hexadecimal digits>`: HMAC-SHA256 under a key derived for the domain.

    The domain is the sync unless `domain` names one, so that tokens of two syncs cannot be joined
    unless both say so. STRING is hashed as its UTF-8 bytes, INT64 as its decimal digits; `normalise`
    makes spellings of a text equal before.
    """

    rule: Literal["hmac"]
    domain: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="Syncs and columns that name the same domain get the same token for a value.",
    )

    normalise: tuple[Step, ...] | None = Field(
        default=None,
        min_length=1,
        description="What is done to a text before it is hashed, in this order: trim, lower (case "
        "folding), nfkc; email is nfkc, lower and trim; phone is nfkc, trim and E.164.",
    )
    country: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]{0,2}$",
        description="For phone: the calling code of numbers that are written without one.",
    )
    trunk: str | None = Field(
        default=None,
        pattern=r"^[0-9]{0,3}$",
        description="For phone: what such a number begins with and loses; 0 when not given.",
    )

    needs_key: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        steps = self.normalise or ()
        if len(set(steps)) < len(steps):
            raise ValueError("normalise names a step twice")
        if {"email", "phone"} <= set(steps):
            raise ValueError("normalise takes email or phone, not both")
        if self.country is not None and "phone" not in steps:
            raise ValueError("country says how phone numbers are read: it needs normalise: [phone]")
        if self.trunk is not None and self.country is None:
            raise ValueError("trunk belongs to numbers without a calling code: it needs country")
        return self

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from STRING or INT64; with `normalise` from STRING alone."""
        kind = type_kind(column)
        if self.normalise is not None and kind is not Kind.STRING:
            raise self.refuse(column, "STRING when it has normalise")
        if kind not in {Kind.STRING, Kind.INT64}:
            raise self.refuse(column, "STRING or INT64")
        return pa.field(column.name, pa.string())

    def derive_key(self, masking_key: MaskingKey, *, sync: str) -> str:
        """The key that this column is hashed under in `sync`."""
        return masking_key.derive(self._name_domain(sync))

    def describe_token(self, masking_key: MaskingKey, *, sync: str) -> KeyToken:
        """What a reader needs, beside the key itself, to make this column's tokens in `sync`."""
        is_phone = "phone" in (self.normalise or ())
        return KeyToken(
            key_id=masking_key.key_id,
            domain=self._name_domain(sync),
            normalise=self.normalise or (),
            country=self.country,
            trunk=self._found_trunk if is_phone else None,
        )

    def _name_domain(self, sync: str) -> str:
        return f"sync:{sync}" if self.domain is None else f"shared:{self.domain}"

    def prepare_column(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """What of each value is hashed."""
        if self.normalise is None:
            return values
        return normalise_column(
            values, steps=self.normalise, country=self.country, trunk=self._found_trunk
        )

    def prepare_text(self, text: str) -> str:
        """What of one value is hashed: what `prepare_column` makes of a column of it."""
        if self.normalise is None:
            return text
        return normalise_text(
            text, steps=self.normalise, country=self.country, trunk=self._found_trunk
        )

    @property
    def _found_trunk(self) -> str:
        return _TRUNK if self.trunk is None else self.trunk

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The key's id before the HMAC, which is computed outside the engine."""
        if context.masking_key is None:
            raise ConfigError(
                f"Column '{self.name}' has rule 'hmac' and no masking key is configured."
            )
        del quoted
        hasher = _Hasher(rule=self, key=self.derive_key(context.masking_key, sync=context.sync))
        token = parameters.bind_column(column.name, hasher)
        return f"({parameters.bind(f'{context.masking_key.key_id}.')}::VARCHAR || {token})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hasher:
    """Hashes a column under a key that no repr shows."""

    rule: Hmac
    key: str = field(repr=False)

    def __call__(self, values: pa.ChunkedArray) -> pa.Array:
        return compute_hmac(self.rule.prepare_column(values), key=self.key)
