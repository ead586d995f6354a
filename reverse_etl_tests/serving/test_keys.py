"""Raw keys, tokens and policies, by either reader: what the head says decides, and is never guessed."""

from typing import Any

import pytest
import redis

from reverse_etl.errors import ConfigError, PolicyError
from reverse_etl.masking.key_ring import KeyRing
from reverse_etl.masking.keys import generate_masking_key, parse_masking_key
from reverse_etl.masking.tokens import make_token
from reverse_etl.model import KeyToken
from reverse_etl_tests.serving.builders import (
    CANARY,
    NEW,
    NEWER,
    Clock,
    CountingStore,
    build_head,
    build_rows,
    land,
    load,
    publish,
)
from reverse_etl_tests.serving.conftest import HEAD, ROWS, OpenReader

pytestmark = pytest.mark.contract

OLD_KEY, NEW_KEY = (parse_masking_key(generate_masking_key(name)) for name in ("k1", "k2"))
RING = KeyRing(NEW_KEY, (OLD_KEY,))
REVIEWED, OTHER = "a" * 64, "b" * 64
PEOPLE = ("ann@example.com", "Bob@example.com ", CANARY)


def build_token(key_id: str) -> KeyToken:
    return KeyToken(key_id=key_id, domain="user_id", normalise=("trim", "lower"))


def publish_tokens(
    store: CountingStore, client: redis.Redis | None, version: str, masking_key: Any, **members: Any
) -> None:
    """A version of people whose keys were masked with this key."""
    token = build_token(masking_key.key_id)
    head = build_head(version, key_token=token, **members)
    rows = [
        {"user_id": make_token(token, person, masking_key=masking_key), "number": number}
        for number, person in enumerate(PEOPLE)
    ]
    land(store, head, rows)
    if client is not None:
        load(client, head, rows)
    publish(head, store=store, client=client)


@pytest.mark.parametrize("hot", [True, False])
def test_raw_keys_find_their_records(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis, *, hot: bool
) -> None:
    """With the masking key a reader is asked for the raw key, normalised as it was masked."""
    publish_tokens(store, client if hot else None, NEW, OLD_KEY)
    reader = open_reader(port=0 if hot else None, keys=RING)

    assert [reader.get(person)["number"] for person in PEOPLE] == [0, 1, 2]
    assert reader.get(" ANN@example.com")["number"] == 0
    found = reader.get_many([*PEOPLE, "nobody"])
    assert list(found) == [*PEOPLE, "nobody"]
    assert [record and record["number"] for record in found.values()] == [0, 1, 2, None]


