"""The library for columns may not keep a run from being interrupted."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "reverse_etl"
PATIENCE_SECONDS = 60

# The main thread waits for a lock that nobody gives back, as it does in `join`, until it is interrupted.
WAITING = """
import os, signal, threading
from reverse_etl.masking.frames import pl

pl.DataFrame({"a": ["x"]}).select(pl.col("a").str.to_uppercase())
lock = threading.Lock()
lock.acquire()
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    lock.acquire()
except KeyboardInterrupt:
    print("interrupted")
"""


def _is_it(module: str) -> bool:
    return module.partition(".")[0] == "polars"


def test_interrupt_ends_a_wait() -> None:
    """Also after the library was imported, which has the system wait on after a signal."""
    done = subprocess.run(
        [sys.executable, "-c", WAITING],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_it_is_imported_from_one_place() -> None:
    """Whoever imports it elsewhere first brings the long waits back."""
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(_is_it(name.name) for name in node.names))
        or (isinstance(node, ast.ImportFrom) and _is_it(node.module or ""))
    }

    assert importers == {"masking/frames.py"}
