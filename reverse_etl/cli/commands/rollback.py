"""`reverse-etl rollback`: readers sent to another version, at once where that lies in Redis."""

import argparse
import json
from contextlib import closing

from reverse_etl import pipeline
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.recoveries import build_rollback_document, render_rollback
from reverse_etl.cli.workspace import load_spec
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings


def execute(arguments: argparse.Namespace) -> int:
    """Roll back, then say from where to where."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    with closing(Runtime(settings=Settings.load())) as runtime, show_progress() as report:
        receipt = pipeline.rollback(
            spec,
            runtime,
            to=arguments.to,
            again=arguments.again,
            block=not arguments.no_block,
            report=report,
        )
    if arguments.json:
        print(json.dumps(build_rollback_document(receipt)))
    else:
        print(render_rollback(receipt))
    return 0
