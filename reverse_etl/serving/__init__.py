"""The serving room: what the application reads users with.

It imports no Dagster, no warehouse client and no engine; Arrow only when a Parquet version is read
from the store, pandas only in `Reader.frame`.
"""

from reverse_etl.serving.reader import Reader

__all__ = ["Reader"]
