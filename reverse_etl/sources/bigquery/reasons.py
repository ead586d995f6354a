"""What BigQuery answers, as our errors: by its reason, else by the HTTP status.

The message is read by `messages`, never repeated: it may quote a literal of the query, or a row.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reverse_etl.errors import (
    ConfigError,
    ConflictError,
    DataError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.sources.bigquery.messages import (
    explain_query,
    explain_stop,
    find_access,
    find_location,
    find_numbers,
    find_place,
    find_resource,
)

#: How to get credentials, for every message that needs it.
LOGIN = (
    "Locally: gcloud auth application-default login. On Google Cloud: attach a service account. "
    "Elsewhere: set GOOGLE_APPLICATION_CREDENTIALS to a workload identity configuration."
)

# The predefined role to ask for, by the beginning of the permission; the longest that fits counts.
# https://cloud.google.com/iam/docs/roles-permissions/bigquery
_READER = (
    "roles/bigquery.dataViewer on the dataset (roles/bigquery.dataEditor on the staging dataset)"
)
_EDITOR = "roles/bigquery.dataEditor on the staging dataset"
_ROLES: Mapping[str, str] = {
    "bigquery.jobs.create": "roles/bigquery.jobUser on the project",
    "bigquery.jobs.": "roles/bigquery.resourceViewer on the project",
    # Of other people's jobs; everybody may cancel their own.
    "bigquery.jobs.update": "roles/bigquery.admin on the project, or a role with this permission alone,",
    "bigquery.readsessions.": "roles/bigquery.readSessionUser on the project",
    "bigquery.datasets.": _READER,
    "bigquery.tables.get": _READER,
    "bigquery.tables.": _EDITOR,
    "bigquery.routines.": "roles/bigquery.dataViewer on the dataset",
    "bigquery.connections.": "roles/bigquery.connectionUser on the connection",
    "bigquery.rowAccessPolicies.": "a row access policy of the table that names the pipeline",
    "datacatalog.": "roles/datacatalog.categoryFineGrainedReader on the policy tag",
    "serviceusage.": "roles/serviceusage.serviceUsageConsumer on the project",
    "storage.": "roles/storage.objectViewer on the bucket of the external table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What BigQuery answered, and what was being done: `reading the staging dataset`."""

    reason: str
    message: str
    action: str
    status: int | None = None

    def __repr__(self) -> str:
        return f"Answer(reason={self.label!r})"

    @property
    def label(self) -> str:
        """Reason and status in brackets; only a plain word passes as a reason."""
        parts = [self.reason] if re.fullmatch(r"[A-Za-z]{1,40}", self.reason) else []
        parts += [] if self.status is None else [f"HTTP {int(self.status)}"]
        return f" ({', '.join(parts)})" if parts else ""


def map_answer(answer: Answer) -> ReverseEtlError:
    """Our error for an answer of the API."""
    by_status = _map_request if answer.status is None else _find_by_status(answer.status)
    return _BY_REASON.get(answer.reason, by_status)(answer)


def map_job_failure(result: Mapping[str, Any], *, url: str) -> ReverseEtlError:
    """Our error for a job's `errorResult`; the job's page shows what is not repeated here."""
    answer = Answer(
        reason=str(result.get("reason") or ""),
        message=str(result.get("message") or ""),
        action="running the query",
    )
    map_it = _BY_REASON_OF_A_JOB.get(answer.reason) or _BY_REASON.get(answer.reason, _map_row)
    error = map_it(answer)
    return type(error)(f"{error.message} The job: {url}")


def find_role(permission: str) -> str | None:
    """The predefined role that grants a permission, and where to grant it."""
    fitting = [start for start in _ROLES if permission.startswith(start)]
    return _ROLES[max(fitting, key=len)] if fitting else None


def _map_passing(answer: Answer) -> ReverseEtlError:
    return TransientError(
        f"While {answer.action}: BigQuery is busy, over a quota or in trouble{answer.label}. Run again; "
        "if it stays so, look at the project's quotas and at status.cloud.google.com."
    )


def _map_login(answer: Answer) -> ReverseEtlError:
    return ConfigError(f"While {answer.action}: Google does not accept the credentials. {LOGIN}")


def _map_disabled(answer: Answer) -> ReverseEtlError:
    return ConfigError(
        f"While {answer.action}: the BigQuery API is not enabled in the project. Enable it: gcloud "
        "services enable bigquery.googleapis.com bigquerystorage.googleapis.com"
    )


def _map_billing(answer: Answer) -> ReverseEtlError:
    return ConfigError(
        f"While {answer.action}: the project has no billing account. Link one to it."
    )


def _map_absence(answer: Answer) -> ReverseEtlError:
    what = find_resource(answer.message) or "what was asked for"
    location = find_location(answer.message)
    where = f" in location {location}" if location else ""
    return ConfigError(
        f"While {answer.action}: {what} was not found{where}. Check its name and project, and the "
        "location: a query runs in one, REVERSE_ETL_BIGQUERY_LOCATION or else the staging dataset's, "
        "and finds only tables that lie there."
    )


