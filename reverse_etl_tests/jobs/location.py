"""A code location in this process: two small syncs, and a runtime that the test puts into `GIVEN`."""

from typing import Any

import dagster as dg

from reverse_etl.components.factory import build_definitions
from reverse_etl.resources import RuntimeResource
from reverse_etl.runtime import Runtime
from reverse_etl_tests.components.harness import NEVER_AGAIN, build_spec

#: What the steps of runs work with: the last one counts.
GIVEN: list[Runtime] = []

_SCHEDULE: dict[str, Any] = {"at": "05:30", "environments": ["prod"]}
SPECS = [build_spec(schedule=_SCHEDULE), build_spec(name="other_users", schedule=_SCHEDULE)]


class _Given(RuntimeResource):
    """The test's runtime."""

    def open(self, *, run_id: str = "") -> Runtime:
        del run_id
        return GIVEN[-1]


defs = dg.Definitions.merge(
    *(build_definitions(spec, retries=NEVER_AGAIN) for spec in SPECS),
    dg.Definitions(resources={"runtime": _Given()}, executor=dg.in_process_executor),
)
