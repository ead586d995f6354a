"""What a run did, one line a step: for people and as JSON."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from reverse_etl.cli.quantities import format_bytes, format_count, format_rate, format_seconds
from reverse_etl.cli.tables import render_table
from reverse_etl.model import Landed, MaskedReceipt, Published, QueryJob, Step

if TYPE_CHECKING:
    from reverse_etl.pipeline import RunReceipt

#: What an outcome means where it is not plain.
_NOTES = {
    Landed.UNCHANGED: "unchanged: this snapshot was landed under this policy before; nothing was written.",
    Landed.OUTRUN: "outrun: a later snapshot of this day was committed meanwhile; that one counts.",
    Published.ALREADY_LIVE: "already_live: readers see this version already; nothing was loaded.",
    Published.SUPERSEDED: "superseded: a later day is live; this one was landed and not loaded.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step of a run. `rows` is None where it had nothing to do."""

    step: Step
    rows: int | None
    bytes: int
    seconds: float
    outcome: str
    location: str


def build_lines(receipt: "RunReceipt") -> list[StepLine]:
    """The three steps of a run in their order."""
    extract, masked, cache = receipt.extract, receipt.masked, receipt.cache
    return [
        StepLine(
            step=Step.EXTRACT,
            rows=extract.snapshot.rows,
            bytes=extract.snapshot.bytes,
            seconds=extract.seconds,
            outcome="reused" if extract.reused else "pinned",
            location=extract.location,
        ),
        StepLine(
            step=Step.MASKED,
            rows=None if masked.outcome is Landed.UNCHANGED else masked.manifest.rows,
            bytes=masked.manifest.bytes,
            seconds=masked.seconds,
            outcome=masked.outcome,
            location=masked.location,
        ),
        StepLine(
            step=Step.CACHE,
            rows=cache.manifest.rows if cache.outcome is Published.LIVE else None,
            bytes=cache.bytes,
            seconds=cache.seconds,
            outcome=cache.outcome,
            location=cache.location,
        ),
    ]


def render_run(receipt: "RunReceipt") -> str:
    """A table of the steps, where each result lies, and what is not plain about the outcomes."""
    lines = build_lines(receipt)
    table = render_table(
        ("step", "rows", "bytes", "seconds", "rows/s", "outcome"),
        [
            (
                line.step,
                "-" if line.rows is None else format_count(line.rows),
                format_bytes(line.bytes),
                format_seconds(line.seconds),
                "-" if line.rows is None else format_rate(line.rows, line.seconds),
                line.outcome,
            )
            for line in lines
        ],
        numeric=frozenset({"rows", "bytes", "seconds", "rows/s"}),
    )
    width = max(len(line.step) for line in lines)
    places = [f"{line.step.ljust(width)}  {line.location}" for line in lines]
    outcomes = (receipt.masked.outcome, receipt.cache.outcome)
    notes = [_NOTES[outcome] for outcome in outcomes if outcome in _NOTES]
    notes += _describe_faults(receipt.masked)
    if "not checked" in (receipt.cache.memory or ""):
        notes.append(f"Redis' memory: {receipt.cache.memory}.")
    return "\n".join([table, "", *places, *_describe_job(receipt.extract.job), *notes])


def _describe_faults(receipt: MaskedReceipt) -> list[str]:
    """What could not be masked and let the version stand: counts by column and reason."""
    notes = [
        f"column '{fault.column}': {fault.reason} in {format_count(fault.rows)} rows ({fault.action})."
        for fault in receipt.faults
    ]
    quarantined = receipt.manifest.quarantined
    if quarantined:
        place = f"{receipt.location.rstrip('/')}/quarantine/"
        notes.append(f"quarantine: {format_count(quarantined)} rows were set aside, in {place}")
    return notes


def _describe_job(job: QueryJob | None) -> list[str]:
    """What the query cost, in one line and its link; nothing for a source that charges nothing."""
    if job is None:
        return []
    cached = ", from BigQuery's cache" if job.cache_hit else ""
    return [
        f"query: {format_bytes(job.bytes_billed)} billed, about {job.cost_usd:.4f} USD{cached}",
        f"       {job.url}",
    ]


def build_document(receipt: "RunReceipt") -> dict[str, Any]:
    """The same for programs."""
    manifest, head = receipt.cache.manifest, receipt.cache.head
    return {
        "sync": manifest.sync,
        "partition": manifest.partition,
        "version": manifest.version,
        "live": {"version": head.version, "generation": head.generation},
        "redis_memory": receipt.cache.memory,
        "quarantined": receipt.masked.manifest.quarantined,
        "faults": [asdict(fault) for fault in receipt.masked.faults],
        "job": None if receipt.extract.job is None else asdict(receipt.extract.job),
        "steps": [asdict(line) for line in build_lines(receipt)],
    }
