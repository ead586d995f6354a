"""`reverse-etl doctor`: steps in order, what each found, and what to do about what failed."""

import datetime as dt
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.cli.commands.doctor import render_findings
from reverse_etl.cli.doctor.checkup import Checkup, Finding, Outcome, SkippedError
from reverse_etl.cli.doctor.clock import parse_date_header
from reverse_etl.cli.doctor.declared import find_sync_folders
from reverse_etl.cli.doctor.machine import examine_packages, read_pins
from reverse_etl.cli.doctor.outside import examine_store
from reverse_etl.cli.doctor.redis import describe_redis, examine_clock
from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Secret, Settings
from reverse_etl_tests.builders import build_runtime
from reverse_etl_tests.cli.conftest import Run, Shop

ORDER = [
    "python",
    "packages",
    "settings",
    "defs/people",
    "defs/secrets",
    "definitions",
    "masking key",
    "scratch",
    "source: people",
    "source: secrets",
    "store",
    "embedded redis",
    "redis",
    "redis permissions",
    "redis latency",
    "redis clock",
    "alerts",
    "run log",
    "dagster instance",
    "pools",
    "schedules",
    "dagster daemon",
]
#: What a healthy shop has no need of, or nothing for.
SKIPPED = {"definitions", "embedded redis", *ORDER[-6:]}


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in document["steps"]}


def message(document: dict[str, Any], name: str) -> str:
    (found,) = [step["message"] for step in document["steps"] if step["step"] == name]
    return str(found)


def test_healthy_shop_passes_every_step(run: Run) -> None:
    """Where a run can succeed, every step that applies passes, in a fixed order."""
    done = run("doctor", "--json")

    found = outcomes(done.document)
    assert done.code == 0
    assert done.document["passed"] is True
    assert list(found) == ORDER
    assert {step for step, outcome in found.items() if outcome == "skipped"} == SKIPPED
    assert {outcome for step, outcome in found.items() if step not in SKIPPED} == {"passed"}
    assert "3 columns of the query fit the rules: 3 leave" in message(
        done.document, "source: people"
    )


def test_document_has_the_fields_that_are_documented(run: Run) -> None:
    """docs/cli.md promises these to programs, and every name of a step."""
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    section = page.partition("\n## `reverse-etl doctor`\n")[2].partition("\n## ")[0]

    document = run("doctor", "--json").document

    assert list(document) == ["passed", "steps"]
    fields = {f"steps[].{name}" for step in document["steps"] for name in step}
    assert {name for name in fields | set(document) if f"| `{name}` |" not in section} == set()
    plain = [step for step in outcomes(document) if not step.startswith(("defs/", "source: "))]
    assert [step for step in plain if f"`{step}`" not in section] == []


def test_doctor_leaves_nothing_in_the_store(run: Run, shop: Shop) -> None:
    """The probe object is gone when the doctor is."""
    run("doctor")

    assert list(shop.store.rglob("_doctor/*")) == []


@pytest.mark.parametrize(
    ("variable", "value", "step", "said"),
    [
        ("REVERSE_ETL_REDIS_URL", "redis://127.0.0.1:1/0", "redis", "cannot be reached"),
        ("REVERSE_ETL_REDIS_URL", None, "redis", "REVERSE_ETL_REDIS_URL is not set"),
        ("REVERSE_ETL_MASKING_KEY", None, "masking key", "rule 'hmac' of secrets needs one"),
        ("REVERSE_ETL_DUCKDB_PATH", "nowhere.duckdb", "source: people", "no warehouse file"),
        ("REVERSE_ETL_SCRATCH_DIR", "/dev/null/scratch", "scratch", "REVERSE_ETL_SCRATCH_DIR"),
        ("REVERSE_ETL_STORE_URL", "ftp://somewhere", "store", "REVERSE_ETL_STORE_URL"),
        ("REVERSE_ETL_THREADS", "many", "settings", "REVERSE_ETL_THREADS: Worker threads"),
    ],
)
def test_what_is_wrong_fails_its_step(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str | None,
    step: str,
    said: str,
) -> None:
    """The step that fails says what is wrong; the exit code is 1."""
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)

    done = run("doctor", "--json")

    assert done.code == 1
    assert outcomes(done.document)[step] == "failed"
    assert said in message(done.document, step)


