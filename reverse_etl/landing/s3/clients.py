"""obstore set up for one place in S3: credentials, timeouts and TLS as told, nothing from elsewhere.

`object_store` reads every `AWS_*` variable that it knows, and options only override: so everything
that it could have read is said here. What cannot be overridden is refused. Proxies are found as
everywhere, by HTTPS_PROXY and its companions.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError, UnauthenticatedError
from obstore.store import S3Store as Client

from reverse_etl.errors import ConfigError
from reverse_etl.landing.s3.faults import TruncatedError, UnusableAnswerError
from reverse_etl.landing.s3.place import Place
from reverse_etl.model import AwsCredentials

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta, PutMode, SuffixRange
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

Result = TypeVar("Result")

_MIB = 1 << 20
#: Larger objects go up in parts; conditional ones never do.
MULTIPART_BYTES = 64 * _MIB
_PART_BYTES = 16 * _MIB
# Larger bodies may need longer than the time in which a small one is certainly answered.
_BRISK_BYTES = 8 * _MIB
_PAGE = 1000
# What the client says when it was not S3 that refused, but whoever it asked for credentials.
_NO_CREDENTIALS = "External AWS credential provider"
# Asked for credentials, the client would go to the network's metadata server; nobody listens here.
_NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a request may stand still, and how long one with a large body may take to be answered.

    `object_seconds` is for an object whose bytes keep coming.
    """

    connect_seconds: float = 3.0
    request_seconds: float = 30.0
    large_request_seconds: float = 300.0
    object_seconds: float = 3600.0


class Signer:
    """Hands out credentials to the client, which asks again and again; remembers why there are none."""

    # The client keeps credentials until so long before they expire, and then asks ten times a second at
    # most. Keeping is the part of those who know how they are renewed, so: never keep them longer.
    refresh_threshold = dt.timedelta(days=36_500)

    def __init__(self, credentials: Callable[[], AwsCredentials]) -> None:
        self._credentials = credentials
        #: Why there were none the last time that there were none.
        self.failure: BaseException | None = None

    def __repr__(self) -> str:
        return "Signer()"

    def __call__(self) -> "S3Credential":
        """The credentials of this moment, as the client takes them."""
        try:
            found = self._credentials()
        except BaseException as error:
            # The client makes a text of it, traceback and all.
            self.failure = error
            raise
        expires_at = found.expires_at
        return {
            "access_key_id": found.access_key_id,
            "secret_access_key": found.secret_access_key,
            "token": found.session_token,
            # Any other zone, equal to it or not, is refused.
            "expires_at": None if expires_at is None else expires_at.astimezone(dt.UTC),
        }