def test_rotated_key_is_followed(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """Each version is read with the key that it names, in a block the one that is pinned."""
    publish_tokens(store, client, NEW, OLD_KEY)
    reader = open_reader(keys=RING)

    with reader.pinned():
        assert reader.get(PEOPLE[2])["number"] == 2
        publish_tokens(store, client, NEWER, NEW_KEY, generation=2)
        clock.seconds += 100.0
        assert reader.get(PEOPLE[2])["number"] == 2
    assert reader.version() == NEWER
    assert reader.get(PEOPLE[2])["number"] == 2


def test_version_that_was_retired_is_read_anew_with_its_own_key(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """The token is made again for the version that answers in the end."""
    publish_tokens(store, None, NEW, OLD_KEY)
    reader = open_reader(keys=RING)
    assert reader.version() == NEW
    store.delete([item.name for item in store.list_objects(f"user_stats/dt={NEW[:10]}/")])
    publish_tokens(store, client, NEWER, NEW_KEY, generation=2)

    assert [reader.get(person)["number"] for person in PEOPLE] == [0, 1, 2]


def test_key_that_is_not_configured_is_named(open_reader: OpenReader, store: CountingStore) -> None:
    """A version of a key that the reader lacks is not searched with another one."""
    publish_tokens(store, None, NEW, OLD_KEY)
    reader = open_reader(port=None, keys=KeyRing(NEW_KEY))

    for call in (reader.get, lambda key: reader.get_many([key])):
        with pytest.raises(ConfigError, match="'k1'") as raised:
            call(CANARY)
        assert CANARY not in str(raised.value)
    assert reader.version() == NEW


def test_without_keys_callers_give_tokens(open_reader: OpenReader, store: CountingStore) -> None:
    """An application that has no masking key looks up what landed."""
    publish_tokens(store, None, NEW, OLD_KEY)
    reader = open_reader(port=None)
    token = make_token(build_token("k1"), PEOPLE[0], masking_key=OLD_KEY)

    assert reader.get(token)["number"] == 0
    assert reader.get(PEOPLE[0]) is None


def test_keys_that_landed_as_they_are_need_no_masking_key(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """A reader with keys reads a sync whose keys are kept, integers too."""
    rows = [*ROWS, {"user_id": 7, "said": "number"}]
    land(store, HEAD, rows)
    load(client, HEAD, rows)
    publish(HEAD, store=store, client=client)
    reader = open_reader(keys=RING)

    assert reader.get("u-7") == ROWS[7]
    assert reader.get(7) == rows[-1]


def test_head_that_does_not_say_what_its_keys_are_is_not_guessed_at(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """Of before heads said it: a raw key of a masked sync is not sent to Redis by a reader with keys."""
    head = build_head(policy_fingerprint="")
    land(store, head, ROWS)
    publish(head, store=store, client=client)

    with pytest.raises(ConfigError, match="does not say whether its keys are tokens") as raised:
        open_reader(keys=RING).get("canary@example.com")

    assert "canary" not in str(raised.value)
    assert open_reader().get("u-7") == ROWS[7]


def test_integer_keys_are_masked_by_their_digits(
    open_reader: OpenReader, store: CountingStore
) -> None:
    """An integer and the string of its digits have one token."""
    token = build_token("k1")
    head = build_head(key_token=token)
    land(store, head, [{"user_id": make_token(token, 42, masking_key=OLD_KEY), "said": "x"}])
    publish(head, store=store)
    reader = open_reader(port=None, keys=RING)

    assert reader.get(42) == reader.get("42") != None  # noqa: E711 - both are found
    with pytest.raises(ConfigError, match="bool"):
        reader.get(True)


# --- policies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("required", [REVIEWED, [REVIEWED, OTHER], {REVIEWED}])
def test_version_of_the_required_policy_is_read(
    open_reader: OpenReader, store: CountingStore, required: Any
) -> None:
    """One fingerprint, or any of several."""
    head = build_head(policy_fingerprint=REVIEWED)
    land(store, head, ROWS)
    publish(head, store=store)

    assert open_reader(port=None, require_policy=required).get("u-1") == ROWS[1]


@pytest.mark.parametrize("found", [OTHER, ""])
def test_version_of_another_policy_is_refused(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis, found: str
) -> None:
    """Nothing is read of it, from Redis or the store; which one it is can be asked for all the same."""
    head = build_head(policy_fingerprint=found)
    land(store, head, ROWS)
    load(client, head, ROWS)
    publish(head, store=store, client=client)
    reader = open_reader(require_policy=REVIEWED)

    for call in (reader.get, reader.get_raw, lambda key: reader.get_many([key])):
        with pytest.raises(PolicyError, match=REVIEWED) as raised:
            call("u-1")
        assert found in str(raised.value)
        assert raised.value.sync == "user_stats"
    assert reader.head() == head
    assert store.asked == []


@pytest.mark.usefixtures("reader")
def test_policy_that_changes_is_refused_from_then_on(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A new version under another policy is refused as soon as its head is known, and then again read."""
    publish(build_head(policy_fingerprint=REVIEWED), store=store, client=client)
    strict = open_reader(require_policy=REVIEWED)
    assert strict.get("u-1") == ROWS[1]
    for generation, policy in ((2, OTHER), (3, REVIEWED)):
        head = build_head(NEWER, generation=generation, policy_fingerprint=policy)
        rows = build_rows(20, said="newer")
        land(store, head, rows)
        load(client, head, rows)
        publish(head, store=store, client=client)
        clock.seconds += 3.0
        if policy == OTHER:
            with pytest.raises(PolicyError):
                strict.get("u-1")

    assert strict.get("u-1") == rows[1]


@pytest.mark.parametrize("required", ["", [], [""]])
def test_requirement_of_no_policy_is_refused(open_reader: OpenReader, required: Any) -> None:
    """An empty setting would refuse everything, or nothing: it is told at once."""
    with pytest.raises(ConfigError, match="names no policy"):
        open_reader(port=None, require_policy=required)
