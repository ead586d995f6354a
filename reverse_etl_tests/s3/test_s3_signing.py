"""Who may come in: signatures, sessions, clocks, regions."""

import datetime as dt
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from reverse_etl_tests.identity.clock import Clock
from reverse_etl_tests.identity.sessions import PolicyRule, Session, SessionBook
from reverse_etl_tests.s3.clients import issue, make_boto3, make_obstore, put, refuse
from reverse_etl_tests.s3.server import S3Server
from reverse_etl_tests.s3.wire import send, send_signed, sign


def try_put(server: S3Server, session: Session, key: str = "own/x", **options: Any) -> Any:
    with closing(make_boto3(server, session=session)) as client:
        return refuse(lambda: put(client, key, **options))


def test_session_is_let_in(guarded: S3Server, book: SessionBook) -> None:
    """Temporary keys with their token sign like stored ones; the log says whose they were."""
    session = issue(book)
    with closing(make_boto3(guarded, session=session)) as client:
        put(client, "own/x")
    store = make_obstore(
        guarded,
        access_key_id=session.access_key_id,
        secret_access_key=session.secret_access_key,
        session_token=session.session_token,
    )

    assert bytes(store.get("own/x").bytes()) == b"1"
    assert {request.access_key_id for request in guarded.log} == {session.access_key_id}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"secret_access_key": "other"}, (403, "SignatureDoesNotMatch")),
        ({"access_key_id": "ASIAOTHER"}, (403, "InvalidAccessKeyId")),
        ({"session_token": "other"}, (400, "InvalidToken")),
        ({"session_token": None}, (403, "InvalidAccessKeyId")),
    ],
)
def test_keys_that_are_not_right_are_refused(
    guarded: S3Server, book: SessionBook, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    """Each part of the triple is looked at, and each has AWS' own error."""
    session = replace(issue(book), **change)

    assert try_put(guarded, session) == expected
    assert not guarded.objects


def test_owner_has_no_token(guarded: S3Server, book: SessionBook) -> None:
    """A token beside keys that need none is refused."""
    session = replace(
        issue(book),
        access_key_id=guarded.access_key_id,
        secret_access_key=guarded.secret_access_key,
    )

    assert try_put(guarded, session) == (400, "InvalidToken")


def test_session_ends_with_its_time(guarded: S3Server, book: SessionBook, clock: Clock) -> None:
    """From its last moment on a session is refused as expired."""
    session = issue(book, seconds=300)
    with closing(make_boto3(guarded, session=session)) as client:
        put(client, "own/x")

        clock.advance(301)

        assert refuse(lambda: put(client, "own/x")) == (400, "ExpiredToken")


@pytest.mark.parametrize("seconds", [-1000, 1000])
def test_clock_that_is_far_off_is_refused(seconds: int) -> None:
    """A quarter of an hour is what S3 puts up with."""
    clock = Clock()
    clock.advance(seconds)
    with S3Server(clock=clock) as server:
        assert send_signed(server, "GET", "/landing/x") == (403, "RequestTimeTooSkewed")
        clock.advance(-seconds / 2)
        assert send_signed(server, "GET", "/landing/x") == (404, "NoSuchKey")


def test_wrong_region_is_told_the_right_one(server: S3Server) -> None:
    """A signature for another region is malformed; boto3 takes the hint and comes again."""
    headers = sign(server, "GET", "/landing/x", region="us-west-2")
    assert send(server, "GET", "/landing/x", headers=headers) == (
        400,
        "AuthorizationHeaderMalformed",
    )

    with closing(make_boto3(server, region_name="us-west-2")) as client:
        put(client, "x")

    assert [request.status for request in server.log if request.operation == "PutObject"] == [
        400,
        200,
    ]


def test_bucket_of_another_region_is_elsewhere(server: S3Server, client: Any) -> None:
    """Its requests are sent away; boto3 takes the hint, and signs for that region."""
    server.create_bucket("far", region="us-west-2")

    assert send_signed(server, "GET", "/far/x") == (301, "PermanentRedirect")
    # There is no such region here: the second attempt is refused for its signature.
    assert refuse(lambda: client.get_object(Bucket="far", Key="x"))[0] == 400
    assert [request.status for request in server.log] == [301, 301, 400]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"authorization": None}, (403, "AccessDenied")),
        ({"authorization": "Basic eDp5"}, (400, "InvalidArgument")),
        ({"x-amz-date": None}, (403, "AccessDenied")),
        ({"x-amz-date": "yesterday"}, (403, "AccessDenied")),
        ({"x-amz-meta-new": "1"}, (403, "AccessDenied")),
        ({"x-amz-content-sha256": None}, (400, "InvalidRequest")),
        ({"x-amz-meta-kept": "changed"}, (403, "SignatureDoesNotMatch")),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, (403, "SignatureDoesNotMatch")),
    ],
)
def test_signed_request_that_was_changed_is_refused(
    server: S3Server, change: dict[str, str | None], expected: tuple[int, str]
) -> None:
    """A header that was added, removed or changed after signing lets nothing in."""
    signed = sign(server, "PUT", "/landing/x", body=b"1", headers={"x-amz-meta-kept": "1"})
    headers = {name.lower(): value for name, value in signed.items()} | change
    left = {name: value for name, value in headers.items() if value is not None}

    assert send(server, "PUT", "/landing/x", headers=left, body=b"1") == expected
    assert not server.objects


