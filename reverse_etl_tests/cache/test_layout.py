"""Names and entries in Redis: they are a format, and no two things share a name."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.cache import layout
from reverse_etl.cache.layout import VersionEntry, VersionState
from reverse_etl.errors import ConfigError, IntegrityError
from reverse_etl_tests.cache.builders import CANARY, VERSION

ENTRY = VersionEntry(
    state=VersionState.VERIFIED,
    buckets=4096,
    rows=1_000_000,
    since=dt.datetime(2026, 11, 19, 3, 4, 5, 6, tzinfo=dt.UTC),
)
GOLDEN_ENTRY = (
    b'{"state":"verified","buckets":4096,"rows":1000000,"since":"2026-11-19T03:04:05.000006Z"}'
)


def test_names_are_the_documented_ones() -> None:
    """Every kind of key is spelled as docs/format.md says."""
    assert layout.head_key("user_stats") == "user_stats:head"
    assert layout.versions_key("user_stats") == "user_stats:versions"
    assert layout.lease_key("user_stats") == "user_stats:loading"
    assert layout.record_prefix("user_stats", VERSION) == f"user_stats:{VERSION}:"


@given(key=st.binary())
def test_record_key_is_prefix_and_key_bytes(key: bytes) -> None:
    """A key's bytes follow the prefix as they are, whatever they are."""
    prefix = layout.record_prefix("user_stats", VERSION).encode()

    assert layout.record_key("user_stats", VERSION, key) == prefix + key


@given(key=st.binary())
def test_records_never_take_a_reserved_name(key: bytes) -> None:
    """No record's key can be the head's, the list's or the lease's."""
    reserved = {
        name("user_stats").encode()
        for name in (layout.head_key, layout.versions_key, layout.lease_key)
    }

    assert layout.record_key("user_stats", VERSION, key) not in reserved


@pytest.mark.parametrize("sync", ["", "a:b", "User", "a" * 64])
def test_names_that_are_no_syncs_are_refused(sync: str) -> None:
    """A sync's name with a colon could reach another sync's keys; none is taken."""
    with pytest.raises(ConfigError):
        layout.head_key(sync)


def test_record_prefix_needs_a_version() -> None:
    """A prefix without a real version could be another key's."""
    with pytest.raises(ConfigError):
        layout.record_prefix("user_stats", "head")


def test_entry_has_the_documented_bytes() -> None:
    """An entry of the versions hash is written as docs/format.md shows it."""
    assert layout.encode_entry(ENTRY) == GOLDEN_ENTRY


@pytest.mark.parametrize("state", list(VersionState))
def test_entry_comes_back_as_it_was(state: VersionState) -> None:
    """decode(encode(entry)) is the entry, for every state."""
    entry = VersionEntry(state=state, buckets=1, rows=0, since=ENTRY.since)

    assert layout.decode_entry(layout.encode_entry(entry)) == entry


def test_unknown_fields_are_left_alone() -> None:
    """A newer release may add a field to an entry; this one reads the rest."""
    body = GOLDEN_ENTRY.replace(b"{", b'{"new":1,', 1)

    assert layout.decode_entry(body) == ENTRY


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        GOLDEN_ENTRY.replace(b"verified", CANARY.encode()),
        GOLDEN_ENTRY.replace(b"2026-11-19T", CANARY.encode()),
        GOLDEN_ENTRY.replace(b"4096", b"null"),
    ],
)
def test_entry_edited_by_hand_is_an_error(body: bytes) -> None:
    """What is not an entry is never guessed at, and not quoted either."""
    with pytest.raises(IntegrityError) as raised:
        layout.decode_entry(body)

    assert CANARY not in str(raised.value)
