"""What landing on S3 would take at best: without its PUTs, and without encoding beside.

A bound for what any change there can give. Nothing that lands this way can be read.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from unittest import mock

from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.s3.store import S3Store

_DELAY_SECONDS = 0.03
_ENCODED_BYTES = 30_000

#: What a landing may leave out. Objects that are not put are not looked for in the listing either.
LEFT_OUT = ("put", "put_and_encode")


@contextlib.contextmanager
def leave_out(what: str | None) -> Iterator[None]:
    """Land without it in this process, as long as this is open; None leaves out nothing."""
    with contextlib.ExitStack() as patches:
        if what is not None:
            put = _replace_put(S3Store.put)
            patches.enter_context(mock.patch.object(S3Store, "put", put))
            patches.enter_context(mock.patch("reverse_etl.stages.landing.check_listing"))
        if what == "put_and_encode":
            # No Mock: it would keep what it was called with.
            patches.enter_context(
                mock.patch("reverse_etl.landing.writer.encode_object", _encode_nothing)
            )
        yield


def _encode_nothing(plan: LandingPlan, buckets: Sequence[Bucket]) -> bytes:
    del plan, buckets
    return bytes(_ENCODED_BYTES)


def _replace_put(real: Callable[..., str]) -> Callable[..., str]:
    def put(
        self: S3Store, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None
    ) -> str:
        if not name.endswith(".gz"):
            return real(self, name, body, metadata=metadata)
        time.sleep(_DELAY_SECONDS)
        return "etag"

    return put
