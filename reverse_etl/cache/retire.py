"""Makes room in Redis: versions that nobody reads any more are taken out, key by key.

In this order, so that a crash anywhere is finished by the next run: S3's head lists the version as
retiring instead of kept (from then on nobody can roll back to it without loading it anew, and
retention still leaves its objects alone); the list in Redis says so too; a grace passes for readers
that still follow an older head; its keys, computed again from its objects, are unlinked at a bounded
pace; it is taken off the list, and then out of the head. Nothing is ever searched for (SCAN, KEYS)
or flushed: other applications' keys may lie beside ours.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from reverse_etl.cache.announce import list_names, retract_names
from reverse_etl.cache.bulk import Bulk, Tally, Worker
from reverse_etl.cache.heads import (
    amend_heads,
    heal_redis_head,
    read_redis_head,
    read_store_head,
)
from reverse_etl.cache.layout import VersionEntry, VersionState, record_prefix, versions_key
from reverse_etl.cache.pace import pace
from reverse_etl.cache.unlink import Unlink
from reverse_etl.cache.versions import (
    forget_version,
    is_verified,
    list_versions,
    mark_retiring,
    require_retiring,
    restore_registration,
)
from reverse_etl.errors import IntegrityError, NotFoundError, TerminalError, TransientError
from reverse_etl.landing.layout import manifest_name
from reverse_etl.landing.manifest import decode_manifest, is_tombstone
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Head, Manifest, RecordGroup

#: Reads a version's records back from its objects, in bounded groups.
GroupsOf = Callable[[Manifest], Iterable[RecordGroup]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirePlan:
    """The versions to take out, in order, and whether that makes enough room."""

    versions: tuple[str, ...]
    makes_room: bool


def plan_retiring(
    entries: Mapping[str, VersionEntry],
    *,
    live: Collection[str],
    loading: str,
    keep_versions: int,
    retiring: Collection[str] = (),
    blocked: Collection[str] = (),
) -> RetirePlan:
    """What to retire so that `loading` may lie in Redis as one of `keep_versions`. Pure.

    First what dead runs left behind (half loaded, half retired, or `retiring` by S3's head), always;
    then, as many as needed, verified versions that are not live: `blocked` ones, which nobody goes
    back to, and then the oldest.
    """
    others = {version: entry for version, entry in entries.items() if version != loading}
    verified = sorted(
        version
        for version, entry in others.items()
        if entry.state is VersionState.VERIFIED and (version in live or version not in retiring)
    )
    dead = sorted(v for v in others if v not in verified and v not in live)
    surplus = max(0, len(others) - len(dead) - (keep_versions - 1))
    retirable = [version for version in verified if version not in live]
    retirable.sort(key=lambda version: version not in blocked)
    return RetirePlan(versions=(*dead, *retirable[:surplus]), makes_room=surplus <= len(retirable))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """What retiring works with. `groups_of` reads a version's records back from its objects.

    `grace_seconds` has to be longer than any reader holds on to a head it has read. At most
    `keys_per_second` are unlinked, so that readers are not kept waiting; None sets no bound.
    """

    store: ObjectStore
    bulk: Bulk
    groups_of: GroupsOf
    grace_seconds: float = 5.0
    keys_per_second: int | None = 250_000

    def make_room(self, sync: str, *, loading: str, keep_versions: int) -> tuple[str, ...]:
        """Retire until `loading` fits among `keep_versions`; return what was retired.

        The caller holds the sync's lease, with its `check` in `bulk`. Raises `TerminalError` when
        only live versions are left, or when a version's objects are gone from the store.
        """
        stored, cached = self._read_heads(sync)
        adopted = self._adopt_named(sync, stored, loading=loading)
        plan = self._plan(sync, stored, cached, loading=loading, keep_versions=keep_versions)
        if not plan.makes_room and heal_redis_head(
            self.store, self.bulk.target, sync, now=self.bulk.clock()
        ):
            # A run died between the flips: what Redis' head left is live for nobody any more.
            stored, cached = self._read_heads(sync)
            plan = self._plan(sync, stored, cached, loading=loading, keep_versions=keep_versions)
        if not plan.makes_room:
            raise TerminalError(
                f"There is no room in Redis for version '{loading}': keep_versions is "
                f"{keep_versions} and the other versions there are live, because the heads differ "
                f"(S3: {_name(stored)}, Redis: {_name(cached)}). Publish one of the two again, or "
                "raise keep_versions."
            )
        for version in plan.versions:
            self._retire(sync, version, adopted=version in adopted)
        return plan.versions

    def _plan(
        self,
        sync: str,
        stored: Head | None,
        cached: Head | None,
        *,
        loading: str,
        keep_versions: int,
    ) -> RetirePlan:
        """What to retire by these heads and the list as it stands now."""
        entries = list_versions(self.bulk.target, sync)
        retiring = () if stored is None else stored.retiring
        if retiring:
            self._end_retiring(sync)
        return plan_retiring(
            entries,
            live=_pick_live(stored, cached, entries),
            loading=loading,
            keep_versions=keep_versions,
            retiring=retiring,
            blocked=() if stored is None else stored.blocked,
        )

    def _adopt_named(self, sync: str, stored: Head | None, *, loading: str) -> set[str]:
        """List in Redis again what the store names as lying there, and Redis does not; return those.

        In a cluster the list may be lost while the records stay. What may be there is not relied on,
        and so retired; that nothing is there any more does no harm. What the head calls live or kept
        stays as it is while one of those is loaded again: the head goes on naming the others.
        """
        target = self.bulk.target
        if stored is None:
            named = set(list_names(self.store, sync))
        else:
            standing = {stored.version, *stored.kept}
            named = {*stored.retiring, *(() if loading in standing else standing)}
        adopted = set()
        for version in sorted(named - {loading, *list_versions(target, sync)}):
            found = find(self.store, manifest_name(sync, version))
            if found is None or is_tombstone(found[0]):
                continue  # nobody can compute its keys; `_end_retiring` strikes it out
            with suppress(IntegrityError):
                restore_registration(target, decode_manifest(found[0]), now=self.bulk.clock())
                adopted.add(version)
        return adopted

    def retire_version(self, sync: str, version: str) -> None:
        """Take one version that is not live out of Redis; begun or done before, it is finished."""
        self._retire(sync, version, adopted=False)

    def _retire(self, sync: str, version: str, *, adopted: bool) -> None:
        target = self.bulk.target
        self._begin_retiring(sync, version)
        was_whole = is_verified(target, sync, version)
        mark_retiring(target, sync, version, now=self.bulk.clock())
        if was_whole:
            self._refuse_live(sync, version)
        self._wait_out_grace(sync)
        self.bulk.check()
        try:
            manifest = decode_manifest(self.store.get(manifest_name(sync, version)))
            self._unlink_records(manifest)
        except (NotFoundError, IntegrityError):
            if adopted:
                # Redis did not name it: most likely somebody did by hand what is asked for below.
                self._forget(sync, version)
                return
            # Going on would leave records that nothing names any more, and break the bound on
            # versions in silence. The live version is served all the same.
            raise TerminalError(
                f"Version '{version}' cannot be retired from Redis: its objects are missing from "
                f"{self.store.location} or altered, and its keys are computed from them. Remove the "
                f"keys that begin with '{record_prefix(sync, version)}' by hand, then the field "
                f"'{version}' of the hash '{versions_key(sync)}', and run the step again."
            ) from None
        self._forget(sync, version)

    def _forget(self, sync: str, version: str) -> None:
        """Take the version off the list in Redis, then out of the head or what stands in for one."""
        self.bulk.check()
        forget_version(self.bulk.target, sync, version)
        self._end_retiring(sync)
        if read_store_head(self.store, sync) is None:
            retract_names(self.store, sync, version=version)

    def _read_heads(self, sync: str) -> tuple[Head | None, Head | None]:
        found = read_store_head(self.store, sync)
        return None if found is None else found[0], read_redis_head(self.bulk.target, sync)

    def _begin_retiring(self, sync: str, version: str) -> None:
        """List the version as retiring, and no longer as kept, in S3's head and in Redis' copy.

        `TransientError` when the version was made live meanwhile.
        """

        def amend(head: Head) -> Head:
            if head.version == version and is_verified(self.bulk.target, sync, version):
                raise _describe_live(version)
            # A version that was not kept either, of a load that died, needs its objects just as much.
            return replace(
                head,
                kept=tuple(it for it in head.kept if it != version),
                retiring=tuple(sorted({*head.retiring, version})),
            )

        amend_heads(self.store, self.bulk.target, sync, amend=amend)

    def _refuse_live(self, sync: str, version: str) -> None:
        """`TransientError` when the version was made live just before Redis said that it is retiring.

        Whoever makes it live looks there once more after S3's head has moved: one of the two gives way.
        """
        if any(head is not None and head.version == version for head in self._read_heads(sync)):
            raise _describe_live(version)

    def _end_retiring(self, sync: str) -> None:
        """Take out of `retiring` what has no records in Redis any more, however it came to that."""

        def amend(head: Head) -> Head:
            listed = list_versions(self.bulk.target, sync)
            return replace(head, retiring=tuple(it for it in head.retiring if it in listed))

        amend_heads(self.store, self.bulk.target, sync, amend=amend)

    def _wait_out_grace(self, sync: str) -> None:
        """Wait until no reader can follow an earlier head than the present ones."""
        heads = [head for head in self._read_heads(sync) if head is not None]
        entries = list_versions(self.bulk.target, sync)
        moved_at = [head.published_at for head in heads]
        # A head that was healed moved later than it was published; healing renews the entry.
        moved_at += [entries[head.version].since for head in heads if head.version in entries]
        if not moved_at:
            return
        passed = (self.bulk.clock() - max(moved_at)).total_seconds()
        # A clock that is behind the publisher's must not make this endless.
        time.sleep(min(self.grace_seconds, max(0.0, self.grace_seconds - passed)))

    def _unlink_records(self, manifest: Manifest) -> None:
        target, sync, version = self.bulk.target, manifest.sync, manifest.version
        prefix = record_prefix(sync, version)

        def unlink(group: RecordGroup, worker: Worker) -> Tally:
            wire = worker.build_wire(group, prefix=prefix, key_column=manifest.key)
            # It may have waited, or slept, since the group was handed out.
            self.bulk.check()
            require_retiring(target, sync, version)
            worker.link.perform(wire, Unlink())
            try:
                require_retiring(target, sync, version)
            except TransientError:
                # Whoever loads it again may have lost these records: nobody is to rely on them.
                mark_retiring(target, sync, version, now=self.bulk.clock())
                raise
            return Tally(rows=wire.rows, bytes=group.bytes)

        groups = pace(self.groups_of(manifest), rows_per_second=self.keys_per_second)
        self.bulk.run(groups, stage="retire", rows_total=manifest.rows, work=unlink)


def _pick_live(
    stored: Head | None, cached: Head | None, entries: Mapping[str, VersionEntry]
) -> set[str]:
    """The versions whose records some reader may follow a head to.

    S3's head alone sends nobody to records that are only half there: such a version may be retired.
    """
    live = {cached.version} if cached is not None else set()
    entry = None if stored is None else entries.get(stored.version)
    if stored is not None and entry is not None and entry.state is VersionState.VERIFIED:
        live.add(stored.version)
    return live


def _describe_live(version: str) -> TransientError:
    return TransientError(
        f"Version '{version}' was made live while it was to be retired from Redis. Run the step again."
    )


def _name(head: Head | None) -> str:
    return "none" if head is None else head.version
