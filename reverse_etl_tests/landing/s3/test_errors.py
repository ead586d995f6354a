"""What S3 refuses, as the person reads it who has to mend it: every message by the real answer."""

import datetime as dt
from collections.abc import Callable, Iterator

import pytest

from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.landing.s3.store import S3Store
from reverse_etl_tests.identity.sessions import PolicyRule, Session, SessionBook
from reverse_etl_tests.landing.s3.calls import CALLS, any_call, fail
from reverse_etl_tests.landing.s3.scenes import (
    PREFIX,
    open_store,
    session_credentials,
)
from reverse_etl_tests.s3.server import BUCKET, S3Server

OBJECTS = f"arn:aws:s3:::{BUCKET}/{PREFIX}/*"
BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"
KMS_KEY = "arn:aws:kms:eu-central-1:111122223333:key/k"


@any_call
def test_missing_bucket(server: S3Server, call: Callable[[S3Store], object]) -> None:
    """A bucket that is not there is never a missing object: its name and the setting are said."""
    with open_store(server, bucket="nowhere") as store:
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "there is no bucket 'nowhere'" in str(error)
    assert "REVERSE_ETL_STORE_URL" in str(error)


@any_call
def test_region_that_the_signature_names_is_wrong(
    server: S3Server, call: Callable[[S3Store], object]
) -> None:
    """S3 says which region it expected, and the message says what to set."""
    with open_store(server, region="us-east-1") as store:
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "REVERSE_ETL_S3_REGION=eu-central-1" in str(error)


@any_call
def test_bucket_is_in_another_region(server: S3Server, call: Callable[[S3Store], object]) -> None:
    """A redirect that says nothing is asked about once more: where the bucket is, is found out."""
    server.create_bucket("elsewhere", region="ap-south-1")

    with open_store(server, bucket="elsewhere") as store:
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "REVERSE_ETL_S3_REGION=ap-south-1" in str(error)


@pytest.mark.parametrize("is_reset", ["answered", "reset"])
def test_redirect_that_stays_silent(server: S3Server, store: S3Store, is_reset: str) -> None:
    """When nobody says where the bucket is, the message does not guess."""
    server.faults.answer("PermanentRedirect", status=301, operation="PutObject")
    if is_reset == "reset":
        server.faults.reset(operation="HeadBucket")
    else:
        server.faults.answer("InternalError", operation="HeadBucket")

    error = fail(CALLS["put"], store)

    assert "S3 did not say where" in str(error)


@pytest.fixture
def book() -> SessionBook:
    return SessionBook()


@pytest.fixture
def guarded(book: SessionBook) -> Iterator[S3Server]:
    """A server that knows the sessions of `book`."""
    with S3Server(sessions=book) as server:
        yield server


def issue(book: SessionBook, *actions: str, resource: str = "*") -> Session:
    """A session that may do these actions."""
    rules = (PolicyRule(actions=actions, resources=(resource,)),) if actions else ()
    return book.issue(role_arn="arn:aws:iam::123456789012:role/r", session_name="s", rules=rules)


@pytest.mark.parametrize(
    ("name", "allowed", "permission", "resource"),
    [
        ("put", ["s3:GetObject"], "s3:PutObject", OBJECTS),
        ("put_if_absent", ["s3:GetObject"], "s3:PutObject", OBJECTS),
        ("get", ["s3:PutObject"], "s3:GetObject", OBJECTS),
        ("list", ["s3:GetObject"], "s3:ListBucket", BUCKET_ARN),
        ("folders", ["s3:GetObject"], "s3:ListBucket", BUCKET_ARN),
        ("delete", ["s3:GetObject"], "s3:DeleteObject", OBJECTS),
        ("sweep", ["s3:GetObject"], "s3:ListBucketMultipartUploads", BUCKET_ARN),
    ],
)
def test_denied_action_is_named(
    guarded: S3Server,
    book: SessionBook,
    name: str,
    allowed: list[str],
    permission: str,
    resource: str,
) -> None:
    """Of each call the action and the ARN are named that the role's policy lacks."""
    session = issue(book, *allowed)

    with open_store(guarded, credentials=lambda: session_credentials(session)) as store:
        error = fail(CALLS[name], store)

    assert isinstance(error, ConfigError)
    assert f"{permission} on {resource}" in str(error)
    assert "no identity-based policy" in str(error)
    condition = f"s3:prefix like '{PREFIX}/*'"
    assert (condition in str(error)) is (permission == "s3:ListBucket")


def test_absent_object_without_the_right_to_list(guarded: S3Server, book: SessionBook) -> None:
    """S3 hides what is not there from whoever may not list: the message says which right that is."""
    session = issue(book, "s3:GetObject", "s3:PutObject")

    with open_store(guarded, credentials=lambda: session_credentials(session)) as store:
        store.put("a", b"1")
        assert store.get("a") == b"1"
        error = fail(lambda store: store.get("absent"), store)

    assert f"s3:ListBucket on {BUCKET_ARN}" in str(error)


