"""The way in: an S3 on loopback, and what a test does to it directly."""

import asyncio
import datetime as dt
import ssl
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from reverse_etl_tests.s3.buckets import Bucket, StoredObject
from reverse_etl_tests.s3.checksums import compute_md5
from reverse_etl_tests.s3.faults import FaultPlan
from reverse_etl_tests.s3.http import Connection
from reverse_etl_tests.s3.identities import Sessions, make_owner, utc_now
from reverse_etl_tests.s3.log import Counts, LoggedRequest
from reverse_etl_tests.s3.permissions import Permissions
from reverse_etl_tests.s3.service import S3Service, State
from reverse_etl_tests.s3.signing import Verifier

_T = TypeVar("_T")

BUCKET = "landing"
REGION = "eu-central-1"


class S3Server:
    """An S3 of one region, serving from construction until `close` (or the end of `with`).

    `endpoint` is its address; buckets are named in the path. `access_key_id` and
    `secret_access_key` may do everything; the keys of `sessions` what their rules, or
    `permissions.by_role`, allow. Without `verify` nobody is asked who they are. `tls`: `ca_file` is
    what clients have to trust. `faults` plans what goes wrong, `log` holds what was asked (nothing
    with `keep_log=False`), `counts` how much of it. `delay_seconds` comes before each answer and holds
    up no other. `has_md5_etags` is a bucket's; a loop other than asyncio's own is for `process`.
    """

    access_key_id = "AKIATESTTESTTESTTEST"
    secret_access_key = "test/secret+of/the+owner"

    def __init__(
        self,
        *,
        bucket: str = BUCKET,
        region: str = REGION,
        tls: bool = False,
        versioned: bool = False,
        verify: bool = True,
        sessions: Sessions | None = None,
        delay_seconds: float = 0.0,
        keep_log: bool = True,
        has_md5_etags: bool = True,
        port: int = 0,
        clock: Callable[[], dt.datetime] = utc_now,
        make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self.bucket = bucket
        self.region = region
        self.faults = FaultPlan(clock=clock)
        self.permissions = Permissions()
        self._clock = clock
        self._has_md5_etags = has_md5_etags
        verifier = Verifier(
            region=region,
            owner=make_owner(self.access_key_id, self.secret_access_key),
            sessions=sessions,
            clock=clock,
        )
        self._state = State(
            buckets={},
            permissions=self.permissions,
            faults=self.faults,
            verify=verifier.verify if verify else None,
            region=region,
            delay_seconds=delay_seconds,
            log=deque(maxlen=None if keep_log else 0),
        )
        self.create_bucket(bucket, versioned=versioned)
        self._folder = tempfile.TemporaryDirectory(prefix="s3-") if tls else None
        context = None if self._folder is None else self._make_context(Path(self._folder.name))
        self._service = S3Service(self._state)
        self._loop = make_loop()
        self._loop.set_exception_handler(self._note_bug)
        try:
            self._listener = self._loop.run_until_complete(self._listen(port, context))
        except BaseException:
            self._loop.close()
            raise
        self.port: int = self._listener.sockets[0].getsockname()[1]
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._loop.run_forever, name="S3 of the tests")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"S3Server({self.endpoint}, bucket={self.bucket!r})"

    def close(self) -> None:
        """End every connection and the loop. Raises if the server itself broke meanwhile."""
        if self._loop.is_closed():
            return
        self.faults.clear()
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        if self._folder is not None:
            self._folder.cleanup()
        if self._state.bugs:
            raise RuntimeError("The S3 of the tests broke.") from self._state.bugs[0]

    @property
    def ca_file(self) -> Path | None:
        """The certificate that clients have to trust; None without TLS."""
        return None if self._folder is None else Path(self._folder.name, "ca.pem")

    @property
    def log(self) -> tuple[LoggedRequest, ...]:
        """Every request that was answered or reset, in order."""
        return tuple(self._state.log)

    @property
    def counts(self) -> Counts:
        """How much was asked so far."""
        return self._state.counts

    @property
    def operations(self) -> Counter[str]:
        """How often each operation was asked."""
        return Counter(self._state.counts.operations)

    @property
    def delay_seconds(self) -> float:
        """How long each answer waits. Requests wait side by side."""
        return self._state.delay_seconds

    @delay_seconds.setter
    def delay_seconds(self, seconds: float) -> None:
        self._state.delay_seconds = seconds

    @property
    def objects(self) -> Mapping[str, StoredObject]:
        """The present objects of the first bucket, by key."""
        return self._state.buckets[self.bucket].objects

    def get_bucket(self, name: str) -> Bucket:
        """A bucket as the server holds it."""
        return self._state.buckets[name]

    def create_bucket(
        self, name: str, *, region: str | None = None, versioned: bool = False
    ) -> Bucket:
        """A new bucket. One of another region answers nothing but where it is."""
        bucket = Bucket(
            name,
            region=region or self.region,
            versioned=versioned,
            clock=self._clock,
            has_md5_etags=self._has_md5_etags,
        )
        self._state.buckets[name] = bucket
        return bucket

    def put_object(self, key: str, body: bytes) -> None:
        """Put an object into the first bucket, past all faults."""
        stored = StoredObject(
            body=body, etag=f'"{compute_md5(body).hex()}"', modified_at=self._clock()
        )
        self._call(lambda: self._state.buckets[self.bucket].put(key, stored))

    def delete_object(self, key: str) -> None:
        """Remove an object of the first bucket, past all faults."""
        self._call(lambda: self._state.buckets[self.bucket].delete(key))

    def reset_connections(self) -> None:
        """Reset every connection there is."""
        self._call(self._service.reset_connections)

    def _call(self, change: Callable[[], _T]) -> _T:
        """Have the loop do it, between two requests."""

        async def do() -> _T:
            return change()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result()

    async def _listen(self, port: int, context: ssl.SSLContext | None) -> asyncio.Server:
        return await self._loop.create_server(
            lambda: Connection(self._service), "127.0.0.1", port, ssl=context, backlog=1024
        )

    async def _stop(self) -> None:
        if isinstance(self._loop, asyncio.SelectorEventLoop):
            await self._drop_all(self._loop)
        else:
            # uvloop ends what is in the middle of a TLS handshake when it is closed itself.
            self._listener.close()
            self._service.reset_connections()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._service.emptied.wait()
        await asyncio.sleep(0)

    async def _drop_all(self, loop: asyncio.SelectorEventLoop) -> None:
        # Whoever was let in a moment ago has no transport before the loop's next turn; asyncio does not
        # survive it if the listener is closed by then.
        for listening in self._listener.sockets:
            loop.remove_reader(listening.fileno())
        await asyncio.sleep(0)
        self._listener.close()
        # Those in the middle of a TLS handshake included: only the loop knows of them.
        for transport in list(vars(loop)["_transports"].values()):
            transport.abort()

    def _note_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        # Clients may leave in the middle of anything, and so may the server.
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._state.bugs.append(error)

    def _make_context(self, folder: Path) -> ssl.SSLContext:
        # A quarter of a second of imports that plain HTTP does without.
        import trustme  # noqa: PLC0415

        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context
