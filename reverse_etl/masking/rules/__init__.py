"""The catalogue of rules. A new rule is one class in a module here, and its name in `AnyRule`."""

from typing import Annotated

from pydantic import Field

from reverse_etl.masking.rules.base import Computed, MaskContext, Names, Parameters, Rule
from reverse_etl.masking.rules.custom import Custom
from reverse_etl.masking.rules.dates import AgeGroup, Month, Week, Year
from reverse_etl.masking.rules.generalise import Bucket, Truncate
from reverse_etl.masking.rules.network import IpPrefix
from reverse_etl.masking.rules.numbers import BottomCode, GeoRound, Round, TopCode
from reverse_etl.masking.rules.plain import Drop, Keep, Redact
from reverse_etl.masking.rules.pseudonym import Hmac
from reverse_etl.masking.rules.table import Map
from reverse_etl.masking.rules.texts import EmailDomain, MaskText, PostalPrefix

#: What may stand under `columns` in YAML, told apart by `rule`.
AnyRule = Annotated[
    Keep
    | Drop
    | Redact
    | Hmac
    | AgeGroup
    | Year
    | Month
    | Week
    | Truncate
    | MaskText
    | EmailDomain
    | PostalPrefix
    | Bucket
    | Round
    | TopCode
    | BottomCode
    | GeoRound
    | Map
    | IpPrefix
    | Custom,
    Field(discriminator="rule"),
]

__all__ = [
    "AgeGroup",
    "AnyRule",
    "BottomCode",
    "Bucket",
    "Computed",
    "Custom",
    "Drop",
    "EmailDomain",
    "GeoRound",
    "Hmac",
    "IpPrefix",
    "Keep",
    "Map",
    "MaskContext",
    "MaskText",
    "Month",
    "Names",
    "Parameters",
    "PostalPrefix",
    "Redact",
    "Round",
    "Rule",
    "TopCode",
    "Truncate",
    "Week",
    "Year",
]
