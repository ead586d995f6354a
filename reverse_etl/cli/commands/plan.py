"""`reverse-etl plan`: what a run would do, cost and be stopped by, before it is tried."""

import argparse
import json
import shutil
import sys
from contextlib import closing

from reverse_etl import pipeline
from reverse_etl.cli.plans import build_document, render_plan
from reverse_etl.cli.previews import render_preview
from reverse_etl.cli.workspace import load_spec
from reverse_etl.errors import ConfigError
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.stages.previewing import check_preview

_MAX_WIDTH = 100


def execute(arguments: argparse.Namespace) -> int:
    """Plan one day; exit code 1 when something would stop it."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    partition = spec.find_day(arguments.partition)
    if arguments.preview is not None:
        _check_place(as_json=arguments.json)
        check_preview(spec)
    with closing(Runtime(settings=Settings.load())) as runtime:
        plan = pipeline.plan_run(spec, partition, runtime)
        width = min(_MAX_WIDTH, shutil.get_terminal_size((_MAX_WIDTH, 0)).columns)
        if arguments.json:
            print(json.dumps(build_document(plan)))
        else:
            print(render_plan(plan, width=width))
        if arguments.preview is not None:
            rows = pipeline.preview(spec, partition, runtime, most=arguments.preview)
            print(f"\n{render_preview(rows, rules=spec.config.columns, width=width)}")
    return 0 if plan.can_run else 1


def _check_place(*, as_json: bool) -> None:
    """`ConfigError` unless rows would go to a terminal, where nothing keeps them."""
    if as_json or not sys.stdout.isatty():
        raise ConfigError(
            "--preview shows rows on a terminal and nowhere else: not with --json, and not where the "
            "output goes to a file or a pipe. Nothing was read."
        )