class Clients:
    """The requests we make of S3, by key: one attempt each, errors as the client raises them."""

    def __init__(
        self, place: Place, credentials: Callable[[], AwsCredentials], timeouts: Timeouts
    ) -> None:
        self._place = place
        self._timeouts = timeouts
        self._signer = Signer(credentials)
        self._certificates = read_certificates(place)
        self._brisk = self._build(request_seconds=timeouts.request_seconds)

    def put(
        self,
        key: str,
        body: bytes,
        *,
        metadata: Mapping[str, str] | None = None,
        mode: "PutMode | None" = None,
    ) -> str:
        """Write an object in one request, or in parts when it is large and no condition is set."""
        in_parts = mode is None and len(body) > MULTIPART_BYTES
        client = self._brisk if len(body) <= _BRISK_BYTES else self._patient
        attributes = dict(metadata) if metadata else None
        written = self._call(
            partial(
                obstore.put,
                self._persistent if in_parts else client,
                key,
                memoryview(body),  # a text by mistake would be taken for the path of a file to send
                attributes=attributes,
                mode=mode,
                use_multipart=in_parts,
                chunk_size=_PART_BYTES,
                # One request a slot of the limiter: the other slots keep the line full.
                max_concurrency=1,
            )
        )
        return _check_etag(written["e_tag"])

    def get(self, key: str) -> tuple[bytes, str, Mapping[str, str]]:
        """An object's bytes, its etag and what is said of it."""

        def read() -> tuple["GetResult", bytes]:
            answer = obstore.get(self._brisk, key)
            return answer, answer.bytes().to_bytes()

        answer, body = self._call(read)
        meta = answer.meta
        if len(body) != meta["size"]:
            raise TruncatedError
        return body, _check_etag(meta["e_tag"]), answer.attributes

    def get_range(self, key: str, span: "tuple[int, int] | SuffixRange") -> bytes:
        """An object's bytes from one to before another, or so many of its end."""

        def read() -> tuple["GetResult", bytes]:
            answer = obstore.get(self._brisk, key, options={"range": span})
            return answer, answer.bytes().to_bytes()

        answer, body = self._call(read)
        first, end = answer.range
        if len(body) != end - first:
            raise TruncatedError
        return body

    def list_pages(self, folder: str, *, after: str | None) -> Iterator[Sequence["ObjectMeta"]]:
        """What lies below a folder (no slash at its end), in order, from the key after `after` on.

        It may begin with keys that come before that one.
        """
        # The client writes a space in a query as a plus, which not every server takes for one.
        offset = None if after is None else after.partition(" ")[0].rstrip("/")
        stream = self._call(
            partial(
                obstore.list, self._brisk, folder or None, offset=offset or None, chunk_size=_PAGE
            )
        )
        while page := self._call(lambda: next(stream, None)):
            yield page

    def list_folders(self, folder: str) -> list[str]:
        """The keys of the folders right below a folder, without slashes at their ends."""
        found = self._call(partial(obstore.list_with_delimiter, self._brisk, folder or None))
        return list(found["common_prefixes"])

    def delete(self, keys: Sequence[str]) -> None:
        """Remove up to a thousand objects in one request."""
        self._call(partial(obstore.delete, self._brisk, keys))

    @cached_property
    def _patient(self) -> Client:
        return self._build(request_seconds=self._timeouts.large_request_seconds)

    @cached_property
    def _persistent(self) -> Client:
        # All parts of an upload that a single one failed for would have to be sent again.
        return self._build(request_seconds=self._timeouts.large_request_seconds, retries=3)

    def _call(self, request: Callable[[], Result]) -> Result:
        try:
            return request()
        except UnauthenticatedError as error:
            failure = self._signer.failure
            if failure is None or _NO_CREDENTIALS not in str(error):
                raise
        raise failure

    def _build(self, *, request_seconds: float, retries: int = 0) -> Client:
        try:
            return Client(
                config=_build_config(self._place),
                client_options=_build_client_options(
                    self._place,
                    self._timeouts,
                    request_seconds=request_seconds,
                    certificates=self._certificates,
                ),
                retry_config=_build_retries(retries),
                credential_provider=self._signer,
            )
        except (BaseError, ValueError):
            raise ConfigError(
                "S3's client cannot be set up. Check that REVERSE_ETL_S3_CA_FILE, if it is set, holds "
                "certificates in PEM, and that this machine has any authorities to trust "
                "(ca-certificates)."
            ) from None


def read_certificates(place: Place) -> bytes | None:
    """The authorities of REVERSE_ETL_S3_CA_FILE; None when none is named."""
    path = place.options.ca_file
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"REVERSE_ETL_S3_CA_FILE names '{path}', which cannot be read ({error.strerror})."
        ) from None


def _build_config(place: Place) -> "S3Config":
    options = place.options
    endpoint = place.bucket_url if place.is_virtual_hosted else place.service_url
    config: S3Config = {
        "bucket": options.bucket,
        "region": options.region,
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "virtual_hosted_style_request": place.is_virtual_hosted,
        "checksum_algorithm": "SHA256",
        "conditional_put": "etag",
        "copy_if_not_exists": "multipart",
        "metadata_endpoint": _NOWHERE,
        "imdsv1_fallback": False,
        "skip_signature": False,
        "unsigned_payload": False,
        "s3_express": False,
        "request_payer": False,
        "disable_tagging": False,
        "disable_bulk_delete": False,
    }
    if options.encryption is not None:
        config["server_side_encryption"] = options.encryption
    if options.encryption == "aws:kms":
        config["sse_bucket_key_enabled"] = True
    if options.kms_key_id is not None:
        config["sse_kms_key_id"] = options.kms_key_id
    return config


def _build_client_options(
    place: Place, timeouts: Timeouts, *, request_seconds: float, certificates: bytes | None
) -> "ClientConfig":
    options: ClientConfig = {
        "allow_http": not place.is_encrypted,
        "connect_timeout": dt.timedelta(seconds=timeouts.connect_seconds),
        # From sending to the answer's head, and then anew for every piece of its body: an object of any
        # size can be read for as long as bytes come.
        "read_timeout": dt.timedelta(seconds=request_seconds),
        "timeout": dt.timedelta(seconds=timeouts.object_seconds),
        "pool_max_idle_per_host": str(place.options.concurrency),
        # S3 closes connections that idle; better to be the first.
        "pool_idle_timeout": dt.timedelta(seconds=10),
        "http1_only": True,
    }
    if certificates is not None:
        options["root_certificate"] = certificates
    return options


def _build_retries(retries: int) -> "RetryConfig":
    return {
        "max_retries": retries,
        "retry_timeout": dt.timedelta(seconds=60),
        "backoff": {
            "init_backoff": dt.timedelta(milliseconds=200),
            "max_backoff": dt.timedelta(seconds=5),
            "base": 2,
        },
    }


def _check_etag(etag: str | None) -> str:
    if not etag:
        raise UnusableAnswerError
    return etag
