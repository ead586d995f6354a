"""`reverse-etl warm`: a landed version made live where nothing is declared but its manifest's address."""

import argparse
import json
from contextlib import closing
from dataclasses import replace

from reverse_etl import pipeline
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.recoveries import build_warm_document, render_warm
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.stages.warming import parse_address


def execute(arguments: argparse.Namespace) -> int:
    """Load, verify, publish; a superseded version is no failure."""
    settings = Settings.load()
    address = parse_address(arguments.manifest, store_url=settings.store_url)
    settings = replace(settings, store_url=address.store_url)
    with closing(Runtime(settings=settings)) as runtime, show_progress() as report:
        receipt = pipeline.warm(
            address, runtime, keep_versions=arguments.keep_versions, report=report
        )
    if arguments.json:
        print(json.dumps(build_warm_document(receipt)))
    else:
        print(render_warm(receipt))
    return 0
