"""Steps about Dagster: that its definitions load, and what its instance lets runs do by themselves.

Dagster is looked at by another process (`dagster_look`), once, when the first step asks for it.
"""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from reverse_etl.cli.doctor.checkup import Checkup, SkippedError
from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.settings import Profile, Settings, child_environment
from reverse_etl.spec import SyncSpec

_DEFINITIONS = "definitions"
_INSTANCE = "dagster instance"
# Less than a step has, so that what was found before is told.
_MOST_SECONDS = 50.0
_COMMAND = (sys.executable, "-W", "ignore", "-m", "reverse_etl.cli.doctor.dagster_look")

_SET_LIMIT = (
    "`dagster instance concurrency set POOL 2`, or concurrency.pools.default_limit in dagster.yaml"
)

Found = Mapping[str, Any]


class Deployment:
    """Dagster as it is deployed here; each method sees to one thing and says what it found."""

    def __init__(
        self,
        settings: Settings,
        specs: Mapping[str, SyncSpec],
        *,
        look: Callable[[], Mapping[str, Found]] | None = None,
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._look = look or look_at_dagster
        self._parts: Mapping[str, Found] | None = None

    def examine_definitions(self, defs: Path) -> str:
        """Whether Dagster could load what is declared."""
        ours = Path(str(files("reverse_etl"))) / "defs"
        if defs.resolve() != ours.resolve():
            raise SkippedError(
                "--defs names another folder than the package's, which Dagster loads"
            )
        found = self._find("definitions", what="Dagster's definitions", instead="`dg check defs`")
        shown = ", ".join(f"{count} {name}" for name, count in found.items())
        return f"they load: {len(self._specs)} syncs, {shown}"

    def examine_instance(self) -> str:
        """Whether there is an instance whose configuration and storage can be used."""
        self._find_instance()
        return "its configuration is right and its storage answers"

    def examine_pools(self) -> str:
        """Whether work on each outside system is bounded over all runs, and not blocked for good."""
        pools: dict[str, int | None] = self._find_instance()["pools"]
        shown = ", ".join(
            f"{name} {'no limit' if limit is None else limit}" for name, limit in pools.items()
        )
        if 0 in pools.values():
            raise ConfigError(
                f"The limits of pools are: {shown}. Steps of a pool with limit 0 wait for ever. Change it: "
                f"{_SET_LIMIT}."
            )
        if None in pools.values() and self._settings.profile is Profile.CLOUD:
            raise ConfigError(
                f"The limits of pools are: {shown}. Without one, any number of runs work on the source, the "
                f"store and Redis at once: limits on runs do not bind the command line. Set one: "
                f"{_SET_LIMIT}."
            )
        return shown

    def examine_schedules(self) -> str:
        """Whether the schedules run that have to run in this environment."""
        runs: dict[str, bool] = self._find_instance()["schedules"]
        expected = self._list_expected()
        stopped = [name for name in expected if not runs.get(name, False)]
        if stopped:
            raise ConfigError(
                f"Their YAML names environment '{self._settings.environment}', and these schedules do not "
                f"run: {', '.join(stopped)}. Somebody switched them off, or Dagster was started in another "
                "environment (REVERSE_ETL_ENVIRONMENT). Switch them on under Automation, or with `dagster "
                "schedule start NAME`."
            )
        running = [name for name, is_running in runs.items() if is_running]
        return f"{len(running)} of {len(runs)} run: {', '.join(running)}"

    def examine_daemon(self) -> str:
        """Whether the daemon is alive, without which nothing runs by itself."""
        daemon = self._find_instance()["daemon"]
        self._list_expected()
        seen = daemon["last_seen"]
        if daemon["is_healthy"]:
            return f"its scheduler reported at {_format(seen)}"
        if seen is None:
            said = "Dagster's daemon has never reported to this instance"
        elif daemon["errors"]:
            said = (
                f"Dagster's daemon reported {daemon['errors']} errors, last at {_format(seen)} (a second "
                "daemon on the same instance is one: there may be one only)"
            )
        else:
            said = f"Dagster's daemon reported last at {_format(seen)}"
        raise ConfigError(
            f"{said}. Schedules, sensors and retries wait for it: run one `dagster-daemon run` with the same "
            "DAGSTER_HOME, and look at Deployment > Daemons."
        )

    def _list_expected(self) -> list[str]:
        """The schedules that have to run here; a step is skipped when there are none."""
        environment = self._settings.environment
        expected = [
            f"{spec.name}_{schedule.job}_schedule"
            for spec in self._specs.values()
            if (schedule := spec.config.schedule) is not None
            and environment in schedule.environments
        ]
        if not expected:
            raise SkippedError(
                f"no sync's schedule.environments names '{environment}' (REVERSE_ETL_ENVIRONMENT)"
            )
        return expected

    def _find_instance(self) -> Found:
        found = self._find("instance", what="Dagster's instance", instead="`dagster instance info`")
        if not found:
            raise SkippedError("no instance: DAGSTER_HOME is not set, and here is no dagster.yaml")
        return found

    def _find(self, part: str, *, what: str, instead: str) -> Found:
        if self._parts is None:
            self._parts = self._look()
        if part not in self._parts:
            raise TerminalError(
                f"{what} could not be looked at within {_MOST_SECONDS:g} s, or the process that looked "
                f"ended. Try {instead}."
            )
        line = self._parts[part]
        if "error" in line:
            raise ConfigError(f"{what} cannot be used: {line['error']}. {instead} says more.")
        return line["found"] or {}


def examine_deployment(checkup: Checkup, deployment: Deployment) -> None:
    """The steps about the instance, in order."""
    checkup.run(_INSTANCE, deployment.examine_instance, needs=[_DEFINITIONS])
    for step, examine in (
        ("pools", deployment.examine_pools),
        ("schedules", deployment.examine_schedules),
        ("dagster daemon", deployment.examine_daemon),
    ):
        checkup.run(step, examine, needs=[_INSTANCE])


def look_at_dagster() -> dict[str, Found]:
    """What the other process printed until its end, or until its time was over."""
    environment = child_environment({})
    try:
        printed = subprocess.run(  # noqa: S603 - our own words
            _COMMAND, env=environment, capture_output=True, timeout=_MOST_SECONDS, check=False
        ).stdout
    except subprocess.TimeoutExpired as late:
        printed = late.stdout or b""
    parts: dict[str, Found] = {}
    for line in printed.splitlines():
        if line.startswith(b'{"part"'):
            found = json.loads(line)
            parts[found["part"]] = found
    return parts


def _format(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, tz=dt.UTC):%Y-%m-%d %H:%M:%SZ}"
