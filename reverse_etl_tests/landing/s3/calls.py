"""Every call of a store on S3, and the error that one ends with."""

from collections.abc import Callable

import pytest

from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.s3.store import S3Store

CALLS: dict[str, Callable[[S3Store], object]] = {
    "put": lambda store: store.put("a", b"1"),
    "put_if_absent": lambda store: store.put_if_absent("a", b"1"),
    "put_if_match": lambda store: store.put_if_match("a", b"1", etag='"x"'),
    "get": lambda store: store.get("a"),
    "get_range": lambda store: store.get_range("a", start=0, length=1),
    "list": lambda store: list(store.list_objects("")),
    "folders": lambda store: store.list_folders(""),
    "delete": lambda store: store.delete(["a"]),
    "sweep": lambda store: store.sweep_unfinished("", older_than_seconds=0, now=0),
}
any_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def fail(call: Callable[[S3Store], object], store: S3Store) -> ReverseEtlError:
    """The error that a call ends with; nothing of S3's answer or of the client's stands in it."""
    with pytest.raises(ReverseEtlError) as raised:
        call(store)
    text = str(raised.value)
    for foreign in ("<", "Error performing", "Debug", "reqwest", "RequestId", "canary"):
        assert foreign not in text.replace("<sync>", "")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return raised.value
