"""`dagster-daemon`, the real one, except that it looks at backfills every 5 seconds instead of 30.

Nothing configures that interval, and a test that stops and resumes a backfill would mostly wait for it.
Started by its path, with `python -P`: neighbours of this file must not stand in for libraries.
"""

from dagster._daemon import controller
from dagster._daemon.cli import main

# Read anew in each round of `dagster._daemon.backfill`; other daemons have intervals of their own.
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 5

if __name__ == "__main__":
    main()
