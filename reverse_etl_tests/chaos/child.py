"""One run of a sync in a process of its own, for others to kill: `python -m ...child FOLDER DAY RUN`.

Prints the name of each stage as it begins, so that a test can kill it there.
"""

import json
import sys
from pathlib import Path

from reverse_etl import pipeline
from reverse_etl.errors import ReverseEtlError
from reverse_etl.progress import Progress
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import load_specs


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the only sync below the folder for one day."""
    folder, day, run_id = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    seen: set[str] = set()

    def report(progress: Progress) -> None:
        if progress.stage not in seen:
            seen.add(progress.stage)
            say(progress.stage)

    (spec,) = load_specs(folder / "defs").values()
    runtime = Runtime(settings=Settings.load())
    try:
        receipt = pipeline.run_sync(
            spec, spec.partition(day, now=runtime.now()), runtime, run_id=run_id, report=report
        )
    except ReverseEtlError as error:
        say(json.dumps({"error": type(error).__name__, "message": str(error)}))
        sys.exit(error.exit_code)
    result = {"outcome": receipt.cache.outcome, "version": receipt.cache.manifest.version}
    say(json.dumps(result))


if __name__ == "__main__":
    main()
