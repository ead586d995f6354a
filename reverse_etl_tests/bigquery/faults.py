"""What goes wrong, and when: faults that a test plans and requests use up."""

import re
import threading
from collections.abc import Callable
from typing import TypeVar

from reverse_etl_tests.bigquery.errors import ApiError, find_reason
from reverse_etl_tests.bigquery.fault_kinds import (
    Fault,
    Hook,
    JobFault,
    RestAction,
    RestFault,
    SessionFault,
    StreamAction,
    StreamFault,
)
from reverse_etl_tests.bigquery.permissions import Permissions

_Planned = TypeVar("_Planned", bound=Fault)


class FaultPlan:
    """The faults of a server. Every method but `deny` adds one and returns it.

    A fault has `hits` and `release()`. All take `times` (None: for good), `skip` (requests that match
    and are let pass first) and `before` (a function that is called when the fault strikes). Of several
    that match, the one planned first hits until it is used up.
    """

    def __init__(self) -> None:
        self.permissions = Permissions()
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def rest(
        self,
        *,
        operation: str | None = None,
        path: str = "",
        method: str | None = None,
        status: int | None = None,
        reason: str | None = None,
        message: str = "Error encountered during execution. Retrying may solve the problem.",
        action: RestAction = "answer",
        retry_after_seconds: int | None = None,
        delay_seconds: float = 0.0,
        times: int | None = 1,
        skip: int = 0,
        before: Hook | None = None,
    ) -> RestFault:
        """Spoil REST requests of an `operation` (`jobs.insert`), a `method`, or a `path` (a pattern).

        `action`: `answer` with an error (503 backendError unless `status` or `reason` say otherwise)
        instead of doing it; `drop` the connection instead of doing it; `drop_after`: do it, then drop
        the connection instead of answering; `garbage`: do it and answer what is no JSON; `pass`: do it
        (for `before` and `delay_seconds`).
        """
        reason = reason or find_reason(status or 503)
        return self._add(
            RestFault(
                operation=operation,
                path=path,
                method=method,
                action=action,
                error=ApiError(reason, message, status=status),
                retry_after_seconds=retry_after_seconds,
                delay_seconds=delay_seconds,
                times=times,
                skip=skip,
                before=before,
            )
        )

    def job(
        self,
        *,
        match: str = "",
        slow_seconds: float = 0.0,
        hold: bool = False,
        pending: bool = False,
        reason: str | None = None,
        message: str = "An internal error occurred and the request could not be completed.",
        drop_table: bool = False,
        cache_hit: bool = False,
        slot_ms: int | None = None,
        times: int | None = 1,
        skip: int = 0,
        before: Hook | None = None,
    ) -> JobFault:
        """Spoil query jobs whose id matches `match` (a regular expression); a dry run is none.

        The job stays RUNNING (PENDING with `pending`) for `slow_seconds`, or with `hold` until
        `fault.release()`; then `before` is called, and it fails with `reason` if that is given.
        `drop_table`: it is DONE and its destination is gone. `cache_hit` and `slot_ms` are what its
        statistics say, the latter while it runs too.
        """
        return self._add(
            JobFault(
                match=match,
                slow_seconds=slow_seconds,
                hold=hold,
                pending=pending,
                error=None if reason is None else ApiError(reason, message),
                drop_table=drop_table,
                cache_hit=cache_hit,
                slot_ms=slot_ms,
                times=times,
                skip=skip,
                before=before,
            )
        )

    def session(
        self,
        *,
        code: str | None = None,
        message: str = "there was an error creating the session",
        retry_delay_seconds: float | None = None,
        lifetime_seconds: float | None = None,
        times: int | None = 1,
        skip: int = 0,
        before: Hook | None = None,
    ) -> SessionFault:
        """Spoil CreateReadSession: answer with gRPC status `code` (`RESOURCE_EXHAUSTED`), or make a session.

        `lifetime_seconds` is how long the session lives, by the server's clock. With `before`, the
        table can change between its job and the session.
        """
        return self._add(
            SessionFault(
                code=code,
                message=message,
                retry_delay_seconds=retry_delay_seconds,
                lifetime_seconds=lifetime_seconds,
                times=times,
                skip=skip,
                before=before,
            )
        )

    def stream(
        self,
        code: str = "UNAVAILABLE",
        *,
        message: str = "the stream was broken by a test",
        after_rows: int = 0,
        action: StreamAction = "status",
        stream: int | None = None,
        retry_delay_seconds: float | None = None,
        times: int | None = 1,
        skip: int = 0,
        before: Hook | None = None,
    ) -> StreamFault:
        """Spoil one reading of a stream (of the stream numbered `stream`) when it has sent `after_rows` rows.

        `action`: `status`: end with gRPC status `code`, with RetryInfo if `retry_delay_seconds` is
        given (`INTERNAL` with the message `Received RST_STREAM with error code 2` is what Google's
        client resumes after); `end` as if it were all; `expire` the session, now and from then on;
        `stall`: send nothing more until `fault.release()` or the caller leaves; `reset` the TCP
        connections; `truncated_batch`, `corrupt_batch`: a message whose Arrow bytes are cut short or
        garbled; `corrupt_message`: bytes that are no message.
        """
        return self._add(
            StreamFault(
                code=code,
                message=message,
                after_rows=after_rows,
                action=action,
                stream=stream,
                retry_delay_seconds=retry_delay_seconds,
                times=times,
                skip=skip,
                before=before,
            )
        )

    def deny(self, permission: str, *, resource: str = "", times: int | None = None) -> None:
        """Take a permission away (`bigquery.tables.create`), on resources whose name contains `resource`.

        Names are those of errors: `project:dataset.table`, `project:dataset`, or the project.
        """
        self.permissions.deny(permission, resource=resource, times=times)

    def clear(self) -> None:
        """Forget every fault and denial; let go of what they hold."""
        with self._lock:
            faults, self._faults = self._faults, []
        self.permissions.clear()
        for fault in faults:
            fault.release()

    def find_rest(self, operation: str, method: str, path: str) -> RestFault | None:
        """The fault of a request, if it has one; it strikes."""
        found = self._find(
            RestFault,
            lambda it: (
                it.operation in {None, operation}
                and it.method in {None, method}
                and re.search(it.path, path) is not None
            ),
        )
        if found is not None:
            found.strike()
        return found

    def find_job(self, job_id: str) -> JobFault | None:
        """The fault of a job, if it has one; it strikes when the job ends."""
        return self._find(JobFault, lambda it: re.search(it.match, job_id) is not None)

    def find_session(self) -> SessionFault | None:
        """The fault of a session, if it has one; it strikes."""
        found = self._find(SessionFault, lambda _: True)
        if found is not None:
            found.strike()
        return found

    def find_stream(self, index: int) -> StreamFault | None:
        """The fault of one reading of a stream, if it has one; it strikes when its rows are sent."""
        return self._find(StreamFault, lambda it: it.stream in {None, index})

    def _add(self, fault: _Planned) -> _Planned:
        with self._lock:
            self._faults.append(fault)
        return fault

    def _find(self, kind: type[_Planned], matches: Callable[[_Planned], bool]) -> _Planned | None:
        with self._lock:
            candidates = (it for it in self._faults if isinstance(it, kind) and matches(it))
            return next((it for it in candidates if it.take()), None)
