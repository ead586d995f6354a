"""The labels that jobs and staging tables carry, so that people, bills and sweeps can tell whose they are.

Keys and values hold lower-case letters, digits, `_` and `-`, up to 63 of them:
https://cloud.google.com/bigquery/docs/labels-intro#requirements
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping

from reverse_etl.sources.base import PinRequest

#: What every job and staging table of ours says of itself.
MANAGED_BY = "managed_by"
PRODUCT = "reverse_etl"
SYNC = "sync"
PARTITION = "partition"
RUN_ID = "run_id"
FINGERPRINT = "fingerprint"
PINNED_AT = "pinned_at"

_LONGEST = 63
_SUFFIX = 9
_UNFIT = re.compile(r"[^a-z0-9_-]")
_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


def build_labels(request: PinRequest, *, fingerprint: str) -> dict[str, str]:
    """The labels of a request's job and table. `pinned_at` counts microseconds since 1970."""
    return {
        MANAGED_BY: PRODUCT,
        SYNC: normalise_label(request.sync),
        PARTITION: normalise_label(request.partition.key),
        RUN_ID: normalise_label(request.run_id),
        FINGERPRINT: fingerprint,
        PINNED_AT: str((request.pinned_at - _EPOCH) // _MICROSECOND),
    }


def normalise_label(text: str) -> str:
    """`text` as a label's value: itself if it fits, else what fits of it and eight digits of its hash."""
    fitting = _UNFIT.sub("_", text.lower())
    if fitting == text and len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[: _SUFFIX - 1]
    return f"{fitting[: _LONGEST - _SUFFIX]}-{digest}"


def is_ours(labels: Mapping[str, str]) -> bool:
    """Whether a job or table is of this product."""
    return labels.get(MANAGED_BY) == PRODUCT


def read_pinned_at(labels: Mapping[str, str]) -> dt.datetime | None:
    """When the request that the job was first started for was made; None if the labels do not say."""
    text = labels.get(PINNED_AT, "")
    return _EPOCH + int(text) * _MICROSECOND if re.fullmatch(r"\d{1,18}", text) else None
