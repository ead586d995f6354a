"""`python -m reverse_etl.cli`: the same as the console script `reverse-etl`."""

import sys

from reverse_etl.cli import main

sys.exit(main())
