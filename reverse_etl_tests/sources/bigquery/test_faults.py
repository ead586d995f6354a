"""Every error of Google's clients is one of ours, in the group that says what to do next."""

import inspect
from collections.abc import Iterator

import grpc
import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import (
    ConfigError,
    ConflictError,
    DataError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.sources.bigquery import reasons
from reverse_etl.sources.bigquery.faults import FOREIGN, map_error, map_faults
from reverse_etl.sources.bigquery.reasons import Answer, find_role, map_answer, map_job_failure
from reverse_etl_tests.sources.bigquery.scene import CANARY, explain_all

URL = "https://console.cloud.google.com/bigquery?j=x"


def list_classes(*modules: object) -> Iterator[type[Exception]]:
    """Every exception that the modules define and a call of ours can raise."""
    for module in modules:
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, FOREIGN):
                yield found


def build(kind: type[Exception]) -> Exception:
    if issubclass(kind, api.RetryError):
        return kind(CANARY, cause=api.ServiceUnavailable(CANARY))
    if issubclass(kind, requests.exceptions.JSONDecodeError):
        return kind(CANARY, CANARY, 0)
    return kind(CANARY)


@pytest.mark.parametrize(
    "kind", list(list_classes(api, auth, requests.exceptions)), ids=lambda kind: kind.__qualname__
)
def test_every_exception_is_mapped(kind: type[Exception]) -> None:
    """None is left out, and none brings its text along."""
    error = map_error(build(kind), action="testing")

    assert isinstance(error, (ConfigError, TransientError, ConflictError))
    assert CANARY not in explain_all(error)


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=str)
def test_every_grpc_status_is_mapped(code: grpc.StatusCode) -> None:
    """Each code is an error of ours, by what can be done about it."""
    passing = {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DATA_LOSS,
    }

    error = map_error(api.from_grpc_status(code, CANARY), action="testing")

    if code in passing:
        assert type(error) is TransientError
    assert CANARY not in explain_all(error)


def test_bare_grpc_error_is_mapped_by_its_code() -> None:
    """What a channel raises by itself, without the client around it."""
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/x")(b"", timeout=5)

        error = map_error(caught.value, action="testing")

    assert type(error) is TransientError
    assert "HTTP 503" in str(error)


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (auth.DefaultCredentialsError("x"), ConfigError, "gcloud auth application-default login"),
        (auth.RefreshError("x"), ConfigError, "have run out"),
        (auth.RefreshError("x", retryable=True), TransientError, "login service"),
        (auth.TransportError("x"), TransientError, "login service"),
        (requests.exceptions.SSLError("x"), ConfigError, "TLS"),
        (requests.exceptions.JSONDecodeError("x", "", 0), ConfigError, "does not speak BigQuery"),
        (requests.exceptions.InvalidURL("x"), ConfigError, "REVERSE_ETL_BIGQUERY_ENDPOINT"),
        (requests.exceptions.ConnectTimeout("x"), TransientError, "ConnectTimeout"),
        (requests.exceptions.ConnectionError("x"), TransientError, "Check the network"),
        (api.Unauthorized("x"), ConfigError, "does not accept the credentials"),
        (api.TooManyRequests("x"), TransientError, "HTTP 429"),
        (api.BadGateway("x"), TransientError, "HTTP 502"),
        (api.MethodNotImplemented("x"), ConfigError, "HTTP 501"),
        (api.Conflict("x"), ConflictError, "exists already"),
        (api.PreconditionFailed("x"), ConflictError, "somebody changed it"),
    ],
)
def test_clients_errors_say_what_to_do(
    error: Exception, expected: type[ReverseEtlError], said: str
) -> None:
    """Fix, retry, or look: each has its group, and its cure."""
    mapped = map_error(error, action="testing")

    assert type(mapped) is expected
    assert said in str(mapped)


def test_error_behind_given_up_retries_counts() -> None:
    """Which error was met again and again, not that it was."""
    error = api.RetryError(
        "x", cause=api.Forbidden("Access Denied: permission bigquery.jobs.create")
    )

    assert "roles/bigquery.jobUser" in str(map_error(error, action="testing"))


def test_mapped_error_has_no_cause() -> None:
    """Dagster stores whole chains: what was foreign stays behind."""
    with pytest.raises(TransientError, match="While testing") as caught, map_faults("testing"):
        raise api.ServiceUnavailable(CANARY)

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert CANARY not in explain_all(caught.value)


def test_mistake_of_ours_passes_as_it_is() -> None:
    """Only what the clients raise on purpose is mapped."""
    with pytest.raises(KeyError), map_faults("testing"):
        raise KeyError("a mistake")


