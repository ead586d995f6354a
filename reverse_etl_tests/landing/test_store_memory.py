"""The store that lives in memory keeps the contract that tests rely on."""

import pytest

from reverse_etl.landing.store import MemoryStore
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
