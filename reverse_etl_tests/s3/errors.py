"""S3's errors: code, status, message and the XML they are told in."""

from collections.abc import Mapping

from reverse_etl_tests.s3.markup import build_document, element

_STATUS = {
    "AccessDenied": 403,
    "BucketAlreadyOwnedByYou": 409,
    "ConditionalRequestConflict": 409,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidRange": 416,
    "MethodNotAllowed": 405,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NotImplemented": 501,
    "NotModified": 304,
    "OperationAborted": 409,
    "PermanentRedirect": 301,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
}
_MESSAGES = {
    "ConditionalRequestConflict": (
        "The conditional request cannot succeed due to a conflicting operation against this resource."
    ),
    "InternalError": "We encountered an internal error. Please try again.",
    "ServiceUnavailable": "Please reduce your request rate.",
    "SlowDown": "Please reduce your request rate.",
}


class S3Error(Exception):
    """A refusal. `details` are further elements of its XML, `headers` go with the answer."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.message = message or _MESSAGES.get(code, code)
        self.status = status or _STATUS.get(code, 400)
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        super().__init__(f"{self.status} {code}: {self.message}")

    def to_xml(self, *, request_id: str) -> bytes:
        """The body that tells it."""
        elements = {"Code": self.code, "Message": self.message, **self.details}
        told = "".join(element(name, value) for name, value in elements.items())
        ids = element("RequestId", request_id) + element("HostId", "loopback")
        return build_document("Error", told + ids, namespace=False)


def no_such_key(key: str) -> S3Error:
    """There is no object of this name."""
    return S3Error("NoSuchKey", "The specified key does not exist.", details={"Key": key})


def precondition_failed(condition: str) -> S3Error:
    """A header named `condition` asked for what is not so."""
    return S3Error(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        details={"Condition": condition},
    )
