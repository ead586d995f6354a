"""The ring of keys: one is current, readers find the others, and a key of elsewhere is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.masking.key_ring import KeyRing, parse_key_ring, refuse_keys
from reverse_etl.masking.keys import generate_masking_key, parse_masking_key

# The same in every process: they stand in the tests' names.
K1, K2, K3 = (f"k{n}:{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2, 3))


def encode(material: bytes) -> str:
    return base64.b64encode(material).decode()


@pytest.mark.parametrize("between", [" ", "\n", ",", ", ", "\r\n\t", "\n\n"])
def test_first_key_is_current(between: str) -> None:
    """One form for a variable, a file and a secret: keys with blanks, line ends or commas between them."""
    ring = parse_key_ring(f"  {K2}{between}{K1}{between}{K3}\n")

    assert ring.current == parse_masking_key(K2)
    assert [key.key_id for key in ring.previous] == ["k1", "k3"]
    assert [key.key_id for key in ring.keys] == ["k2", "k1", "k3"]


def test_key_is_found_by_its_id() -> None:
    """Whichever key a version names, current or previous."""
    ring = parse_key_ring(f"{K2} {K1}")

    assert ring.find("k1") == parse_masking_key(K1)
    assert ring.find("k2") == parse_masking_key(K2)


def test_key_that_is_not_there_is_named() -> None:
    """Who reads is told which key the version needs, and which there are."""
    ring = parse_key_ring(f"{K2}\n{K1}")

    with pytest.raises(ConfigError, match=r"masking key 'k3', which is .* 'k2', 'k1'\. Add it"):
        ring.find("k3")


def test_one_id_for_two_keys_is_refused() -> None:
    """A version names its key by the id alone."""
    with pytest.raises(ConfigError, match="Two masking keys have the id 'k1'"):
        parse_key_ring(f"{K1} {generate_masking_key('k1')}")


def test_one_key_under_two_ids_is_refused() -> None:
    """A rotation that changes the name alone is none; base64 may spell one key in two ways."""
    material = encode(b"x" * 32)
    other_spelling = f"{material[:-2]}{chr(ord(material[-2]) + 1)}="

    with pytest.raises(ConfigError, match="'k1' and 'k2' are the same key"):
        parse_key_ring(f"k1:{material} k2:{material}")
    with pytest.raises(ConfigError, match="'k1' and 'k2' are the same key"):
        parse_key_ring(f"k1:{encode(b'x' * 32)} k2:{other_spelling}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The masking key has no valid id"),
        (" ,\n", "The masking key has no valid id"),
        ("k1:AAAA", "The masking key has 3 bytes"),
        (f"{K1} k2:AAAA", "Masking key 2 of 2: The masking key has 3 bytes"),
        (f"K1:AAAA {K2}", "Masking key 1 of 2: The masking key has no valid id"),
        ('{"key": "k1:AAAA"}', "is a JSON document. Store plain text"),
        ('"k1:AAAA"', "is a JSON document"),
    ],
)
def test_bad_text_is_refused_without_showing_it(text: str, message: str) -> None:
    """The error says what is wrong and with which key, and repeats nothing of it."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse_key_ring(text)

    assert "AAAA" not in str(caught.value)
    assert K1.partition(":")[2] not in str(caught.value)
    assert caught.value.__cause__ is None


@given(materials=st.lists(st.binary(min_size=32, max_size=40), min_size=1, max_size=3, unique=True))
def test_ring_never_shows_material(materials: list[bytes]) -> None:
    """Neither repr nor an error about a missing key holds any of it."""
    ring = parse_key_ring(
        ",".join(f"k{number}:{encode(material)}" for number, material in enumerate(materials))
    )

    with pytest.raises(ConfigError) as caught:
        ring.find("nobody")

    shown = f"{ring!r} {ring} {caught.value}"
    for material in materials:
        assert encode(material) not in shown
        assert material.hex() not in shown
        assert repr(material)[2:-1] not in shown


@pytest.mark.parametrize("text", [f"{K1} {K2}", f"{K2} {K1}"])
def test_key_of_another_environment_is_refused(text: str) -> None:
    """Current or previous: the error names the key and the environment."""
    refused = {parse_masking_key(K2).fingerprint: "prod", "0" * 16: "test"}

    with pytest.raises(ConfigError, match=r"Masking key 'k2' .* of environment 'prod'"):
        refuse_keys(parse_key_ring(text), refused)


def test_environment_need_not_be_named() -> None:
    """A fingerprint alone refuses as well; other keys pass."""
    ring = KeyRing(parse_masking_key(K1))

    refuse_keys(ring, {parse_masking_key(K2).fingerprint: ""})
    with pytest.raises(ConfigError, match="is the one of another environment"):
        refuse_keys(ring, {ring.current.fingerprint: ""})
