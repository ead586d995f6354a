"""A few masked rows of a pinned snapshot, for a person who decides about rules. Nothing keeps them."""

from contextlib import closing

import pyarrow as pa

from reverse_etl.engine import open_engine
from reverse_etl.errors import ConfigError
from reverse_etl.masking.apply import compile_mask, mask_batch
from reverse_etl.model import Partition
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.masking import gather_inputs


def check_preview(spec: SyncSpec) -> None:
    """`ConfigError` unless the sync allows that its rows are shown."""
    if not spec.config.preview:
        raise ConfigError(
            "This sync does not allow a preview of its rows. Whoever answers for it can: `preview: true` "
            "in its defs.yaml. Nothing was read."
        )


def preview_rows(spec: SyncSpec, partition: Partition, runtime: Runtime, *, most: int) -> pa.Table:
    """The first rows of the day's snapshot as they would land, at most so many.

    The same snapshot, policy and masking as `masked` would take, and of the snapshot no more than its
    first batch is read. The gates have not looked at these rows. `ConfigError` when the sync does not
    allow it, or when nothing is pinned.
    """
    check_preview(spec)
    inputs = gather_inputs(spec, partition, runtime)
    mask = compile_mask(inputs.policy, context=inputs.context)
    source = runtime.source_for(spec.config.source.kind)
    with closing(open_engine(memory_limit_bytes=runtime.memory_limit_bytes, threads=1)) as engine:
        for split in source.plan_splits(inputs.snapshot):
            with closing(source.read(inputs.snapshot, split)) as batches:
                for batch in batches:
                    if batch.num_rows:
                        return mask_batch(engine, mask, batch.slice(0, most))
    return mask.schema.empty_table()
