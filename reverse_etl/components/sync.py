"""The component behind `type: reverse_etl.components.Sync`."""

from itertools import takewhile
from typing import Self

import dagster as dg
from pydantic import BaseModel

from reverse_etl.components.factory import build_definitions
from reverse_etl.components.schema import SyncAttributes
from reverse_etl.components.tables import find_tables, pick_source_kind
from reverse_etl.errors import ConfigError
from reverse_etl.settings import load_profile
from reverse_etl.spec import SyncConfig, SyncSpec, build_spec


class Sync(dg.Component):
    """A table of users carried to S3 and Redis every day, whole, masked and proved.

    Two files make a sync: `defs.yaml` and, beside it, its query. One YAML document produces, for
    `name: user_stats`:

    * the assets `user_stats/extract`, `user_stats/masked` and `user_stats/cache`, partitioned by
      day, each with the checks that it records;
    * the external assets before them: the source's tables that the query reads;
    * the job `user_stats_daily` over the three assets;
    * the schedule `user_stats_daily_schedule`, off at first, if `schedule.at` is given.

    Steps need the resource `runtime` (`reverse_etl.resources.build_resources`).
    """

    def __init__(self, *, spec: SyncSpec) -> None:
        self.spec = spec

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
        syncs = context.component_tree.get_all_components(of_type=Sync)
        namesakes = [sync for sync in syncs if sync.spec.name == self.spec.name]
        if len(namesakes) > 1:
            raise ConfigError(
                f"{len(namesakes)} syncs are named '{self.spec.name}'. Names stand in asset keys, "
                "object names and Redis keys: give each sync its own."
            )
        # The framework notes on each asset which file it comes from, so a table that two files
        # declare would be two different assets.
        profile = load_profile()
        earlier = [sync.spec for sync in takewhile(lambda sync: sync is not self, syncs)]
        declared = {
            table
            for spec in earlier
            for table in find_tables(spec, source_kind=pick_source_kind(spec, profile))
        }
        return build_definitions(self.spec, profile=profile, declared=declared)
