"""Links to where a version lies."""

from urllib.parse import parse_qs, urlsplit

import pytest

from reverse_etl.components.links import build_console_url, describe_place, is_amazon
from reverse_etl.settings import Settings

VERSION = "s3://exports/prod/user_stats/dt=2026-11-20/2026-11-20.01m7zyybjg9fh1e9/"
CLOUD = Settings(s3_region="eu-central-1", store_url="s3://exports/prod")


def test_version_in_s3_opens_in_the_console() -> None:
    """The page lists the version's objects, in the bucket's region."""
    (name, link), *rest = describe_place(VERSION, CLOUD).items()

    url = urlsplit(str(link.value))
    asked = parse_qs(url.query)
    assert (name, rest) == ("open_in_s3", [])
    assert url.netloc == "eu-central-1.console.aws.amazon.com"
    assert url.path == "/s3/buckets/exports"
    assert asked["prefix"] == ["prod/user_stats/dt=2026-11-20/2026-11-20.01m7zyybjg9fh1e9/"]
    assert asked["region"] == ["eu-central-1"]


@pytest.mark.parametrize(
    ("region", "host"),
    [("cn-north-1", "console.amazonaws.cn"), ("us-gov-west-1", "console.amazonaws-us-gov.com")],
)
def test_other_parts_of_aws_have_other_consoles(region: str, host: str) -> None:
    """A link to the public console would show nothing there."""
    assert urlsplit(build_console_url("exports", "", region=region)).netloc == host


def test_directory_is_a_path() -> None:
    """It can be copied; what a URL escapes is written as it is."""
    (place,) = describe_place("file:///srv/my%20store/user_stats/", None).items()

    assert place[0] == "folder"
    assert place[1].value == "/srv/my store/user_stats/"


def test_server_of_ones_own_has_no_console() -> None:
    """A link that leads nowhere is worse than none."""
    own = Settings(s3_region="eu-central-1", s3_endpoint_url="https://s3.example.com")

    assert describe_place(VERSION, own) == {}
    assert describe_place(VERSION, None) == {}
    assert describe_place("memory://", CLOUD) == {}


def test_endpoint_inside_a_vpc_is_amazon() -> None:
    """It is the same S3, at the same prices, by another door."""
    inside = Settings(s3_endpoint_url="https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com")

    assert is_amazon(VERSION, inside)
    assert not is_amazon("file:///srv/store", inside)
