"""The masked key of one raw key, for a person who looks up one user by a sync's rule. Pure.

Whole columns are masked by the rules' SQL; a test holds the two equal. Where a version says how its
keys became tokens, `tokens.make_token` needs no rule.
"""

from reverse_etl.errors import ConfigError
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.rules import Hmac, Keep, Rule
from reverse_etl.masking.tokens import make_token


def mask_key(
    rule: Rule, value: str | int, *, sync: str, masking_key: MaskingKey | None
) -> str | int:
    """What `rule` makes of the key `value` in `sync`.

    `ConfigError` when the rule needs a masking key and there is none, or when it is one that gives
    many users the same key, so that nobody is found by a raw one.
    """
    check_key_rule(rule, sync=sync)
    if not isinstance(rule, Hmac):
        return value
    if masking_key is None:
        raise missing_key_error(sync)
    token = rule.describe_token(masking_key, sync=sync)
    return make_token(token, value, masking_key=masking_key)


def check_key_rule(rule: Rule, *, sync: str) -> None:
    """`ConfigError` unless the rule keeps keys apart: only then a raw one leads to a record."""
    if not isinstance(rule, Keep | Hmac):
        raise ConfigError(
            f"The key of sync '{sync}' has rule '{rule.rule}', so a raw key leads to no single "
            "record. Give the key as it landed (--masked)."
        )


def missing_key_error(sync: str) -> ConfigError:
    """The refusal of a raw key where no masking key is configured."""
    return ConfigError(
        f"The key of sync '{sync}' has rule 'hmac' and no masking key is configured. Set "
        "REVERSE_ETL_MASKING_KEY, REVERSE_ETL_MASKING_KEY_FILE or REVERSE_ETL_MASKING_KEY_SECRET, or give "
        "the token itself (--masked)."
    )
