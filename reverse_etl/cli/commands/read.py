"""`reverse-etl read`: records of one version, found as the application finds them."""

import argparse
import json
import sys
from collections.abc import Sequence

from reverse_etl.cli.reading import open_reader
from reverse_etl.cli.workspace import load_spec
from reverse_etl.errors import ConfigError
from reverse_etl.masking.lookup import mask_key
from reverse_etl.model import Head
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec


def execute(arguments: argparse.Namespace) -> int:
    """Print what is found; name what is not by its position, never by its key."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    runtime = Runtime(settings=Settings.load())
    keys = _check_keys(arguments.keys)
    if not arguments.masked:
        keys = _mask_keys(spec, keys, runtime)
    if runtime.settings.redis_url is None:
        print("REVERSE_ETL_REDIS_URL is not set: reading from the object store.", file=sys.stderr)
    reader = open_reader(spec.name, runtime)
    with reader.pinned():
        head = reader.head()
        records = [reader.get_raw(key) for key in keys]
    missing = [position for position, record in enumerate(records, 1) if record is None]
    if arguments.json:
        _write(_build_document(head, records, missing, sync=spec.name))
    else:
        for record in records:
            if record is not None:
                _write(record)
    if missing:
        positions = ", ".join(str(position) for position in missing)
        print(
            f"not found in version '{head.version}': key {positions} of {len(keys)}",
            file=sys.stderr,
        )
    return 1 if missing else 0


def _mask_keys(spec: SyncSpec, keys: Sequence[str], runtime: Runtime) -> list[str]:
    """The keys as they landed."""
    rule = next(rule for rule in spec.config.columns if rule.name == spec.config.key)
    masking_key = runtime.masking_key if rule.needs_key else None
    return [str(mask_key(rule, key, sync=spec.name, masking_key=masking_key)) for key in keys]


def _check_keys(keys: Sequence[str]) -> Sequence[str]:
    for position, key in enumerate(keys, 1):
        try:
            key.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"Key {position} is not UTF-8 text.") from None
    return keys


def _build_document(
    head: Head, records: Sequence[bytes | None], missing: Sequence[int], *, sync: str
) -> bytes:
    """The records spliced in as they are: reading and writing them again could change a number."""
    frame = {"sync": sync, "version": head.version, "missing": missing}
    spliced = b", ".join(b"null" if record is None else record.strip() for record in records)
    return json.dumps(frame)[:-1].encode() + b', "records": [' + spliced + b"]}"


def _write(line: bytes) -> None:
    """One line of bytes: a record is UTF-8, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line.rstrip(b"\n") + b"\n")
