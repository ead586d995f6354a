"""Columns of text made of columns of text, and of constants between them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def write_digits(numbers: np.ndarray) -> pa.Array:
    """Whole numbers in decimal digits."""
    digits: pa.Array = pa.array(numbers).cast(pa.string())
    return digits


def join_texts(*parts: pa.Array | str) -> pa.Array:
    """The parts one behind the other, row by row; NULL where one of them is NULL."""
    texts = [pa.scalar(part) if isinstance(part, str) else part for part in parts]
    joined: pa.Array = pc.call_function("binary_join_element_wise", [*texts, pa.scalar("")])
    return joined


def choose_texts(
    condition: pa.Array | np.ndarray, yes: pa.Array | str | None, no: pa.Array | str
) -> pa.Array:
    """One of the two, row by row; NULL where the condition is NULL."""
    mask = condition if isinstance(condition, pa.Array) else pa.array(condition)
    texts = [it if isinstance(it, pa.Array) else pa.scalar(it, pa.string()) for it in (yes, no)]
    chosen: pa.Array = pc.call_function("if_else", [mask, *texts])
    return chosen
