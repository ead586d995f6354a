"""`reverse-etl syncs`: what is declared, without asking anything outside."""

import argparse
import json
from typing import Any

from reverse_etl.cli.tables import render_table
from reverse_etl.cli.workspace import find_defs_folder
from reverse_etl.spec import SyncSpec, load_specs


def execute(arguments: argparse.Namespace) -> int:
    """List the syncs by name."""
    folder = find_defs_folder(arguments.defs)
    documents = [_build_document(spec) for spec in load_specs(folder).values()]
    if arguments.json:
        print(json.dumps({"syncs": documents}))
    elif not documents:
        print(f"No sync is declared in '{folder}'.")
    else:
        shown = ("name", "key", "rule", "columns", "format", "start", "timezone", "schedule")
        rows = [tuple(_format(document[name]) for name in shown) for document in documents]
        print(render_table(shown, rows, numeric=frozenset({"columns"})))
    return 0


def _build_document(spec: SyncSpec) -> dict[str, Any]:
    config = spec.config
    return {
        "name": spec.name,
        "description": config.description,
        "key": config.key,
        "rule": next(rule.rule for rule in config.columns if rule.name == config.key),
        "columns": len(config.columns),
        "format": config.landing.format,
        "start": config.partitions.start.isoformat(),
        "timezone": config.partitions.timezone,
        "schedule": config.schedule.at if config.schedule else None,
        "owners": list(config.owners),
    }


def _format(cell: object) -> str:
    return "-" if cell is None else str(cell)
