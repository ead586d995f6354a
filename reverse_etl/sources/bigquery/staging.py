"""The staging dataset and its tables: where a snapshot's raw rows lie until they expire.

A query job cannot give its destination an expiration. So the empty table is made first, with one, and
the job may only fill a table that is there (`CREATE_NEVER`): whatever dies in between, no table stays
for ever. When the rows are in, the expiration is set to what was asked for.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.api_core import exceptions as api
from google.cloud import bigquery

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.access import find_strangers
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import map_faults
from reverse_etl.sources.bigquery.labels import is_ours
from reverse_etl.sources.bigquery.options import BigQueryOptions

_MOST_LISTED = 1000
_MOST_SWEPT = 100
#: How long after its job's timeout a table stays that nobody came back for.
_SLACK = dt.timedelta(hours=1)
_MILLISECOND = dt.timedelta(milliseconds=1)
# What a column of a destination table needs; lengths, precisions and policy tags are its origin's.
_KEPT = ("name", "type", "mode", "rangeElementType")


class Staging:
    """The staging dataset of one deployment."""

    def __init__(self, connection: Connection, options: BigQueryOptions) -> None:
        self._connection = connection
        self._options = options

    def check(self, *, account: str | None) -> None:
        """`ConfigError` unless the dataset is there, in its place, and readable by the pipeline alone.

        `account` is the pipeline's own address; None if it cannot be told.
        """
        dataset = self._connection.get_staging_dataset()
        self.check_location(dataset)
        self.check_readers(dataset, account=account)

    def check_location(self, dataset: bigquery.Dataset) -> None:
        """`ConfigError` unless the dataset lies where queries are to run."""
        asked, location = self._options.location, str(dataset.location)
        if asked is not None and asked.casefold() != location.casefold():
            raise ConfigError(
                f"{self._name} lies in {location}, and REVERSE_ETL_BIGQUERY_LOCATION is {asked}. A query "
                "writes where it runs: use a staging dataset there, or unset the variable."
            )

    def check_readers(self, dataset: bigquery.Dataset, *, account: str | None) -> None:
        """`ConfigError` unless nobody but the pipeline, and whom the options name, can read it."""
        entries = dataset.to_api_repr().get("access")
        if entries is None:
            raise ConfigError(
                f"{self._name} does not show who may read it. Grant the pipeline roles/bigquery."
                "dataEditor on it, which has permission bigquery.datasets.getIamPolicy."
            )
        strangers = find_strangers(entries, account=account, readers=self._options.staging_readers)
        if strangers:
            raise ConfigError(
                f"{self._name} can be read by others than the pipeline: {', '.join(strangers)}. Raw rows "
                "lie there, without the policy tags of their origin. Take these entries off its access "
                "list, or name in REVERSE_ETL_BIGQUERY_STAGING_READERS those who may read raw rows."
            )

    def create(
        self,
        reference: bigquery.TableReference,
        *,
        columns: Sequence[bigquery.SchemaField],
        labels: Mapping[str, str],
        expires_at: dt.datetime,
        now: dt.datetime,
    ) -> None:
        """An empty table for a job to fill; one that an earlier try has made is as good."""
        table = bigquery.Table(reference, schema=[_strip(it) for it in columns])
        table.labels = dict(labels)
        longest = dt.timedelta(seconds=self._options.job_timeout_seconds) + _SLACK
        table.expires = max(expires_at, now + longest)
        with map_faults("making the staging table"):
            self._connection.client.create_table(table, exists_ok=True, **self._connection.limits)

    def find(self, reference: bigquery.TableReference) -> bigquery.Table | None:
        """The table, if it is there and not expired."""
        with map_faults("looking for the staging table"):
            try:
                found: bigquery.Table = self._connection.client.get_table(
                    reference, **self._connection.limits
                )
            except api.NotFound:
                return None
        return found

    def keep_until(self, table: bigquery.Table, expires_at: dt.datetime) -> None:
        """Set when the table expires, if that is not what it says."""
        if table.expires is not None and abs(table.expires - expires_at) < _MILLISECOND:
            return
        # Without the ETag of what was read: whoever sets it last may win.
        change = bigquery.Table(table.reference)
        change.expires = expires_at
        with map_faults("setting the staging table's expiration"):
            self._connection.client.update_table(change, ["expires"], **self._connection.limits)

    def remove(self, reference: bigquery.TableReference) -> None:
        """Remove a table, or find that it is gone."""
        with map_faults("removing a staging table"):
            self._connection.client.delete_table(
                reference, not_found_ok=True, **self._connection.limits
            )

    def sweep(self, *, now: dt.datetime) -> int:
        """Remove tables of ours that have expired and are still listed; a hundred at a time."""
        with map_faults("listing staging tables"):
            try:
                listed = list(
                    self._connection.client.list_tables(
                        self._connection.dataset,
                        max_results=_MOST_LISTED,
                        **self._connection.limits,
                    )
                )
            except api.NotFound:
                return 0  # without a dataset there is nothing to sweep; `check` will say more
        expired = list(_find_expired(listed, now=now))[:_MOST_SWEPT]
        for reference in expired:
            self.remove(reference)
        return len(expired)

    @property
    def _name(self) -> str:
        return f"The staging dataset '{self._options.dataset}'"


def _find_expired(
    listed: Iterable[bigquery.table.TableListItem], *, now: dt.datetime
) -> Iterable[bigquery.TableReference]:
    for item in listed:
        if is_ours(item.labels) and item.expires is not None and item.expires <= now:
            yield item.reference


def _strip(field: bigquery.SchemaField) -> bigquery.SchemaField:
    """The bare column: every value that the query may return fits into it."""
    return bigquery.SchemaField.from_api_repr(_strip_resource(field.to_api_repr()))


def _strip_resource(resource: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: resource[name] for name in _KEPT if resource.get(name) is not None}
    if str(kept.get("mode")).upper() != "REPEATED":
        kept["mode"] = "NULLABLE"
    members = [_strip_resource(member) for member in resource.get("fields") or ()]
    return {**kept, "fields": members} if members else kept
