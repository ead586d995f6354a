"""The catalogue of rules. A new rule is one class in a module here, and its name in `AnyRule`."""

from typing import Annotated

from pydantic import Field

from reverse_etl.masking.rules.base import Computed, MaskContext, Parameters, Rule
from reverse_etl.masking.rules.dates import AgeGroup, Year
from reverse_etl.masking.rules.generalise import Bucket, Truncate
from reverse_etl.masking.rules.plain import Drop, Keep, Redact
from reverse_etl.masking.rules.pseudonym import Hmac

#: What may stand under `columns` in YAML, told apart by `rule`.
AnyRule = Annotated[
    Keep | Drop | Redact | Hmac | AgeGroup | Year | Truncate | Bucket,
    Field(discriminator="rule"),
]

__all__ = [
    "AgeGroup",
    "AnyRule",
    "Bucket",
    "Computed",
    "Drop",
    "Hmac",
    "Keep",
    "MaskContext",
    "Parameters",
    "Redact",
    "Rule",
    "Truncate",
    "Year",
]
