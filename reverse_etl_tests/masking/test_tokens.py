"""Readers make the tokens that the pipeline made, in a process without Arrow, polars or pydantic."""

import hmac
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError, ReverseEtlError
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.rules import Hmac
from reverse_etl.masking.tokens import make_token
from reverse_etl.model import KeyToken
from reverse_etl_tests.masking.conftest import KEY_BYTES, MaskValues
from reverse_etl_tests.masking.test_normalise import RULES, phone_like, spelled_text
from reverse_etl_tests.masking.test_unicode_table import nasty_text

SHARED = [Hmac(name="x", rule="hmac"), Hmac(name="x", rule="hmac", domain="crm")]
#: Clients that a reader would wait for, and need not have.
HEAVY = ("pyarrow", "polars", "polars_hash", "duckdb", "pydantic", "numpy", "pandas", "boto3")
LIGHT_MODULES = ("keys", "key_ring", "tokens")


# The fixtures hold an engine, which keeps nothing between examples.
@pytest.mark.parametrize("rule", SHARED + RULES, ids=lambda rule: rule.summary())
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(nasty_text | spelled_text | phone_like, min_size=1, max_size=8))
def test_tokens_are_those_of_the_column(
    mask_values: MaskValues, masking_key: MaskingKey, rule: Hmac, values: list[str]
) -> None:
    """From what a head says of the key, for every rule, domain and spelling."""
    described = rule.describe_token(masking_key, sync="shop")

    tokens = [make_token(described, value, masking_key=masking_key) for value in values]

    assert tokens == mask_values(rule, values, pa.string())


@pytest.mark.parametrize("rule", SHARED, ids=lambda rule: rule.summary())
def test_integers_are_their_digits(
    mask_values: MaskValues, masking_key: MaskingKey, rule: Hmac
) -> None:
    """Up to both ends of the type, and typed as text as well."""
    values = [0, -1, 42, 2**53 + 1, 2**63 - 1, -(2**63)]
    described = rule.describe_token(masking_key, sync="shop")

    tokens = [make_token(described, value, masking_key=masking_key) for value in values]

    assert tokens == mask_values(rule, values, pa.int64())
    assert tokens == [
        make_token(described, str(value), masking_key=masking_key) for value in values
    ]


def test_known_answer(masking_key: MaskingKey) -> None:
    """The format: whoever reads without this package makes the same (docs/masking.md)."""
    described = KeyToken(key_id="k1", domain="shared:crm", normalise=("phone",), country="49")

    token = make_token(described, " 030 / 90 18 20 ", masking_key=masking_key)

    derived = hmac.digest(KEY_BYTES, b"reverse_etl hmac v2\0shared:crm", "sha256").hex()
    assert token == f"k1.{hmac.digest(derived.encode(), b'+4930901820', 'sha256').hex()}"
    assert token == "k1.3ea22297494b3ad5b083796f07e7597c0a48cf16213d7a4c8a9b01b1b8193014"


def test_key_of_another_id_is_refused(masking_key: MaskingKey) -> None:
    """A token under the wrong key would find nobody, and not say why."""
    with pytest.raises(ConfigError, match="masked with masking key 'k9', and 'k1' was given"):
        make_token(KeyToken(key_id="k9", domain="sync:shop"), "u-1", masking_key=masking_key)


@pytest.mark.parametrize(
    ("token", "raw_key", "message"),
    [
        (KeyToken(key_id="k1", domain="d"), "canary\ud800", "is not UTF-8 text"),
        (KeyToken(key_id="k1", domain="d", normalise=("email",)), "é canary\ud800", "not UTF-8"),
        (KeyToken(key_id="k1", domain="d", normalise=("iban",)), "canary", "step 'iban', which"),
    ],
)
def test_what_cannot_be_a_token_is_refused_without_the_key(
    masking_key: MaskingKey, token: KeyToken, raw_key: str, message: str
) -> None:
    """A text that no warehouse could hold, and a step that a later release has made."""
    with pytest.raises(ReverseEtlError, match=message) as caught:
        make_token(token, raw_key, masking_key=masking_key)

    assert isinstance(caught.value, ConfigError)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_reader_needs_nothing_heavy() -> None:
    """A fresh process imports the modules, reads a ring and makes a token, in Python alone."""
    code = (
        "import sys\n"
        + "".join(f"import reverse_etl.masking.{name}\n" for name in LIGHT_MODULES)
        + "from reverse_etl.masking.key_ring import parse_key_ring\n"
        "from reverse_etl.masking.tokens import make_token\n"
        "from reverse_etl.model import KeyToken\n"
        "ring = parse_key_ring('k2:' + 'A' * 43 + '=, k1:' + 'B' * 43 + '=')\n"
        "token = KeyToken(key_id='k1', domain='sync:s', normalise=('email', 'phone'))\n"
        "made = make_token(token, '\\ufb01 \\u0e33@Example.com', masking_key=ring.find('k1'))\n"
        "assert len(made) == 67\n"
        f"print('loaded:', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "loaded: []\n"
