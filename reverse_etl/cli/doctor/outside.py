"""Steps about the outside world: source and store. Only a probe object is written, and removed."""

import contextlib

from reverse_etl.cli.days import find_latest_partition
from reverse_etl.errors import ConflictError, NotFoundError, TerminalError
from reverse_etl.landing.layout import build_id
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec

#: No sync can have this name, so the probe is nobody's object.
_PROBE_FOLDER = "_doctor"


def examine_source(spec: SyncSpec, runtime: Runtime) -> str:
    """Whether the query can run and its columns fit the rules; no row is read, nothing is paid."""
    partition = find_latest_partition(spec, now=runtime.now())
    as_of = spec.snapshot_moment(partition, now=runtime.now())
    described = runtime.source_for(spec.config.source.kind).describe(
        query=spec.query, partition=partition, as_of=as_of
    )
    policy = resolve_policy(
        spec.config.columns,
        key=spec.config.key,
        schema=described.schema,
        guarded=described.guarded,
    )
    return (
        f"{len(described.schema)} columns of the query fit the rules: {len(policy.columns)} leave, "
        f"{len(policy.dropped)} are dropped"
    )


def examine_store(runtime: Runtime) -> str:
    """Whether objects can be written, read, replaced under a condition, and removed."""
    store = runtime.store
    name = f"{_PROBE_FOLDER}/{build_id(runtime.now())}"
    try:
        _probe(store, name)
    finally:
        # What went wrong above says more than a probe that could not be removed.
        with contextlib.suppress(Exception):
            store.delete([name])
    return f"put, conditional put, get and delete work at {store.location}"


def _probe(store: ObjectStore, name: str) -> None:
    first = store.put_if_absent(name, b"1")
    _expect_conflict(store, name, etag=None)
    store.put_if_match(name, b"2", etag=first)
    _expect_conflict(store, name, etag=first)
    if store.get(name) != b"2":
        raise TerminalError(f"{store.location} returned other bytes than were just written to it.")
    store.delete([name])
    try:
        store.get(name)
    except NotFoundError:
        return
    raise TerminalError(f"{store.location} still returns an object that was removed.")


def _expect_conflict(store: ObjectStore, name: str, *, etag: str | None) -> None:
    try:
        if etag is None:
            store.put_if_absent(name, b"3")
        else:
            store.put_if_match(name, b"3", etag=etag)
    except ConflictError:
        return
    raise TerminalError(
        f"{store.location} ignores conditions on writes (If-None-Match, If-Match). Commits and heads "
        "rest on them: two runs could overwrite each other. Use a store that honours them."
    )
