"""The demo's work: sample warehouse, Redis, every sync through Dagster, and the picture of it all."""

import argparse
import datetime as dt
import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from reverse_etl.cli.days import find_latest_partition
from reverse_etl.cli.failures import report_failure
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.quantities import format_seconds
from reverse_etl.cli.streams import forgive_encodings
from reverse_etl.cli.workspace import find_defs_folder
from reverse_etl.embedded.demo import parse_options
from reverse_etl.embedded.places import LOCAL, MASKING_KEY_FILE, Places, ensure_masking_key
from reverse_etl.embedded.redis_choice import OpenRedis, open_redis
from reverse_etl.embedded.warehouse import SampleWarehouse, ensure_sample_warehouse
from reverse_etl.errors import ConfigError
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Profile, Settings, child_environment
from reverse_etl.spec import SyncSpec, load_specs

_NEXT = (
    ("make dev", "the same in Dagster's UI, with a Redis of its own"),
    (
        "source .local/dev/environment && .venv/bin/reverse-etl doctor",
        "with `make dev` running, in another terminal: what a run of yours would need",
    ),
    (
        "cp -r reverse_etl/defs/user_stats reverse_etl/defs/NAME",
        "a sync of your own: change the two files in it, then `make demo` again",
    ),
    ("make test", "every promise, tried to be broken"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """The demo's work, in a process of its own; return its exit code."""
    forgive_encodings()
    arguments = parse_options(sys.argv[1:] if argv is None else argv)
    try:
        _travel(Console(highlight=False, markup=False), Places(root=LOCAL / "demo"), arguments)
    except Exception as error:  # noqa: BLE001 - the last place where it can be told well
        return report_failure(error, as_json=False)
    return 0


def _travel(console: Console, places: Places, arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    settings = _load_settings()
    specs = load_specs(find_defs_folder(None))
    day = _choose_day(specs, given=arguments.partition)
    ensure_masking_key(MASKING_KEY_FILE)
    console.print(
        f"Carrying {len(specs)} syncs ({', '.join(specs)}) for {day}. DuckDB, a local directory and "
        "a local Redis stand in for BigQuery, S3 and ElastiCache."
    )
    with open_redis(settings.redis_url) as redis:
        warehouse = _build_warehouse(console, places, arguments, day=day)
        overrides = places.build_environment(redis_url=redis.url, masking_key_file=MASKING_KEY_FILE)
        runtime = Runtime(settings=Settings.load(child_environment(overrides)))
        # Dagster takes a second or two to import: by now there is something to look at.
        from reverse_etl.embedded import picture, visits  # noqa: PLC0415

        syncs = visits.visit_syncs(console, list(specs.values()), runtime, redis=redis, day=day)
    picture.print_picture(console, warehouse, syncs)
    _print_end(console, places, redis, seconds=time.monotonic() - started, keep=arguments.keep)


def _load_settings() -> Settings:
    settings = Settings.load()
    if settings.profile is not Profile.LOCAL:
        raise ConfigError(
            f"REVERSE_ETL_PROFILE is '{settings.profile}', and the demo runs on this machine alone. "
            "Unset it."
        )
    return settings


def _choose_day(specs: Mapping[str, SyncSpec], *, given: str | None) -> str:
    """The latest day that is over for every sync, or the one given."""
    if not specs:
        raise ConfigError("No sync is declared, so there is nothing to show.")
    now = dt.datetime.now(dt.UTC)
    day = given or min(find_latest_partition(spec, now=now).key for spec in specs.values())
    return max(spec.partition(day, now=now).key for spec in specs.values())


def _build_warehouse(
    console: Console, places: Places, arguments: argparse.Namespace, *, day: str
) -> SampleWarehouse:
    console.print("Sample warehouse ...")
    with show_progress() as report:
        return ensure_sample_warehouse(
            places.warehouse,
            users=arguments.users,
            events=arguments.events,
            end_date=dt.date.fromisoformat(day) + dt.timedelta(days=1),
            report=report,
        )


def _print_end(
    console: Console, places: Places, redis: OpenRedis, *, seconds: float, keep: bool
) -> None:
    left = "stays for you to look at" if keep else "is removed now"
    stopped = "Redis is stopped" if redis.server is not None else "your Redis is left as it was"
    console.print(f"\nDone in {format_seconds(seconds)}; {stopped}, {places.root} {left}.")
    console.print("\nWhat to try next:")
    for command, why in _NEXT:
        console.print(f"  {command}\n      {why}")


if __name__ == "__main__":
    sys.exit(main())
