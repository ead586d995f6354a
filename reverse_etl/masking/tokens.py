"""The token of one raw key, as readers make it: no Arrow, no engine, a few microseconds. Pure.

Whole columns are masked by rule `hmac`, in C and all at once; a test holds the two equal.
"""

import hmac

from reverse_etl.errors import ConfigError
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.spelling import normalise_text
from reverse_etl.model import KeyToken


def make_token(token: KeyToken, raw_key: str | int, *, masking_key: MaskingKey) -> str:
    """What the raw key landed as, in a version whose manifest or head says `token`.

    An integer counts as its decimal digits. `ConfigError` for another masking key than the version
    was made with, for steps of a later release, and for a text that is not UTF-8; the key that is
    looked up is in none of them.
    """
    if masking_key.key_id != token.key_id:
        raise ConfigError(
            f"Keys of this version were masked with masking key '{token.key_id}', and "
            f"'{masking_key.key_id}' was given."
        )
    text = normalise_text(
        str(raw_key), steps=token.normalise, country=token.country, trunk=token.trunk
    )
    try:
        content = text.encode()
    except UnicodeEncodeError:  # whose text quotes the key
        raise ConfigError("The raw key is not UTF-8 text.") from None
    derived = masking_key.derive(token.domain).encode()
    return f"{masking_key.key_id}.{hmac.digest(derived, content, 'sha256').hex()}"