def test_prefix_that_was_not_given_to_the_role(guarded: S3Server, book: SessionBook) -> None:
    """A store below another prefix than the role's fails by its first write, with the setting's name."""
    session = issue(book, "s3:PutObject", resource=OBJECTS)

    with open_store(
        guarded, credentials=lambda: session_credentials(session), prefix="exports/other"
    ) as store:
        error = fail(CALLS["put"], store)

    assert "s3:PutObject on arn:aws:s3:::landing/exports/other/*" in str(error)
    assert "REVERSE_ETL_STORE_URL names the prefix" in str(error)


def test_explicit_deny_is_said(server: S3Server, store: S3Store) -> None:
    """Which kind of policy denies it is passed on; who asked is not."""
    message = (
        "User: arn:aws:sts::1:assumed-role/r/canary is not authorized to perform: s3:PutObject on "
        'resource: "arn:aws:s3:::b/k" with an explicit deny in a resource-based policy'
    )
    server.faults.answer("AccessDenied", status=403, message=message)

    error = fail(CALLS["put"], store)

    assert "with an explicit deny in a resource-based policy" in str(error)


@pytest.mark.parametrize("key", [KMS_KEY, None])
def test_kms_key_that_is_denied(server: S3Server, key: str | None) -> None:
    """A KMS key's refusal is told from S3's own: the key and both actions are named."""
    message = f"User: u is not authorized to perform: kms:GenerateDataKey on resource: {KMS_KEY}"
    server.faults.answer("AccessDenied", status=403, message=message)
    encryption = {} if key is None else {"encryption": "aws:kms", "kms_key_id": key}

    with open_store(server, **encryption) as store:
        error = fail(CALLS["put"], store)

    assert isinstance(error, ConfigError)
    assert "kms:GenerateDataKey and kms:Decrypt" in str(error)
    assert (f"key {KMS_KEY}" if key else "the KMS key of the bucket") in str(error)


def test_kms_key_that_is_disabled(server: S3Server, store: S3Store) -> None:
    """Whatever KMS' own codes are, the key is what to look at."""
    server.faults.answer("KMS.DisabledException", status=400)

    assert "see that the key is enabled" in str(fail(CALLS["get"], store))


@any_call
def test_clock_that_is_wrong(call: Callable[[S3Store], object]) -> None:
    """The clock is named, and what S3's says."""
    later = dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC)

    with S3Server(clock=lambda: later) as server, open_store(server) as store:
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "clock" in str(error)
    assert "2031-05-06T07:08:09Z" in str(error)


@any_call
def test_secret_that_is_wrong(server: S3Server, call: Callable[[S3Store], object]) -> None:
    """A signature that does not fit is the secret's fault or a proxy's; no secret is quoted."""
    keys = session_credentials(
        Session(
            access_key_id=server.access_key_id,
            secret_access_key="canary-of-a-secret",
            session_token=None,
            expires_at=None,
            role_arn="",
            session_name="",
        )
    )

    with open_store(server, credentials=lambda: keys) as store:
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "AWS_SECRET_ACCESS_KEY" in str(error)


@pytest.mark.parametrize(
    ("code", "status", "kind", "advice"),
    [
        ("NotImplemented", 501, ConfigError, "If-None-Match"),
        ("XMinioStorageFull", 507, TerminalError, "the store is full"),
        ("EntityTooLarge", 400, TerminalError, "400 EntityTooLarge"),
        ("InvalidRequest", 400, TerminalError, "400 InvalidRequest"),
        ("MethodNotAllowed", 405, TerminalError, "405 MethodNotAllowed"),
        ("InvalidObjectState", 403, TerminalError, "403 InvalidObjectState"),
        ("AllAccessDisabled", 403, ConfigError, "s3:PutObject"),
        ("AuthorizationHeaderMalformed", 400, ConfigError, "REVERSE_ETL_S3_REGION"),
        ("InvalidBucketName", 400, ConfigError, "REVERSE_ETL_STORE_URL"),
    ],
)
def test_refusal_is_said_by_its_code(
    server: S3Server, store: S3Store, code: str, status: int, kind: type[Exception], advice: str
) -> None:
    """Other refusals are not tried again, and are said by S3's own code."""
    server.faults.answer(code, status=status, message="canary of a message")

    error = fail(CALLS["put"], store)

    assert type(error) is kind
    assert advice in str(error)
    assert f"{status} {code}" in str(error)
    assert server.operations["PutObject"] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusal_without_a_code(server: S3Server, store: S3Store, status: int) -> None:
    """An answer that is not in S3's words may be a proxy's: it is said to have no code."""
    server.faults.answer("<html>canary</html>", status=status)

    assert "without a code" in str(fail(CALLS["put"], store))


def test_error_of_one_key_among_many(server: S3Server, store: S3Store) -> None:
    """When S3 refuses to remove one of many, the call fails, by the action that is missing."""
    for name in "abc":
        store.put(name, b"")
    server.faults.fail_key("AccessDenied", key="b", times=None)

    error = fail(lambda store: store.delete("abc"), store)

    assert isinstance(error, ConfigError)
    assert f"s3:DeleteObject on {OBJECTS}" in str(error)
    assert "'a' and 2 others" in str(error)


def test_errors_show_no_body(server: S3Server, store: S3Store) -> None:
    """No byte of an object reaches an error, whatever went wrong with it."""
    server.faults.answer("BadDigest", times=None, message="canary")

    error = fail(lambda store: store.put("a", b"canary"), store)

    assert "canary" not in repr(error)
