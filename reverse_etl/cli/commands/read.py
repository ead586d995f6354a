"""`reverse-etl read`: records of one version, found as the application finds them."""

import argparse
import json
import re
import sys
from collections.abc import Sequence

from reverse_etl.cli.reading import open_reader
from reverse_etl.cli.workspace import load_spec
from reverse_etl.errors import ConfigError
from reverse_etl.masking.lookup import check_key_rule, mask_key, missing_key_error
from reverse_etl.masking.rules import Rule
from reverse_etl.masking.tokens import make_token
from reverse_etl.model import Head
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec


def execute(arguments: argparse.Namespace) -> int:
    """Print what is found; name what is not by its position, never by its key."""
    spec = load_spec(arguments.sync, defs=arguments.defs)
    runtime = Runtime(settings=Settings.load())
    keys = _check_keys(arguments.keys)
    required = _check_fingerprint(arguments.require_policy)
    if not arguments.masked:
        check_key_rule(_find_key_rule(spec), sync=spec.name)
    if runtime.settings.redis_url is None:
        print("REVERSE_ETL_REDIS_URL is not set: reading from the object store.", file=sys.stderr)
    reader = open_reader(spec.name, runtime)
    with reader.pinned():
        head = reader.head()
        _check_policy(head, required)
        if not arguments.masked:
            keys = _mask_keys(spec, keys, head, runtime)
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


def _mask_keys(spec: SyncSpec, keys: Sequence[str], head: Head, runtime: Runtime) -> Sequence[str]:
    """The keys as they landed in the live version, which may have been masked with a previous key."""
    token = head.key_token
    if token is not None:
        ring = runtime.masking_keys
        if ring is None:
            raise missing_key_error(spec.name)
        masking_key = ring.find(token.key_id)
        return [make_token(token, key, masking_key=masking_key) for key in keys]
    # Keys that landed as they are, or the head of an earlier release, which does not say.
    rule = _find_key_rule(spec)
    current = runtime.masking_key if rule.needs_key else None
    return [str(mask_key(rule, key, sync=spec.name, masking_key=current)) for key in keys]


def _find_key_rule(spec: SyncSpec) -> Rule:
    return next(rule for rule in spec.config.columns if rule.name == spec.config.key)


def _check_fingerprint(fingerprint: str | None) -> str | None:
    if fingerprint is not None and not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        raise ConfigError(
            "--require-policy takes the whole fingerprint of a policy, 64 hexadecimal digits, as "
            "`reverse-etl versions --json` shows it."
        )
    return fingerprint


def _check_policy(head: Head, required: str | None) -> None:
    """`ConfigError` unless the live version was masked by the policy that is required, if one is."""
    if required is not None and head.policy_fingerprint != required:
        found = head.policy_fingerprint or "one that its head does not name (an earlier release)"
        raise ConfigError(
            f"Version '{head.version}' is live and was masked by policy {found}; required is {required}. "
            "Nothing was read. Publish a version of the required policy, or review the new one and require "
            "that."
        )


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
