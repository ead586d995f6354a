"""What happens to a request before it is answered: faults, identity, policy, effect."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from reverse_etl_tests.s3.buckets import Bucket
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.fault_kinds import Fault
from reverse_etl_tests.s3.faults import FaultPlan
from reverse_etl_tests.s3.http import Connection
from reverse_etl_tests.s3.log import Counts, LoggedRequest, hide_secrets
from reverse_etl_tests.s3.messages import MalformedRequestError, Request, Response
from reverse_etl_tests.s3.operations import Context, spoil_object
from reverse_etl_tests.s3.permissions import Permissions
from reverse_etl_tests.s3.routes import OPERATIONS, name_operation

_CONTROL = "/-/"


@dataclass(slots=True, kw_only=True)
class State:
    """What a server holds. `verify` sets a request's caller, or is None: nobody is asked who they are.

    `bugs` are errors that no client is to blame for.
    """

    buckets: dict[str, Bucket]
    permissions: Permissions
    faults: FaultPlan
    verify: Callable[[Request], None] | None
    region: str
    delay_seconds: float = 0.0
    counts: Counts = field(default_factory=Counts)
    log: deque[LoggedRequest] = field(default_factory=deque)
    bugs: list[Exception] = field(default_factory=list)


class S3Service:
    """Answers the requests of all connections of one server, in its loop."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: set[Connection] = set()
        self.emptied = asyncio.Event()
        self.emptied.set()

    def open(self, connection: Connection) -> None:
        """Count a client."""
        self._state.counts.connections += 1
        self.connections.add(connection)
        self.emptied.clear()

    def close(self, connection: Connection) -> None:
        """Forget a client."""
        self.connections.discard(connection)
        if not self.connections:
            self.emptied.set()

    def reset_connections(self) -> None:
        """Reset every connection."""
        for connection in list(self.connections):
            connection.reset()

    def begin(self, request: Request) -> None:
        """Count a request as being answered."""
        if not request.path.startswith(_CONTROL):
            self._state.counts.begin()

    def end(self, request: Request) -> None:
        """Count it as answered."""
        if not request.path.startswith(_CONTROL):
            self._state.counts.end()

    def serve(self, connection: Connection, request: Request) -> None:
        """Answer a request, as the plan of faults has it."""
        if request.path.startswith(_CONTROL):
            connection.answer(request, self._control(request), "-")
            return
        refusal = _resolve(request)
        if refusal is None and not self._state.faults.is_empty:
            fault = self._state.faults.find(
                operation=request.operation, method=request.method, key=request.key
            )
            if fault is not None:
                task = asyncio.get_running_loop().create_task(
                    self._serve_spoiled(connection, request, fault)
                )
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
        response = self._perform(request) if refusal is None else refusal
        if self._state.delay_seconds:
            asyncio.get_running_loop().call_later(
                self._state.delay_seconds, self._answer, connection, request, response
            )
        else:
            self._answer(connection, request, response)

    async def _serve_spoiled(self, connection: Connection, request: Request, fault: Fault) -> None:
        try:
            await self._spoil(connection, request, fault)
        except Exception as error:  # noqa: BLE001 - such as one of the test's own `before`
            self._state.bugs.append(error)
            connection.reset()

    async def _spoil(self, connection: Connection, request: Request, fault: Fault) -> None:
        if fault.before is not None:
            await asyncio.to_thread(fault.before)
        response = Response(status=0)
        if not fault.after:
            await fault.hold()
        if fault.after or fault.action == "pass":
            response = self._perform(request)
        if fault.after:
            await fault.hold()
        if response.status // 100 == 2:
            self._spoil_effect(request, fault)
        match fault.action:
            case "answer":
                assert fault.error is not None
                self._answer(connection, request, self._refuse(request, fault.error))
            case "reset":
                self._log(request, Response(status=0))
                connection.reset()
            case "cut":
                self._log(request, response)
                head, *body = response.encode(request, self._make_id())
                kept = len(head) + fault.cut_bytes
                connection.cut(b"".join([head, *body])[:kept])
            case "pass":
                await asyncio.sleep(self._state.delay_seconds)
                self._answer(connection, request, response)

    def _spoil_effect(self, request: Request, fault: Fault) -> None:
        bucket = self._state.buckets[request.bucket]
        stored = bucket.objects.get(request.key)
        if stored is None:
            return
        if fault.flip_place is not None:
            bucket.objects[request.key] = spoil_object(stored, fault.flip_place)
        if fault.loses_object:
            bucket.forget(request.key)

    def _perform(self, request: Request) -> Response:
        """Have an operation's effect and return its answer, or that of the error."""
        try:
            return self._operate(request)
        except S3Error as error:
            return self._refuse(request, error)
        except MalformedRequestError as error:
            return self._refuse(request, S3Error("IncompleteBody", str(error)))
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and asks no second time
            self._state.bugs.append(error)
            told = f"The server of the tests broke: {error!r}"
            return self._refuse(request, S3Error("ServerOfTheTestsBroke", told, status=501))

    def _operate(self, request: Request) -> Response:
        faults = self._state.faults
        if not faults.is_empty and faults.is_over_limit(request.key):
            raise S3Error("SlowDown")
        if self._state.verify is not None:
            self._state.verify(request)
        operate = OPERATIONS.get(request.operation)
        if operate is None:
            raise S3Error("NotImplemented", "This server of the tests does not do that.")
        return operate(self._make_context(request), request)

    def _make_context(self, request: Request) -> Context:
        bucket = self._state.buckets.get(request.bucket)
        if bucket is None:
            raise S3Error(
                "NoSuchBucket",
                "The specified bucket does not exist",
                details={"BucketName": request.bucket},
            )
        if bucket.region != self._state.region:
            raise S3Error(
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint. "
                "Please send all future requests to this endpoint.",
                details={"Endpoint": f"s3.{bucket.region}.amazonaws.com", "Bucket": bucket.name},
                headers={"x-amz-bucket-region": bucket.region},
            )
        permissions = self._state.permissions
        if self._state.verify is not None:
            permissions.check(
                request.caller,
                request.operation,
                bucket=bucket.name,
                key=request.key,
                prefix=request.query.get("prefix", ""),
            )
        return Context(bucket=bucket, permissions=permissions, spoils=self._state.faults)

    def _answer(self, connection: Connection, request: Request, response: Response) -> None:
        self._log(request, response)
        self._state.counts.bytes_out += connection.answer(request, response, self._make_id())

    def _refuse(self, request: Request, error: S3Error) -> Response:
        headers = {"Content-Type": "application/xml", **error.headers}
        body = error.to_xml(request_id=f"{next(self._ids):016X}")
        if request.method == "HEAD":
            body = b""
        return Response(status=error.status, headers=headers, body=body, code=error.code)

    def _log(self, request: Request, response: Response) -> None:
        counts = self._state.counts
        counts.operations[request.operation] += 1
        counts.statuses[response.status] += 1
        counts.bytes_in += len(request.body)
        if self._state.log.maxlen == 0:
            return
        caller = request.caller
        self._state.log.append(
            LoggedRequest(
                operation=request.operation,
                method=request.method,
                bucket=request.bucket,
                key=request.key,
                query=request.query,
                status=response.status,
                code=response.code,
                bytes_in=len(request.body),
                access_key_id="" if caller is None else caller.access_key_id,
                headers=hide_secrets(request.headers),
            )
        )

    def _control(self, request: Request) -> Response:
        if request.path == "/-/counts":
            told = json.dumps(self._state.counts.as_dict()).encode()
            return Response(headers={"Content-Type": "application/json"}, body=told)
        if request.path == "/-/reset" and request.method == "POST":
            in_flight = self._state.counts.in_flight
            self._state.counts = Counts(in_flight=in_flight)
            return Response(status=204)
        return Response(status=404)

    def _make_id(self) -> str:
        return f"{next(self._ids):016X}"


def _resolve(request: Request) -> Response | None:
    try:
        request.resolve()
    except S3Error as error:
        body = error.to_xml(request_id="-")
        return Response(status=error.status, body=body, code=error.code)
    request.operation = name_operation(request)
    return None