def _map_refusal(answer: Answer) -> ReverseEtlError:
    if "VPC Service Controls" in answer.message or "organization's policy" in answer.message:
        return ConfigError(
            f"While {answer.action}: a policy of the organisation forbids the request (VPC Service "
            "Controls). Ask whoever keeps the perimeter to let the pipeline in."
        )
    if "has not been used in project" in answer.message:
        return _map_disabled(answer)
    access = find_access(answer.message)
    on = f" on {access.resource}" if access.resource else ""
    if access.permission is None:
        return ConfigError(
            f"While {answer.action}: access was denied{on}. docs/bigquery.md lists the roles that are "
            "needed."
        )
    role = find_role(access.permission)
    cure = f"Grant {role} to the pipeline's account" if role else "Grant a role that has it"
    return ConfigError(
        f"While {answer.action}: permission {access.permission}{on} is missing, or there is no such "
        f"thing. {cure}, or correct the name."
    )


def _map_price(answer: Answer) -> ReverseEtlError:
    numbers = find_numbers(answer.message)
    counts = f" ({numbers[0]:,} bytes; {numbers[1]:,} are needed)" if numbers[1:] else ""
    return ConfigError(
        "The query would bill more than REVERSE_ETL_BIGQUERY_MAX_BYTES_BILLED allows"
        f"{counts}. Nothing was paid. Let it read less, or raise the limit."
    )


def _map_conflict(answer: Answer) -> ReverseEtlError:
    return ConflictError(
        f"While {answer.action}: it exists already, or somebody changed it meanwhile. Run again."
    )


def _map_size(answer: Answer) -> ReverseEtlError:
    return ConfigError(
        f"While {answer.action}: the query sorts, groups or joins more than BigQuery can hold in one "
        f"place, or its result is too large{answer.label}. Split up or simplify the query."
    )


def _map_request(answer: Answer) -> ReverseEtlError:
    said = explain_query(answer.message)
    if said is not None:
        return ConfigError(f"BigQuery cannot run the query. {said}")
    return ConfigError(
        f"While {answer.action}: BigQuery refused the request{answer.label}"
        f"{find_place(answer.message)}. Its message is not repeated here, for it may quote values; "
        "BigQuery's console shows it."
    )


def _map_row(answer: Answer) -> ReverseEtlError:
    stop = explain_stop(answer.message)
    if stop is None:
        return ConfigError(
            f"The query stopped{answer.label}. BigQuery's message is not repeated here, for it may "
            "quote rows; the job's page shows it."
        )
    return DataError(
        f"{stop}, and the query stopped. Mend the rows, or use SAFE_CAST, SAFE_DIVIDE and their like "
        "in the query. The job's page shows the value to those who may see it."
    )


def _map_stop(answer: Answer) -> ReverseEtlError:
    if "timed out" in answer.message:
        return ConfigError(
            "The query ran longer than REVERSE_ETL_BIGQUERY_JOB_TIMEOUT_SECONDS and was cancelled. Make "
            "it cheaper, or raise the limit."
        )
    # Not to be retried: whoever stopped it, a person or a guard around the bill, meant it.
    return TerminalError(
        "The query's job was cancelled. If it was not you, ask who did, and why, before you run it "
        "again."
    )


Handler = Callable[[Answer], ReverseEtlError]
# https://cloud.google.com/bigquery/docs/error-messages
_BY_REASON: Mapping[str, Handler] = {
    "backendError": _map_passing,
    "badGateway": _map_passing,
    "internalError": _map_passing,
    "jobBackendError": _map_passing,
    "jobInternalError": _map_passing,
    "jobRateLimitExceeded": _map_passing,
    "rateLimitExceeded": _map_passing,
    "quotaExceeded": _map_passing,
    "resourceInUse": _map_passing,
    "tableUnavailable": _map_passing,
    "authError": _map_login,
    "invalidUser": _map_login,
    "accessNotConfigured": _map_disabled,
    "SERVICE_DISABLED": _map_disabled,
    "billingNotEnabled": _map_billing,
    "notFound": _map_absence,
    "accessDenied": _map_refusal,
    "bytesBilledLimitExceeded": _map_price,
    "duplicate": _map_conflict,
    "conditionNotMet": _map_conflict,
    "billingTierLimitExceeded": _map_size,
    "resourcesExceeded": _map_size,
    "responseTooLarge": _map_size,
}
_BY_REASON_OF_A_JOB: Mapping[str, Handler] = {
    "stopped": _map_stop,
    "timeout": _map_stop,
    "invalid": _map_row,
    "invalidQuery": _map_row,
}
_BY_STATUS: Mapping[int, Handler] = {
    401: _map_login,
    403: _map_refusal,
    404: _map_absence,
    408: _map_passing,
    409: _map_conflict,
    412: _map_conflict,
    429: _map_passing,
    499: _map_passing,  # the call was cancelled on its way
    501: _map_request,
}
_FIRST_SERVER_ERROR = 500


def _find_by_status(status: int) -> Handler:
    otherwise = _map_passing if status >= _FIRST_SERVER_ERROR else _map_request
    return _BY_STATUS.get(status, otherwise)
