"""The masked key of one raw key, for a person who looks up one user. Pure.

Whole columns are masked by the rules' SQL; this is the same function for a single value, without an
engine. A test holds the two equal. What a rule normalises goes through the rule's own function.
"""

import hmac

from reverse_etl.errors import ConfigError
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.rules import Hmac, Keep, Rule


def mask_key(
    rule: Rule, value: str | int, *, sync: str, masking_key: MaskingKey | None
) -> str | int:
    """What `rule` makes of the key `value` in `sync`.

    `ConfigError` when the rule needs a masking key and there is none, or when it is one that gives
    many users the same key, so that nobody is found by a raw one.
    """
    if isinstance(rule, Keep):
        return value
    if not isinstance(rule, Hmac):
        raise ConfigError(
            f"The key of sync '{sync}' has rule '{rule.rule}', so a raw key leads to no single "
            "record. Give the key as it landed (--masked)."
        )
    if masking_key is None:
        raise ConfigError(
            f"The key of sync '{sync}' has rule 'hmac' and no masking key is configured. Set "
            "REVERSE_ETL_MASKING_KEY or REVERSE_ETL_MASKING_KEY_FILE, or give the token itself "
            "(--masked)."
        )
    key = rule.derive_key(masking_key, sync=sync).encode()
    text = rule.prepare_text(str(value))
    return f"{masking_key.key_id}.{hmac.digest(key, text.encode(), 'sha256').hex()}"
