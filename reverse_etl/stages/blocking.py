"""A version that readers were rolled back from: never made live again by a run."""

from reverse_etl.errors import TerminalError
from reverse_etl.landing.documents import find_head
from reverse_etl.model import Head, Landed, Manifest, MaskedReceipt
from reverse_etl.runtime import Runtime


def refuse_blocked(head: Head | None, manifest: Manifest) -> None:
    """`TerminalError`, with both ways on, when the head blocks the version."""
    if head is None or manifest.version not in head.blocked:
        return
    raise TerminalError(
        f"Version '{manifest.version}' is blocked: readers were rolled back from it, and no run makes "
        f"it live again. Version '{head.version}' is live. Mend the source, then materialise extract, "
        f"masked and cache of {manifest.partition} for a new version; masked alone finds the same "
        "snapshot unchanged. If the version is right after all: `reverse-etl rollback "
        f"{manifest.sync} --to {manifest.version}`."
    )


def refuse_blocked_again(receipt: MaskedReceipt, runtime: Runtime) -> None:
    """`TerminalError` when all that masking found was a version that is blocked."""
    if receipt.outcome is Landed.UNCHANGED:
        refuse_blocked(find_head(runtime.store, receipt.manifest.sync), receipt.manifest)
