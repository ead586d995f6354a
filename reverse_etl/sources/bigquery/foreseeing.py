"""What a pin would take, asked of BigQuery before anybody wants it: dry runs and metadata alone.

A run ends at the first thing that stops it. Here all of them are looked for: whoever mends one wants
to know of the next. Only when BigQuery does not answer is nothing more asked.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import pyarrow as pa

from reverse_etl.sources.base import Description, Forecast, ForecastRequest
from reverse_etl.sources.bigquery.asking import (
    DryRun,
    check_price,
    dry_run,
    estimate_cost,
    select_columns,
)
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.fields import canonical_field_of
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.policy_tags import guard_columns
from reverse_etl.sources.bigquery.spending import estimate_billed_bytes, measure_spending
from reverse_etl.sources.bigquery.staging import Staging
from reverse_etl.sources.bigquery.tables import TableCatalog, read_past
from reverse_etl.sources.spending import check_budget
from reverse_etl.sources.stops import Answer, Stops
from reverse_etl.types import canonical_schema


class Foreseer:
    """Looks ahead at one request; used once."""

    def __init__(
        self, connection: Connection, options: BigQueryOptions, *, now: dt.datetime
    ) -> None:
        self._connection = connection
        self._options = options
        self._staging = Staging(connection, options)
        self._now = now
        self._stops = Stops()

    def foresee(self, request: ForecastRequest) -> Forecast:
        """Everything that can be said without paying."""
        forecast = Forecast(
            description=None,
            bytes_limit=self._options.max_bytes_billed,
            prices=self._options.prices,
        )
        dataset = self._ask(lambda: self._connection.dataset)
        if dataset is not None:
            forecast = replace(forecast, staged_in=f"{dataset.project}.{dataset.dataset_id}")
        catalog = self._ask(lambda: TableCatalog(self._connection))
        if catalog is not None:
            forecast = self._foresee_query(request, catalog, forecast)
        return replace(forecast, stops=tuple(self._stops.found))

    def _foresee_query(
        self, request: ForecastRequest, catalog: TableCatalog, forecast: Forecast
    ) -> Forecast:
        text = self._ask(lambda: self._write(request, catalog))
        # The columns are known even where the past of the tables is not.
        asked = self._ask(lambda: self._run_dry(request, text or request.query))
        self._check_staging(request, asked)
        if asked is None:
            return forecast
        forecast = replace(forecast, description=self._describe(request, catalog, asked))
        size = None if text is None else self._count_bytes(request, text, asked)
        if size is None:
            return forecast
        self._ask(lambda: check_price(size, self._options))
        billed = estimate_billed_bytes(size)
        return self._foresee_spending(
            request, replace(forecast, bytes_to_process=size, bytes_to_bill=billed)
        )

    def _write(self, request: ForecastRequest, catalog: TableCatalog) -> str:
        if request.as_of is None:
            return request.query
        return read_past(catalog, request.query, moment=request.as_of, now=self._now)

    def _run_dry(self, request: ForecastRequest, sql: str) -> DryRun:
        return dry_run(self._connection, sql, request.partition)

    def _check_staging(self, request: ForecastRequest, asked: DryRun | None) -> None:
        dataset = self._ask(self._connection.get_staging_dataset)
        # Who the pipeline is, a job says; where the query is no job, any other that is one.
        known = asked or self._ask(lambda: self._run_dry(request, "SELECT 1 AS one"))
        if dataset is None or known is None:
            return
        account = known.account or self._connection.account
        self._ask(lambda: self._staging.check_location(dataset))
        self._ask(lambda: self._staging.check_readers(dataset, account=account))

    def _describe(
        self, request: ForecastRequest, catalog: TableCatalog, asked: DryRun
    ) -> Description | None:
        """The columns and which are guarded; None, with a stop for each, where some cannot be carried."""
        fields = [self._ask(partial(canonical_field_of, it)) for it in asked.columns]
        carried = [field for field in fields if field is not None]
        if len(carried) < len(fields):
            return None
        schema = self._ask(lambda: canonical_schema(pa.schema(carried)))
        if schema is None:
            return None
        guarded: Mapping[str, str] | None = self._ask(
            lambda: guard_columns(
                request.query,
                table_of=catalog.find_facts,
                columns=schema.names,
                project=catalog.project,
            )
        )
        return Description(
            schema=schema, guarded=guarded or {}, bytes_to_process=asked.bytes_to_process
        )

    def _count_bytes(self, request: ForecastRequest, text: str, asked: DryRun) -> int | None:
        """What the job would process: it leaves dropped columns out."""
        if not {field.name for field in asked.columns}.issuperset(request.columns):
            return asked.bytes_to_process
        sql = select_columns(text, request.columns)
        narrowed = self._ask(lambda: self._run_dry(request, sql))
        return None if narrowed is None else narrowed.bytes_to_process

    def _foresee_spending(self, request: ForecastRequest, forecast: Forecast) -> Forecast:
        budget_usd, price = request.budget_usd, self._options.prices.query_per_tib
        if budget_usd is None:
            return forecast
        spending = self._ask(
            lambda: measure_spending(
                self._connection, sync=request.sync, price_per_tib=price, now=self._now
            )
        )
        if spending is None:
            return forecast
        cost_usd = estimate_cost(forecast.bytes_to_bill or 0, price_per_tib=price)
        self._stops.collect(
            lambda: check_budget(spending, next_cost_usd=cost_usd, budget_usd=budget_usd)
        )
        return replace(forecast, spending=spending)

    def _ask(self, ask: Callable[[], Answer]) -> Answer | None:
        return None if self._stops.is_away else self._stops.collect(ask)
