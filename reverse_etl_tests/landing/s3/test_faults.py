"""The map from what S3's clients raise to our errors: complete, and nothing of theirs passes it."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError, PermissionDeniedError
from urllib3.exceptions import NameResolutionError

from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.s3.advice import Action, Operation, Tried, explain
from reverse_etl.landing.s3.faults import Fault, Kind, read_answer, read_fault
from reverse_etl.landing.s3.options import S3Options
from reverse_etl.landing.s3.place import Place

PLACE = Place(S3Options(bucket="landing", prefix="exports/prod", region="eu-central-1"))
TRIED = Tried(attempts=3, seconds=12.4)


def say(fault: Fault, action: Action = Action.GET) -> str:
    return str(explain(fault, Operation(place=PLACE, action=action, name="a/b"), TRIED))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("action", Action)
def test_every_kind_has_its_words(kind: Kind, action: Action) -> None:
    """Whatever happens, whatever was being done: the error says where and what, and has no gaps."""
    error = explain(
        Fault(kind=kind, found="S3 answered 400 X"),
        Operation(place=PLACE, action=action, name="a/b"),
        TRIED,
    )

    assert isinstance(error, ReverseEtlError)
    assert type(error) is not ReverseEtlError
    assert "'a/b' in s3://landing/exports/prod" in str(error)
    assert "{" not in str(error)
    assert "None" not in str(error).replace("If-None-Match", "")


def test_every_kind_can_be_met() -> None:
    """No kind is left over that nothing is read as."""
    codes = (
        "SlowDown InternalError ConditionalRequestConflict ExpiredToken BadDigest PreconditionFailed "
        "NoSuchKey InvalidRange AccessDenied KMS.NotFoundException NoSuchBucket PermanentRedirect "
        "RequestTimeTooSkewed SignatureDoesNotMatch NotImplemented QuotaExceeded Anything"
    )

    met = {read_answer(400, code, "").kind for code in codes.split()}

    # From below HTTP, and from what is no answer of S3's: see the tests of errors.
    others = {Kind.UNRESOLVED, Kind.CERTIFICATE, Kind.STRANGER, Kind.UNREADABLE}
    assert met | others == set(Kind)


@given(text=st.text(min_size=1), status=st.sampled_from([400, 403, 404, 409, 500, 503]))
def test_no_text_of_an_answer_is_passed_on(text: str, status: int) -> None:
    """Of an answer, codes and places that look as they must are kept, and nothing else is."""
    canary = f"canary {text} canary"
    answer = (
        f"Generic S3 error: Error performing PUT http://h/b/k in 1ms - Server returned non-2xx status "
        f"code: {status} X: <Error><Code>{canary}</Code><Message>{canary} not authorized to perform: "
        f"{canary}</Message><Region>{canary}</Region><ServerTime>{canary}</ServerTime></Error>"
    )

    for error in (GenericError(answer), PermissionDeniedError(answer), FileNotFoundError(answer)):
        fault = read_fault(error)
        assert "canary" not in repr(fault)
        assert "canary" not in say(fault)


@given(text=st.text())
def test_any_text_of_a_client_is_read(text: str) -> None:
    """A client that changes its words is misunderstood, never broken over."""
    for error in (GenericError(text), GenericError(f"{text}\n\nDebug source:\n{text}")):
        assert say(read_fault(error))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url="http://canary"), Kind.AWAY),
        (ConnectionClosedError(endpoint_url="http://canary"), Kind.AWAY),
        (ReadTimeoutError(endpoint_url="http://canary"), Kind.AWAY),
        (SSLError(endpoint_url="http://canary", error="canary"), Kind.CERTIFICATE),
        (
            EndpointConnectionError(
                endpoint_url="http://canary",
                error=NameResolutionError("canary", None, OSError()),  # type: ignore[arg-type]
            ),
            Kind.UNRESOLVED,
        ),
        (ResponseParserError("canary"), Kind.STRANGER),
        (ParamValidationError(report="canary"), Kind.REFUSED),
        (ClientError({"Error": {"Code": "403", "Message": "canary"}}, "x"), Kind.REFUSED),
        (
            ClientError(
                {
                    "Error": {"Code": "AccessDenied", "Message": "canary"},
                    "ResponseMetadata": {"HTTPStatusCode": 403},
                },
                "x",
            ),
            Kind.DENIED,
        ),
        (ClientError({}, "x"), Kind.REFUSED),
    ],
    ids=str,
)
def test_the_other_client_is_read_alike(error: Exception, kind: Kind) -> None:
    """What boto raises means the same, and is passed on as little."""
    fault = read_fault(error)

    assert fault.kind is kind
    assert "canary" not in say(fault)


@pytest.mark.parametrize(
    ("code", "in_doubt"),
    [("InternalError", True), ("SlowDown", False), ("ConditionalRequestConflict", False)],
)
def test_only_a_server_in_trouble_leaves_doubt(code: str, in_doubt: bool) -> None:  # noqa: FBT001
    """A request that was turned away was not carried out; one that met a fault may have been."""
    assert read_answer(500, code, "").may_have_happened is in_doubt


def test_object_with_a_strange_name_misleads_nobody() -> None:
    """Words of the client in an object's name do not make another fault of it."""
    text = (
        "Object at location a not found: Error performing GET http://h/b/status%20code:%20503 in 1ms"
        " - Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchKey</Code></Error>"
    )

    assert read_fault(FileNotFoundError(text)).kind is Kind.ABSENT