@pytest.mark.parametrize(
    ("reason", "status", "expected"),
    [
        ("accessDenied", 403, ConfigError),
        ("quotaExceeded", 403, TransientError),
        ("rateLimitExceeded", 403, TransientError),
        ("rateLimitExceeded", 429, TransientError),
        ("backendError", 503, TransientError),
        ("internalError", 500, TransientError),
        ("tableUnavailable", 400, TransientError),
        ("notFound", 404, ConfigError),
        ("invalidQuery", 400, ConfigError),
        ("bytesBilledLimitExceeded", 400, ConfigError),
        ("billingNotEnabled", 403, ConfigError),
        ("accessNotConfigured", 403, ConfigError),
        ("resourcesExceeded", 400, ConfigError),
        ("duplicate", 409, ConflictError),
        ("neverHeardOf", 418, ConfigError),
        ("", 500, TransientError),
    ],
)
def test_reason_decides(reason: str, status: int, expected: type[ReverseEtlError]) -> None:
    """The reason before the status, and the status where there is no known reason."""
    answer = Answer(reason=reason, message=CANARY, status=status, action="testing")

    error = map_answer(answer)

    assert type(error) is expected
    assert CANARY not in explain_all(error)
    assert CANARY not in repr(answer)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "Not found: Dataset p:d was not found in location EU",
            "Dataset p:d was not found in location EU",
        ),
        ("Not found: Table p:d.t", "Table p:d.t was not found."),
        ("Not found: Project no-such", "Project no-such was not found."),
    ],
)
def test_absence_names_what_is_absent(message: str, said: str) -> None:
    """A dataset in another location looks like one that does not exist: both are said."""
    error = map_answer(Answer(reason="notFound", message=message, status=404, action="testing"))

    assert said in str(error)
    assert "REVERSE_ETL_BIGQUERY_LOCATION" in str(error)


def test_cap_is_told_with_both_numbers() -> None:
    """What is allowed and what is needed."""
    message = "Query exceeded limit for bytes billed: 5000000. 10485760 or higher required."

    error = map_answer(Answer(reason="bytesBilledLimitExceeded", message=message, action="testing"))

    assert "(5,000,000 bytes; 10,485,760 are needed)" in str(error)
    assert "REVERSE_ETL_BIGQUERY_MAX_BYTES_BILLED" in str(error)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "VPC Service Controls: Request is prohibited by organization's policy.",
            "VPC Service Controls",
        ),
        (
            "BigQuery API has not been used in project 1 before or it is disabled.",
            "gcloud services enable",
        ),
    ],
)
def test_refusal_that_is_no_missing_role_says_so(message: str, said: str) -> None:
    """Not every 403 is cured by a role."""
    error = map_answer(Answer(reason="forbidden", message=message, status=403, action="testing"))

    assert said in str(error)


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        ("bigquery.jobs.create", "roles/bigquery.jobUser"),
        ("bigquery.readsessions.create", "roles/bigquery.readSessionUser"),
        ("bigquery.tables.getData", "roles/bigquery.dataViewer"),
        ("bigquery.tables.updateData", "roles/bigquery.dataEditor"),
        ("datacatalog.categories.fineGrainedGet", "roles/datacatalog.categoryFineGrainedReader"),
        ("bigquery.unheard.of", None),
    ],
)
def test_role_grants_the_permission(permission: str, role: str | None) -> None:
    """The narrowest predefined role, and where it is granted."""
    found = find_role(permission)

    assert found is None if role is None else role in str(found)


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("stopped", "Job execution was cancelled: Job timed out after 2 sec", ConfigError),
        ("timeout", "Operation timed out after 6.0 hours.", ConfigError),
        ("stopped", "Job execution was cancelled: User requested cancellation", TerminalError),
        ("invalidQuery", "Bad int64 value: x", DataError),
        ("invalidQuery", "x", ConfigError),
        ("invalid", "x", ConfigError),
        ("jobBackendError", "x", TransientError),
        ("bytesBilledLimitExceeded", "x", ConfigError),
        ("", "x", ConfigError),
        ("neverHeardOf", "x", ConfigError),
    ],
)
def test_failed_job_says_what_to_do(
    reason: str, message: str, expected: type[ReverseEtlError]
) -> None:
    """Its group, and its page in the console."""
    error = map_job_failure({"reason": reason, "message": message}, url=URL)

    assert type(error) is expected
    assert str(error).endswith(f"The job: {URL}")


REASONS = st.sampled_from([*reasons._BY_REASON, *reasons._BY_REASON_OF_A_JOB, "", "neverHeardOf"])
BEGINNINGS = st.sampled_from(
    ["", "Bad int64 value: ", "Unrecognized name: ", "Syntax error: Unexpected ", "Error: "]
)
ROWS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(lambda it: f"§{it}§")


@given(REASONS, BEGINNINGS, ROWS)
def test_failed_job_never_quotes_a_row(reason: str, beginning: str, value: str) -> None:
    """Whatever the reason, and however the message begins: the row's value is not in the error."""
    result = {"reason": reason, "message": f"{beginning}{value}", "location": value}

    error = map_job_failure(result, url=URL)

    assert "§" not in explain_all(error)


@given(ROWS)
def test_reason_itself_is_not_trusted(value: str) -> None:
    """A reason is a plain word, or it is not shown."""
    error = map_answer(Answer(reason=value, message=value, status=400, action="testing"))

    assert "§" not in explain_all(error)
