"""The serving room: what the application reads users with.

It imports no Dagster, no warehouse client and no engine; Arrow only when a Parquet version is read
from the store, pandas only in `Reader.frame`, a cloud's SDK only when a store at s3:// is opened.
"""

from reverse_etl.serving.async_reader import AsyncReader
from reverse_etl.serving.metrics import Event, Metrics
from reverse_etl.serving.options import ReaderOptions
from reverse_etl.serving.reader import Reader

__all__ = ["AsyncReader", "Event", "Metrics", "Reader", "ReaderOptions"]
