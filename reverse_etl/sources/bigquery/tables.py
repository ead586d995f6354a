"""What BigQuery says of the tables that a query names: their kinds, columns and past; never a row."""

import datetime as dt

from google.api_core import exceptions as api
from google.cloud import bigquery

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import map_faults, read_answer
from reverse_etl.sources.bigquery.policy_tags import TableFacts, read_table_facts
from reverse_etl.sources.bigquery.references import TableReference, find_tables
from reverse_etl.sources.bigquery.time_travel import (
    WINDOW_HOURS,
    check_reachable,
    check_window,
    read_as_of,
)


class TableCatalog:
    """Metadata of tables, asked for once each. Made anew for each description.

    `project` is that of tables which are named without one.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.project = connection.project
        self._tables: dict[TableReference, bigquery.Table | None] = {}

    def find(self, reference: TableReference) -> bigquery.Table | None:
        """The table, or None if it is not there or not for us to see (as what lies behind a view)."""
        if reference not in self._tables:
            self._tables[reference] = self._look(reference)
        return self._tables[reference]

    def find_facts(self, reference: TableReference) -> TableFacts | None:
        """What policy tags are followed by: the table's columns, their tags, a view's query."""
        table = self.find(reference)
        return None if table is None else read_table_facts(table)

    def read_window_hours(self, reference: TableReference) -> float:
        """How far back the tables of the reference's dataset can be read."""
        dataset = bigquery.DatasetReference(reference.project, reference.dataset)
        with map_faults(f"looking at dataset '{reference.project}.{reference.dataset}'"):
            found = self._connection.client.get_dataset(dataset, **self._connection.limits)
        return float(found.max_time_travel_hours or WINDOW_HOURS)

    def _look(self, reference: TableReference) -> bigquery.Table | None:
        dataset = bigquery.DatasetReference(reference.project, reference.dataset)
        with map_faults(f"looking at table '{reference}'"):
            try:
                found: bigquery.Table = self._connection.client.get_table(
                    dataset.table(reference.table), **self._connection.limits
                )
            except api.NotFound:
                return None
            except api.Forbidden as error:
                # A quota is a 403 too, and says nothing of the table.
                if read_answer(error, action="").reason != "accessDenied":
                    raise
                return None
        return found


def read_past(catalog: TableCatalog, query: str, *, moment: dt.datetime, now: dt.datetime) -> str:
    """The query over its tables as they stood at `moment`; `ConfigError` when they cannot be read so."""
    written = read_as_of(query, moment)
    references = find_tables(query, project=catalog.project)
    check_reachable({str(it): _read_kind(catalog, it) for it in references})
    datasets = {(it.project, it.dataset): it for it in references}
    hours = [catalog.read_window_hours(it) for it in datasets.values()]
    check_window(moment, now=now, window_hours=min(hours, default=WINDOW_HOURS))
    return written


def _read_kind(catalog: TableCatalog, reference: TableReference) -> str:
    table = catalog.find(reference)
    if table is None:
        raise ConfigError(
            f"Table '{reference}' does not exist, or the pipeline may not see it: whether its past can be "
            "read is not known. Check the name, or grant roles/bigquery.dataViewer on it."
        )
    return str(table.table_type)