def test_path_query_method_and_body_are_signed(server: S3Server) -> None:
    """What was signed for one request is of no use for another."""
    signed = sign(server, "PUT", "/landing/x?x-id=PutObject", body=b"1")

    def try_(method: str, path: str, body: bytes = b"1") -> tuple[int, str]:
        return send(server, method, path, headers=signed, body=body)

    mismatch = (403, "SignatureDoesNotMatch")
    assert try_("PUT", "/landing/y?x-id=PutObject") == mismatch
    assert try_("PUT", "/landing/x") == mismatch
    assert try_("DELETE", "/landing/x?x-id=PutObject") == mismatch
    assert try_("PUT", "/landing/x?x-id=PutObject", b"2") == (400, "XAmzContentSHA256Mismatch")
    assert not server.objects
    assert try_("PUT", "/landing/x?x-id=PutObject") == (200, "")


@pytest.mark.parametrize(
    "credential",
    ["AKIA/20130524/eu-central-1/s3", "AKIA/20130524/eu-central-1/sts/aws4_request", "AKIA"],
)
def test_credential_of_another_form_is_malformed(server: S3Server, credential: str) -> None:
    """The scope has to be a day, this region, S3."""
    header = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={'0' * 64}"

    assert send(server, "GET", "/landing/x", headers={"authorization": header}) == (
        400,
        "AuthorizationHeaderMalformed",
    )


def test_day_of_the_scope_is_that_of_the_request(server: S3Server) -> None:
    """Keys of one day do not sign another's requests."""
    headers = sign(server, "GET", "/landing/x")
    headers["Authorization"] = headers["Authorization"].replace("/20", "/19", 1)

    assert send(server, "GET", "/landing/x", headers=headers) == (
        400,
        "AuthorizationHeaderMalformed",
    )


def test_nobody_is_asked_without_verification() -> None:
    """For benchmarks, any signature will do, and none."""
    with S3Server(verify=False) as server:
        assert send(server, "PUT", "/landing/x", headers={}, body=b"1") == (200, "")
        assert send(server, "GET", "/landing/no", headers={}) == (404, "NoSuchKey")


# The examples of AWS' own documentation of signed chunks, without and with a trailer.
CHUNKS = {
    "plain": (
        {
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "content-length": "66824",
        },
        (
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
            "x-amz-decoded-content-length;x-amz-storage-class"
        ),
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        (
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ),
        b"",
    ),
    "trailer": (
        {
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "x-amz-trailer": "x-amz-checksum-crc32c",
        },
        (
            "content-encoding;host;x-amz-content-sha256;x-amz-date;"
            "x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer"
        ),
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        (
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ),
        (
            b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
            b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n"
        ),
    ),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_signed_chunks_are_those_of_the_documentation(name: str) -> None:
    """Each chunk's signature continues from the one before; a changed byte breaks it."""
    extra, names, seed, signatures, trailer = CHUNKS[name]
    moment = dt.datetime(2013, 5, 24, tzinfo=dt.UTC)
    book = SessionBook()
    keys = Session(
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        session_token=None,
        expires_at=None,
        role_arn="arn:aws:iam::1:user/example",
        session_name="example",
        rules=(PolicyRule(actions=("s3:*",), resources=("*",)),),
    )
    book.add(keys)
    headers = {
        "Host": "s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "66560",
        **extra,
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
        f"aws4_request,SignedHeaders={names},Signature={seed}",
    }
    pieces = [b"a" * 65_536, b"a" * 1024, b""]

    def build(pieces: list[bytes]) -> bytes:
        lines = [
            b"%x;chunk-signature=%s\r\n%s" % (len(piece), signature.encode(), piece)
            for piece, signature in zip(pieces, signatures, strict=True)
        ]
        return b"\r\n".join(lines) + (trailer or b"\r\n")

    with S3Server(
        bucket="examplebucket", region="us-east-1", sessions=book, clock=lambda: moment
    ) as server:

        def try_(body: bytes) -> tuple[int, str]:
            return send(server, "PUT", "/examplebucket/chunkObject.txt", headers=headers, body=body)

        changed = [pieces[0], b"b" * 1024, b""]
        assert try_(build(changed)) == (403, "SignatureDoesNotMatch")
        if trailer:
            spoiled = build(pieces).replace(b"d81f82fc", b"00000000")
            assert try_(spoiled) == (403, "SignatureDoesNotMatch")
        assert not server.objects
        assert try_(build(pieces)) == (200, "")
        assert server.objects["chunkObject.txt"].body == b"".join(pieces)
