"""The component: one YAML document to definitions, or one clear reason why not."""

from pathlib import Path

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from pydantic import ValidationError

from reverse_etl.components import Sync
from reverse_etl.errors import ConfigError
from reverse_etl_tests.components.yaml_syncs import SYNC, load_syncs, write_sync


def load_and_fail(folder: Path) -> BaseException:
    """Why the syncs below `folder` do not load: the error below the one that names the file."""
    with pytest.raises(ComponentTreeException) as caught:
        load_syncs(folder)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def test_two_files_make_a_sync(tmp_path: Path) -> None:
    """A YAML document and its query are enough; the rest is derived."""
    write_sync(tmp_path / "shop_users")

    definitions = load_syncs(tmp_path)

    keys = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}
    assert keys == {
        "shop/users",
        "shop_users/extract",
        "shop_users/masked",
        "shop_users/cache",
        "shop_users/reader",
    }
    assert definitions.resolve_job_def("shop_users_daily")


def test_two_documents_make_two_syncs(tmp_path: Path) -> None:
    """Syncs may share a file, a query and its tables."""
    both = "---\n".join(SYNC.format(name=name) for name in ("first", "second"))
    write_sync(tmp_path / "both", both)

    graph = load_syncs(tmp_path).resolve_asset_graph()

    assert graph.get(dg.AssetKey(["shop", "users"])).child_keys == {
        dg.AssetKey(["first", "extract"]),
        dg.AssetKey(["second", "extract"]),
    }


def test_asset_names_the_file_it_comes_from(tmp_path: Path) -> None:
    """From the asset's page to the lines that declare it."""
    folder = write_sync(tmp_path / "shop_users")

    definitions = load_syncs(tmp_path)

    metadata = definitions.resolve_asset_graph().get(dg.AssetKey(["shop_users", "cache"])).metadata
    (reference,) = metadata["dagster/code_references"].code_references
    assert Path(reference.file_path) == folder / "defs.yaml"


def test_missing_query_file_stops_loading(tmp_path: Path) -> None:
    """The message names the sync, the file and the folder."""
    write_sync(tmp_path / "shop_users", query=None)

    error = load_and_fail(tmp_path)

    assert isinstance(error, ConfigError)
    assert "Sync 'shop_users': there is no query file 'query.sql'" in str(error)


def test_query_that_cannot_run_stops_loading(tmp_path: Path) -> None:
    """A slip in the SQL is found before a run, with its line."""
    write_sync(tmp_path / "shop_users", query="SELECT user_id\nFROM (shop.users")

    error = load_and_fail(tmp_path)

    assert isinstance(error, ConfigError)
    assert "Sync 'shop_users', 'query.sql': The query cannot be read in line 2" in str(error)


def test_name_used_twice_stops_loading(tmp_path: Path) -> None:
    """Two syncs of one name would write over each other."""
    write_sync(tmp_path / "one", SYNC.format(name="shop_users"))
    write_sync(tmp_path / "two", SYNC.format(name="shop_users"))

    error = load_and_fail(tmp_path)

    assert isinstance(error, ConfigError)
    assert "2 syncs are named 'shop_users'" in str(error)


@pytest.mark.parametrize("text", ["", "attributes: {}\n"], ids=["none", "empty"])
def test_sync_without_attributes_stops_loading(tmp_path: Path, text: str) -> None:
    """A document that says nothing is told what it needs."""
    write_sync(tmp_path / "shop_users", f"type: reverse_etl.components.Sync\n{text}")

    error = load_and_fail(tmp_path)

    assert isinstance(error, ConfigError)
    assert "The sync in 'shop_users/' has no attributes" in str(error)


def test_wrong_attribute_stops_loading_with_its_line(tmp_path: Path) -> None:
    """Loading checks what a JSON schema cannot: here, that the timezone exists."""
    text = SYNC.format(name="shop_users").replace(
        "{start: 2024-01-01}", "{start: 2024-01-01, timezone: Europe/Berlim}"
    )
    folder = write_sync(tmp_path / "shop_users", text)

    error = load_and_fail(tmp_path)

    assert isinstance(error, ValidationError)
    assert f"attributes.partitions.timezone at {folder / 'defs.yaml'}:9" in str(error)
    assert "'Europe/Berlim' is not a timezone" in str(error)


def test_docstring_lists_what_an_entry_produces(tmp_path: Path) -> None:
    """The words that `dg list components` shows name every definition there is."""
    write_sync(
        tmp_path / "user_stats", SYNC.format(name="user_stats") + '  schedule: {at: "05:30"}\n'
    )
    repository = load_syncs(tmp_path).get_repository_def()

    described = str(Sync.get_description())

    names = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    names |= {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    names |= {schedule.name for schedule in repository.schedule_defs}
    assert {name for name in names - {"shop/users"} if f"`{name}`" not in described} == set()
