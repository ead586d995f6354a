"""The tables of the source that a query reads: what a sync stands behind in the asset graph."""

import functools
from collections.abc import Iterable

import dagster as dg
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from reverse_etl.errors import ConfigError
from reverse_etl.settings import Profile
from reverse_etl.sources.base import PARAMETER_NAMES
from reverse_etl.sources.dialect import transpile_query
from reverse_etl.spec import SyncSpec

SOURCES_GROUP = "sources"
_MOST_QUERIES = 1024

_KINDS = {Profile.LOCAL: "duckdb", Profile.CLOUD: "bigquery"}


def pick_source_kind(spec: SyncSpec, profile: Profile) -> str:
    """The kind of source that the sync asks for, or else the profile's."""
    return spec.config.source.kind or _KINDS[profile]


def find_tables(spec: SyncSpec, *, source_kind: str) -> tuple[dg.AssetKey, ...]:
    """Asset keys of the tables that the query names, in order of names: `shop.users` is `shop/users`.

    A query for the embedded source is read as it will be when it runs: `ConfigError` says what the
    source cannot do with it. BigQuery knows more than we can read here, so of a query for BigQuery
    that cannot be read no tables are known; `extract` asks BigQuery before anything else.
    """
    if source_kind != "duckdb":
        return _read_for_bigquery(spec.query)
    try:
        return _read_for_duckdb(spec.query)
    except ConfigError as error:
        raise ConfigError(
            f"Sync '{spec.name}', '{spec.config.source.query}': {error.message}"
        ) from None


def build_table_spec(key: dg.AssetKey, *, source_kind: str) -> dg.AssetSpec:
    """A table of the source as an external asset: others fill it, we only read it.

    Equal for every sync that reads the table, so that definitions of several merge.
    """
    return dg.AssetSpec(
        key,
        group_name=SOURCES_GROUP,
        kinds={source_kind, "table"},
        description="A table of the source, read by syncs and filled by others.",
        metadata={"dagster/table_name": ".".join(key.path)},
    )


# Every sync asks for the tables of those before it: reading a query takes milliseconds each time.
@functools.lru_cache(maxsize=_MOST_QUERIES)
def _read_for_duckdb(query: str) -> tuple[dg.AssetKey, ...]:
    tables = transpile_query(query, parameters=PARAMETER_NAMES).tables
    return _name_assets(tuple(name.split(".")) for name in tables)


@functools.lru_cache(maxsize=_MOST_QUERIES)
def _read_for_bigquery(query: str) -> tuple[dg.AssetKey, ...]:
    try:
        tree = sqlglot.parse_one(query, dialect="bigquery")
        sources = [source for scope in traverse_scope(tree) for source in scope.sources.values()]
    except (SqlglotError, RecursionError):
        return ()
    return _name_assets(
        tuple(part.name for part in source.parts)
        for source in sources
        if isinstance(source, exp.Table)
    )


def _name_assets(names: Iterable[tuple[str, ...]]) -> tuple[dg.AssetKey, ...]:
    """Each table once, in order of names."""
    return tuple(sorted(dg.AssetKey(list(name)) for name in set(names)))
