"""What a secret holds, as text; nothing of it is ever in an error."""

from reverse_etl.errors import ConfigError


def read_secret_text(content: bytes, *, place: str) -> str:
    """The text; `ConfigError` when it is empty or not UTF-8. `place` names the secret, for a sentence."""
    try:
        text = content.decode()
    except UnicodeDecodeError:  # whose text quotes the content
        raise ConfigError(
            f"{place} does not hold UTF-8 text. A masking key is stored as text, "
            "`<key id>:<base64>`, without compression or encoding of its own."
        ) from None
    if not text.strip():
        raise ConfigError(
            f"{place} is empty. Store the masking key in a new version of it: `<key id>:<base64>`."
        )
    return text
