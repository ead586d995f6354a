"""The jobs beside each sync's own: what a person, or a sensor, starts by itself. Thin: the work is below."""

from collections.abc import Sequence

import dagster as dg

from reverse_etl.jobs.rebuild import build_rebuild_job
from reverse_etl.jobs.rollback import build_rollback_job
from reverse_etl.jobs.sweep import build_sweep_job
from reverse_etl.jobs.verify import build_verify_job
from reverse_etl.jobs.warm import build_warm_job
from reverse_etl.spec import SyncSpec


def build_jobs(specs: Sequence[SyncSpec]) -> dg.Definitions:
    """All of them, for these syncs; none where none is declared."""
    if not specs:
        return dg.Definitions()
    builders = (
        build_rollback_job,
        build_verify_job,
        build_rebuild_job,
        build_sweep_job,
        build_warm_job,
    )
    return dg.Definitions(jobs=[build(specs) for build in builders])
