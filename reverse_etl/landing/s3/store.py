"""The object store on S3: obstore carries the data, with retries, back-off and errors of our own."""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from reverse_etl.errors import ConflictError, NotFoundError, TerminalError
from reverse_etl.landing.s3.advice import Action, Operation
from reverse_etl.landing.s3.clients import Clients, Timeouts
from reverse_etl.landing.s3.control import Control, Upload, find_region, open_control
from reverse_etl.landing.s3.faults import Kind
from reverse_etl.landing.s3.limiter import Limiter
from reverse_etl.landing.s3.options import S3Options
from reverse_etl.landing.s3.place import Place
from reverse_etl.landing.s3.retry import AnsweredError, Retrier, RetryPolicy
from reverse_etl.landing.store import (
    StoredObject,
    check_folder,
    check_listing_span,
    check_name,
    check_range,
)
from reverse_etl.model import AwsCredentials

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, SuffixRange

Result = TypeVar("Result")

# S3 removes as many in one request.
_BATCH = 1000
# Metadata that tells a conditional write of ours from another's of the same bytes.
_WRITE_ID = "write-id"
_METADATA_NAME = re.compile(r"[a-z0-9_-]{1,128}")
_METADATA_VALUE = re.compile(r"[\x20-\x7e]{0,1024}")
_ABSENT = frozenset({Kind.ABSENT})
_NOTHING = frozenset({Kind.ABSENT, Kind.BEYOND})
_REFUSALS = frozenset({Kind.PRECONDITION, Kind.ABSENT})
_ETAG = re.compile(r"[\x21-\x7e]{1,1024}")


