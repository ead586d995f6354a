"""The component behind `type: reverse_etl.components.Sync`."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import dagster as dg
from pydantic import BaseModel

from reverse_etl.components.factory import build_definitions
from reverse_etl.components.schema import SyncAttributes
from reverse_etl.components.tables import find_tables, pick_source_kind
from reverse_etl.errors import ConfigError
from reverse_etl.settings import load_environment_name, load_profile
from reverse_etl.spec import SyncConfig, SyncSpec, build_spec


class Sync(dg.Component):
    """A table of users carried to S3 and Redis every day, whole, masked and proved.

    Two files make a sync: `defs.yaml` and, beside it, its query. One YAML document produces, for
    `name: user_stats`:

    * the assets `user_stats/extract`, `user_stats/masked` and `user_stats/cache`, partitioned by
      day, each with the checks that it records;
    * the external assets before them: the source's tables that the query reads;
    * the external asset `user_stats/reader` behind them: the applications that read;
    * the job `user_stats_daily` over the three assets;
    * if `schedule.at` is given, the schedule `user_stats_daily_schedule`: on from the start in the
      deployments that `schedule.environments` names, off elsewhere. With `schedule.job: land`, the job
      `user_stats_land` over the first two assets, and `user_stats_land_schedule` instead.

    Steps need the resource `runtime` (`reverse_etl.resources.build_resources`).
    """

    def __init__(self, *, spec: SyncSpec) -> None:
        self.spec = spec
        self._neighbours: _Neighbours | None = None

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The attributes: those of `reverse_etl.spec.SyncConfig`."""
        return SyncAttributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What the component is, for Dagster's catalogue."""
        return dg.ComponentTypeSpec(
            description=cls.__doc__,
            tags=["reverse-etl", "pii"],
            produces=["asset", "asset_check", "job", "schedule"],
        )

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Add the query file; `ConfigError` when it is missing, or when parts do not go together."""
        if not isinstance(attributes, SyncConfig):
            raise ConfigError(
                f"The sync in '{context.path.name}/' has no attributes. It needs at least name, "
                "source, key, columns and partitions."
            )
        return cls(spec=build_spec(attributes, folder=context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The sync's definitions, without the tables that a sync before it stands for already."""
        neighbours = self._meet_neighbours(context.component_tree)
        namesakes = neighbours.names[self.spec.name]
        if namesakes > 1:
            raise ConfigError(
                f"{namesakes} syncs are named '{self.spec.name}'. Names stand in asset keys, "
                "object names and Redis keys: give each sync its own."
            )
        # The framework notes on each asset which file it comes from, so a table that two files
        # declare would be two different assets.
        declared = {table for table, first in neighbours.first_readers.items() if first is not self}
        return build_definitions(
            self.spec,
            profile=load_profile(),
            environment=load_environment_name(),
            declared=declared,
        )

    def _meet_neighbours(self, tree: dg.ComponentTree) -> "_Neighbours":
        """Found once and told to all: if each of hundreds looked for itself, it would take seconds."""
        if self._neighbours is None:
            syncs = tree.get_all_components(of_type=Sync)
            neighbours = _find_neighbours(syncs)
            for sync in syncs:
                sync._neighbours = neighbours  # noqa: SLF001 - of the same class
            return neighbours
        return self._neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neighbours:
    """All syncs of a tree: how many have each name, and which is the first to read a table."""

    names: Mapping[str, int]
    first_readers: Mapping[dg.AssetKey, Sync]


def _find_neighbours(syncs: Sequence[Sync]) -> _Neighbours:
    profile = load_profile()
    first_readers: dict[dg.AssetKey, Sync] = {}
    for sync in syncs:
        # A query that cannot be read is told of when its own sync is built.
        with contextlib.suppress(ConfigError):
            for table in find_tables(sync.spec, source_kind=pick_source_kind(sync.spec, profile)):
                first_readers.setdefault(table, sync)
    names = Counter(sync.spec.name for sync in syncs)
    return _Neighbours(names=names, first_readers=first_readers)
