"""Where the objects of a store lie in S3: keys, addresses and ARNs, and whether options make sense."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.landing.s3.options import S3Options
from reverse_etl.landing.store import check_name

#: What S3 encrypts with when it is asked to.
ENCRYPTIONS = ("AES256", "aws:kms")

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_KMS_KEY = re.compile(r"[A-Za-z0-9:/_-]{1,2048}")
_DIRECTORY_BUCKET = re.compile(r".*--x[a-z]?-s3")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A space goes into the query of a listing as a plus, which not every server takes for one: nothing would
# be found.
_NOT_IN_PREFIX = re.compile(r"[\x00-\x1f\x7f\s]")
_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A prefix of a bucket; the store's root."""

    options: S3Options

    def __post_init__(self) -> None:
        check_options(self.options)

    @property
    def location(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.options.bucket}/{self.options.prefix}".rstrip("/")

    @property
    def root(self) -> str:
        """What every key begins with: empty, or ends in a slash."""
        return f"{self.options.prefix}/" if self.options.prefix else ""

    def key_of(self, name: str) -> str:
        """The key of an object's name, which the caller has checked; `TerminalError` if S3 has none."""
        key = self.root + name
        # Of ASCII, all but control characters can be printed.
        if key.isascii() and key.isprintable() and len(key) <= _KEY_BYTES:
            return key
        # Not every key that S3 takes: its client refuses these, and listings in XML cannot hold them.
        if _CONTROL.search(key):
            raise TerminalError(
                f"{name!a} holds a control character; the store in S3 takes no such names."
            )
        if len(key.encode()) > _KEY_BYTES:
            raise TerminalError(
                f"{name!a} is too long for S3: with the store's prefix it has {len(key.encode())} bytes "
                f"and may have {_KEY_BYTES}. Shorten the prefix in REVERSE_ETL_STORE_URL."
            )
        return key

    @property
    def bucket_arn(self) -> str:
        """The bucket, as policies name it."""
        return f"arn:{_find_partition(self.options.region)}:s3:::{self.options.bucket}"

    @property
    def objects_arn(self) -> str:
        """The store's objects, as policies name them."""
        return f"{self.bucket_arn}/{self.root}*"

    @property
    def service_url(self) -> str:
        """S3 without the bucket: what was configured, or AWS' own address for the region."""
        if self.options.endpoint_url is not None:
            return self.options.endpoint_url.rstrip("/")
        suffix = "com.cn" if _find_partition(self.options.region) == "aws-cn" else "com"
        return f"https://s3.{self.options.region}.amazonaws.{suffix}"

    @property
    def is_virtual_hosted(self) -> bool:
        """Whether the bucket's name goes into the host's.

        AWS wants it so. A server of one's own seldom has a name for every bucket; and a bucket with a
        dot in its name would not match AWS' certificate.
        """
        return self.options.endpoint_url is None and "." not in self.options.bucket

    @property
    def bucket_url(self) -> str:
        """The bucket's own address."""
        if not self.is_virtual_hosted:
            return f"{self.service_url}/{self.options.bucket}"
        return self.service_url.replace("://", f"://{self.options.bucket}.", 1)

    @property
    def is_encrypted(self) -> bool:
        """Whether requests go over TLS."""
        return self.service_url.startswith("https://")


def check_options(options: S3Options) -> None:
    """`ConfigError` for options that no S3 could do anything with."""
    _check_bucket(options.bucket)
    _check_endpoint(options)
    _check_encryption(options)
    if options.prefix:
        _check_prefix(options.prefix)
    if not _REGION.fullmatch(options.region):
        raise ConfigError(
            f"{options.region!a} is no region. Set REVERSE_ETL_S3_REGION to the bucket's, such as "
            "eu-central-1."
        )
    if options.concurrency < 1:
        raise ConfigError(
            f"REVERSE_ETL_S3_CONCURRENCY is {options.concurrency}; it has to be 1 at least."
        )


def _check_bucket(bucket: str) -> None:
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"{bucket!a} is no name of a bucket. Set REVERSE_ETL_STORE_URL to s3://bucket/prefix."
        )
    if _DIRECTORY_BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"Bucket '{bucket}' is a directory bucket (S3 Express), which lists in no order and knows "
            "no compare-and-set by etag. Use a general purpose bucket in REVERSE_ETL_STORE_URL."
        )


def _check_prefix(prefix: str) -> None:
    try:
        check_name(prefix)
    except TerminalError:
        usable = False
    else:
        usable = not _NOT_IN_PREFIX.search(prefix)
    if not usable:
        raise ConfigError(
            f"{prefix!a} cannot be the prefix of a store: it is a path of plain names, without a slash "
            "at either end and without spaces. Mend REVERSE_ETL_STORE_URL."
        )


def _check_endpoint(options: S3Options) -> None:
    if options.endpoint_url is None:
        return
    try:
        parts = urlsplit(options.endpoint_url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    else:
        usable = usable and not (parts.query or parts.fragment or parts.username or parts.password)
        usable = usable and options.endpoint_url.isprintable() and " " not in options.endpoint_url
    if not usable:
        # Not quoted: somebody may have written a password into it.
        raise ConfigError(
            "REVERSE_ETL_S3_ENDPOINT_URL cannot be used: it has to be http:// or https:// with a host, "
            "and without a user, a query or spaces."
        )


def _check_encryption(options: S3Options) -> None:
    if options.encryption is not None and options.encryption not in ENCRYPTIONS:
        raise ConfigError(
            f"REVERSE_ETL_S3_ENCRYPTION is {options.encryption!a}; it can be: {', '.join(ENCRYPTIONS)}."
        )
    if options.kms_key_id is None:
        return
    if options.encryption != "aws:kms":
        raise ConfigError(
            "REVERSE_ETL_S3_KMS_KEY_ID is set, and REVERSE_ETL_S3_ENCRYPTION is not aws:kms. Set both, "
            "or neither."
        )
    if not _KMS_KEY.fullmatch(options.kms_key_id):
        raise ConfigError(
            "REVERSE_ETL_S3_KMS_KEY_ID is no key's ARN, such as "
            "arn:aws:kms:eu-central-1:111122223333:key/...."
        )


def _find_partition(region: str) -> str:
    """The part of AWS that a region belongs to; ARNs begin with it."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
