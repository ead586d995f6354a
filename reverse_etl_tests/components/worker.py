"""A run worker for others to kill: `python -m ...worker FOLDER DAY RUN_ID`; says `masking` when it masks."""

import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import dagster as dg

from reverse_etl.components.factory import build_definitions
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import load_specs
from reverse_etl_tests.components.harness import complete, give


def main() -> None:
    """Run the only sync below the folder for one day, as far as its first masked batch."""
    folder, day, run_id = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    (spec,) = load_specs(folder / "defs").values()
    runtime = Runtime(settings=Settings.load())
    runtime.source.read = _wait_for_the_end  # type: ignore[assignment, method-assign]
    job = complete(build_definitions(spec), runtime=give(runtime)).resolve_job_def(
        f"{spec.name}_daily"
    )
    with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        job.execute_in_process(partition_key=day, instance=instance, run_id=run_id)


def _wait_for_the_end(*_: Any) -> Generator[Any]:
    sys.stdout.write("masking\n")
    sys.stdout.flush()
    threading.Event().wait()
    yield from ()


if __name__ == "__main__":
    main()
