"""Whether a version fits into Redis: its manifest and a sample of it, held against what servers tell."""

from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.memory import (
    NodeMemory,
    ask_infos,
    check_evictions,
    check_memory,
    estimate_version_bytes,
    find_shares,
    measure_needs,
)
from reverse_etl.cache.versions import list_versions
from reverse_etl.engine import Engine
from reverse_etl.errors import NotFoundError
from reverse_etl.model import Manifest
from reverse_etl.runtime import Runtime
from reverse_etl.stages.basis import measure_sample


def refuse_eviction(runtime: Runtime) -> None:
    """`ConfigError` when Redis would drop records by itself; what it does not tell is not guessed."""
    check_evictions(ask_infos(runtime.redis), allowed=runtime.settings.redis_allow_eviction)


def check_room(manifest: Manifest, runtime: Runtime, engine: Engine) -> str:
    """What was found, for the receipt; `TerminalError` when the version does not fit.

    One object of the version is read. Nothing is written.
    """
    try:
        sizes = measure_sample(runtime.store, manifest, engine)
    except NotFoundError:
        return "not checked: an object of the version is missing"  # which the load will say better
    if manifest.rows and sizes is None:
        return "not checked: no object of the version is small enough for a sample"
    prefix_bytes = len(record_prefix(manifest.sync, manifest.version))

    def measure(node: NodeMemory) -> int:
        if sizes is None:
            return 0
        return estimate_version_bytes(
            sizes, rows=manifest.rows, prefix_bytes=prefix_bytes, node=node
        )

    infos = ask_infos(runtime.redis)
    return check_memory(
        infos,
        measure_needs(infos, find_shares(runtime.redis), measure),
        version=manifest.version,
        present=list_versions(runtime.redis, manifest.sync),
        allowed_eviction=runtime.settings.redis_allow_eviction,
    )
