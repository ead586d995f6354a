"""What has to be known of a bucket; imported early, so it imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path

#: Variables of the client's own that choose how objects are encrypted, and cannot be overruled.
ENCRYPTION_VARIABLES = (
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_KMS_KEY_ID",
    "AWS_SSE_BUCKET_KEY_ENABLED",
    "AWS_SSE_CUSTOMER_KEY_BASE64",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """A place in a bucket and how it is talked to.

    `prefix` is empty or has no slash at either end. `encryption` is `AES256`, `aws:kms` or None
    (the bucket's own); `kms_key_id` goes with `aws:kms`, through a bucket key. `concurrency` is the
    most requests at once.
    """

    bucket: str
    prefix: str
    region: str
    endpoint_url: str | None = None
    ca_file: Path | None = None
    encryption: str | None = None
    kms_key_id: str | None = None
    concurrency: int = 100
