"""The masking key: what is refused, what is shown."""

import base64
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.masking.keys import MaskingKey, generate_masking_key, parse_masking_key


def encode(material: bytes) -> str:
    return base64.b64encode(material).decode()


def test_generated_key_is_read_back() -> None:
    """What we generate is what we read, and no two are alike."""
    one, other = (parse_masking_key(generate_masking_key("k7")) for _ in range(2))

    assert one.key_id == "k7"
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no valid id"),
        (encode(b"x" * 32), "no valid id"),
        ("K1:" + encode(b"x" * 32), "no valid id"),
        ("k1:not base64!", "not base64"),
        ("k1:" + encode(b"x" * 31), "31 bytes; 32 or more"),
    ],
)
def test_bad_key_is_refused_without_showing_it(text: str, message: str) -> None:
    """The error says what is wrong and repeats nothing of the secret."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse_masking_key(text)

    secret = text.rpartition(":")[2]
    assert not secret or secret not in str(caught.value)


@given(material=st.binary(min_size=32, max_size=80))
def test_key_material_is_never_shown(material: bytes) -> None:
    """Neither repr nor fingerprint contains the key."""
    key = MaskingKey("k1", material)

    shown = f"{key!r} {key} {key.fingerprint}"

    assert encode(material) not in shown
    assert material.hex() not in shown


def test_domains_get_different_keys() -> None:
    """A key derived for one domain says nothing of another's."""
    key = MaskingKey("k1", b"x" * 32)

    assert key.derive("sync:a") != key.derive("shared:a")
    assert len(key.derive("sync:a")) == 64


def test_key_material_is_in_no_field_that_is_shown() -> None:
    """Printers of dataclasses (rich, hypothesis, IPython) go by the fields, whatever repr says."""
    assert [field.name for field in dataclasses.fields(MaskingKey) if field.repr] == ["key_id"]
