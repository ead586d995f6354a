"""The composition root: every sync under `defs/`, the jobs, checks and sensors over them, the resources.

Loading reads REVERSE_ETL_PROFILE and REVERSE_ETL_ENVIRONMENT, nothing else of the environment, and opens no
connection.
"""

import warnings
from pathlib import Path

import dagster as dg

import reverse_etl.defs
from reverse_etl.checks.freshness import build_freshness_checks
from reverse_etl.components.quick_loading import load_quickly
from reverse_etl.components.sync import Sync
from reverse_etl.jobs import build_jobs
from reverse_etl.resources import build_resources
from reverse_etl.sensors import build_sensors
from reverse_etl.settings import load_environment_name, load_profile


@dg.definitions
def defs() -> dg.Definitions:
    """All definitions of this code location."""
    profile, environment = load_profile(), load_environment_name()
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
    with warnings.catch_warnings(), load_quickly():
        # Of the framework's own calls, and of backfill policies, which have been beta for years.
        warnings.simplefilter("ignore", dg.BetaWarning)
        syncs = tree.build_defs(tree.defs_module_path)
        declared = [sync.spec for sync in tree.get_all_components(of_type=Sync)]
    return dg.Definitions.merge(
        syncs,
        build_jobs(declared),
        dg.Definitions(asset_checks=build_freshness_checks(declared)),
        build_sensors(profile, specs=declared, environment=environment),
        common,
    )
