"""`make torture`: writers that die, a Redis that goes away, faults in the load; readers check all answers."""

import argparse
import os
import sys
import time

from rich.console import Console

from reverse_etl_tests.torture.loads import torture_loads
from reverse_etl_tests.torture.plan import FULL, SMALL
from reverse_etl_tests.torture.report import print_findings
from reverse_etl_tests.torture.scene import torture_world


def main() -> int:
    """Run both parts; 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="make torture TORTURE_ARGS=...")
    parser.add_argument("part", nargs="?", choices=("all", "world", "loads"), default="all")
    parser.add_argument("--seed", type=int, help="as an earlier run printed it")
    parser.add_argument("--small", action="store_true", help="as much as the tests do")
    arguments = parser.parse_args()
    seed = int.from_bytes(os.urandom(4)) if arguments.seed is None else arguments.seed
    scale = SMALL if arguments.small else FULL
    console = Console(width=100)
    console.print(f"seed {seed}")
    started = time.monotonic()
    found = []

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - started:5.0f} s  {line}", highlight=False)

    if arguments.part in ("all", "world"):
        found.append(torture_world(scale, seed, tell=tell))
        print_findings(found[-1], title="readers, writers, Redis", console=console)
    if arguments.part in ("all", "loads"):
        found.append(torture_loads(scale, seed, tell=tell))
        print_findings(found[-1], title="loads that go wrong", console=console)
    console.print(f"seed {seed}, {time.monotonic() - started:.0f} s")
    return int(any(findings.told for findings in found))


if __name__ == "__main__":
    sys.exit(main())
