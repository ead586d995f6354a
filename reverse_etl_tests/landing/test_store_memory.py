"""The store that lives in memory keeps the contract that tests rely on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import TerminalError
from reverse_etl.landing.store import MemoryStore, check_name
from reverse_etl_tests.contracts.store import StoreContract


class TestMemoryStore(StoreContract):
    """Every promise of the contract, in memory."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def test_stored_bytes_are_a_copy(self, store: MemoryStore) -> None:
        """What a caller does to a buffer after the put does not reach the object."""
        buffer = bytearray(b"before")

        store.put("a", buffer)
        buffer[:] = b"after!"

        assert store.get("a") == b"before"


def is_spelled_out(name: str) -> bool:
    """The rule of `check_name`, word by word."""
    try:
        sizes = [len(element.encode()) for element in name.split("/")]
    except UnicodeEncodeError:
        return False
    return (
        all(1 <= size <= 255 for size in sizes)
        and len(name.encode()) <= 1024
        and "\0" not in name
        and not any(element.startswith(".") for element in name.split("/"))
    )


@given(
    st.text(st.sampled_from("a./\0\n é\ud800"), max_size=12)
    | st.lists(
        st.sampled_from(["a" * 255, "b" * 256, "é" * 127, "é" * 128, "c" * 253]), max_size=5
    ).map("/".join)
)
def test_name_is_taken_by_the_rule_alone(name: str) -> None:
    """Names of ASCII are looked at in another way than others: the rule is the same."""
    try:
        taken = check_name(name) == name
    except TerminalError:
        taken = False

    assert taken is is_spelled_out(name)
