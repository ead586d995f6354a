"""Steps about what is declared: the syncs' files, and the masking key that they need."""

from pathlib import Path

from reverse_etl.cli.doctor.checkup import SkippedError
from reverse_etl.errors import ConfigError
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec, load_specs


def find_sync_folders(defs: Path) -> list[Path]:
    """The folders below `defs` that declare something, in order; what lies below one is its own."""
    folders = {path.parent for path in defs.glob("**/defs.yaml")}
    return sorted(folder for folder in folders if folders.isdisjoint(folder.parents))


def examine_folder(folder: Path, specs: dict[str, SyncSpec]) -> str:
    """Whether the syncs of one folder can be loaded; they are added to `specs`."""
    found = load_specs(folder)
    if not found:
        raise SkippedError("declares no sync")
    twice = [name for name in found if name in specs]
    if twice:
        raise ConfigError(
            f"The name '{twice[0]}' is used by another folder already. A name is used once."
        )
    specs.update(found)
    return ", ".join(
        f"sync '{spec.name}': {len(spec.config.columns)} columns, {spec.config.landing.format}"
        for spec in found.values()
    )


def examine_masking_key(specs: dict[str, SyncSpec], runtime: Runtime) -> str:
    """Whether the key that rule `hmac` needs is there; of it and previous ones, ids and fingerprints."""
    needing = [
        spec.name for spec in specs.values() if any(rule.needs_key for rule in spec.config.columns)
    ]
    if not needing:
        raise SkippedError("no sync uses rule 'hmac'")
    ring = runtime.masking_keys
    if ring is None:
        raise ConfigError(
            f"No masking key is configured, and rule 'hmac' of {', '.join(needing)} needs one. Set "
            "REVERSE_ETL_MASKING_KEY_SECRET, REVERSE_ETL_MASKING_KEY_FILE or REVERSE_ETL_MASKING_KEY to "
            "the key of your deployment; a new one is made with `openssl rand -base64 32` and written "
            "`k1:<that>`."
        )
    current, *previous = (f"'{key.key_id}', fingerprint {key.fingerprint}" for key in ring.keys)
    return "; ".join([f"key {current}", *(f"previous key {shown}" for shown in previous)])
