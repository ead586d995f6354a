"""What the encoder refuses at data time, as our error: a column and a reason, never a value."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from reverse_etl.errors import DataError
from reverse_etl.landing.encode import find_refusal


@contextmanager
def refused_by_value() -> Iterator[None]:
    """Raise what a `record_expression` refuses as `DataError`; other errors pass as they are."""
    try:
        yield
    except duckdb.InvalidInputException as error:
        refusal = find_refusal(str(error))
        if refusal is None:
            raise
        raise DataError(refusal) from None
