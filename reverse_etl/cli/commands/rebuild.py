"""`reverse-etl rebuild`: what Redis has lost, loaded again from the store."""

import argparse
import json
from contextlib import closing

from reverse_etl import pipeline
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.recoveries import build_rebuild_document, render_rebuild
from reverse_etl.cli.workspace import load_spec
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings


def execute(arguments: argparse.Namespace) -> int:
    """Load what is missing, then say what it was."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    with closing(Runtime(settings=Settings.load())) as runtime, show_progress() as report:
        receipt = pipeline.rebuild(
            spec, runtime, kept=arguments.kept, force=arguments.force, report=report
        )
    if arguments.json:
        print(json.dumps(build_rebuild_document(receipt, sync=spec.name)))
    else:
        print(render_rebuild(receipt))
    return 0
