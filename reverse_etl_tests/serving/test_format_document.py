"""The golden store is read as docs/format.md says: step by step, and by the reader."""

import gzip
import zlib
from typing import Any

import pytest
import redis

from reverse_etl.cache.layout import record_key
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.layout import object_file_name, version_prefix
from reverse_etl.landing.store import MemoryStore
from reverse_etl.serving import Reader
from reverse_etl_tests.landing.golden_bytes import read_document_block, read_document_table
from reverse_etl_tests.landing.golden_values import GOLDEN, HEAD, SYNC, VERSION
from reverse_etl_tests.serving.builders import publish

STEPS = [[cell.strip("`") for cell in row] for row in read_document_table("steps")]
RECORD = read_document_block("u-1002").encode()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[0])
def test_steps_of_the_document_hold(step: list[str]) -> None:
    """Each number and name of the worked example is what the code computes."""
    key, crc, bucket, file_name, redis_key = step

    assert zlib.crc32(key.encode()) == int(crc)
    assert int(crc) % HEAD.buckets == int(bucket)
    index = int(bucket) // HEAD.buckets_per_object
    assert object_file_name(HEAD.format, HEAD.compression, index) == file_name
    assert record_key(SYNC, VERSION, key.encode()) == redis_key.encode()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[0])
def test_golden_users_are_in_the_objects_of_the_document(step: list[str]) -> None:
    """The object that the example names holds the user, and the user is read from it."""
    key, _, _, file_name, _ = step
    store = DirectoryStore(GOLDEN)

    found = Reader(SYNC, store=store, redis=None).get_raw(key)

    assert found is not None
    lines = gzip.decompress(store.get(version_prefix(SYNC, VERSION) + file_name)).splitlines()
    assert found in lines


def test_record_of_the_document_is_the_golden_one() -> None:
    """The example's record is the second line of its object, byte for byte."""
    body = DirectoryStore(GOLDEN).get(version_prefix(SYNC, VERSION) + "00001.jsonl.gz")

    assert gzip.decompress(body).splitlines(keepends=True)[1] == RECORD + b"\n"


def test_record_under_the_documents_key_is_read(client: redis.Redis) -> None:
    """What another language's writer puts under the documented key is what the reader answers."""
    row: Any = next(step for step in STEPS if step[0] == "u-1002")
    publish(HEAD, client=client)
    client.set(row[-1], RECORD)

    assert Reader(SYNC, store=MemoryStore(), redis=client).get_raw("u-1002") == RECORD
