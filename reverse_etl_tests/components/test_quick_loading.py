"""Loading sooner changes nothing of what is loaded, and is undone."""

import gc
from pathlib import Path

import dagster as dg
import pytest
import yaml

from reverse_etl.components.quick_loading import load_quickly
from reverse_etl_tests.components.yaml_syncs import load_syncs, write_sync

BROKEN = "type: reverse_etl.components.Sync\nattributes:\n  name: [unclosed\n"


def test_same_syncs_are_loaded(tmp_path: Path) -> None:
    """Both parsers read the same assets from the same files."""
    for name in ("first", "second"):
        write_sync(tmp_path / name)

    usual = load_syncs(tmp_path).resolve_asset_graph().get_all_asset_keys()
    with load_quickly():
        quick = load_syncs(tmp_path).resolve_asset_graph().get_all_asset_keys()

    assert quick == usual
    assert dg.AssetKey(["first", "extract"]) in quick


def test_all_is_as_before_afterwards() -> None:
    """Whoever reads YAML or makes garbage next notices nothing, after an error neither."""
    before = yaml.SafeLoader

    def fail() -> None:
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError), load_quickly():
        fail()

    assert yaml.SafeLoader is before
    assert gc.isenabled()


def test_syntax_error_is_told_as_ever(tmp_path: Path) -> None:
    """With file and line, and what stands there."""
    write_sync(tmp_path / "broken", BROKEN)
    with pytest.raises(yaml.MarkedYAMLError) as usual:
        load_syncs(tmp_path)

    with pytest.raises(yaml.MarkedYAMLError) as quick, load_quickly():
        load_syncs(tmp_path)

    assert str(quick.value) == str(usual.value)
    assert "defs.yaml" in str(quick.value)
