"""What rolling back, verifying, rebuilding and warming did: for people and as JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reverse_etl.cli.quantities import format_bytes, format_count, format_seconds
from reverse_etl.model import CacheReceipt, Head, Published
from reverse_etl.stages.rebuilding import RebuildReceipt, Rebuilt
from reverse_etl.stages.rolling_back import RollbackReceipt, RolledBack

if TYPE_CHECKING:
    from reverse_etl.stages.verifying import VerifyReceipt

_REMOVED_ARE_BACK = (
    "Users who were removed since '{version}' are visible again, until a newer version is live."
)
_WARMED = {
    Published.LIVE: "live",
    Published.ALREADY_LIVE: "already_live: the store's head names this version, and so does Redis'",
    Published.SUPERSEDED: "superseded: a later version is live; this one was not loaded",
}
_REBUILT = {
    Rebuilt.REBUILT: "rebuilt",
    Rebuilt.HEALED: "healed: Redis' head was missing or behind; the records were there",
    Rebuilt.ALREADY_THERE: "already_there: Redis follows the store and the version is verified in it; "
    "nothing was done (--force loads it all the same)",
}


def render_rollback(receipt: RollbackReceipt) -> str:
    """From where to where, and what that means for whoever reads."""
    if receipt.outcome is RolledBack.ALREADY_LIVE:
        version = receipt.head.version
        return f"There is nothing to do: readers see version '{version}' already, in both stores."
    lines = [
        ("from", _describe_left(receipt)),
        ("to", _describe_version(receipt.head)),
        ("generation", f"{receipt.head.generation}, in the store and in Redis"),
        ("took", _describe_work(receipt.seconds, receipt.bytes)),
        ("retired", ", ".join(receipt.retired)),
        ("passed over", _describe_passed_over(receipt)),
    ]
    if receipt.outcome is RolledBack.FINISHED:
        lines.append(("finished", "it was live in one of the stores already, and is in both now"))
    notes = []
    if receipt.goes_back:
        notes.append(_REMOVED_ARE_BACK.format(version=receipt.head.version))
        if not receipt.is_left_blocked:
            notes.append(
                f"'{receipt.left.version}' is not blocked: the next cache of its day makes it live again."
            )
    return "\n".join([_lay_out(lines), *notes])


def build_rollback_document(receipt: RollbackReceipt) -> dict[str, Any]:
    """The same for programs."""
    return {
        "sync": receipt.manifest.sync,
        "outcome": receipt.outcome,
        "from": _build_version(receipt.left),
        "to": _build_version(receipt.head),
        "live": _build_live(receipt.head),
        "from_is_blocked": receipt.is_left_blocked,
        "goes_back": receipt.goes_back,
        "blocked": receipt.head.blocked,
        "passed_over": receipt.passed_over,
        **_build_work(receipt),
    }


def render_verify(receipt: "VerifyReceipt") -> str:
    """What was compared, and how much of it differs."""
    manifest, records = receipt.manifest, receipt.records
    state = "not in Redis" if receipt.state is None else f"{receipt.state.value} in Redis"
    objects = (
        f"{format_count(len(manifest.objects))} in the store: "
        f"{format_count(receipt.objects_missing)} missing, "
        f"{format_count(receipt.objects_altered)} altered"
    )
    compared = "not compared"
    if records is not None:
        compared = (
            f"{format_count(records.rows)} compared with Redis: "
            f"{format_count(records.missing)} missing, {format_count(records.different)} different"
        )
    lines = [
        ("version", f"{manifest.version}, {'live' if receipt.is_live else 'not live'}, {state}"),
        ("objects", objects),
        ("records", compared),
        ("heads", receipt.heads.value),
        ("took", format_seconds(receipt.seconds)),
    ]
    found = receipt.differences
    verdict = (
        "whole: nothing differs"
        if found == 0
        else f"{format_count(found)} difference{'s' if found != 1 else ''}"
    )
    return "\n".join([_lay_out(lines), verdict])


def build_verify_document(receipt: "VerifyReceipt") -> dict[str, Any]:
    """The same for programs."""
    manifest = receipt.manifest
    return {
        "sync": manifest.sync,
        "version": manifest.version,
        "is_live": receipt.is_live,
        "state_in_redis": receipt.state,
        "heads": receipt.heads,
        "objects": {
            "total": len(manifest.objects),
            "missing": receipt.objects_missing,
            "altered": receipt.objects_altered,
        },
        "records": None if receipt.records is None else asdict(receipt.records),
        "differences": receipt.differences,
        "seconds": receipt.seconds,
    }


def render_rebuild(receipt: RebuildReceipt) -> str:
    """What was loaded, and what Redis follows now."""
    lines = [
        ("outcome", _REBUILT[receipt.outcome]),
        ("live", _describe_version(receipt.head)),
        ("generation", f"{receipt.head.generation}, as it was"),
        ("loaded", ", ".join(manifest.version for manifest in receipt.loaded)),
        ("took", _describe_work(receipt.seconds, receipt.bytes)),
        ("retired", ", ".join(receipt.retired)),
    ]
    return _lay_out(lines)


def build_rebuild_document(receipt: RebuildReceipt, *, sync: str) -> dict[str, Any]:
    """The same for programs."""
    return {
        "sync": sync,
        "outcome": receipt.outcome,
        "live": _build_live(receipt.head),
        "loaded": [manifest.version for manifest in receipt.loaded],
        "rows": receipt.rows,
        **_build_work(receipt),
    }


def render_warm(receipt: CacheReceipt) -> str:
    """How it ended, and what readers see."""
    lines = [
        ("outcome", _WARMED[receipt.outcome]),
        ("version", receipt.manifest.version),
        ("live", _describe_version(receipt.head)),
        ("generation", str(receipt.head.generation)),
        ("took", _describe_work(receipt.seconds, receipt.bytes)),
        ("retired", ", ".join(receipt.retired)),
        ("redis", receipt.location),
    ]
    return _lay_out(lines)


def build_warm_document(receipt: CacheReceipt) -> dict[str, Any]:
    """The same for programs."""
    manifest = receipt.manifest
    return {
        "sync": manifest.sync,
        "partition": manifest.partition,
        "version": manifest.version,
        "outcome": receipt.outcome,
        "live": _build_live(receipt.head),
        "rows": manifest.rows if receipt.bytes else 0,
        **_build_work(receipt),
    }


def _describe_left(receipt: RollbackReceipt) -> str:
    described = _describe_version(receipt.left)
    return f"{described}, blocked from now on" if receipt.is_left_blocked else described


def _describe_version(head: Head) -> str:
    return f"{head.version}, {format_count(head.rows)} records"


def _describe_work(seconds: float, loaded_bytes: int) -> str:
    loaded = f"{format_bytes(loaded_bytes)} loaded" if loaded_bytes else "nothing was loaded"
    return f"{format_seconds(seconds)}, {loaded}"


def _describe_passed_over(receipt: RollbackReceipt) -> str:
    if not receipt.passed_over:
        return ""
    return f"{', '.join(receipt.passed_over)}: objects are missing from the store"


def _lay_out(lines: list[tuple[str, str]]) -> str:
    """Names beside what is told of them; what is not known, or nothing, is left out."""
    told = [(name, text) for name, text in lines if text]
    width = max(len(name) for name, _ in told)
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in told)


def _build_version(head: Head) -> dict[str, object]:
    return {"version": head.version, "partition": head.partition, "rows": head.rows}


def _build_live(head: Head) -> dict[str, object]:
    return {"version": head.version, "generation": head.generation}


def _build_work(receipt: RollbackReceipt | RebuildReceipt | CacheReceipt) -> dict[str, Any]:
    return {
        "bytes": receipt.bytes,
        "seconds": receipt.seconds,
        "stage_seconds": receipt.stage_seconds,
        "retired": receipt.retired,
    }
