"""A fault of S3 as our error: what was found, what was expected, and what a person has to do."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from urllib.parse import urlsplit

from reverse_etl.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing.s3.faults import Fault, Kind
from reverse_etl.landing.s3.place import Place


class Action(Enum):
    """What a request does: in words, and what IAM calls it."""

    PUT = ("writing", "s3:PutObject")
    GET = ("reading", "s3:GetObject")
    LIST = ("listing", "s3:ListBucket")
    DELETE = ("removing", "s3:DeleteObject")
    LIST_UPLOADS = ("listing unfinished uploads below", "s3:ListBucketMultipartUploads")
    ABORT_UPLOAD = ("removing the unfinished upload of", "s3:AbortMultipartUpload")

    def __init__(self, verb: str, permission: str) -> None:
        self.verb = verb
        self.permission = permission


# Granted on the bucket; the others on objects.
_ON_BUCKET = {Action.LIST.permission, Action.LIST_UPLOADS.permission}


class Operation(NamedTuple):
    """One call of the store, as errors name it: on which object (and others), or below which prefix."""

    place: Place
    action: Action
    name: str
    others: int = 0

    @property
    def description(self) -> str:
        """`writing 'a/b' in s3://bucket/prefix`."""
        if not self.name:
            return f"{self.action.verb} {self.place.location}"
        others = f" and {self.others} others" if self.others else ""
        return f"{self.action.verb} '{self.name}'{others} in {self.place.location}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How long something was tried before it was given up."""

    attempts: int
    seconds: float

    def __str__(self) -> str:
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        return f"{times} in {self.seconds:.0f} s"


def explain(fault: Fault, operation: Operation, tried: Tried) -> ReverseEtlError:
    """Our error for a fault that is not tried again, or not any more."""
    place = operation.place
    kind, text = _SAYINGS[fault.kind]
    said = text.format(
        found=fault.found,
        tried=tried,
        bucket=place.options.bucket,
        name=operation.name,
        location=place.location,
        host=urlsplit(place.bucket_url).netloc,
        details=_DETAILS[fault.kind](fault, operation) if fault.kind in _DETAILS else "",
    )
    return kind(f"While {operation.description}: {said}")


def _describe_denial(fault: Fault, operation: Operation) -> str:
    place = operation.place
    permission = fault.action or operation.action.permission
    on_bucket = permission in _ON_BUCKET
    resource = place.bucket_arn if on_bucket else place.objects_arn
    # S3 knows no prefix where it lists uploads: under the condition that would never be granted.
    has_prefix = permission == Action.LIST.permission and place.root
    condition = f", with s3:prefix like '{place.root}*'" if has_prefix else ""
    policy = f" (S3 says: {fault.policy})" if fault.policy else ""
    absent = (
        " For an object that is not there S3 answers the same, unless the role may also do "
        f"{Action.LIST.permission} on {place.bucket_arn}."
        if operation.action is Action.GET and permission == Action.GET.permission
        else ""
    )
    return f"{permission} on {resource}{condition}{policy}.{absent}"


def _describe_key(fault: Fault, operation: Operation) -> str:
    key = operation.place.options.kms_key_id
    denied = f" ({fault.action} is denied)" if fault.action else ""
    return f"{f'key {key}' if key else 'the KMS key of the bucket'}{denied}"


def _describe_region(fault: Fault, operation: Operation) -> str:
    configured = f"REVERSE_ETL_S3_REGION is {operation.place.options.region}"
    if fault.region is None:
        return f"{configured}, the bucket is elsewhere, and S3 did not say where. Set it to the bucket's"
    return (
        f"{configured}, the bucket is in {fault.region}. Set REVERSE_ETL_S3_REGION={fault.region}"
    )


def _describe_time(fault: Fault, _operation: Operation) -> str:
    return f" (which says {fault.server_time})" if fault.server_time else ""


