"""jobs.insert, get, cancel, list, query, getQueryResults."""

import time
from collections.abc import Mapping
from typing import Any

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.clock import to_millis
from reverse_etl_tests.bigquery.errors import ApiError, not_found
from reverse_etl_tests.bigquery.jobs import Job
from reverse_etl_tests.bigquery.rest.paging import cut_page
from reverse_etl_tests.bigquery.rest.rows import encode_page
from reverse_etl_tests.bigquery.schema import describe_fields

_Strings = Mapping[str, str]
_DEFAULT_WAIT_MS = 10_000
# The longest that an answer is held back here, so that a server which closes need not wait for it.
_LONGEST_WAIT_SECONDS = 5.0


def insert(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """Begin a query job; of a dry run the whole answer."""
    del query
    backend.catalog.check_project(path["project"])
    return backend.jobs.insert(body).as_resource()


def upload(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """Begin a load job whose content comes with it, in one request."""
    backend.catalog.check_project(path["project"])
    if query.get("uploadType") != "multipart":
        raise ApiError("notImplemented", "The server of the tests takes multipart uploads alone")
    return backend.jobs.insert(body["resource"], content=body["content"]).as_resource()


def get(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """A job as it is now."""
    del body
    return _find(backend, path, query).as_resource()


def cancel(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """Ask a job to end."""
    del body
    backend.catalog.check_project(path["project"])
    job = backend.jobs.cancel(path["job"], location=query.get("location"))
    return {"kind": "bigquery#jobCancelResponse", "job": job.as_resource()}


def list_all(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """Jobs, latest first; `configuration` is there with `projection=full` alone."""
    del body
    backend.catalog.check_project(path["project"])
    everybody = query.get("allUsers", "").lower() == "true"
    permission = "bigquery.jobs.listAll" if everybody else "bigquery.jobs.list"
    backend.faults.permissions.check(permission, path["project"])
    own = backend.jobs.user
    seen = [job for job in backend.jobs.by_id.values() if everybody or job.user_email == own]
    chosen = [job for job in reversed(seen) if _is_asked(job, query)]
    page, following = cut_page(chosen, query, default=1000)
    items = [_describe_item(job, full=query.get("projection") == "full") for job in page]
    return {"kind": "bigquery#jobList", "jobs": items} | following


def get_query_results(backend: Backend, path: _Strings, query: _Strings, body: Any) -> Any:
    """Wait for a job as long as asked, then its first rows; a failed job's error."""
    del body
    job = _find(backend, path, query)
    wait = min(float(query.get("timeoutMs") or _DEFAULT_WAIT_MS) / 1000, _LONGEST_WAIT_SECONDS)
    return _answer(backend, job, query, wait_seconds=wait)


def query(backend: Backend, path: _Strings, query: _Strings, body: Any) -> Any:
    """jobs.query: insert a job, wait for it, and answer its first rows."""
    del query
    backend.catalog.check_project(path["project"])
    kept = ("query", "useQueryCache", "queryParameters", "parameterMode", "defaultDataset")
    configuration: dict[str, Any] = {"query": {name: body[name] for name in kept if name in body}}
    if "maximumBytesBilled" in body:
        configuration["query"]["maximumBytesBilled"] = body["maximumBytesBilled"]
    configuration |= {name: body[name] for name in ("labels", "dryRun") if name in body}
    job = backend.jobs.insert(
        {"configuration": configuration, "jobReference": {"location": body.get("location")}}
    )
    wait = min(float(body.get("timeoutMs") or _DEFAULT_WAIT_MS) / 1000, _LONGEST_WAIT_SECONDS)
    options = {
        "maxResults": str(body.get("maxResults") or ""),
        "formatOptions.useInt64Timestamp": "true",
    }
    return _answer(backend, job, options, wait_seconds=wait)


def get_service_account(backend: Backend, path: _Strings, query: _Strings, body: Any) -> Any:
    """The e-mail address of the project's service account."""
    del query, body
    backend.catalog.check_project(path["project"])
    return {"kind": "bigquery#getServiceAccountResponse", "email": "bq@example.com"}


def _find(backend: Backend, path: _Strings, query: _Strings) -> Job:
    backend.catalog.check_project(path["project"])
    return backend.jobs.get(path["job"], location=query.get("location"))


def _is_asked(job: Job, query: _Strings) -> bool:
    state = query.get("stateFilter")
    created = to_millis(job.created_at)
    return (
        (state is None or job.state.lower() == state.lower())
        and created >= int(query.get("minCreationTime") or 0)
        and created <= int(query.get("maxCreationTime") or created)
    )


def _describe_item(job: Job, *, full: bool) -> dict[str, Any]:
    described = job.as_resource()
    described["state"] = job.state
    if job.error is not None:
        described["errorResult"] = job.error.as_result()
    if not full:
        del described["configuration"]
    return described


def _answer(backend: Backend, job: Job, query: _Strings, *, wait_seconds: float) -> Any:
    until = time.monotonic() + wait_seconds
    while not job.dry_run and not job.done.wait(0.05) and time.monotonic() < until:
        if backend.jobs.closing:
            break
    answer: dict[str, Any] = {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": job.reference,
        "jobComplete": job.state == "DONE",
    }
    if job.state != "DONE":
        return answer
    if job.error is not None:
        raise job.error
    statistics = job.statistics["query"]
    answer |= {
        "totalBytesProcessed": statistics["totalBytesProcessed"],
        "cacheHit": statistics["cacheHit"],
        "schema": {"fields": describe_fields(job.plan.schema) if job.plan else []},
    }
    if job.dry_run or job.destination is None:
        return answer | {"totalRows": "0"}
    table = backend.catalog.find_table(job.destination["datasetId"], job.destination["tableId"])
    if table is None:
        raise not_found(
            "Table",
            f"{job.project}:{job.destination['datasetId']}.{job.destination['tableId']}",
        )
    return encode_page(table.rows, query, around=answer)
