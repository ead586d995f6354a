"""Small objects that are written to S3 and removed, each to see one thing that landing rests on.

Through boto3, not through the store: the store does things of its own about refusals, and here they
are what is looked for.
"""

import base64
import contextlib
import datetime as dt
import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from reverse_etl.cli.doctor.clock import describe_skew, parse_date_header
from reverse_etl.errors import ConfigError, ConflictError, NotFoundError, TerminalError
from reverse_etl.model import AwsCredentials

if TYPE_CHECKING:
    from reverse_etl.landing.s3.faults import Fault
    from reverse_etl.landing.s3.place import Place

#: No sync can have this name, so the probe is nobody's object.
PROBE_FOLDER = "_doctor"

# Whoever examines waits for the answer; a run has more patience.
_ATTEMPTS = 2
_CONNECT_SECONDS, _ANSWER_SECONDS = 3, 10


class S3Probe:
    """One object below `_doctor/`; use it in `with`. At the end nothing of it is left, as far as S3 lets us.

    Each method sees to one thing and says what it found; what is wrong is raised as our error.
    """

    def __init__(self, place: "Place", credentials: AwsCredentials, *, name: str) -> None:
        self._place = place
        self._name = f"{PROBE_FOLDER}/{name}"
        self._client = _open_client(place, credentials)
        self._names: set[str] = set()
        self._etag = ""
        self._upload_id: str | None = None
        self._put_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._date: str | None = None
        #: The key that S3 said it encrypted with: the bucket's own, where none is configured.
        self.kms_key_arn: str | None = None
        #: Whether S3 denied an object that is not there, as it does one that may not be read.
        self.hides_absence = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        # What went wrong before says more than a probe that could not be removed.
        with contextlib.suppress(Exception), contextlib.closing(self._client):
            self._abort_upload()
            for name in sorted(self._names):
                self._client.delete_object(**self._at(name))

    def put(self) -> str:
        """Whether an object can be written, and what S3 encrypts it with."""
        answer = self._put(self._name, b"1")
        self._put_at = dt.datetime.now(dt.UTC)
        self._date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        self._etag = answer["ETag"]
        algorithm = answer.get("ServerSideEncryption")
        if algorithm is None:
            return f"'{self._name}' was written; S3 does not say that it is encrypted"
        self.kms_key_arn = answer.get("SSEKMSKeyId")
        through = " through a bucket key" if answer.get("BucketKeyEnabled") else ""
        return f"'{self._name}' was written, encrypted with {algorithm}{through}"

    def compare_clocks(self) -> str:
        """Whether this machine's clock is near the one by which S3 dated its answer."""
        there = parse_date_header(self._date)
        return describe_skew(here=self._put_at, there=there, whose=self._place.service_url)

    def get(self) -> str:
        """Whether the same bytes come back."""
        if self._get(self._name) != b"1":
            raise TerminalError(
                f"{self._place.location} returned other bytes than were just written to it. Something "
                "between here and there changes them; find out what before anything is landed."
            )
        return "the same bytes came back"

    def put_conditionally(self) -> str:
        """Whether S3 refuses to write over an object that is there, or that has changed."""
        self._expect_conflict(IfNoneMatch="*")
        self._put(self._name, b"2", IfMatch=self._etag)
        self._expect_conflict(IfMatch=self._etag)
        return "a second writer was refused, by If-None-Match and by If-Match"

    def put_corrupted(self) -> str:
        """Whether S3 refuses bytes that are not those of the checksum that came with them."""
        from reverse_etl.landing.s3.faults import FOREIGN, Kind, read_fault  # noqa: PLC0415

        name = f"{self._name}-checksum"
        try:
            self._send(name, b"what arrived", checksum_of=b"what was sent")
        except FOREIGN as error:
            if read_fault(error).kind is not Kind.CORRUPTED:
                with self._explained("PUT", name):
                    raise
            return "bytes that did not have the SHA-256 sent with them were refused"
        raise TerminalError(
            f"{self._place.location} took bytes that do not have the SHA-256 that was sent with them. The "
            "proof of landing rests on that check: use an S3 that makes it, or a newer release of this "
            "one."
        )

    def find_listed(self) -> str:
        """Whether the prefix can be listed, and the listing knows the object."""
        with self._explained("LIST", self._name):
            answer = self._client.list_objects_v2(
                Bucket=self._place.options.bucket, Prefix=self._place.key_of(self._name)
            )
        listed = [item["Key"] for item in answer.get("Contents", [])]
        if self._place.key_of(self._name) not in listed:
            raise TerminalError(
                f"{self._place.location} does not list an object that was just written there. Landing is "
                "proved by a listing: use an S3 whose listings are consistent."
            )
        return "the object was listed"

    def find_absent(self) -> str:
        """Whether an object that is not there can be told from one that may not be read."""
        from reverse_etl.landing.s3.faults import FOREIGN, Kind, read_fault  # noqa: PLC0415

        name = f"{self._name}-absent"
        try:
            with self._explained("GET", name):
                try:
                    self._fetch(name)
                except FOREIGN as error:
                    self.hides_absence = read_fault(error).kind is Kind.DENIED
                    raise
        except NotFoundError:
            return "an object that is not there is answered as such"
        except ConfigError as error:
            if not self.hides_absence:
                raise
            raise ConfigError(
                f"{error.message} The first run reads what is not there yet. If steps 's3 get' and 's3 list' "
                "passed, grant s3:ListBucket on the bucket without the condition on s3:prefix "
                "(confine_listing = false in infra/aws)."
            ) from None
        raise TerminalError(f"{self._place.location} returned an object that nobody wrote.")

    def leave_upload(self) -> str:
        """Whether an upload in parts that was never completed is found and removed."""
        at = self._at(f"{self._name}-upload")
        with self._explained("PUT", self._name):
            self._upload_id = self._client.create_multipart_upload(**at, **self._encryption)[
                "UploadId"
            ]
        with self._explained("LIST_UPLOADS", self._name):
            answer = self._client.list_multipart_uploads(Bucket=at["Bucket"], Prefix=at["Key"])
        if self._upload_id not in [item["UploadId"] for item in answer.get("Uploads", [])]:
            raise TerminalError(
                f"{self._place.location} does not list an upload that was just begun there: what dead "
                "runs leave would stay. Let a lifecycle rule remove unfinished uploads."
            )
        with self._explained("ABORT_UPLOAD", self._name):
            self._abort_upload()
        return "an upload that was not completed was found and removed"

    def delete(self) -> str:
        """Whether an object can be removed, and is gone then."""
        with self._explained("DELETE", self._name):
            self._client.delete_object(**self._at(self._name))
        # A refusal is as good here: whether absence may be told is another step's affair.
        with contextlib.suppress(NotFoundError, ConfigError):
            self._get(self._name)
            raise TerminalError(
                f"{self._place.location} still returns an object that was removed. Use an S3 that is "
                "consistent."
            )
        self._names.discard(self._name)
        return "the object was removed"

    def _expect_conflict(self, **condition: str) -> None:
        try:
            self._put(self._name, b"3", **condition)
        except ConflictError:
            return
        raise TerminalError(
            f"{self._place.location} ignores conditions on writes ({', '.join(condition)}). Commits and "
            "heads rest on them: two runs could overwrite each other. Use a store that honours them."
        )

    def _put(self, name: str, body: bytes, **condition: str) -> dict[str, Any]:
        with self._explained("PUT", name):
            return self._send(name, body, checksum_of=body, **condition)

    def _send(
        self, name: str, body: bytes, *, checksum_of: bytes, **condition: Any
    ) -> dict[str, Any]:
        """Write an object; errors are boto's."""
        digest = hashlib.sha256(checksum_of).digest()
        self._names.add(name)
        answer: dict[str, Any] = self._client.put_object(
            **self._at(name),
            Body=body,
            ChecksumSHA256=base64.b64encode(digest).decode(),
            **self._encryption,
            **condition,
        )
        return answer

    def _get(self, name: str) -> bytes:
        with self._explained("GET", name):
            return self._fetch(name)

    def _fetch(self, name: str) -> bytes:
        """Read an object; errors are boto's."""
        answer = self._client.get_object(**self._at(name))
        with contextlib.closing(answer["Body"]) as body:
            content: bytes = body.read()
        return content

    def _abort_upload(self) -> None:
        if self._upload_id is not None:
            at = self._at(f"{self._name}-upload")
            self._client.abort_multipart_upload(**at, UploadId=self._upload_id)
            self._upload_id = None

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._place.options.bucket, "Key": self._place.key_of(name)}

    @property
    def _encryption(self) -> dict[str, Any]:
        """What the store asks for as well."""
        options = self._place.options
        asked: dict[str, Any] = {}
        if options.encryption is not None:
            asked["ServerSideEncryption"] = options.encryption
        if options.encryption == "aws:kms":
            asked["BucketKeyEnabled"] = True
        if options.kms_key_id is not None:
            asked["SSEKMSKeyId"] = options.kms_key_id
        return asked

    @contextlib.contextmanager
    def _explained(self, action: str, name: str) -> Iterator[None]:
        """Turn what boto raises into our error, with what to do."""
        from reverse_etl.landing.s3.advice import (  # noqa: PLC0415 - a cloud's SDK
            Action,
            Operation,
            Tried,
            explain,
        )
        from reverse_etl.landing.s3.faults import FOREIGN, read_fault  # noqa: PLC0415 - the same

        started = time.monotonic()
        try:
            yield
        except FOREIGN as error:
            operation = Operation(place=self._place, action=Action[action], name=name)
            tried = Tried(attempts=_ATTEMPTS, seconds=time.monotonic() - started)
            raise explain(_add_region(read_fault(error), error), operation, tried) from None


