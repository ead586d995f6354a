"""What every command begins with: the defs folder, its syncs, and one of them by name."""

import difflib
from importlib.resources import files
from pathlib import Path

from reverse_etl.errors import ConfigError
from reverse_etl.spec import SyncSpec, load_specs

_CHECKOUT_DEFS = Path("reverse_etl/defs")


def find_defs_folder(given: Path | None) -> Path:
    """The folder given, or the package's own, or the one below the working directory."""
    if given is not None:
        if not given.is_dir():
            raise ConfigError(f"--defs names '{given}', which is not a folder.")
        return given
    for folder in (Path(str(files("reverse_etl"))) / "defs", _CHECKOUT_DEFS):
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"There is no defs folder: neither in the package nor at ./{_CHECKOUT_DEFS}. Name one with "
        "--defs FOLDER."
    )


def load_spec(name: str, *, defs: Path | None) -> SyncSpec:
    """The sync `name`; `ConfigError` names those there are."""
    specs = load_specs(find_defs_folder(defs))
    if name in specs:
        return specs[name]
    near = difflib.get_close_matches(name, specs, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    there_are = (
        ", ".join(specs) or "none; a sync is a defs.yaml and its query in a folder of its own"
    )
    raise ConfigError(f"There is no sync {name!r}.{hint} There are: {there_are}.")
