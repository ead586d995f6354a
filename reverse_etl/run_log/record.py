"""One row of the run log: its columns, and what makes a receipt or an error into one.

It holds names, counts, times and a cost; of an error its class alone. The columns are an Arrow schema
of canonical types, so that any source can make a table of them.
"""

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypeAlias

import pyarrow as pa

from reverse_etl.model import CacheReceipt, ExtractReceipt, MaskedReceipt, Published

Receipt: TypeAlias = ExtractReceipt | MaskedReceipt | CacheReceipt

#: What tells a row from every other one; a row that is there is not written again.
ROW_ID = "row_id"
#: What a table that can be partitioned by days is partitioned by.
STARTED_AT = "started_at"

_DESCRIPTION = b"description"
_MOMENT = pa.timestamp("us", tz="UTC")
# `partition` and `rows` are words of GoogleSQL: a column of that name would have to be quoted.
_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    (ROW_ID, pa.string(), "One row in the world has it: a row that was sent twice is one row."),
    ("environment", pa.string(), "REVERSE_ETL_ENVIRONMENT of the deployment."),
    ("sync", pa.string(), "The sync."),
    ("partition_key", pa.string(), "The day that was carried, as the sync's timezone cuts it."),
    ("step", pa.string(), "extract, masked or cache."),
    ("run_id", pa.string(), "The run; a run that was retried whole keeps the id of its first one."),
    ("attempt", pa.int64(), "Which try of the step within its run, from 1."),
    ("started_at", _MOMENT, "When the step began."),
    ("finished_at", _MOMENT, "When it ended."),
    ("seconds", pa.float64(), "How long it took."),
    ("verdict", pa.string(), "succeeded, failed or cancelled."),
    ("error_class", pa.string(), "The class of the error that ended it; its text is not kept."),
    ("outcome", pa.string(), "How a step that succeeded ended: docs/run-log.md lists the words."),
    ("version", pa.string(), "The version that was landed or made live."),
    ("snapshot_id", pa.string(), "The snapshot that the rows are of."),
    ("row_count", pa.int64(), "Rows pinned, landed, or loaded into Redis."),
    ("byte_count", pa.int64(), "Bytes pinned, landed, or loaded into Redis."),
    ("job_id", pa.string(), "The query job that pinned the snapshot."),
    ("cost_usd", pa.float64(), "What that job cost, estimated; NULL where nothing is charged."),
    ("policy_fingerprint", pa.string(), "The rules that the rows went through."),
)
SCHEMA = pa.schema(
    pa.field(name, kind, metadata={_DESCRIPTION: text.encode()}) for name, kind, text in _COLUMNS
)


class Verdict(StrEnum):
    """How a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNames:
    """Which step of which run a row is about. `attempt` counts from 1."""

    environment: str
    sync: str
    partition_key: str
    step: str
    run_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a step ran. `seconds` was measured by a clock that nobody sets."""

    started_at: dt.datetime
    finished_at: dt.datetime
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of what a step did. None: it did not come so far, or there is no such thing."""

    outcome: str | None = None
    version: str | None = None
    snapshot_id: str | None = None
    row_count: int | None = None
    byte_count: int | None = None
    job_id: str | None = None
    cost_usd: float | None = None
    policy_fingerprint: str | None = None


def build_row(names: StepNames, timing: Timing, ending: Receipt | BaseException) -> pa.Table:
    """The row about a step that ended with a receipt, or with an error: one row of `SCHEMA`."""
    is_error = isinstance(ending, BaseException)
    row = {
        ROW_ID: compute_row_id(names, started_at=timing.started_at),
        **asdict(names),
        **asdict(timing),
        "verdict": judge(ending).value,
        "error_class": type(ending).__name__ if is_error else None,
        **asdict(Facts() if isinstance(ending, BaseException) else gather_facts(ending)),
    }
    return pa.Table.from_pylist([row], schema=SCHEMA)


def compute_row_id(names: StepNames, *, started_at: dt.datetime) -> str:
    """32 hexadecimal digits over what the row is about and when that began."""
    document = [*asdict(names).values(), started_at.astimezone(dt.UTC).isoformat()]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()[:32]


def judge(ending: object) -> Verdict:
    """What interrupts a step (Ctrl-C, a run that is terminated) is no error of the step's."""
    if not isinstance(ending, BaseException):
        return Verdict.SUCCEEDED
    return Verdict.FAILED if isinstance(ending, Exception) else Verdict.CANCELLED


def gather_facts(receipt: Receipt) -> Facts:
    """What a receipt says."""
    if isinstance(receipt, ExtractReceipt):
        return _gather_extract(receipt)
    manifest = receipt.manifest
    superseded = receipt.outcome is Published.SUPERSEDED
    return Facts(
        outcome=receipt.outcome.value,
        version=manifest.version,
        snapshot_id=manifest.snapshot_id,
        row_count=0 if superseded else manifest.rows,
        byte_count=receipt.bytes if isinstance(receipt, CacheReceipt) else manifest.bytes,
        policy_fingerprint=manifest.policy_fingerprint,
    )


def _gather_extract(receipt: ExtractReceipt) -> Facts:
    snapshot, job = receipt.snapshot, receipt.job
    return Facts(
        outcome="reused" if receipt.reused else "pinned",
        snapshot_id=snapshot.snapshot_id,
        row_count=snapshot.rows,
        byte_count=snapshot.bytes,
        job_id=None if job is None else job.job_id,
        cost_usd=None if job is None else job.cost_usd,
        policy_fingerprint=snapshot.policy_fingerprint,
    )