def _add_region(fault: "Fault", error: Exception) -> "Fault":
    """S3 tells where a bucket is in a header, which the error's text does not have."""
    # None, where the connection broke before there was one.
    answer = (getattr(error, "response", None) or {}).get("ResponseMetadata", {})
    region = answer.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
    if fault.region is not None or not re.fullmatch(r"[a-z0-9-]{1,40}", region):
        return fault
    return replace(fault, region=region)


def _stay_in_region(context: dict[str, Any], **_: object) -> None:
    """Keep boto from following a bucket to its region: the store would not."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _open_client(place: "Place", credentials: AwsCredentials) -> Any:
    from botocore.config import Config  # noqa: PLC0415 - a cloud's SDK

    from reverse_etl.auth.boto import build_session  # noqa: PLC0415 - the same

    ca_file = place.options.ca_file
    if ca_file is not None and not ca_file.is_file():
        raise ConfigError("REVERSE_ETL_S3_CA_FILE names no file.")
    client = build_session(lambda: credentials, place.options.region).client(
        "s3",
        endpoint_url=place.service_url,
        verify=None if ca_file is None else str(ca_file),
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_ANSWER_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            # As the store does: the SHA-256 that is sent is the only one, in a header.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "virtual" if place.is_virtual_hosted else "path"},
        ),
    )
    client.meta.events.register("before-call.s3", _stay_in_region)
    return client
