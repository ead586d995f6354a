"""The sample warehouse: a DuckDB file with a shop's users and events, as nasty as real ones.

The same arguments give the same content with the same release of DuckDB. Nobody in it is real.
"""

import datetime as dt
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import duckdb

from reverse_etl.embedded.building import build_warehouse, compute_fingerprint
from reverse_etl.embedded.sample_events import CREATE_EVENTS, INSERT_EVENTS
from reverse_etl.embedded.sample_locales import (
    FULL_WIDTH_DIGITS,
    FULL_WIDTH_SPACE,
    LOCALES,
    ODD_BIOS,
    ODD_NAMES,
    ODD_SETTINGS,
    PLAIN_BIOS,
    Locale,
)
from reverse_etl.embedded.sample_people import CREATE_PEOPLE, MACROS
from reverse_etl.embedded.sample_users import CREATE_USERS, INSERT_USERS
from reverse_etl.errors import ConfigError
from reverse_etl.progress import Meter, Report, keep_silent

DEFAULT_USERS = 200_000
DEFAULT_EVENTS = 2_000_000
DEFAULT_DAYS = 30
DEFAULT_SEED = 20261119

# How long before the days of the events the first user signed up.
_HISTORY = dt.timedelta(days=3650)
# Bounds what one INSERT holds in memory, and lets progress be seen.
_SLICE_ROWS = 250_000

_STATEMENTS = (
    MACROS,
    CREATE_PEOPLE,
    CREATE_USERS,
    INSERT_USERS,
    CREATE_EVENTS,
    INSERT_EVENTS,
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TEXTS = {
    "odd_names": list(ODD_NAMES),
    "odd_bios": list(ODD_BIOS),
    "odd_settings": ODD_SETTINGS,
    "plain_bios": list(PLAIN_BIOS),
    "full_width_digits": FULL_WIDTH_DIGITS,
    "full_width_space": FULL_WIDTH_SPACE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleWarehouse:
    """A sample warehouse that is there; `reused` when it had been built before, in `seconds`."""

    path: Path
    users: int
    events: int
    bytes: int
    seconds: float
    reused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What decides the content."""

    users: int
    events: int
    end_date: dt.date
    days: int
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("users", 1), ("events", 0), ("days", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"A sample warehouse needs {name} of {least} or more, "
                    f"not {getattr(self, name)}."
                )

    @property
    def instants(self) -> dict[str, int]:
        """First sign-up, and the window of the events, in microseconds since 1970."""
        last = dt.datetime.combine(self.end_date, dt.time(), tzinfo=dt.UTC)
        first = last - dt.timedelta(days=self.days)
        moments = {"opening": first - _HISTORY, "first": first, "last": last}
        return {
            name: (moment - _EPOCH) // dt.timedelta(microseconds=1)
            for name, moment in moments.items()
        }


def build_sample_warehouse(
    path: Path,
    *,
    users: int = DEFAULT_USERS,
    events: int = DEFAULT_EVENTS,
    end_date: dt.date,
    days: int = DEFAULT_DAYS,
    seed: int = DEFAULT_SEED,
    report: Report = keep_silent,
) -> SampleWarehouse:
    """Build `shop.users` and `shop.events` into a DuckDB file; an older sample there is replaced.

    Events lie in the `days` days before `end_date` begins (UTC); in them some users sign up and
    some leave. Every oddity is there from 2,000 users and 20,000 events on. The file appears whole
    or not at all. `ConfigError` when `path` is a file that was not built here, `TerminalError` when
    it cannot be written.
    """
    shape = _Shape(users=users, events=events, end_date=end_date, days=days, seed=seed)
    return _build(path, shape, report=report, reuse=False)


def ensure_sample_warehouse(
    path: Path,
    *,
    users: int = DEFAULT_USERS,
    events: int = DEFAULT_EVENTS,
    end_date: dt.date,
    days: int = DEFAULT_DAYS,
    seed: int = DEFAULT_SEED,
    report: Report = keep_silent,
) -> SampleWarehouse:
    """As `build_sample_warehouse`, but at once when `path` holds what the same arguments built."""
    shape = _Shape(users=users, events=events, end_date=end_date, days=days, seed=seed)
    return _build(path, shape, report=report, reuse=True)


def _build(path: Path, shape: _Shape, *, report: Report, reuse: bool) -> SampleWarehouse:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        meter = Meter(
            stage="sample warehouse", report=report, rows_total=shape.users + shape.events
        )
        _fill_users(connection, shape, meter)
        _fill_events(connection, shape, meter)
        meter.finish()

    built = build_warehouse(
        path,
        fingerprint=compute_fingerprint(
            arguments=asdict(shape),
            recipe=[*_STATEMENTS, repr(LOCALES), repr(_TEXTS), str(_HISTORY)],
        ),
        fill=fill,
        reuse=reuse,
    )
    return SampleWarehouse(
        path=path,
        users=shape.users,
        events=shape.events,
        bytes=built.bytes,
        seconds=built.seconds,
        reused=built.reused,
    )


def _fill_users(connection: duckdb.DuckDBPyConnection, shape: _Shape, meter: Meter) -> None:
    connection.execute(MACROS)
    connection.execute(CREATE_PEOPLE, {"seed": shape.seed, "users": shape.users, **shape.instants})
    _create_locales(connection)
    connection.execute("CREATE SCHEMA shop")
    connection.execute(CREATE_USERS)
    connection.execute(
        INSERT_USERS,
        {"last": shape.instants["last"], "locale_count": len(LOCALES), **_TEXTS},
    )
    meter.add(rows=shape.users, bytes=0)


def _fill_events(connection: duckdb.DuckDBPyConnection, shape: _Shape, meter: Meter) -> None:
    connection.execute(CREATE_EVENTS)
    for start in range(0, shape.events, _SLICE_ROWS):
        stop = min(start + _SLICE_ROWS, shape.events)
        connection.execute(
            INSERT_EVENTS,
            {
                "seed": shape.seed,
                "users": shape.users,
                "first": shape.instants["first"],
                "last": shape.instants["last"],
                "start": start,
                "stop": stop,
            },
        )
        meter.add(rows=stop - start, bytes=0)


def _create_locales(connection: duckdb.DuckDBPyConnection) -> None:
    names = [item.name for item in fields(Locale)]
    connection.execute(
        """
        CREATE TEMP TABLE locales (
            position BIGINT, country VARCHAR, language VARCHAR, cities VARCHAR[],
            postal_code VARCHAR, phone VARCHAR, given_names VARCHAR[], family_names VARCHAR[],
            is_family_name_first BOOLEAN
        )
        """
    )
    marks = ", ".join("?" * (1 + len(names)))
    connection.executemany(
        f"INSERT INTO locales VALUES ({marks})",
        [[position, *astuple(locale)] for position, locale in enumerate(LOCALES)],
    )
