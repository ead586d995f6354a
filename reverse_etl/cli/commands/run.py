"""`reverse-etl run`: one partition of one sync through the functions that the assets call."""

import argparse
import json
import sys
from contextlib import closing

from reverse_etl import pipeline
from reverse_etl.cache.heads import read_redis_head
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.receipts import build_document, render_run
from reverse_etl.cli.workspace import load_spec
from reverse_etl.errors import locate
from reverse_etl.landing.layout import build_id
from reverse_etl.model import Step
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec


def execute(arguments: argparse.Namespace) -> int:
    """Run the steps, progress on stderr, then say what was done."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    with closing(Runtime(settings=Settings.load())) as runtime:
        return _execute(arguments, spec, runtime)


def _execute(arguments: argparse.Namespace, spec: SyncSpec, runtime: Runtime) -> int:
    partition = spec.partition(arguments.partition, now=runtime.now())
    run_id = runtime.run_id = f"cli-{build_id(runtime.now())}"
    print(f"{spec.name} {partition.key}, run {run_id}", file=sys.stderr)
    # The last step needs Redis: better to hear of its absence now than when the others are done.
    with locate(sync=spec.name, partition=partition.key, step=Step.CACHE):
        read_redis_head(runtime.redis, spec.name)
    with show_progress() as report:
        receipt = pipeline.run_sync(spec, partition, runtime, run_id=run_id, report=report)
    if arguments.json:
        print(json.dumps({"run_id": run_id, **build_document(receipt)}))
    else:
        print(render_run(receipt))
    return 0
