"""`reverse-etl verify`: a version held against its manifest, in the store and in Redis."""

import argparse
import json
from contextlib import closing

from reverse_etl import pipeline
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.recoveries import build_verify_document, render_verify
from reverse_etl.cli.workspace import load_spec
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings


def execute(arguments: argparse.Namespace) -> int:
    """Compare; exit code 1 when something differs."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    with closing(Runtime(settings=Settings.load())) as runtime, show_progress() as report:
        receipt = pipeline.verify(spec, runtime, version=arguments.version, report=report)
    if arguments.json:
        print(json.dumps(build_verify_document(receipt)))
    else:
        print(render_verify(receipt))
    return 1 if receipt.differences else 0
