"""What is left when all is over and two clean runs have swept: nothing that should not be there."""

import time

import redis

from reverse_etl.cache.layout import VersionState, decode_entry
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.manifest import decode_head
from reverse_etl.model import Head
from reverse_etl_tests.torture.check import Fault, Findings
from reverse_etl_tests.torture.readers import SETTINGS
from reverse_etl_tests.torture.truth import SYNC
from reverse_etl_tests.torture.watch import open_client
from reverse_etl_tests.torture.world import KEEP_VERSIONS, World

_LATEST_SECONDS = 10.0


def look_for_leftovers(world: World, findings: Findings) -> None:
    """Every key in Redis, every file of a writer: each is accounted for."""
    for name in world.list_leftovers():
        findings.add(Fault.LEFTOVER, f"{name} is left on the disk")
    stored = find_head(world.store, SYNC)
    assert stored is not None
    with open_client(world) as client:
        _wait_for_expiring(client)
        cached = client.get(f"{SYNC}:head")
        if cached is None or decode_head(cached) != stored:
            findings.add(Fault.LEFTOVER, "the heads differ")
        if stored.retiring:
            findings.add(Fault.LEFTOVER, f"the head says that {stored.retiring} are retiring")
        _look_at_keys(world, findings, client, stored)


def _wait_for_expiring(client: redis.Redis) -> None:
    """What readers put back expires; so does a lease."""
    until = time.monotonic() + _LATEST_SECONDS
    while time.monotonic() < until:
        if all(client.ttl(key) < 0 for key in client.scan_iter(count=1000)):
            return
        time.sleep(SETTINGS["write_back_seconds"])


def _look_at_keys(world: World, findings: Findings, client: redis.Redis, head: Head) -> None:
    entries = {
        name.decode(): decode_entry(entry)
        for name, entry in client.hgetall(f"{SYNC}:versions").items()
    }
    if len(entries) > KEEP_VERSIONS:
        findings.add(Fault.LEFTOVER, f"{len(entries)} versions lie in Redis")
    states = {name: entry.state for name, entry in entries.items()}
    if set(states) != {head.version, *head.kept} or set(states.values()) != {VersionState.VERIFIED}:
        findings.add(Fault.LEFTOVER, f"the head is {head}, and in Redis are {states}")
    expected = {f"{SYNC}:head", f"{SYNC}:versions"}
    for version in entries:
        records = world.truth.records(world.find_mark(version))
        names = {f"{SYNC}:{version}:{key}": record for key, record in records.items()}
        found = dict(zip(names, client.mget(list(names)), strict=True))
        findings.count("records in Redis at the end", len(names))
        if found != names:
            findings.add(Fault.MISSING, f"'{version}' is not in Redis as it was landed")
        expected |= set(names)
    left = {key.decode() for key in client.scan_iter(count=1000)} - expected
    if left:
        findings.add(Fault.LEFTOVER, f"{len(left)} keys in Redis belong to nobody: {min(left)}")
