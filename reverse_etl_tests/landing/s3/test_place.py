"""Where a store lies: addresses and ARNs, and options that no S3 could do anything with."""

import pytest

from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.landing.s3.options import S3Options
from reverse_etl.landing.s3.place import Place

OPTIONS = S3Options(bucket="landing", prefix="exports/prod", region="eu-central-1")


def place_of(**changes: object) -> Place:
    values = {name: getattr(OPTIONS, name) for name in OPTIONS.__slots__}
    return Place(S3Options(**{**values, **changes}))


@pytest.mark.parametrize(
    ("changes", "bucket_url"),
    [
        ({}, "https://landing.s3.eu-central-1.amazonaws.com"),
        ({"bucket": "with.dot"}, "https://s3.eu-central-1.amazonaws.com/with.dot"),
        ({"region": "cn-north-1"}, "https://landing.s3.cn-north-1.amazonaws.com.cn"),
        ({"endpoint_url": "http://127.0.0.1:9000/"}, "http://127.0.0.1:9000/landing"),
        ({"endpoint_url": "https://minio.example.com/s3"}, "https://minio.example.com/s3/landing"),
    ],
)
def test_bucket_has_an_address(changes: dict[str, object], bucket_url: str) -> None:
    """AWS is asked by the bucket's host where its certificate allows, other servers by path."""
    assert place_of(**changes).bucket_url == bucket_url


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("eu-central-1", "arn:aws:s3:::landing/exports/prod/*"),
        ("cn-north-1", "arn:aws-cn:s3:::landing/exports/prod/*"),
        ("us-gov-west-1", "arn:aws-us-gov:s3:::landing/exports/prod/*"),
    ],
)
def test_objects_have_an_arn(region: str, arn: str) -> None:
    """Policies name the objects by the partition of their region."""
    assert place_of(region=region).objects_arn == arn


def test_location_has_no_closing_slash() -> None:
    """The root reads as in REVERSE_ETL_STORE_URL, with a prefix and without."""
    assert place_of().location == "s3://landing/exports/prod"
    assert place_of(prefix="").location == "s3://landing"
    assert place_of(prefix="").key_of("a/b") == "a/b"


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"bucket": ""}, "REVERSE_ETL_STORE_URL"),
        ({"bucket": "a b"}, "REVERSE_ETL_STORE_URL"),
        ({"bucket": "a/b"}, "REVERSE_ETL_STORE_URL"),
        ({"bucket": "x--euc1-az1--x-s3"}, "directory bucket"),
        ({"prefix": "/a"}, "REVERSE_ETL_STORE_URL"),
        ({"prefix": "a/"}, "REVERSE_ETL_STORE_URL"),
        ({"prefix": "a//b"}, "REVERSE_ETL_STORE_URL"),
        ({"prefix": "../a"}, "REVERSE_ETL_STORE_URL"),
        ({"prefix": "a\nb"}, "REVERSE_ETL_STORE_URL"),
        ({"prefix": "a b"}, "without spaces"),
        ({"prefix": "a\u3000b"}, "without spaces"),
        ({"region": ""}, "REVERSE_ETL_S3_REGION"),
        ({"region": "eu central"}, "REVERSE_ETL_S3_REGION"),
        ({"endpoint_url": "127.0.0.1:9000"}, "REVERSE_ETL_S3_ENDPOINT_URL"),
        ({"endpoint_url": "ftp://x"}, "REVERSE_ETL_S3_ENDPOINT_URL"),
        ({"endpoint_url": "http://"}, "REVERSE_ETL_S3_ENDPOINT_URL"),
        ({"endpoint_url": "http://a b"}, "REVERSE_ETL_S3_ENDPOINT_URL"),
        ({"endpoint_url": "https://h:99999"}, "REVERSE_ETL_S3_ENDPOINT_URL"),
        ({"endpoint_url": "https://h?x=1"}, "REVERSE_ETL_S3_ENDPOINT_URL"),
        ({"endpoint_url": "https://me:canary-7@h"}, "REVERSE_ETL_S3_ENDPOINT_URL"),
        ({"encryption": "aws:kms:dsse"}, "REVERSE_ETL_S3_ENCRYPTION"),
        ({"kms_key_id": "arn:aws:kms:eu-central-1:1:key/k"}, "REVERSE_ETL_S3_KMS_KEY_ID"),
        ({"encryption": "aws:kms", "kms_key_id": "a b"}, "REVERSE_ETL_S3_KMS_KEY_ID"),
        ({"concurrency": 0}, "REVERSE_ETL_S3_CONCURRENCY"),
    ],
    ids=str,
)
def test_options_without_sense_are_refused(changes: dict[str, object], setting: str) -> None:
    """What cannot work is said before anything is asked, by the setting's name, without a password."""
    with pytest.raises(ConfigError, match=setting) as raised:
        place_of(**changes)

    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("name", ["a\x01b", "a\tb", "a\nb", "a\x7f"])
def test_control_characters_are_refused(name: str) -> None:
    """A listing in XML could not tell them, so no key has them."""
    with pytest.raises(TerminalError, match="control character"):
        place_of().key_of(name)


def test_key_is_no_longer_than_s3_takes() -> None:
    """A name that is good by itself may be too long below the prefix: the prefix is what to shorten."""
    place = place_of(prefix="p" * 200)

    assert len(place.key_of("/".join(["a" * 200] * 4))) == 1004
    with pytest.raises(TerminalError, match="REVERSE_ETL_STORE_URL"):
        place.key_of("/".join(["a" * 204] * 4) + "/12345")
