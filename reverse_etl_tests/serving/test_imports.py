"""What an application loads with the reader: redis-py, and next to nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reverse_etl_tests.landing.golden_values import GOLDEN

HEAVY = {"dagster", "google", "boto3", "botocore", "duckdb", "pandas", "obstore", "sqlglot"}
READ = (
    "import pathlib, sys, json\n"
    "from reverse_etl.serving import Reader\n"
    "from reverse_etl.landing.directory import DirectoryStore\n"
    "reader = Reader('user_stats', store=DirectoryStore(pathlib.Path(sys.argv[1])), redis=None)\n"
    "assert reader.get('u-1004')['country'] == 'DE'\n"
)
READ_IN_LOOP = (
    "import asyncio, pathlib, sys\n"
    "from reverse_etl.serving import AsyncReader\n"
    "async def read():\n"
    "    url = pathlib.Path(sys.argv[1]).resolve().as_uri()\n"
    "    async with AsyncReader.connect('user_stats', redis_url=None, store_url=url) as reader:\n"
    "        assert (await reader.get('u-1004'))['country'] == 'DE'\n"
    "asyncio.run(read())\n"
)
every_use = pytest.mark.parametrize(
    "code",
    ["from reverse_etl.serving import Reader\n", READ, READ_IN_LOOP],
    ids=["import", "read", "read in a loop"],
)
TELL = (
    "import sys, json; print(json.dumps(sorted(name for name in sys.modules if '.' not in name)))"
)


def load_modules(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after this."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + TELL, str(GOLDEN)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(json.loads(ran.stdout))


@every_use
def test_reader_loads_no_platform(code: str) -> None:
    """Neither Dagster nor a warehouse, a cloud's SDK or pandas, at the import or at the first read."""
    assert load_modules(code) & HEAVY == set()


@every_use
def test_reader_of_json_loads_no_arrow(code: str) -> None:
    """Arrow and numpy are for those who read Parquet: a JSON version needs neither."""
    assert load_modules(code) & {"pyarrow", "numpy"} == set()
