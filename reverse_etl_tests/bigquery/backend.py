"""What the REST and gRPC sides of a server share."""

from dataclasses import dataclass

from reverse_etl_tests.bigquery.catalog import Catalog
from reverse_etl_tests.bigquery.clock import Clock
from reverse_etl_tests.bigquery.engine import Engine
from reverse_etl_tests.bigquery.faults import FaultPlan
from reverse_etl_tests.bigquery.log import Log
from reverse_etl_tests.bigquery.running import Jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The state of one server."""

    clock: Clock
    catalog: Catalog
    engine: Engine
    jobs: Jobs
    faults: FaultPlan
    log: Log
