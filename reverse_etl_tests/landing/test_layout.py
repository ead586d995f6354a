"""Names in the store: they are a format, and ids sort by time."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.landing import layout
from reverse_etl.landing.store import check_name

VERSION = "2026-11-19.01kxqt5w8b7g4m2t"
MILLISECOND = dt.timedelta(milliseconds=1)

sync_names = st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True)
partitions = st.dates(min_value=dt.date(1970, 1, 1)).map(dt.date.isoformat)
moments = st.datetimes(
    min_value=dt.datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the timezone
    timezones=st.just(dt.UTC),
)


def test_names_are_the_documented_ones() -> None:
    """Every kind of object lies where docs/format.md says."""
    day = "user_stats/dt=2026-11-19/"

    assert layout.head_name("user_stats") == "user_stats/head.json"
    assert layout.day_prefix("user_stats", "2026-11-19") == day
    assert layout.snapshot_name("user_stats", "2026-11-19") == day + "snapshot.json"
    assert layout.current_name("user_stats", "2026-11-19") == day + "current.json"
    assert layout.version_prefix("user_stats", VERSION) == f"{day}{VERSION}/"
    assert layout.manifest_name("user_stats", VERSION) == f"{day}{VERSION}/manifest.json"


@pytest.mark.parametrize(
    ("file_format", "compression", "index", "name"),
    [
        ("json", "gzip", 0xA3, "000a3.jsonl.gz"),
        ("json", "none", 0, "00000.jsonl"),
        ("json", "gzip", 0x123456, "123456.jsonl.gz"),
        ("parquet", "zstd", 17, "part-00017.parquet"),
        ("parquet", "none", 123_456, "part-123456.parquet"),
    ],
)
def test_object_names_are_the_documented_ones(
    file_format: str, compression: str, index: int, name: str
) -> None:
    """JSON counts in hexadecimal, Parquet in decimal; both in five digits, or more when needed."""
    assert layout.object_file_name(file_format, compression, index) == name


@given(partition=partitions, moment=moments)
def test_version_comes_apart_as_it_was_built(partition: str, moment: dt.datetime) -> None:
    """A version tells its partition and, to the millisecond, when its attempt began."""
    version = layout.build_version(partition, moment)

    found_partition, attempt = layout.split_version(version)

    assert layout.is_version(version)
    assert found_partition == partition
    age = moment - layout.parse_id_time(attempt)
    assert dt.timedelta(0) <= age < MILLISECOND


@given(first=moments, second=moments)
def test_ids_sort_by_time(first: dt.datetime, second: dt.datetime) -> None:
    """Of two moments a millisecond or more apart, the earlier has the smaller text."""
    if second - first >= MILLISECOND:
        assert layout.build_id(first) < layout.build_id(second)


def test_ids_of_one_moment_differ() -> None:
    """Two attempts that begin in the same millisecond do not share a place."""
    moment = dt.datetime(2026, 11, 19, tzinfo=dt.UTC)

    assert len({layout.build_id(moment) for _ in range(200)}) == 200


def test_id_without_timezone_is_not_built() -> None:
    """A moment that does not say its timezone would sort by where it was built."""
    with pytest.raises(TypeError):
        layout.build_id(dt.datetime(2026, 11, 19))  # noqa: DTZ001 - the case


@given(sync=sync_names, partition=partitions, moment=moments)
def test_every_name_is_one_that_stores_take(sync: str, partition: str, moment: dt.datetime) -> None:
    """What layout builds from checked parts never escapes its sync's folder."""
    version = layout.build_version(partition, moment)

    names = [
        layout.head_name(layout.check_sync_name(sync)),
        layout.snapshot_name(sync, partition),
        layout.current_name(sync, partition),
        layout.manifest_name(sync, version),
        layout.version_prefix(sync, version) + layout.object_file_name("json", "gzip", 0),
    ]

    for name in names:
        assert check_name(name).startswith(f"{sync}/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-19",
        VERSION + "\n",
        VERSION + "0",
        VERSION[:-1],
        VERSION.upper(),
        VERSION.replace("k", "l"),
        VERSION.replace(".", "/"),
        "../" + VERSION,
        "٢٠٢٦-11-19.01kxqt5w8b7g4m2t",
    ],
)
def test_other_text_is_no_version(text: str) -> None:
    """Near misses are refused with an example, before a name is made of them."""
    assert not layout.is_version(text)
    with pytest.raises(ConfigError, match="is not a version"):
        layout.version_prefix("user_stats", text)


@pytest.mark.parametrize("text", ["", "short", "01kxqt5w8b7g4m2l", "01kxqt5w8b7g4m2t0", "z" * 16])
def test_other_text_is_no_id(text: str) -> None:
    """Letters outside the alphabet, other lengths and times after the year 9999 are refused."""
    with pytest.raises(ConfigError, match="is not an id"):
        layout.parse_id_time(text)


@pytest.mark.parametrize(
    "name", ["", "User", "1st", "_x", "a-b", "a/b", "a:b", "../a", "a\n", "é", "a" * 64]
)
def test_other_text_is_no_sync_name(name: str) -> None:
    """A sync's name is safe in object names, Redis keys and asset keys, or it is refused."""
    with pytest.raises(ConfigError, match="is not a sync name"):
        layout.check_sync_name(name)
