"""`reverse-etl plan`: what a run would do, cost and be stopped by, before it is tried."""

import argparse
import json
import shutil
from contextlib import closing

from reverse_etl import pipeline
from reverse_etl.cli.plans import build_document, render_plan
from reverse_etl.cli.workspace import load_spec
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings

_MAX_WIDTH = 100


def execute(arguments: argparse.Namespace) -> int:
    """Plan one day; exit code 1 when something would stop it."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    partition = spec.find_day(arguments.partition)
    with closing(Runtime(settings=Settings.load())) as runtime:
        plan = pipeline.plan_run(spec, partition, runtime)
    if arguments.json:
        print(json.dumps(build_document(plan)))
    else:
        width = min(_MAX_WIDTH, shutil.get_terminal_size((_MAX_WIDTH, 0)).columns)
        print(render_plan(plan, width=width))
    return 0 if plan.can_run else 1
