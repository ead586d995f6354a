"""Where to look at a version by hand: the AWS console, or a folder of this machine. Pure."""

from typing import Any
from urllib.parse import quote, unquote, urlsplit

import dagster as dg

from reverse_etl.settings import Settings

# Its console stands at a host of its own for each part of AWS; only the public part has one a region.
_CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
_AMAZON_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")


def is_amazon(location: str, settings: Settings) -> bool:
    """Whether a store is S3 as Amazon runs it, and not another server that speaks like it."""
    if not location.startswith("s3://"):
        return False
    if settings.s3_endpoint_url is None:
        return True
    host = urlsplit(settings.s3_endpoint_url).hostname or ""
    return host.endswith(_AMAZON_HOSTS)


def describe_place(location: str, settings: Settings | None) -> dict[str, dg.MetadataValue[Any]]:
    """`open_in_s3`, the console's page of a version's objects; or `folder`; nothing for what has neither."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return {"folder": dg.MetadataValue.path(unquote(parts.path))}
    if settings is None or settings.s3_region is None or not is_amazon(location, settings):
        return {}
    url = build_console_url(parts.netloc, parts.path.lstrip("/"), region=settings.s3_region)
    return {"open_in_s3": dg.MetadataValue.url(url)}


def build_console_url(bucket: str, prefix: str, *, region: str) -> str:
    """The page of the AWS console that lists what begins with `prefix`."""
    host = next(
        (host for start, host in _CONSOLES.items() if region.startswith(start)),
        f"{region}.console.aws.amazon.com",
    )
    return (
        f"https://{host}/s3/buckets/{quote(bucket)}?region={quote(region)}"
        f"&prefix={quote(prefix, safe='/')}"
    )
