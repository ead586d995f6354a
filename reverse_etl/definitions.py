"""The composition root: every sync under `defs/`, the resources and sensors of the profile.

Loading reads REVERSE_ETL_PROFILE and nothing else of the environment, and opens no connection.
"""

import warnings
from pathlib import Path

import dagster as dg

import reverse_etl.defs
from reverse_etl.components.rollback import build_rollback_job
from reverse_etl.components.sync import Sync
from reverse_etl.resources import build_resources
from reverse_etl.sensors import build_sensors
from reverse_etl.settings import load_profile


@dg.definitions
def defs() -> dg.Definitions:
    """All definitions of this code location."""
    profile = load_profile()
    common = dg.Definitions(
        resources=build_resources(profile),
        # The steps of a sync wait for each other and use all threads each: a process for every one
        # would only add its start. What isolates runs from each other is the run launcher.
        executor=dg.in_process_executor,
    )
    # `load_from_defs_folder` would not do: it looks for a pyproject.toml above, which an installed
    # package does not have, and imports every component library that is installed (two seconds,
    # Google's and AWS' clients among them).
    tree = dg.ComponentTree.from_module(
        defs_module=reverse_etl.defs, project_root=Path(__file__).parents[1]
    )
    with warnings.catch_warnings():
        # Of the framework's own calls, and of backfill policies, which have been beta for years.
        warnings.simplefilter("ignore", dg.BetaWarning)
        syncs = tree.build_defs(tree.defs_module_path)
        declared = [sync.spec for sync in tree.get_all_components(of_type=Sync)]
    jobs = dg.Definitions(jobs=[build_rollback_job(declared)] if declared else [])
    return dg.Definitions.merge(syncs, jobs, build_sensors(profile), common)
