"""A DAGSTER_HOME from the file that is shipped for production, fit for one machine and for a test."""

from pathlib import Path
from typing import Any

import yaml

PRODUCTION = Path(__file__).parents[2] / "docker" / "dagster.yaml"

#: Of the shipped file, how soon run monitoring looks. All else of that part stays.
_MONITORING = {"poll_interval_seconds": 3, "cancel_timeout_seconds": 20}


def write_instance(home: Path, *, postgres: bool) -> None:
    """Write `dagster.yaml` into `home`.

    What is not the shipped file's:

    * `storage`: the shipped one with `postgres`, by the same variables; SQLite otherwise;
    * `compute_logs`: files in `home`, no bucket; `local_artifact_storage`, which is not shipped, too;
    * `run_monitoring`: looks every few seconds, and gives a cancelled run less time.
    """
    document: dict[str, Any] = yaml.safe_load(PRODUCTION.read_text(encoding="utf-8"))
    if not postgres:
        document["storage"] = {"sqlite": {"base_dir": str(home / "storage")}}
    document["compute_logs"] = {
        "module": "dagster._core.storage.local_compute_log_manager",
        "class": "LocalComputeLogManager",
        "config": {"base_dir": str(home / "compute_logs")},
    }
    document["local_artifact_storage"] = {
        "module": "dagster._core.storage.root",
        "class": "LocalArtifactStorage",
        "config": {"base_dir": str(home)},
    }
    document["run_monitoring"] |= _MONITORING
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
