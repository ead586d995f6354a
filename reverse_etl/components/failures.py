"""Errors as Dagster shows and retries them. Dagster keeps what it is shown, so no foreign text passes."""

import contextlib
from collections.abc import Iterator
from typing import TypeAlias

import dagster as dg
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG
from dagster._utils.tags import get_boolean_tag_value

from reverse_etl.components.cancelling import stay_cancelled
from reverse_etl.errors import (
    ConfigError,
    ConflictError,
    DataError,
    NotFoundError,
    PolicyError,
    ReverseEtlError,
    TerminalError,
    TransientError,
    locate,
    locate_frames,
)

#: What a person does about an error, by its class; the first that fits.
_NEXT = (
    (PolicyError, "Bring the sync's columns and its query into line, then materialise again."),
    (ConfigError, "Correct the setting or file named above, then materialise again."),
    (DataError, "Look at the source tables of this day; what is live stays live meanwhile."),
    (TerminalError, "Look before anything runs again: stored state is not what was committed."),
    (NotFoundError, "Materialise the asset before this one for the same day, then this one again."),
    (ConflictError, "Wait for the other run of this sync, then materialise again."),
)
_NEXT_OTHERWISE = "Read the message above, then materialise again."

Context: TypeAlias = dg.AssetExecutionContext | dg.OpExecutionContext


@contextlib.contextmanager
def translate_errors(*, sync: str, partition: str | None, step: str) -> Iterator[None]:
    """Raise what Dagster should make of an error. `partition` is None where no day is worked on.

    `TransientError` passes, and the asset's retry policy tries again. Any other of ours becomes a
    `dg.Failure` that is not retried: the same run would end the same way. An error that nobody
    raised on purpose is one too, by class and place alone, since its text may quote a row. What
    interrupts the step ends it for good.
    """
    with stay_cancelled():
        try:
            with locate(sync=sync, partition=partition, step=step):
                yield
        except (TransientError, dg.Failure):
            raise
        except ReverseEtlError as error:
            raise _build_failure(error) from None
        except Exception as error:  # noqa: BLE001 - Dagster would store its text
            raise _build_bug_failure(error, sync=sync, partition=partition, step=step) from None


@contextlib.contextmanager
def hold_back_run_retries(context: Context) -> Iterator[None]:
    """A failure that must not be retried is not retried by the run-retry daemon either.

    It does not look at `allow_retries`: where `retry_on_asset_or_op_failure` is on, for the instance or
    for a run by tag, it starts any run again in which a step failed. A tag says no, of this run alone;
    a run that died without a word (its process killed) is retried all the same.
    """
    try:
        yield
    except dg.Failure as failure:
        if not failure.allow_retries and _would_be_retried(context):
            context.instance.add_run_tags(
                context.run.run_id, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"}
            )
        raise


def _would_be_retried(context: Context) -> bool:
    return get_boolean_tag_value(
        context.run.tags.get(RETRY_ON_ASSET_OR_OP_FAILURE_TAG),
        default_value=context.instance.run_retries_retry_on_asset_or_op_failure,
    )


def _build_failure(error: ReverseEtlError) -> dg.Failure:
    return dg.Failure(
        description=str(error),
        metadata={
            **_name_place(sync=error.sync, partition=error.partition, step=error.step),
            "kind": type(error).__name__,
            "what_to_do": _say_what_to_do(error),
        },
        allow_retries=False,
    )


def _say_what_to_do(error: ReverseEtlError) -> str:
    return next((advice for kind, advice in _NEXT if isinstance(error, kind)), _NEXT_OTHERWISE)


def _name_place(**place: str | None) -> dict[str, str]:
    """Where it happened, without what does not apply."""
    return {word: str(name) for word, name in place.items() if name is not None}


def _build_bug_failure(
    error: Exception, *, sync: str, partition: str | None, step: str
) -> dg.Failure:
    place = _name_place(sync=sync, partition=partition, step=step)
    where = ", ".join(f"{word} '{name}'" for word, name in place.items())
    return dg.Failure(
        description=(
            f"[{where}] {type(error).__name__}, which "
            "nobody raised on purpose. Its text is withheld: it may quote a row. Report it with the "
            "places below."
        ),
        metadata={
            **place,
            "kind": type(error).__name__,
            "places": dg.MetadataValue.md(
                "\n".join(f"- `{place}`" for place in locate_frames(error))
            ),
        },
        allow_retries=False,
    )
