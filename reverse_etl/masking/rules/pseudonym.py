"""`hmac`: a keyed pseudonym. Equal values give equal tokens; nobody without the key can recompute one.

An unkeyed hash is no masking: all e-mail addresses of a country can be hashed in minutes. So there
is no form of this rule without a key.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from reverse_etl.errors import ConfigError
from reverse_etl.masking.faults import Fault, Reason
from reverse_etl.masking.hashing import compute_hmac
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.masking.rules.normalise import normalise_column
from reverse_etl.masking.rules.texts import ADDRESS
from reverse_etl.masking.spelling import E164, TRUNK, Step
from reverse_etl.model import KeyToken
from reverse_etl.sql import quote_identifier
from reverse_etl.types import Kind, type_kind

#: What a text has to be after the step.
_WANTED = {
    "email": (Reason.MALFORMED_EMAIL, ADDRESS),
    "phone": (Reason.MALFORMED_PHONE, f"^{E164}$"),
}


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
        """What a reader needs, beside the key itself, to make this column's tokens in `sync`.

        `tokens.make_token` makes of it what `expression` makes of a column.
        """
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

    @property
    def _found_trunk(self) -> str:
        return TRUNK if self.trunk is None else self.trunk

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The key's id before the HMAC, which is computed outside the engine."""
        if context.masking_key is None:
            raise ConfigError(
                f"Column '{self.name}' has rule 'hmac' and no masking key is configured."
            )
        del quoted
        hasher = _Hasher(key=self.derive_key(context.masking_key, sync=context.sync))
        token = parameters.bind_column(self._find_prepared(column, parameters), hasher)
        return f"({parameters.bind(f'{context.masking_key.key_id}.')}::VARCHAR || {token})"

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """What is no address or number in the end: hashed as it is, unless `on_error` is given."""
        del names, context
        steps = [step for step in self.normalise or () if step in _WANTED]
        if not steps or not self.is_told:
            return ()
        prepared = quote_identifier(self._find_prepared(column, parameters))
        return tuple(
            Fault(
                reason=reason,
                condition=f"NOT regexp_matches({prepared}, {parameters.bind(pattern)}, 's')",
            )
            for reason, pattern in (_WANTED[step] for step in steps)
        )

    def _find_prepared(self, column: pa.Field, parameters: Parameters) -> str:
        """The name of the column that is hashed."""
        if self.normalise is None:
            return column.name
        return parameters.share_column(column.name, self.prepare_column)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hasher:
    """Hashes a column under a key that no repr shows."""

    key: str = field(repr=False)

    def __call__(self, values: pa.ChunkedArray) -> pa.Array:
        return compute_hmac(values, key=self.key)
