"""Names in the object store, and the ids they are made of. Pure; see docs/format.md."""

import contextlib
import datetime as dt
import re
import secrets

from reverse_etl.errors import ConfigError

# Crockford's alphabet, lower case: no letter that reads like a digit; order of text is order of
# value.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARACTERS = 10  # 50 bits hold milliseconds until the year 37648
_RANDOM_CHARACTERS = 6  # 30 bits apart within one millisecond

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)

_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{16}")
_VERSION = re.compile(
    rf"(?P<partition>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})\.(?P<attempt>{_ID.pattern})"
)
_SYNC = re.compile(r"[a-z][a-z0-9_]{0,62}")

SNAPSHOT = "snapshot.json"
MANIFEST = "manifest.json"
CURRENT = "current.json"
HEAD = "head.json"


def check_sync_name(name: str) -> str:
    """Return `name`, or raise `ConfigError`: it is in object names, Redis keys and asset keys."""
    if not _SYNC.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a sync name: lower-case letters, digits and underscores are, "
            "starting with a letter, up to 63 of them."
        )
    return name


def build_id(moment: dt.datetime) -> str:
    """A unique id of 16 characters whose text order is its time order (to the millisecond).

    `moment` knows its timezone and is not before 1970.
    """
    milliseconds = (moment - _EPOCH) // _MILLISECOND
    random_bits = 5 * _RANDOM_CHARACTERS
    bits = (milliseconds << random_bits) | secrets.randbits(random_bits)
    length = _TIME_CHARACTERS + _RANDOM_CHARACTERS
    return "".join(_ALPHABET[(bits >> (5 * i)) & 31] for i in reversed(range(length)))


def parse_id_time(identifier: str) -> dt.datetime:
    """The moment in an id of `build_id`, to the millisecond, UTC; `ConfigError` for other text."""
    if _ID.fullmatch(identifier):
        milliseconds = 0
        for character in identifier[:_TIME_CHARACTERS]:
            milliseconds = milliseconds * 32 + _ALPHABET.index(character)
        # Ids of our alphabet that nothing built may lie after the year 9999.
        with contextlib.suppress(OverflowError):
            return _EPOCH + milliseconds * _MILLISECOND
    raise ConfigError(
        f"{identifier!r} is not an id: ten characters of time and six of chance are, "
        f"each one of {_ALPHABET}."
    )


def build_version(partition: str, moment: dt.datetime) -> str:
    """`<partition>.<attempt>`."""
    return f"{partition}.{build_id(moment)}"


def split_version(version: str) -> tuple[str, str]:
    """Partition and attempt of a version; `ConfigError` when it is not one."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ConfigError(
            f"{version!r} is not a version. One looks like 2026-11-19.01kxqt5w8b7g4m2t; "
            "`reverse-etl versions SYNC` lists them."
        )
    return match["partition"], match["attempt"]


def is_version(text: str) -> bool:
    """Whether `text` has the form of a version."""
    return _VERSION.fullmatch(text) is not None


def day_prefix(sync: str, partition: str) -> str:
    """Everything of one day, with the closing slash."""
    return f"{sync}/dt={partition}/"


def version_prefix(sync: str, version: str) -> str:
    """Everything of one version, with the closing slash."""
    partition, _ = split_version(version)
    return f"{day_prefix(sync, partition)}{version}/"


def snapshot_name(sync: str, partition: str) -> str:
    """What was pinned for this day."""
    return day_prefix(sync, partition) + SNAPSHOT


def current_name(sync: str, partition: str) -> str:
    """This day's committed version."""
    return day_prefix(sync, partition) + CURRENT


def manifest_name(sync: str, version: str) -> str:
    """The commit of a version."""
    return version_prefix(sync, version) + MANIFEST


def head_name(sync: str) -> str:
    """What readers see."""
    return f"{sync}/{HEAD}"


def published_name(sync: str) -> str:
    """What says that there was a head once, should that be lost."""
    return f"{sync}/published"


def loading_prefix(sync: str) -> str:
    """What names versions whose records may lie in Redis while there is no head, with the slash."""
    return f"{sync}/loading/"


def loading_name(sync: str, version: str) -> str:
    """One of them."""
    return f"{loading_prefix(sync)}{version}"


def object_file_name(file_format: str, compression: str, index: int) -> str:
    """An object's name inside its version; its index is `bucket // buckets_per_object`."""
    if file_format == "parquet":
        return f"part-{index:05d}.parquet"
    ending = {"gzip": ".jsonl.gz", "none": ".jsonl"}[compression]
    return f"{index:05x}{ending}"


def quarantine_file_name(index: int) -> str:
    """The name, inside its version, of an object of rows that were set aside."""
    return f"quarantine/{index:05d}.jsonl.gz"