_DETAILS = {
    Kind.DENIED: _describe_denial,
    Kind.KMS: _describe_key,
    Kind.REGION: _describe_region,
    Kind.SKEWED: _describe_time,
}
_SAYINGS: dict[Kind, tuple[type[ReverseEtlError], str]] = {
    Kind.SLOW_DOWN: (
        TransientError,
        (
            "{found}, still after {tried} with fewer and fewer requests. Lower REVERSE_ETL_S3_CONCURRENCY, "
            "look who else uses bucket '{bucket}' or its KMS key, and run again."
        ),
    ),
    Kind.AWAY: (
        TransientError,
        (
            "{found} ({host}), also after {tried}. Check the network, REVERSE_ETL_S3_REGION and "
            "REVERSE_ETL_S3_ENDPOINT_URL; then run again."
        ),
    ),
    Kind.UNRESOLVED: (
        ConfigError,
        (
            "there is no host '{host}' ({tried}). Check REVERSE_ETL_S3_REGION and "
            "REVERSE_ETL_S3_ENDPOINT_URL, and this machine's DNS."
        ),
    ),
    Kind.RACE: (
        TransientError,
        "{found}: others kept writing the same object ({tried}). Run again when they are done.",
    ),
    Kind.CREDENTIALS: (
        ConfigError,
        (
            "{found}, also with credentials fetched afresh. Check this machine's clock and "
            "REVERSE_ETL_AWS_IDENTITY; stored keys may have to be renewed."
        ),
    ),
    Kind.CORRUPTED: (
        TerminalError,
        (
            "{found}, twice: the bytes that arrived do not have the checksum of those that were sent. "
            "Something changes them on the way (memory, a proxy); find out what before running again."
        ),
    ),
    Kind.PRECONDITION: (ConflictError, "somebody else changed it first ({found})."),
    Kind.ABSENT: (NotFoundError, "There is no object '{name}' in {location}."),
    Kind.BEYOND: (TerminalError, "{found}: the object is shorter than it was written."),
    Kind.DENIED: (
        ConfigError,
        (
            "{found}. Allow the role {details} Look for a Deny in the bucket's policy too, and check that "
            "REVERSE_ETL_STORE_URL names the prefix that was given to the role."
        ),
    ),
    Kind.KMS: (
        ConfigError,
        (
            "{found}: S3 could not use {details}. Allow the role kms:GenerateDataKey and kms:Decrypt on it, "
            "in the key's own policy too, and see that the key is enabled and in the bucket's region."
        ),
    ),
    Kind.NO_BUCKET: (
        ConfigError,
        "{found}: there is no bucket '{bucket}' at {host}. Create it, or mend REVERSE_ETL_STORE_URL.",
    ),
    Kind.REGION: (
        ConfigError,
        "{found}. {details}, and check REVERSE_ETL_S3_ENDPOINT_URL if it is set.",
    ),
    Kind.SKEWED: (
        ConfigError,
        (
            "{found}. This machine's clock is more than 15 minutes from that of S3{details}. Set it right "
            "(NTP) and run again."
        ),
    ),
    Kind.SIGNATURE: (
        ConfigError,
        (
            "{found}. The secret key is not the access key's (check AWS_SECRET_ACCESS_KEY if keys are "
            "stored), or something on the way changes requests (a proxy)."
        ),
    ),
    Kind.CERTIFICATE: (
        ConfigError,
        (
            "{found} ({host}). Set REVERSE_ETL_S3_CA_FILE to the PEM file of the authority that signed it, "
            "and let REVERSE_ETL_S3_ENDPOINT_URL name the host as the certificate does."
        ),
    ),
    Kind.STRANGER: (
        ConfigError,
        (
            "what answers at {host} does not speak S3 ({found}). Check REVERSE_ETL_S3_ENDPOINT_URL, and "
            "proxies on the way."
        ),
    ),
    Kind.UNREADABLE: (
        TerminalError,
        (
            "somebody else wrote keys there that no store has (with an empty path element, '.', '..' or "
            "control characters), and nothing can be listed past them: move them away."
        ),
    ),
    Kind.UNSUPPORTED: (
        ConfigError,
        (
            "{found}. The server at {host} lacks something that is needed, such as conditional puts by "
            "If-Match and If-None-Match. Use another, or a newer release of it."
        ),
    ),
    Kind.FULL: (
        TerminalError,
        (
            "{found}: the store is full. Nothing was committed; free space (old versions can go: see "
            "retention) and run again."
        ),
    ),
    Kind.REFUSED: (
        TerminalError,
        "{found}, and would do so again. Look the code up among S3's error responses.",
    ),
}
