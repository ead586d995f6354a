"""An engine, a key and one-column masking for the tests of rules."""

import base64
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

from reverse_etl.engine import Engine, open_engine
from reverse_etl.masking.apply import compile_mask, mask_batch
from reverse_etl.masking.keys import MaskingKey, parse_masking_key
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import Keep, MaskContext, Rule

KEY_BYTES = bytes(range(32))
PARTITION_DATE = dt.date(2026, 11, 19)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with closing(open_engine(memory_limit_bytes=256 << 20)) as opened:
        yield opened


@pytest.fixture
def masking_key() -> MaskingKey:
    return parse_masking_key(f"k1:{base64.b64encode(KEY_BYTES).decode()}")


@pytest.fixture
def context(masking_key: MaskingKey) -> MaskContext:
    return MaskContext(sync="shop", partition_date=PARTITION_DATE, masking_key=masking_key)


MaskValues = Callable[..., list[Any]]


@pytest.fixture
def mask_values(engine: Engine, context: MaskContext) -> MaskValues:
    """Mask one column of values with one rule, in order, beside a key that is kept."""

    def mask(rule: Rule, values: list[Any], kind: pa.DataType) -> list[Any]:
        batch = pa.table(
            {"id": pa.array(range(len(values)), pa.int64()), rule.name: pa.array(values, kind)}
        )
        rules = [Keep(name="id", rule="keep"), rule]
        policy = resolve_policy(rules, key="id", schema=batch.schema)
        masked = mask_batch(engine, compile_mask(policy, context=context), batch)
        return masked.sort_by("id").column(rule.name).to_pylist()

    return mask
