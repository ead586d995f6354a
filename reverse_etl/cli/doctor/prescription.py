"""The policies that would make an identity pass, filled in as far as is known."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from reverse_etl.auth.options import AwsSecret
from reverse_etl.errors import ConfigError
from reverse_etl.room_options import build_key_source
from reverse_etl.settings import AwsIdentity, Settings

Policy = dict[str, Any]

_UNKNOWN_SUB = "UNIQUE-ID-OF-THE-SERVICE-ACCOUNT"
_UNKNOWN_AUDIENCE = "https://aws.example.com/reverse-etl/ENVIRONMENT"
_FIND_SUB = (
    f"{_UNKNOWN_SUB}: gcloud iam service-accounts describe NAME@PROJECT.iam.gserviceaccount.com "
    "--format='value(uniqueId)'"
)
_CHOOSE_AUDIENCE = (
    f"{_UNKNOWN_AUDIENCE}: a text of your own, one a role and environment; set "
    "REVERSE_ETL_OIDC_AUDIENCE to the same."
)
_OPEN_LISTING = (
    "s3:ListBucket stands without its condition on s3:prefix, because S3 denied an object that is not there "
    "though the prefix may be listed: set confine_listing = false in infra/aws. The application's reader "
    "needs the same."
)

_FIND_ARN = (
    "secretsmanager:GetSecretValue on the masking key's secret is to be added: a policy names it by ARN, and "
    "REVERSE_ETL_MASKING_KEY_SECRET by name. aws secretsmanager describe-secret prints it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prescription:
    """What AWS has to be told; None where it is not ours to say. `remarks` explain what is left open."""

    trust: Policy | None
    permissions: Policy | None
    remarks: tuple[str, ...] = field(default=())

    def render(self) -> str:
        """Both policies, ready to be handed to AWS."""
        from reverse_etl.auth.policies import render_policy  # noqa: PLC0415 - with its room, late

        parts = [
            f"{title}:\n{render_policy(policy)}"
            for title, policy in (
                ("The role's trust policy", self.trust),
                ("The role's permissions policy", self.permissions),
            )
            if policy is not None
        ]
        return "\n\n".join([*parts, *self.remarks, "infra/aws makes both; docs/aws.md says how."])

    def as_document(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "trust": self.trust,
            "permissions": self.permissions,
            "remarks": list(self.remarks),
        }


def prescribe(
    settings: Settings, *, sub: str | None, kms_key_arn: str | None, confine_listing: bool = True
) -> Prescription:
    """The policies for these settings; `sub` is the token's, `kms_key_arn` the key that S3 named.

    Without `confine_listing` the names of the whole bucket are granted, not only those below the prefix.
    """
    remarks: list[str] = []
    trust = None
    if settings.aws_identity is AwsIdentity.GOOGLE_OIDC:
        trust = _prescribe_trust(settings, sub, remarks)
    else:
        remarks.append(
            f"Whom the role trusts is not Google's affair: REVERSE_ETL_AWS_IDENTITY is "
            f"{settings.aws_identity}."
        )
    permissions = _prescribe_permissions(
        settings, kms_key_arn, remarks, confine_listing=confine_listing
    )
    return Prescription(trust=trust, permissions=permissions, remarks=tuple(remarks))


def _prescribe_trust(settings: Settings, sub: str | None, remarks: list[str]) -> Policy:
    from reverse_etl.auth.policies import build_trust_policy  # noqa: PLC0415 - with its room, late

    if sub is None:
        remarks.append(_FIND_SUB)
    audience = settings.oidc_audience
    if audience is None:
        remarks.append(_CHOOSE_AUDIENCE)
    try:
        return build_trust_policy(sub=sub or _UNKNOWN_SUB, audience=audience or _UNKNOWN_AUDIENCE)
    except ConfigError as error:
        remarks.append(f"{error.message} The policy above is made with placeholders.")
        return build_trust_policy(sub=_UNKNOWN_SUB, audience=_UNKNOWN_AUDIENCE)


def _prescribe_permissions(
    settings: Settings, kms_key_arn: str | None, remarks: list[str], *, confine_listing: bool
) -> Policy | None:
    from reverse_etl.auth.policies import build_permissions_policy  # noqa: PLC0415 - the same

    parts = urlsplit(settings.store_url)
    if parts.scheme != "s3":
        remarks.append("REVERSE_ETL_STORE_URL names no bucket, so there is nothing to permit.")
        return None
    key = settings.s3_kms_key_id or kms_key_arn
    if key is not None and ":key/" not in key:
        remarks.append("REVERSE_ETL_S3_KMS_KEY_ID is no key's ARN: a policy can name no other.")
        key = None
    prefix = parts.path.strip("/")
    if prefix and not confine_listing:
        remarks.append(_OPEN_LISTING)
    try:
        return build_permissions_policy(
            bucket=parts.netloc,
            prefix=prefix,
            kms_key_arn=key,
            partition=_find_partition(settings),
            confine_listing=confine_listing,
            key_secret_arn=_find_key_secret(settings, remarks),
        )
    except ConfigError as error:
        remarks.append(error.message)
        return None


def _find_key_secret(settings: Settings, remarks: list[str]) -> str | None:
    """The ARN of the secret that holds the masking key, where it is one of AWS."""
    try:
        source = build_key_source(settings)
    except ConfigError as error:
        remarks.append(error.message)
        return None
    if not isinstance(source, AwsSecret):
        return None
    if not source.secret_id.startswith("arn:"):
        remarks.append(_FIND_ARN)
        return None
    return source.secret_id


def _find_partition(settings: Settings) -> str:
    """The part of AWS that the region belongs to; ARNs begin with it."""
    region = settings.s3_region or ""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
