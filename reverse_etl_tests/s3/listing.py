"""ListObjectsV2: pages of names in the order of their bytes."""

import base64
import binascii
import datetime as dt
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from urllib.parse import quote

from reverse_etl_tests.s3.buckets import Bucket
from reverse_etl_tests.s3.checksums import SIZES
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.markup import element, escape_text
from reverse_etl_tests.s3.messages import Request, Response
from reverse_etl_tests.s3.operations import Context, answer_xml

_LARGEST_PAGE = 1000
_QUOTE = '"'  # all that an etag has to be rid of
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
_CHECKSUMS = {name: element("ChecksumAlgorithm", name.upper()) for name in SIZES}


def list_objects(context: Context, request: Request) -> Response:
    """One page: objects, and what they have in common up to the delimiter."""
    query = request.query
    limit = parse_limit(query, "max-keys")
    encode = choose_encoding(query)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    token = query.get("continuation-token")
    after = query.get("start-after", "") if token is None else _decode_token(token)
    entries = _walk(context.bucket, prefix=prefix, delimiter=delimiter, after=after)
    page = list(islice(entries, limit))
    # With max-keys=0 S3 answers an empty page that is the last.
    more = limit > 0 and next(entries, None) is not None
    told = [
        element("Name", context.bucket.name),
        element("Prefix", encode(prefix)),
        element("KeyCount", len(page)),
        element("MaxKeys", limit),
        element("IsTruncated", "true" if more else "false"),
    ]
    if delimiter:
        told.append(element("Delimiter", encode(delimiter)))
    if "encoding-type" in query:
        told.append(element("EncodingType", "url"))
    if token is not None:
        told.append(element("ContinuationToken", token))
    elif after:
        told.append(element("StartAfter", encode(after)))
    if more:
        told.append(element("NextContinuationToken", _encode_token(page[-1])))
    told += [_describe(context.bucket, name, encode, delimiter, prefix) for name in page]
    return answer_xml("ListBucketResult", "".join(told))


def parse_limit(query: dict[str, str], name: str) -> int:
    """How many entries a page may have."""
    given = query.get(name, str(_LARGEST_PAGE))
    if not given.isdecimal():
        raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range")
    return min(int(given), _LARGEST_PAGE)


def choose_encoding(query: dict[str, str]) -> Callable[[str], str]:
    """How names are written: as they are, or as in URLs, where a space is a plus."""
    asked = query.get("encoding-type")
    if asked is None:
        return str
    if asked != "url":
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
    return _encode_name


def _encode_name(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return _encode_folder(folder) + slash + (last if _PLAIN.fullmatch(last) else _quote(last))


def _quote(name: str) -> str:
    return quote(name, safe="/").replace("%20", "+")


@lru_cache(maxsize=64)
def _encode_folder(folder: str) -> str:
    return _quote(folder)


def format_moment(moment: dt.datetime) -> str:
    """A moment as documents have it."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _walk(bucket: Bucket, *, prefix: str, delimiter: str, after: str) -> Iterator[str]:
    """Keys and common prefixes behind `after`, each once, in order."""
    keys = bucket.sort_keys()
    place = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
    if delimiter and after.endswith(delimiter) and after.startswith(prefix):
        # The last page ended with a common prefix: all below it was told by that.
        place = max(place, _find_end(keys, after, place))
    last = _find_end(keys, prefix, place)
    if not delimiter:
        yield from map(keys.__getitem__, range(place, last))
        return
    while place < last:
        key = keys[place]
        cut = key.find(delimiter, len(prefix))
        if cut < 0:
            yield key
            place += 1
        else:
            common = key[: cut + len(delimiter)]
            yield common
            place = _find_end(keys, common, place)


def _find_end(keys: list[str], common: str, place: int) -> int:
    """The place of the first key behind all that begin with `common`."""
    return bisect_left(keys, True, lo=place, key=lambda key: not key.startswith(common))  # noqa: FBT003


def _describe(
    bucket: Bucket, name: str, encode: Callable[[str], str], delimiter: str, prefix: str
) -> str:
    if delimiter and name.find(delimiter, len(prefix)) >= 0:
        return f"<CommonPrefixes>{element('Prefix', encode(name))}</CommonPrefixes>"
    stored = bucket.objects[name]
    checksums = "".join(_CHECKSUMS[algorithm] for algorithm in stored.checksums)
    return (
        f"<Contents><Key>{escape_text(encode(name))}</Key>"
        f"<LastModified>{format_moment(stored.modified_at)}</LastModified>"
        f"<ETag>{stored.etag.replace(_QUOTE, '&quot;')}</ETag>{checksums}<Size>{len(stored.body)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _encode_token(name: str) -> str:
    return base64.urlsafe_b64encode(b"1" + name.encode()).decode()


def _decode_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token)[1:].decode()
    except (binascii.Error, ValueError):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None
