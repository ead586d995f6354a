"""`reverse-etl doctor`: everything a run needs, examined before one is tried."""

import argparse
import contextlib
import json
import shutil
import textwrap
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

from reverse_etl.cli.doctor import declared, machine, operations, outside, redis
from reverse_etl.cli.doctor.auth import SESSION, examine_auth, uses_aws
from reverse_etl.cli.doctor.bigquery import JOBS, examine_bigquery, uses_bigquery
from reverse_etl.cli.doctor.checkup import Checkup, Finding
from reverse_etl.cli.doctor.deployment import Deployment, examine_deployment
from reverse_etl.cli.doctor.prescription import Prescription
from reverse_etl.cli.workspace import find_defs_folder
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec

_MAX_WIDTH = 120
_SETTINGS = "settings"
#: What is left out where the settings cannot be read; said, so that nobody takes it for passed.
_NEED_SETTINGS = (
    "definitions",
    "masking key",
    "scratch",
    "source",
    "store",
    redis.STEP,
    "alerts",
    "run log",
    "dagster instance",
)

Rules = dict[str, dict[str, str]]


def execute(arguments: argparse.Namespace) -> int:
    """Run every step, or those about AWS or Redis; exit code 1 when one failed."""
    prescription, rules = None, None
    if arguments.auth:
        checkup, prescription = examine_auth_alone()
    elif arguments.redis:
        checkup, rules = examine_redis_alone(find_defs_folder(arguments.defs))
    else:
        checkup = examine(find_defs_folder(arguments.defs))
    if arguments.json:
        print(json.dumps(_build_document(checkup, prescription, rules)))
    else:
        width = min(_MAX_WIDTH, shutil.get_terminal_size().columns)
        print(render_findings(checkup.findings, width=width))
        if prescription is not None:
            print(f"\n{prescription.render()}")
        if rules:
            print(f"\n{redis.render_rules(rules)}")
    return 1 if checkup.has_failed else 0


def examine(defs: Path) -> Checkup:
    """Every step in order."""
    checkup = Checkup()
    checkup.run("python", machine.examine_python)
    checkup.run("packages", machine.examine_packages)
    loaded: list[Runtime] = []
    checkup.run(_SETTINGS, partial(_load_settings, loaded))
    specs = _examine_folders(checkup, defs)
    for runtime in loaded:
        with contextlib.closing(runtime):
            _examine_runtime(checkup, specs, runtime, defs=defs)
    if not loaded:
        for step in _NEED_SETTINGS:
            checkup.run(step, str, needs=[_SETTINGS])
    return checkup


def _examine_folders(checkup: Checkup, defs: Path) -> dict[str, SyncSpec]:
    """A step for each folder that declares something; the syncs that could be loaded."""
    specs: dict[str, SyncSpec] = {}
    for folder in declared.find_sync_folders(defs):
        step = f"defs/{folder.relative_to(defs)}"
        checkup.run(step, partial(declared.examine_folder, folder, specs))
    return specs


def examine_auth_alone() -> tuple[Checkup, Prescription | None]:
    """The settings and the steps about AWS; None where the settings cannot be read."""
    checkup, prescription = Checkup(), None
    loaded: list[Runtime] = []
    checkup.run(_SETTINGS, partial(_load_settings, loaded))
    for runtime in loaded:
        with contextlib.closing(runtime):
            prescription = examine_auth(checkup, runtime)
    return checkup, prescription


def examine_redis_alone(defs: Path) -> tuple[Checkup, Rules]:
    """The settings, the syncs and the steps about Redis; and what each role may do there."""
    checkup = Checkup()
    loaded: list[Runtime] = []
    checkup.run(_SETTINGS, partial(_load_settings, loaded))
    specs = _examine_folders(checkup, defs)
    for runtime in loaded:
        with contextlib.closing(runtime):
            _examine_redis(checkup, specs, runtime)
    return checkup, redis.build_rules(specs) if specs else {}


def _examine_redis(checkup: Checkup, specs: dict[str, SyncSpec], runtime: Runtime) -> None:
    checkup.run(redis.STEP, partial(redis.examine_redis, runtime))
    rights = partial(redis.examine_rights, runtime, specs)
    checkup.run("redis permissions", rights, needs=[redis.STEP])
    checkup.run("redis latency", partial(redis.examine_latency, runtime), needs=[redis.STEP])
    checkup.run("redis clock", partial(redis.examine_clock, runtime), needs=[redis.STEP])


def _build_document(
    checkup: Checkup, prescription: Prescription | None, rules: Rules | None
) -> dict[str, object]:
    steps = [asdict(finding) for finding in checkup.findings]
    document: dict[str, object] = {"passed": not checkup.has_failed, "steps": steps}
    if prescription is not None:
        document["policies"] = prescription.as_document()
    if rules is not None:
        document["acl"] = rules
    return document


def _load_settings(loaded: list[Runtime]) -> str:
    settings = Settings.load()
    loaded.append(Runtime(settings=settings))
    return f"profile {settings.profile}"


def _examine_runtime(
    checkup: Checkup, specs: dict[str, SyncSpec], runtime: Runtime, *, defs: Path
) -> None:
    settings = runtime.settings
    deployment = Deployment(settings, specs)
    checkup.run("definitions", partial(deployment.examine_definitions, defs))
    checkup.run("masking key", partial(declared.examine_masking_key, specs, runtime))
    checkup.run("scratch", partial(machine.examine_scratch, settings))
    examine_bigquery(checkup, specs, runtime)
    for name, spec in specs.items():
        needs = [JOBS] if uses_bigquery(spec, runtime) else []
        checkup.run(f"source: {name}", partial(outside.examine_source, spec, runtime), needs=needs)
    if uses_aws(runtime):
        examine_auth(checkup, runtime)
    needs = [SESSION] if uses_aws(runtime) else []
    checkup.run("store", partial(outside.examine_store, runtime), needs=needs)
    checkup.run("embedded redis", partial(machine.examine_embedded_redis, settings))
    _examine_redis(checkup, specs, runtime)
    checkup.run("alerts", partial(operations.examine_alerts, settings))
    checkup.run("run log", partial(operations.examine_run_log, runtime))
    examine_deployment(checkup, deployment)


def render_findings(findings: list[Finding], *, width: int) -> str:
    """A paragraph a step, wrapped to `width`, and a line that counts."""
    name_width = max(len(finding.step) for finding in findings)
    lines = []
    for finding in findings:
        head = f"{finding.outcome:<7}  {finding.step:<{name_width}}  "
        lines.append(
            textwrap.fill(
                " ".join(finding.message.split()),
                width=width,
                initial_indent=head,
                subsequent_indent=" " * len(head),
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    counts = Counter(finding.outcome for finding in findings)
    lines.append(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return "\n".join(lines)
