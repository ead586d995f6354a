"""One of two processes on one directory: lands version after version, or sweeps until told to stop."""

import sys
from pathlib import Path

from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl_tests.builders import NOW
from reverse_etl_tests.landing.races.scenes import land_once, land_slowly, open_runtime, sweep

VERSIONS = 25


def main() -> None:
    """`land FOLDER` prints each version and how it ended; `sweep FOLDER` what it buried in all."""
    part, folder = sys.argv[1], Path(sys.argv[2])
    store = DirectoryStore(folder / "store")
    # What it costs to have the disk write everything out is no part of this.
    store.flush = lambda: None  # type: ignore[method-assign]
    finished = folder / "finished"
    if part == "sweep":
        print("ready", flush=True)  # noqa: T201 - how the test reads it
        buried = 0
        while not finished.exists():
            buried += sweep(store)
        print(buried)  # noqa: T201
        return
    runtime = open_runtime(folder, store)
    landed = land_once(folder)
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    for _ in range(VERSIONS):
        version = landed.again(begun=NOW)
        try:
            outcome = land_slowly(runtime, version).value
        except (TransientError, IntegrityError):
            outcome = "swept"
        print(version.manifest.version, outcome, flush=True)  # noqa: T201
    finished.touch()


if __name__ == "__main__":
    main()
