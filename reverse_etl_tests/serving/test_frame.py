"""Many users as a data frame, for notebooks and batch jobs."""

from typing import Any

import pandas as pd
import pytest
import redis

from reverse_etl.errors import ConfigError, NotFoundError
from reverse_etl.landing.layout import manifest_name
from reverse_etl.landing.manifest import encode_manifest
from reverse_etl.serving import Reader
from reverse_etl_tests.landing.golden_values import MANIFEST
from reverse_etl_tests.serving.builders import NEW, SYNC, CountingStore, land, load, publish
from reverse_etl_tests.serving.conftest import HEAD, ROWS


@pytest.fixture(params=["redis", "store"])
def reader(request: pytest.FixtureRequest, store: CountingStore, client: redis.Redis) -> Reader:
    """Of 20 users."""
    land(store, HEAD, ROWS)
    load(client, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    return Reader(SYNC, store=store, redis=client if request.param == "redis" else None)


def test_frame_has_a_row_for_each_found_key(reader: Reader) -> None:
    """Rows in order of the keys, columns in order of the sync, nobody invented."""
    frame = reader.frame(["u-2", "nobody", "u-1"])

    expected = pd.DataFrame(
        {"user_id": ["u-2", "u-1"], "said": ["hello", "hello"], "number": [2, 1]}
    ).convert_dtypes()
    pd.testing.assert_frame_equal(frame, expected)


def test_frame_keeps_integers_beside_nulls(store: CountingStore) -> None:
    """A NULL makes no float of its column, and nested values stay what they are."""
    rows: list[dict[str, Any]] = [
        {"user_id": "a", "visits": 2**53, "tags": ["x"]},
        {"user_id": "b", "visits": None, "tags": []},
    ]
    land(store, HEAD, rows)
    publish(HEAD, store=store)

    frame = Reader(SYNC, store=store, redis=None).frame(["a", "b"])

    assert frame["visits"].tolist() == [2**53, pd.NA]
    assert frame["tags"].tolist() == [["x"], []]


def test_empty_frame_has_the_columns(reader: Reader, store: CountingStore) -> None:
    """When nobody is found, the manifest tells the columns, so that code after it still runs."""
    with pytest.raises(NotFoundError):
        reader.frame(["nobody"])
    store.put(manifest_name(SYNC, NEW), encode_manifest(MANIFEST))

    frame = reader.frame(["nobody"])

    assert len(frame) == 0
    assert list(frame.columns) == [column.name for column in MANIFEST.columns]


def test_frame_of_what_is_no_key_is_refused(reader: Reader) -> None:
    """As by every other call."""
    with pytest.raises(ConfigError, match="NoneType"):
        reader.frame([None])  # type: ignore[list-item]
