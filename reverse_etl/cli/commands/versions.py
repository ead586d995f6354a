"""`reverse-etl versions`: what was committed, and what readers see of it."""

import argparse
import json

from reverse_etl import pipeline
from reverse_etl.cli.quantities import format_bytes, format_count
from reverse_etl.cli.tables import render_table
from reverse_etl.cli.workspace import load_spec
from reverse_etl.landing.manifest import format_time
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.stages.listing import VersionLine

_HEADER = ("version", "partition", "rows", "bytes", "committed at", "masking key", "status")


def execute(arguments: argparse.Namespace) -> int:
    """List the versions of one sync."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    lines = pipeline.list_versions(spec, Runtime(settings=Settings.load()))
    if arguments.json:
        print(
            json.dumps({"sync": spec.name, "versions": [_build_document(line) for line in lines]})
        )
    elif not lines:
        print(f"Sync '{spec.name}' has no committed version yet.")
    else:
        rows = [
            (
                line.version,
                line.partition,
                format_count(line.rows),
                format_bytes(line.bytes),
                f"{line.committed_at:%Y-%m-%d %H:%M:%S}Z",
                _name_key(line) or "",
                line.status,
            )
            for line in lines
        ]
        print(render_table(_HEADER, rows, numeric=frozenset({"rows", "bytes"})))
    return 0


def _name_key(line: VersionLine) -> str | None:
    """The id of the masking key that a reader needs."""
    return None if line.masking_key is None else line.masking_key.partition(":")[0]


def _build_document(line: VersionLine) -> dict[str, object]:
    return {
        "version": line.version,
        "partition": line.partition,
        "rows": line.rows,
        "bytes": line.bytes,
        "committed_at": format_time(line.committed_at),
        "status": line.status,
        "policy_fingerprint": line.policy_fingerprint,
        "key_id": _name_key(line),
        "key_fingerprint": None if line.masking_key is None else line.masking_key.partition(":")[2],
    }
