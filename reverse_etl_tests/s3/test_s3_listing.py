"""Listings and bulk deletes: order, pages, folders, names."""

from typing import Any

import pytest

from reverse_etl_tests.s3.checksums import compute_checksum
from reverse_etl_tests.s3.clients import make_obstore, refuse
from reverse_etl_tests.s3.server import S3Server
from reverse_etl_tests.s3.wire import send_signed

NAMES = ["s/a-x", "s/a.x", "s/a/x", "s/a/y", "s/aé", "s/a😀", "s/a\uffee", "s/b/z/1", "sa", "t"]


def fill(server: S3Server, names: list[str]) -> None:
    for name in names:
        server.put_object(name, name.encode())


def list_pages(client: Any, size: int, **options: Any) -> list[list[str]]:
    """Keys and, among them, common prefixes, page by page."""
    pager = client.get_paginator("list_objects_v2")
    pages = pager.paginate(Bucket="landing", PaginationConfig={"PageSize": size}, **options)
    return [
        [item["Prefix"] for item in page.get("CommonPrefixes", [])]
        + [item["Key"] for item in page.get("Contents", [])]
        for page in pages
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_listing_is_in_byte_order_on_any_page(server: S3Server, client: Any, size: int) -> None:
    """However it is cut into pages, a listing has every name of the prefix once, in order of UTF-8."""
    fill(server, NAMES)

    pages = list_pages(client, size, Prefix="s/a")

    expected = sorted((name for name in NAMES if name.startswith("s/a")), key=str.encode)
    assert [name for page in pages for name in page] == expected
    assert all(len(page) <= size for page in pages)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_delimiter_gathers_folders(server: S3Server, client: Any, size: int) -> None:
    """What lies below a delimiter is one common prefix, told once, counted as one."""
    fill(server, [*NAMES, *[f"s/c/{number}" for number in range(20)]])

    pages = list_pages(client, size, Prefix="s/", Delimiter="/")

    assert sorted([name for page in pages for name in page]) == sorted(
        ["s/a-x", "s/a.x", "s/a/", "s/aé", "s/a😀", "s/a\uffee", "s/b/", "s/c/"]
    )
    assert all(len(page) <= size for page in pages)


def test_obstore_lists_the_same(server: S3Server) -> None:
    """Both of obstore's listings see names and folders."""
    fill(server, NAMES)
    store = make_obstore(server)

    listed = store.list_with_delimiter("s")

    assert [item["path"] for item in store.list("s").collect()] == sorted(
        (name for name in NAMES if name.startswith("s/")), key=str.encode
    )
    assert list(listed["common_prefixes"]) == ["s/a", "s/b"]


def test_listing_follows_changes(server: S3Server, client: Any) -> None:
    """What was written, removed and written again since the last listing is in the next."""
    fill(server, ["b", "c"])
    assert list_pages(client, 10) == [["b", "c"]]
    server.delete_object("b")
    fill(server, ["a", "b", "b"])
    server.delete_object("c")

    assert list_pages(client, 10) == [["a", "b"]]


def test_page_goes_on_when_its_last_name_is_gone(server: S3Server, client: Any) -> None:
    """A token is a place, not a name that has to be there."""
    fill(server, ["a", "b", "c"])
    first = client.list_objects_v2(Bucket="landing", MaxKeys=2)
    server.delete_object("b")

    second = client.list_objects_v2(
        Bucket="landing", ContinuationToken=first["NextContinuationToken"]
    )

    assert [item["Key"] for item in second["Contents"]] == ["c"]


def test_listing_tells_what_there_is(server: S3Server, client: Any) -> None:
    """Size, etag and the kind of checksum stand beside each name; nothing is no error."""
    client.put_object(Bucket="landing", Key="x", Body=b"123", ChecksumAlgorithm="SHA256")

    (item,) = client.list_objects_v2(Bucket="landing")["Contents"]
    empty = client.list_objects_v2(Bucket="landing", Prefix="no", MaxKeys=0)

    assert (item["Size"], item["ETag"]) == (3, server.objects["x"].etag)
    assert item["ChecksumAlgorithm"] == ["SHA256"]
    assert (empty["KeyCount"], empty["IsTruncated"]) == (0, False)


def test_start_after_leaves_out(server: S3Server, client: Any) -> None:
    """Names up to the given one are passed over."""
    fill(server, ["a", "b", "c"])

    found = client.list_objects_v2(Bucket="landing", StartAfter="a", MaxKeys=1)

    assert [item["Key"] for item in found["Contents"]] == ["b"]
    assert found["IsTruncated"] is True


@pytest.mark.parametrize(
    "query",
    ["max-keys=x", "encoding-type=xml", "continuation-token=%C3%A9", "continuation-token=a"],
)
def test_nonsense_in_a_listing_is_refused(server: S3Server, query: str) -> None:
    """A limit, an encoding or a token that is none is an error."""
    path = f"/landing?list-type=2&{query}"

    assert send_signed(server, "GET", path) == (400, "InvalidArgument")


def test_bulk_delete_goes_key_by_key(server: S3Server, client: Any) -> None:
    """Each key is told as deleted, absent ones too; one that fails is told so and stays."""
    fill(server, ["a", "b", "c"])
    server.faults.fail_key("InternalError", key="^b$")

    answer = delete(client, ["a", "b", "absent"])

    assert [item["Key"] for item in answer["Deleted"]] == ["a", "absent"]
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("b", "InternalError")]
    assert list(server.objects) == ["b", "c"]
    assert "Deleted" not in delete(client, ["b"], quiet=True)


def test_bulk_delete_has_limits(server: S3Server, client: Any) -> None:
    """Over 1000 keys, a body that is no list, and a body without any checksum are refused."""
    assert refuse(lambda: delete(client, ["x"] * 1001)) == (400, "MalformedXML")
    assert send_signed(server, "POST", "/landing?delete", body=b"<x/>") == (400, "InvalidRequest")
    named = {"x-amz-checksum-crc32": compute_checksum("crc32", b"nonsense")}
    assert send_signed(server, "POST", "/landing?delete", body=b"nonsense", headers=named) == (
        400,
        "MalformedXML",
    )


def delete(client: Any, keys: list[str], *, quiet: bool = False) -> Any:
    listed = {"Objects": [{"Key": key} for key in keys], "Quiet": quiet}
    return client.delete_objects(Bucket="landing", Delete=listed)