class S3Store:
    """Objects below a prefix of a bucket.

    `credentials` is asked up to ten times a second, so it has to keep them until they are to be renewed.
    `timeouts` and `retries` are for tests and slow lines.
    """

    def __init__(
        self,
        options: S3Options,
        credentials: Callable[[], AwsCredentials],
        *,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._place = Place(options)
        self._credentials = credentials
        self._timeouts = timeouts or Timeouts()
        self._clients = Clients(self._place, credentials, self._timeouts)
        self.limiter = Limiter(options.concurrency)
        self._retrier = Retrier(
            self.limiter,
            retries or RetryPolicy(),
            find_region=partial(find_region, self._place, credentials, self._timeouts),
        )

    def __repr__(self) -> str:
        return f"S3Store({self.location!r})"

    @property
    def location(self) -> str:
        """`s3://bucket/prefix`."""
        return self._place.location

    @property
    def concurrency(self) -> int:
        """A call is spent waiting: as many as were configured; slow-downs make them wait in turn."""
        return self._place.options.concurrency

    @property
    def keeps_checksums(self) -> bool:
        """S3 holds every body against its SHA-256 before it answers, and lists etags."""
        return True

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        """Write an object whole and return its etag; `metadata` becomes `x-amz-meta-*`."""
        key = self._key(name)
        if metadata:
            _check_metadata(name, metadata)
        return self._run(Action.PUT, name, lambda: self._clients.put(key, body, metadata=metadata))

    def put_if_absent(self, name: str, body: bytes) -> str:
        """Create an object and return its etag, or raise `ConflictError`."""
        return self._put_if(name, body, mode="create", refusal="exists already")

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        """Replace the object that still has `etag`, or raise `ConflictError`."""
        refusal = "was changed or removed meanwhile"
        if not _ETAG.fullmatch(etag):
            check_name(name)
            raise ConflictError(f"Object '{name}' {refusal}.")  # none of S3's: no object has it
        return self._put_if(name, body, mode={"e_tag": etag}, refusal=refusal)

    def get(self, name: str) -> bytes:
        """An object's bytes, or `NotFoundError`."""
        return self.get_with_etag(name)[0]

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        """An object's bytes and etag, or `NotFoundError`."""
        body, etag, _ = self._get(name)
        return body, etag

    def get_range(self, name: str, *, start: int, length: int) -> bytes:
        """Some of an object's bytes, or `NotFoundError`."""
        check_range(start, length)
        return self._get_range(name, (start, start + length))

    def get_tail(self, name: str, *, length: int) -> bytes:
        """An object's last bytes, or `NotFoundError`."""
        check_range(0, length)
        return self._get_range(name, {"suffix": length})

    def list_objects(
        self, prefix: str, *, after: str | None = None, until: str | None = None
    ) -> Iterator[StoredObject]:
        """Objects by prefix, in order of names; a page at a time, as the caller takes them.

        What lies there under a name that is none of ours (`check_name`) is passed over.
        """
        return self._list(check_listing_span(prefix, after, until), after=after, until=until)

    def list_folders(self, prefix: str) -> list[str]:
        """The distinct next path elements that have objects below."""
        parent = self._place.root + check_folder(prefix)
        keys = self._run(
            Action.LIST, prefix, lambda: self._clients.list_folders(parent.removesuffix("/"))
        )
        names = (key.removeprefix(parent) for key in keys)
        return sorted(name for name in names if _is_ours(name))

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects, a thousand a request; absent ones are no error."""
        remaining = iter(names)
        while batch := list(dict.fromkeys(islice(remaining, _BATCH))):
            keys = [self._key(name) for name in batch]
            self._run(
                Action.DELETE,
                batch[0],
                partial(self._clients.delete, keys),
                others=len(batch) - 1,
            )

    def sweep_unfinished(self, folder: str, *, older_than_seconds: float, now: float) -> int:
        """Abort uploads in parts that were begun so long ago; return how many."""
        swept = 0
        with open_control(self._place, self._credentials, self._timeouts) as control:
            for upload in list(self._list_uploads(control, check_folder(folder))):
                if now - upload.initiated_at >= older_than_seconds:
                    name = upload.key.removeprefix(self._place.root)
                    swept += self._run(Action.ABORT_UPLOAD, name, partial(control.abort, upload))
        return swept

    def flush(self) -> None:
        """Nothing to do: what S3 has answered for is durable."""

    def stop(self) -> None:
        """Have the calls under way end with their present attempt; from any thread."""
        self._retrier.stop()

    def close(self) -> None:
        """Let go of connections; the store is not used afterwards."""
        self.__dict__.pop("_clients", None)

    def _key(self, name: str) -> str:
        return self._place.key_of(check_name(name))

    def _run(
        self,
        action: Action,
        name: str,
        request: Callable[[], Result],
        *,
        answers: frozenset[Kind] = frozenset(),
        others: int = 0,
    ) -> Result:
        operation = Operation(place=self._place, action=action, name=name, others=others)
        return self._retrier.run(operation, request, answers=answers)

    def _get(self, name: str) -> tuple[bytes, str, Mapping[str, str]]:
        key = self._key(name)
        try:
            return self._run(Action.GET, name, lambda: self._clients.get(key), answers=_ABSENT)
        except AnsweredError:
            raise self._explain_absent(name) from None

    def _get_range(self, name: str, span: "tuple[int, int] | SuffixRange") -> bytes:
        key = self._key(name)
        try:
            return self._run(
                Action.GET, name, lambda: self._clients.get_range(key, span), answers=_NOTHING
            )
        except AnsweredError as answer:
            kind = answer.fault.kind
        if kind is Kind.BEYOND:
            return b""  # S3 has no range of nothing
        raise self._explain_absent(name)

    def _explain_absent(self, name: str) -> NotFoundError:
        return NotFoundError(f"There is no object '{name}' in {self.location}.")

    def _put_if(self, name: str, body: bytes, *, mode: "PutMode", refusal: str) -> str:
        key = self._key(name)
        write_id = secrets.token_hex(8)
        metadata = {_WRITE_ID: write_id}
        try:
            return self._run(
                Action.PUT,
                name,
                lambda: self._clients.put(key, body, metadata=metadata, mode=mode),
                answers=_REFUSALS,
            )
        except AnsweredError as answer:
            in_doubt = answer.in_doubt
        # Refused, it may be, because of our own first attempt, whose answer never came.
        etag = self._find_own(name, body, write_id) if in_doubt else None
        if etag is None:
            raise ConflictError(f"Object '{name}' {refusal}.")
        return etag

    def _find_own(self, name: str, body: bytes, write_id: str) -> str | None:
        """The etag of what lies there, if it was this write that put it there."""
        try:
            found, etag, metadata = self._get(name)
        except NotFoundError:
            return None
        # Equal bytes alone could be another's; but not every server keeps metadata.
        is_own = found == body and metadata.get(_WRITE_ID, write_id) == write_id
        return etag if is_own else None

    def _list(self, prefix: str, *, after: str | None, until: str | None) -> Iterator[StoredObject]:
        root = self._place.root
        last = None if until is None else root + until
        start = root + prefix
        folder = start.rpartition("/")[0]
        # The client lists whole folders. All that begins with half a name comes after what is a letter
        # shorter; what comes before that need not be listed.
        shorter = start[:-1]
        begin = shorter if len(shorter) > len(folder) + 1 else None
        behind = "" if after is None else root + after
        for page in self._list_pages(prefix, folder, max(begin or "", behind) or None):
            for item in page:
                key = item["path"]
                if key <= behind:
                    continue  # see Clients.list_pages
                behind = key
                if last is not None and key > last:
                    return
                if key.startswith(start):
                    name = key.removeprefix(root)
                    if _is_ours(name):
                        yield StoredObject(name=name, bytes=item["size"], etag=item["e_tag"])
                elif key > start:
                    return
            if behind == last:
                return  # what lies on the next page is behind it

    def _list_pages(
        self, prefix: str, folder: str, after: str | None
    ) -> Iterator[Sequence["ObjectMeta"]]:
        """Pages of a folder's objects. After a fault the listing goes on from where it had come to."""
        pages: Iterator[Sequence[ObjectMeta]] | None = None

        def take() -> Sequence["ObjectMeta"] | None:
            nonlocal pages
            stream = pages or self._clients.list_pages(folder, after=after)
            pages = None  # a stream that raised is at its end
            page = next(stream, None)
            while page and after is not None and page[-1]["path"] <= after:
                page = next(stream, None)  # one that was had already is no progress
            pages = stream
            return page

        while page := self._run(Action.LIST, prefix, take):
            yield page
            after = page[-1]["path"]

    def _list_uploads(self, control: Control, folder: str) -> Iterator[Upload]:
        prefix = self._place.root + folder
        markers: dict[str, str] = {}
        while True:
            page = self._run(
                Action.LIST_UPLOADS, folder, partial(control.list_uploads, prefix, markers)
            )
            yield from page.uploads
            markers = page.markers
            if not markers:
                return


def _is_ours(name: str) -> bool:
    """Whether it is a name that a store may have given; others may write to the bucket too."""
    try:
        check_name(name)
    except TerminalError:
        return False
    return True


def _check_metadata(name: str, metadata: Mapping[str, str]) -> None:
    """`TerminalError` for what is no header: the client would break off over it, and not raise."""
    key = _find_unfit(tuple(metadata.items()))
    if key is not None:
        raise TerminalError(
            f"Metadata '{key!a}' of object '{name}' cannot be kept: names are of small letters, digits, "
            "dash and underscore, values are printable ASCII of up to 1024 characters."
        )


@lru_cache(maxsize=16)
def _find_unfit(metadata: tuple[tuple[str, str], ...]) -> str | None:
    """The first name that cannot be kept, or whose value cannot; the same for all objects of a version."""
    for key, value in metadata:
        if not _METADATA_NAME.fullmatch(key) or not _METADATA_VALUE.fullmatch(value):
            return key
    return None
