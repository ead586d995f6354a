"""Who may do what: policies of roles, and KMS keys that are out of reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from reverse_etl_tests.identity.sessions import Session
from reverse_etl_tests.s3.errors import S3Error, no_such_key
from reverse_etl_tests.s3.identities import EVERYTHING, name_caller

_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObjects": "",  # each of its keys asks for itself
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}
_LISTING = {"s3:ListBucket", "s3:ListBucketMultipartUploads"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Actions (patterns such as `s3:Get*`) on keys that begin with `prefix`.

    A listing is allowed if the prefix it asks for begins with `prefix`.
    """

    actions: Sequence[str]
    prefix: str = ""


class Permissions:
    """What callers may do: a session's own rules if it has any, else the policy of its role.

    Without either, nothing. `None` as the caller is one whose signature nobody looks at: everything.
    Only who may list is told that an object is not
    there, others are denied; whether listing one prefix suffices for that is not documented, so
    `prefix_reveals_absence` lets a test have either.
    """

    def __init__(self) -> None:
        self.by_role: dict[str, Sequence[Permission]] = {}
        self._denied_kms: set[tuple[str, str]] = set()
        self.prefix_reveals_absence = False

    def check(
        self,
        caller: Session | None,
        operation: str,
        *,
        bucket: str,
        key: str = "",
        prefix: str = "",
    ) -> None:
        """Raise AccessDenied if the caller may not."""
        action = _ACTIONS.get(operation, f"s3:{operation}")
        if action and not self._may(caller, action, bucket=bucket, key=key, prefix=prefix):
            resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
            raise _deny(caller, action, resource)

    def absence(self, caller: Session | None, *, bucket: str, key: str) -> S3Error:
        """What a caller is told of an object that is not there."""
        prefix = key if self.prefix_reveals_absence else None
        if self._may(caller, "s3:ListBucket", bucket=bucket, key="", prefix=prefix):
            return no_such_key(key)
        return _deny(caller, "s3:ListBucket", f"arn:aws:s3:::{bucket}")

    def deny_kms(self, kms_key: str, *actions: str) -> None:
        """Refuse a KMS key to everybody: for these actions, or for encrypting and decrypting."""
        for action in actions or ("kms:GenerateDataKey", "kms:Decrypt"):
            self._denied_kms.add((kms_key, action))

    def check_kms(self, caller: Session | None, action: str, kms_key: str) -> None:
        """Raise AccessDenied in KMS' words if that key is denied."""
        if (kms_key, action) in self._denied_kms:
            raise _deny(caller, action, kms_key)

    def _may(
        self, caller: Session | None, action: str, *, bucket: str, key: str, prefix: str | None
    ) -> bool:
        # The owner's: looked at for itself, since every request of a benchmark comes by here.
        if caller is None or caller.rules is EVERYTHING:
            return True
        if caller.rules:
            resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
            is_listing = action in _LISTING and prefix is not None
            return caller.may(action, resource, {"s3:prefix": prefix or ""} if is_listing else {})
        subject = (prefix or "") if action in _LISTING else key
        return any(
            subject.startswith(permission.prefix)
            and any(fnmatchcase(action, pattern) for pattern in permission.actions)
            for permission in self.by_role.get(caller.role_arn, ())
        )


def _deny(caller: Session | None, action: str, resource: str) -> S3Error:
    who = "anonymous" if caller is None else name_caller(caller)
    return S3Error(
        "AccessDenied",
        f"User: {who} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action",
    )
