"""The files of demo and dev: the key is private and made once, and no two processes share a place."""

import datetime as dt
from pathlib import Path

import pytest

from reverse_etl.embedded.places import Places, choose_end_date, ensure_masking_key, reserve
from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.masking.keys import parse_masking_key
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Profile, Settings


def test_masking_key_is_private_and_made_once(tmp_path: Path) -> None:
    """Nobody else can read it, and a second call leaves it alone: tokens stay what they were."""
    path = tmp_path / "deep" / "masking.key"

    made = ensure_masking_key(path)
    first = path.read_text(encoding="ascii")
    again = ensure_masking_key(path)

    assert (made, again) == (True, False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text(encoding="ascii") == first
    assert parse_masking_key(first).key_id == "local"
    assert [item.name for item in path.parent.iterdir()] == ["masking.key"]


def test_place_belongs_to_one_process(tmp_path: Path) -> None:
    """A second user is refused while the first is inside, and welcome afterwards."""
    root = tmp_path / "demo"

    with (
        reserve(root),
        pytest.raises(ConfigError, match="Another process is using"),
        reserve(root),
    ):
        pass
    with reserve(root) as places:
        assert places == Places(root=root)


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where nothing can be made, the message says so."""
    (tmp_path / "file").touch()

    with (
        pytest.raises(TerminalError, match="cannot be written"),
        reserve(tmp_path / "file" / "demo"),
    ):
        pass
    with pytest.raises(TerminalError, match="cannot be written"):
        ensure_masking_key(tmp_path / "file" / "masking.key")


def test_environment_is_what_settings_read(tmp_path: Path) -> None:
    """A child with this environment works in these places, with this key and no other."""
    places = Places(root=tmp_path / "de mo")
    key_file = tmp_path / "masking.key"
    ensure_masking_key(key_file)

    overrides = places.build_environment(redis_url="redis://here", masking_key_file=key_file)
    settings = Settings.load(
        {name: value for name, value in overrides.items() if value is not None}
    )

    assert overrides["REVERSE_ETL_MASKING_KEY"] is None
    assert settings.profile is Profile.LOCAL
    assert settings.duckdb_path == places.warehouse
    assert settings.scratch_dir == places.scratch
    assert settings.masking_key_file == key_file
    Runtime(settings=settings).store.put("probe", b"1")
    assert (places.store / "probe").is_file()


def test_sample_ends_after_every_complete_day() -> None:
    """Wherever it is still or already today, the latest complete day lies before the sample's end."""
    now = dt.datetime(2026, 11, 19, 23, 30, tzinfo=dt.UTC)

    assert choose_end_date(now) == dt.date(2026, 11, 20)
