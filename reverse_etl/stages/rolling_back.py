"""Rolling back: readers go to another version at once, and the one they leave is blocked."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from reverse_etl.cache.bulk import go_on
from reverse_etl.cache.heads import read_store_head
from reverse_etl.cache.publish import is_superseded, roll_back_heads
from reverse_etl.errors import NotFoundError, TransientError
from reverse_etl.model import Head, Manifest, Published
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.stages.loading import Loader
from reverse_etl.stages.publishing import publish_manifest
from reverse_etl.stages.rollback_target import RollbackTarget, choose_target
from reverse_etl.stages.standing import Standing, find_standing


class RolledBack(StrEnum):
    """How a rollback ended."""

    ROLLED_BACK = "rolled_back"
    FINISHED = "finished"  # the version was live in one store, and is in both now
    ALREADY_LIVE = "already_live"  # nothing was to be done


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReceipt:
    """What a rollback did. `left` is the head that readers followed, `head` the one they follow now.

    `bytes` were loaded into Redis: 0 when the version was there. `passed_over` names earlier versions
    that have lost objects.
    """

    manifest: Manifest
    outcome: RolledBack
    left: Head
    head: Head
    seconds: float
    bytes: int = 0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    retired: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def is_left_blocked(self) -> bool:
        """Whether no run makes the version that was left live again."""
        return self.left.version in self.head.blocked

    @property
    def goes_back(self) -> bool:
        """Whether readers see something earlier than before: whoever was removed since is back."""
        return is_superseded(self.left, self.manifest)


def roll_back(
    sync: str,
    runtime: Runtime,
    *,
    keep_versions: int,
    to: str | None,
    again: bool,
    block: bool,
    report: Report,
) -> RollbackReceipt:
    """Make version `to` live in both stores, or without one the next earlier that is not blocked.

    A version that is verified in Redis is only pointed at; another is loaded and verified first.
    Going to a later version blocks nothing. Soon after a rollback only `again` goes further back.
    """
    started = time.monotonic()
    standing = find_standing(runtime, sync)
    live = standing.newest
    if live is None:
        raise NotFoundError(
            "Nothing was ever published, so there is nothing to roll back from. Materialise cache, or "
            "run `reverse-etl warm` with the address of a manifest."
        )
    target = choose_target(sync, standing, live, runtime, to=to, again=again)
    is_live = target.manifest.version == live.version
    if is_live and standing.stored == live:
        return _settle(standing, live, target, runtime, keep_versions=keep_versions, report=report)
    loader = Loader(runtime, sync=sync, keep_versions=keep_versions, report=report)
    rollback = _Rollback(runtime, standing, target.manifest, block=block)
    if standing.is_ready(target.manifest.version):
        head = rollback.flip(check=go_on)
    else:
        head = rollback.load_and_flip(loader)
    return RollbackReceipt(
        manifest=target.manifest,
        # What Redis' head alone said is live was not left.
        outcome=RolledBack.FINISHED if is_live else RolledBack.ROLLED_BACK,
        left=live,
        head=head,
        seconds=time.monotonic() - started,
        bytes=loader.bytes,
        stage_seconds=loader.seconds,
        retired=loader.retired,
        passed_over=target.passed_over,
    )


def _settle(
    standing: Standing,
    live: Head,
    target: RollbackTarget,
    runtime: Runtime,
    *,
    keep_versions: int,
    report: Report,
) -> RollbackReceipt:
    """S3's head is there: let Redis follow, loading what it has lost; mostly there is nothing to do."""
    followed = standing.cached if standing.is_half_rolled_back else None
    receipt = publish_manifest(target.manifest, runtime, keep_versions=keep_versions, report=report)
    was_settled = standing.agrees and receipt.outcome is Published.ALREADY_LIVE
    return RollbackReceipt(
        manifest=target.manifest,
        outcome=RolledBack.ALREADY_LIVE if was_settled else RolledBack.FINISHED,
        left=followed or live,
        head=receipt.head,
        seconds=receipt.seconds,
        bytes=receipt.bytes,
        stage_seconds=receipt.stage_seconds,
        retired=receipt.retired,
    )


class _Rollback:
    """The way from the version that was found live to another one."""

    def __init__(
        self, runtime: Runtime, standing: Standing, manifest: Manifest, *, block: bool
    ) -> None:
        self._runtime = runtime
        self._standing = standing
        self._manifest = manifest
        self._block = block

    def load_and_flip(self, loader: Loader) -> Head:
        """Load and verify the version beside the live one, as a run does, then flip."""
        version = self._manifest.version
        with loader.open() as bulk:
            # Another run may have loaded it while this one waited for the lease.
            if not find_standing(self._runtime, self._manifest.sync).is_ready(version):
                loader.load(self._manifest, bulk)
            return self.flip(check=bulk.check)

    def flip(self, *, check: Callable[[], None]) -> Head:
        """Point both heads at the version; nobody has to wait for whoever is loading another."""

        def go_on_from_the_same_head() -> None:
            check()
            self._require_unmoved()

        outcome, head = roll_back_heads(
            self._runtime.store,
            self._runtime.redis,
            to=self._manifest,
            block=self._block,
            now=self._runtime.now(),
            check=go_on_from_the_same_head,
            clock=self._runtime.now,
        )
        if outcome is Published.SUPERSEDED:
            raise _build_outrun_error(self._manifest, head)
        return head

    def _require_unmoved(self) -> None:
        """A run may publish at this moment: what it made live is not what was to be left."""
        found = read_store_head(self._runtime.store, self._manifest.sync)
        expected = self._standing.stored
        seen = None if found is None else found[0]
        if seen is not None and (expected is None or seen.version != expected.version):
            raise _build_outrun_error(self._manifest, seen)


def _build_outrun_error(manifest: Manifest, head: Head) -> TransientError:
    return TransientError(
        f"While readers were to be sent to version '{manifest.version}', another run made "
        f"'{head.version}' live. Look at `reverse-etl versions {manifest.sync}`, and roll back from that "
        "one if it is wrong too."
    )