def test_settings_that_cannot_be_read_skip_the_rest(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be examined is said to be skipped, and why; nobody takes it for passed."""
    monkeypatch.setenv("REVERSE_ETL_THREADS", "many")

    document = run("doctor", "--json").document

    for step in ("definitions", "masking key", "source", "store", "redis", "dagster instance"):
        assert outcomes(document)[step] == "skipped"
        assert message(document, step) == "needs what did not pass: settings"


def test_alerts_are_held_against_each_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels are named by host alone, and nothing is sent; half a channel fails."""
    monkeypatch.setenv("REVERSE_ETL_ALERT_SLACK_URL", "https://hooks.example.com/services/Canary")
    monkeypatch.setenv("REVERSE_ETL_RUN_LOG_TABLE", "operations.runs")

    whole = run("doctor", "--json")
    monkeypatch.setenv("REVERSE_ETL_ALERT_SMTP_URL", "smtps://me:Canary@mail.example.com:465")
    half = run("doctor", "--json")

    assert message(whole.document, "alerts").startswith("Slack; nothing was sent")
    assert outcomes(whole.document)["run log"] == "passed"
    assert outcomes(half.document)["alerts"] == "failed"
    assert "REVERSE_ETL_ALERT_EMAIL_FROM" in message(half.document, "alerts")
    assert "Canary" not in whole.out + half.out


def test_broken_sync_does_not_hide_the_others(run: Run, shop: Shop) -> None:
    """One folder that cannot be loaded fails alone; the syncs beside it are examined."""
    shop.declare("broken", text="type: reverse_etl.components.Sync\nattributes: {name: broken}\n")
    shop.declare("twice", text=(shop.defs / "people" / "defs.yaml").read_text())

    document = run("doctor", "--json").document

    found = outcomes(document)
    assert found["defs/broken"] == found["defs/twice"] == "failed"
    assert "source: Field required" in message(document, "defs/broken")
    assert "The name 'people' is used by another folder" in message(document, "defs/twice")
    assert found["source: people"] == "passed"


def test_policy_that_does_not_fit_is_found_before_a_run(run: Run, shop: Shop) -> None:
    """A column of the query without a rule is the doctor's to find, not the night's."""
    (shop.defs / "people" / "query.sql").write_text("SELECT *, 1 AS surprise FROM shop.users")

    document = run("doctor", "--json").document

    assert outcomes(document)["source: people"] == "failed"
    assert "1 columns that no rule names: 'surprise'" in message(document, "source: people")


def test_plain_output_ends_with_a_count(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sees a line a step and how many passed."""
    monkeypatch.setenv("COLUMNS", "60")

    done = run("doctor")

    assert done.out.splitlines()[-1] == "14 passed, 8 skipped"
    assert all(len(line) <= 60 or "/" in line for line in done.out.splitlines())


def test_step_waits_for_what_it_needs() -> None:
    """A step whose need did not pass is skipped, and says which."""
    checkup = Checkup()

    checkup.run("first", _fail)
    checkup.run("second", lambda: "fine", needs=["first"])
    checkup.run("third", lambda: "fine")

    assert [finding.outcome for finding in checkup.findings] == ["failed", "skipped", "passed"]
    assert checkup.findings[1].message == "needs what did not pass: first"
    assert checkup.has_failed


def test_step_that_hangs_is_left_behind() -> None:
    """What does not answer fails its step when its time is over, and the next step is run."""
    released = threading.Event()
    checkup = Checkup(most_seconds=0.05)

    checkup.run("first", lambda: str(released.wait()))
    checkup.run("second", lambda: "fine")
    released.set()

    assert [finding.outcome for finding in checkup.findings] == ["failed", "passed"]
    assert "did not end within 0.05 s" in checkup.findings[0].message


def test_clock_that_is_off_is_found(redis_url: str) -> None:
    """Redis tells its time with INFO; a minute is too much, in both directions."""
    settings = Settings(redis_url=Secret(redis_url))

    def examine(**off: float) -> str:
        moment = dt.datetime.now(dt.UTC) + dt.timedelta(**off)
        return examine_clock(Runtime(settings=settings, now=lambda: moment))

    assert "apart" in examine()
    with pytest.raises(ConfigError, match=r"s ahead of that of Redis.*NTP"):
        examine(minutes=2)
    with pytest.raises(ConfigError, match="s behind that of Redis"):
        examine(minutes=-2)


def test_date_of_an_answer_is_read() -> None:
    """An HTTP date becomes a moment; an answer without one skips the step."""
    assert parse_date_header("Sat, 21 Nov 2026 20:46:29 GMT") == dt.datetime(
        2026, 11, 21, 20, 46, 29, tzinfo=dt.UTC
    )
    for text in (None, "yesterday"):
        with pytest.raises(SkippedError, match="no Date header"):
            parse_date_header(text)


def test_bug_in_a_step_shows_no_text() -> None:
    """What nobody raised on purpose fails its step by class and place alone."""

    def break_down() -> str:
        raise KeyError("Canary Ω7")

    checkup = Checkup()

    checkup.run("first", break_down)

    (finding,) = checkup.findings
    assert finding.outcome is Outcome.FAILED
    assert finding.message.startswith("KeyError at cli/test_doctor.py:")
    assert "Canary" not in finding.message


def _fail() -> str:
    raise ConfigError("Something is missing.")


def test_lock_is_compared_with_what_is_installed(tmp_path: Path) -> None:
    """A package of another version, or none, is named with both versions; markers are honoured."""
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "# pins\nduckdb==0.0.1\nno-such-package==1.0\nuvloop==9 ; sys_platform == 'nowhere'\n"
    )

    with pytest.raises(ConfigError) as raised:
        examine_packages(lock)

    assert "duckdb is " in raised.value.message
    assert (
        "locked is 0.0.1; no-such-package is not installed, locked is 1.0" in raised.value.message
    )
    assert read_pins(lock) == {"duckdb": "0.0.1", "no-such-package": "1.0"}


def test_many_differences_are_counted(tmp_path: Path) -> None:
    """A long list is cut, and says how long it was."""
    lock = tmp_path / "lock.txt"
    lock.write_text("\n".join(f"no-such-package-{number}==1" for number in range(11)))

    with pytest.raises(ConfigError, match="; and 3 more"):
        examine_packages(lock)


def test_lock_is_skipped_outside_a_checkout(tmp_path: Path) -> None:
    """An installed package has no lock beside it."""
    with pytest.raises(SkippedError, match="not run from a checkout"):
        examine_packages(tmp_path / "lock.txt")


def test_nested_folders_are_examined_once(tmp_path: Path) -> None:
    """What lies below a folder that declares something belongs to it."""
    for name in ("a/defs.yaml", "a/deeper/defs.yaml", "b/defs.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert find_sync_folders(tmp_path) == [tmp_path / "a", tmp_path / "b"]


class _CarelessStore(MemoryStore):
    """A store that ignores conditions, as some S3 look-alikes do."""

    def put_if_absent(self, name: str, body: bytes) -> str:
        self.put(name, body)
        return "etag"


def test_store_without_conditions_is_refused(tmp_path: Path) -> None:
    """Commits rest on conditional writes; a store that ignores them is found out, and left clean."""
    store = _CarelessStore()

    with pytest.raises(TerminalError, match="ignores conditions on writes"):
        examine_store(build_runtime(tmp_path, store=store))

    assert list(store.list_objects("")) == []


HEALTHY = {
    "redis_version": "7.2.4",
    "role": "master",
    "redis_mode": "standalone",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "used_memory": 1_500_000,
}


def test_healthy_redis_is_described() -> None:
    """Product, version, how full it is and what it does when it is full."""
    assert describe_redis(HEALTHY, address="here:1") == (
        "Redis 7.2.4 at here:1, 1.5 MB used, no limit, maxmemory-policy noeviction"
    )
    assert describe_redis(
        HEALTHY | {"valkey_version": "9.1.2", "maxmemory": 2_000_000}, address="here:1"
    ).startswith("Valkey 9.1.2 at here:1, 1.5 MB used of 2.0 MB")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"redis_mode": "cluster"}, "cluster mode"),
        ({"role": "slave"}, "a replica"),
        (
            {"maxmemory": 10**9, "maxmemory_policy": "allkeys-lru"},
            "Set maxmemory-policy noeviction",
        ),
    ],
)
def test_redis_that_cannot_keep_records_is_refused(found: dict[str, object], said: str) -> None:
    """A server that takes no writes, or throws records away, fails before a run does."""
    with pytest.raises(ConfigError, match=said):
        describe_redis(HEALTHY | found, address="here:1")


def test_findings_are_wrapped_below_each_other() -> None:
    """Long messages stay in their column."""
    finding = Finding(step="store", outcome=Outcome.FAILED, message="word " * 20, seconds=0.1)

    lines = render_findings([finding], width=40).splitlines()

    assert lines[0].startswith("failed   store  word word")
    assert all(line.startswith(" " * 16 + "word") for line in lines[1:-1])
    assert lines[-1] == "1 failed"
    assert os.linesep not in lines[0]
