"""`reverse-etl sweep`: what dead runs left of one sync removed, without a run."""

import argparse
import datetime as dt
import json
from contextlib import closing
from dataclasses import asdict

from reverse_etl import pipeline
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.quantities import format_seconds
from reverse_etl.cli.workspace import load_spec
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.stages.sweeping import SweepReceipt


def execute(arguments: argparse.Namespace) -> int:
    """Sweep, then say what was removed."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    hours = arguments.older_than_hours
    with closing(Runtime(settings=Settings.load())) as runtime, show_progress() as report:
        receipt = pipeline.sweep(
            spec,
            runtime,
            older_than=None if hours is None else dt.timedelta(hours=hours),
            report=report,
        )
    if arguments.json:
        document = {"sync": spec.name, "removed": receipt.removed, **asdict(receipt)}
        print(json.dumps(document))
    else:
        print(_render(receipt))
    return 0


def _render(receipt: SweepReceipt) -> str:
    """What was removed of each kind, and what was left alone."""
    redis = receipt.redis_left or ", ".join(receipt.retired) or "nothing"
    lines = {
        "attempts": str(receipt.attempts),
        "uploads": str(receipt.unfinished),
        "replaced": str(receipt.replaced),
        "old": str(receipt.old_versions),
        "snapshots": receipt.source_left or str(receipt.snapshots),
        "scratch": str(receipt.scratch),
        "redis": redis,
        "took": format_seconds(receipt.seconds),
    }
    laid_out = [f"{name.ljust(9)}  {text}" for name, text in lines.items()]
    done = f"{receipt.removed} removed" if receipt.removed else "nothing was left to remove"
    return "\n".join([*laid_out, done])
