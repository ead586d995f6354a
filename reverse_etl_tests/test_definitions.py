"""The code location: what it defines, and what loading it must not do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from reverse_etl.definitions import defs
from reverse_etl.errors import ConfigError
from reverse_etl_tests.graph import GOLDEN, describe_definitions, encode

ROOT = Path(__file__).parents[1]
#: Slow to import, or in need of credentials: for a step that runs, not for a graph that is shown.
LEFT_OUT = ("boto3", "dagster_aws", "dagster_gcp", "duckdb", "google.cloud", "obstore", "pandas")

LOAD = """
import json, sys
from dagster._core.remote_representation.external_data import RepositorySnap
import reverse_etl.definitions
repository = reverse_etl.definitions.defs().get_repository_def()
RepositorySnap.from_def(repository)
print(json.dumps({
    "assets": len(repository.asset_graph.get_all_asset_keys()),
    "file": reverse_etl.definitions.__file__,
    "modules": list(sys.modules),
}))
"""


@pytest.fixture(autouse=True)
def _local_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REVERSE_ETL_PROFILE", raising=False)


def load_fresh(
    folder: Path, code: str = LOAD, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `code` in an interpreter that knows nothing of this one."""
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_graph_is_as_reviewed() -> None:
    """Assets, kinds, pools, checks, jobs and schedules change only when somebody has looked.

    If the change is meant: python -m reverse_etl_tests.graph, and read the difference.
    """
    assert encode(describe_definitions(defs())) == GOLDEN.read_text(encoding="utf-8")


def test_only_readers_stand_behind_ours() -> None:
    """`dg launch --assets 'group:"user_stats"'` selects what can be materialised; readers cannot be.

    What is behind one of ours needs the group as well: `key:"user_stats/masked"+ and group:"user_stats"`.
    """
    assets = describe_definitions(defs())["assets"]

    behind = {
        name: asset["behind"]
        for name, asset in assets.items()
        if "external" in asset and asset["behind"]
    }

    assert behind == {
        f"{sync}/reader": [f"{sync}/cache"] for sync in ("user_profile", "user_stats")
    }


def test_definitions_can_be_loaded() -> None:
    """Every reference between definitions holds: resources, jobs, dependencies."""
    dg.Definitions.validate_loadable(defs())


def test_fresh_interpreter_loads_without_environment(tmp_path: Path) -> None:
    """No variable, no pyproject above, no heavy client, not a word: the graph is there all the same."""
    loaded = load_fresh(tmp_path)

    assert loaded.returncode == 0, loaded.stderr
    found = json.loads(loaded.stdout)
    assert found["assets"] >= 8
    assert sorted(set(LEFT_OUT) & set(found["modules"])) == []
    assert loaded.stderr == ""


def test_installed_package_loads_its_syncs(tmp_path: Path) -> None:
    """In site-packages there is no pyproject.toml above; the syncs come along all the same."""
    shutil.copytree(ROOT / "reverse_etl", tmp_path / "reverse_etl")

    loaded = load_fresh(tmp_path, PYTHONPATH=str(tmp_path))

    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout)["file"].startswith(str(tmp_path))


def test_loading_leaves_no_trace(tmp_path: Path) -> None:
    """Showing the graph makes no folder, file or connection of its own."""
    load_fresh(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_settings_are_not_read_at_load(tmp_path: Path) -> None:
    """A wrong setting is for the run to tell; the graph is needed to see the run."""
    loaded = load_fresh(tmp_path, REVERSE_ETL_THREADS="many", REVERSE_ETL_STORE_URL="nowhere:")

    assert loaded.returncode == 0, loaded.stderr


def test_unknown_profile_stops_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one setting that loading reads."""
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "moon")

    with pytest.raises(ConfigError, match="it can be: local, cloud"):
        defs()


def test_cloud_profile_shows_cloud_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same syncs, with the places they have there, and the clients that others may use."""
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")

    described = describe_definitions(defs())

    assets = described["assets"]
    assert assets["user_stats/extract"]["kinds"] == ["bigquery"]
    assert assets["user_stats/masked"]["kinds"] == ["json", "s3"]
    assert assets["shop/users"]["kinds"] == ["bigquery", "table"]
    assert {"bigquery", "s3", "runtime"} <= set(described["resources"])


def test_cloud_profile_watches_bigquery(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor runs unless somebody stops it: a limit that is set is a limit that holds."""
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")
    definitions = defs()

    described = describe_definitions(definitions)

    dg.Definitions.validate_loadable(definitions)
    assert described["sensors"]["bigquery_watch"] == {"every_seconds": 60, "status": "RUNNING"}
    assert described["assets"]["reverse_etl/bigquery_watch"]["external"] is True


def test_cloud_profile_heals_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start; what loads by itself what others landed waits until somebody switches it on."""
    local = describe_definitions(defs())["sensors"]
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")

    cloud = describe_definitions(defs())["sensors"]

    assert (local["heal_heads"]["status"], cloud["heal_heads"]["status"]) == ("STOPPED", "RUNNING")
    assert cloud["new_manifests"]["status"] == "STOPPED"


def test_deployments_name_is_read_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which schedules are on; a name that cannot be one stops loading."""
    monkeypatch.setenv("REVERSE_ETL_ENVIRONMENT", "no such name")

    with pytest.raises(ConfigError, match="REVERSE_ETL_ENVIRONMENT is 'no such name'"):
        defs()


def test_cloud_profile_reads_no_other_setting(tmp_path: Path) -> None:
    """Whether there is a limit, the sensor's tick finds out."""
    loaded = load_fresh(
        tmp_path, REVERSE_ETL_PROFILE="cloud", REVERSE_ETL_BIGQUERY_WATCH_MINUTES="soon"
    )

    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.e2e
@pytest.mark.parametrize(
    "command",
    [
        ["dg", "check", "defs"],
        ["dg", "list", "defs", "--json"],
        ["dg", "list", "component-tree"],
        ["dagster", "definitions", "validate", "-w", "workspace.yaml"],
    ],
    ids=" ".join,
)
def test_commands_take_the_checkout(command: list[str]) -> None:
    """What the README tells people to type works where they stand."""
    program = str(Path(sys.executable).with_name(command[0]))

    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
