"""Rows that cannot be masked, through the whole of `masked`: refused, made NULL, or set aside."""

import datetime as dt
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl import pipeline
from reverse_etl.checks.reconciling import judge_landed_rows
from reverse_etl.cli.receipts import _describe_faults
from reverse_etl.components.metadata import describe_masked
from reverse_etl.engine import open_engine
from reverse_etl.errors import ConfigError, DataError, IntegrityError, TransientError
from reverse_etl.landing.layout import manifest_name, version_prefix
from reverse_etl.landing.manifest import is_tombstone
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.store import MemoryStore
from reverse_etl.landing.sweep import remove_version
from reverse_etl.model import FaultCount, Landed, Manifest, MaskedReceipt
from reverse_etl.runtime import Runtime
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl.spec import build_spec as check_and_build
from reverse_etl_tests.builders import DAY, NOW, QUERY, Clock, build_runtime, build_spec

BORN, FUTURE, ANCIENT = dt.date(1990, 5, 1), dt.date(2030, 1, 1), dt.date(1850, 1, 1)
MANY: dict[str, Any] = {"max_rows": 1000, "max_share": 1}


def build_people(
    *,
    keys: list[str | None],
    emails: list[str],
    birthdays: list[dt.date],
    scores: list[float] | None = None,
) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array(keys, pa.string()),
            "email": pa.array(emails, pa.string()),
            "birthday": pa.array(birthdays, pa.date32()),
            "score": pa.array(scores or [1.5] * len(keys), pa.float64()),
        }
    )


def build_sync(
    *,
    key: str | None = "quarantine",
    email: str | None = "quarantine",
    birthday: str | None = "quarantine",
    **attributes: Any,
) -> SyncSpec:
    """A sync whose columns say what becomes of bad values; None in a column says nothing."""
    columns: list[dict[str, Any]] = [
        {"name": "user_id", "rule": "keep", "max_bytes": 8},
        {"name": "email", "rule": "email_domain"},
        {"name": "birthday", "rule": "age_group"},
        {"name": "score", "rule": "round", "to": 1},
    ]
    for at, on_error in enumerate((key, email, birthday)):
        columns[at] |= {} if on_error is None else {"on_error": on_error}
    return build_spec(**{"columns": columns, "quarantine": MANY} | attributes)


def build_crowd(count: int = 40, **columns: Any) -> pa.Table:
    """So many good people; `columns` says where another value stands."""
    people = {
        "keys": [f"u-{number:04d}" for number in range(count)],
        "emails": [f"canary{number}@example.com" for number in range(count)],
        "birthdays": [BORN] * count,
        "scores": [1.5] * count,
    }
    for name, changes in columns.items():
        for at, value in changes.items():
            people[name][at] = value
    return build_people(**people)  # type: ignore[arg-type]


def prepare(folder: Path, people: pa.Table, **parts: Any) -> Runtime:
    source = MemorySource({QUERY: people}, split_rows=17, batch_rows=5)
    return build_runtime(folder, source=source, **parts)


def land(spec: SyncSpec, runtime: Runtime, *, run_id: str = "run-1") -> MaskedReceipt:
    partition = spec.partition(DAY, now=runtime.now())
    pipeline.extract(spec, partition, runtime, run_id=run_id)
    return pipeline.mask_and_land(spec, partition, runtime, run_id=run_id)


def read_records(runtime: Runtime, manifest: Manifest) -> dict[str, dict[str, Any]]:
    engine = open_engine(memory_limit_bytes=64 << 20)
    groups = read_groups(runtime.store, manifest, engine=engine, threads=2)
    records = [json.loads(line) for group in groups for line in group.lines.to_pylist()]
    engine.close()
    return {record["user_id"]: record for record in records}


def read_quarantine(runtime: Runtime, manifest: Manifest) -> list[dict[str, Any]]:
    """What `zcat` shows."""
    prefix = version_prefix(manifest.sync, manifest.version)
    bodies = [runtime.store.get(prefix + item.name) for item in manifest.quarantine]
    return [json.loads(line) for body in bodies for line in gzip.decompress(body).splitlines()]


@pytest.mark.parametrize("file_format", ["json", "parquet"])
def test_row_that_cannot_be_masked_is_set_aside(tmp_path: Path, file_format: str) -> None:
    """It is no record; what could be masked of it lies beside them, with the reasons, and counts agree."""
    people = build_crowd(
        emails={3: "canary at home", 4: "canary"}, birthdays={4: FUTURE, 9: ANCIENT}
    )
    spec = build_sync(landing={"format": file_format, "bucket_rows": 8})
    runtime = prepare(tmp_path, people)

    receipt = land(spec, runtime)

    manifest, records = receipt.manifest, read_records(runtime, receipt.manifest)
    aside = {line["row"]["user_id"]: line for line in read_quarantine(runtime, manifest)}
    assert (manifest.rows, manifest.quarantined, len(records)) == (37, 3, 37)
    assert aside.keys() == {"u-0003", "u-0004", "u-0009"}
    assert aside["u-0004"] == {
        "reasons": {"email": "malformed_email", "birthday": "future_date"},
        "row": {"user_id": "u-0004", "email": None, "birthday": None, "score": 2},
    }
    assert aside["u-0009"]["reasons"] == {"birthday": "over_150_years"}
    assert aside["u-0009"]["row"]["email"] == "example.com"
    assert receipt.faults == tuple(
        FaultCount(column=column, rule=rule, reason=reason, action="quarantine", rows=rows)
        for column, rule, reason, rows in (
            ("email", "email_domain", "malformed_email", 2),
            ("birthday", "age_group", "future_date", 1),
            ("birthday", "age_group", "over_150_years", 1),
        )
    )
    assert [item.name for item in manifest.quarantine] == ["quarantine/00000.jsonl.gz"]
    assert judge_landed_rows(manifest, store=runtime.store).passed


def test_value_alone_becomes_null(tmp_path: Path) -> None:
    """With `on_error: null` every row lands, and the receipt counts the values."""
    people = build_crowd(emails={3: "canary"}, birthdays={3: FUTURE, 5: FUTURE})
    runtime = prepare(tmp_path, people)

    receipt = land(build_sync(email="null", birthday="null"), runtime)

    records = read_records(runtime, receipt.manifest)
    assert (receipt.manifest.rows, receipt.manifest.quarantined) == (40, 0)
    assert (records["u-0003"]["email"], records["u-0003"]["birthday"]) == (None, None)
    assert (records["u-0005"]["email"], records["u-0005"]["birthday"]) == ("example.com", None)
    assert [(each.column, each.action, each.rows) for each in receipt.faults] == [
        ("email", "null", 1),
        ("birthday", "null", 2),
    ]


def test_version_is_refused_for_all_columns_at_once(tmp_path: Path) -> None:
    """Every column with its rule, reason and count; no value, and nothing is written."""
    people = build_crowd(
        emails={3: "canary", 4: "canary"}, birthdays={5: FUTURE}, scores={6: math.nan, 7: math.inf}
    )
    store = MemoryStore()

    with pytest.raises(DataError) as raised:
        land(build_sync(email=None, birthday="fail"), prepare(tmp_path, people, store=store))

    message = raised.value.message
    for told in (
        "column 'email' (email_domain): malformed_email in 2 rows",
        "column 'birthday' (age_group): future_date in 1 rows",
        "column 'score' (round): infinite in 1 rows",
        "column 'score' (round): not_a_number in 1 rows",
    ):
        assert told in message
    assert "canary" not in message
    assert [name for name in store._objects if ".jsonl" in name] == []


@pytest.mark.parametrize(
    ("limits", "allowed"), [({"max_rows": 1, "max_share": 1}, 1), ({"max_share": 0.05}, 2), ({}, 0)]
)
def test_too_many_rows_aside_refuse_the_version(
    tmp_path: Path, limits: dict[str, Any], allowed: int
) -> None:
    """Either limit is enough; as many as are allowed pass."""
    people = build_crowd(emails=dict.fromkeys(range(allowed + 1), "canary"))
    fewer = build_crowd(emails=dict.fromkeys(range(allowed), "canary"))
    spec, store = build_sync(quarantine=limits), MemoryStore()

    with pytest.raises(DataError, match=f"{allowed + 1} of 40 rows would be in .* allow {allowed}"):
        land(spec, prepare(tmp_path, people, store=store))
    receipt = land(spec, prepare(tmp_path, fewer))

    assert [name for name in store._objects if ".jsonl" in name] == []
    assert receipt.manifest.quarantined == allowed


def test_malformed_key_is_set_aside_and_no_key_is_not(tmp_path: Path) -> None:
    """A key that its rule cannot mask is a fault like any other; a row without one stops the sync."""
    malformed = build_crowd(keys={3: "far too long a key"})
    missing = build_crowd(keys={3: "far too long a key", 4: None})
    runtime = prepare(tmp_path, malformed)

    receipt = land(build_sync(), runtime)

    (line,) = read_quarantine(runtime, receipt.manifest)
    assert line["reasons"] == {"user_id": "too_long"}
    assert line["row"]["user_id"] is None
    with pytest.raises(DataError, match="1 records have no key"):
        land(build_sync(), prepare(tmp_path, missing))
    with pytest.raises(DataError, match=r"'user_id' \(keep\): too_long in 1 rows"):
        land(build_sync(key=None), prepare(tmp_path, malformed))


def test_key_cannot_become_null(tmp_path: Path) -> None:
    """That would make a record which nobody finds: told when the sync loads."""
    (tmp_path / "query.sql").write_text(QUERY, encoding="utf-8")

    with pytest.raises(ConfigError, match="key column 'user_id' has on_error: null"):
        check_and_build(build_sync(key="null").config, folder=tmp_path)


def test_privacy_takes_nobody_aside(tmp_path: Path) -> None:
    """The rarest rows would be written where nobody counted them: told when the sync loads."""
    (tmp_path / "query.sql").write_text(QUERY, encoding="utf-8")
    spec = build_sync(key="quarantine", privacy={"quasi_identifiers": ["user_id"], "k": 2})

    with pytest.raises(ConfigError, match="privacy proves nothing of rows that are set aside"):
        check_and_build(spec.config, folder=tmp_path)


def test_guards_count_what_lands(tmp_path: Path) -> None:
    """A table that is large enough only with what is set aside is not."""
    people = build_crowd(emails=dict.fromkeys(range(5), "canary"))
    spec = build_sync(guards={"min_rows": 36})

    with pytest.raises(DataError, match="has 35 rows beside 5 in quarantine"):
        land(spec, prepare(tmp_path, people))


def test_privacy_counts_what_lands(tmp_path: Path) -> None:
    """A row that is set aside stands for nobody in a group."""
    people = build_crowd(
        birthdays={0: dt.date(1950, 1, 1), 1: dt.date(1950, 1, 1)}, emails={1: "canary"}
    )
    spec = build_sync(privacy={"quasi_identifiers": ["birthday"], "k": 2})

    with pytest.raises(DataError, match="fewer than k = 2"):
        land(spec, prepare(tmp_path, people))


def test_leak_in_a_row_that_is_set_aside_stops_the_version(tmp_path: Path) -> None:
    """Nothing is written that the leak scan has not passed."""
    count = 40
    people = build_crowd(
        count,
        keys={at: f"a{at}@c.de" for at in range(count)},
        birthdays=dict.fromkeys(range(count - 1), FUTURE),
    )

    with pytest.raises(DataError, match="leak scan stopped the version"):
        land(build_sync(), prepare(tmp_path, people))


class DyingStore(MemoryStore):
    """Is gone at the moment of the commit."""

    def put_if_absent(self, name: str, body: bytes) -> str:
        if name.endswith("/manifest.json") and not is_tombstone(body):
            raise TransientError("The store is gone.")
        return super().put_if_absent(name, body)


def test_run_that_died_before_its_commit_leaves_no_quarantine(tmp_path: Path) -> None:
    """The sweep removes what was set aside with all else of the attempt."""
    clock, dying = Clock(), DyingStore()
    people = build_crowd(emails={3: "canary"})
    with pytest.raises(TransientError, match="gone"):
        land(build_sync(), prepare(tmp_path, people, store=dying, clock=clock))
    store = MemoryStore()
    store._objects = dying._objects
    left = [name for name in store._objects if "/quarantine/" in name]
    clock.advance(days=2)

    receipt = land(
        build_sync(), prepare(tmp_path, people, store=store, clock=clock), run_id="run-2"
    )

    assert len(left) == 1
    assert receipt.swept == 1
    assert [name for name in store._objects if "/quarantine/" in name] == [
        version_prefix("shop_users", receipt.manifest.version) + "quarantine/00000.jsonl.gz"
    ]


def test_quarantine_goes_with_its_version(tmp_path: Path) -> None:
    """Retention leaves nothing of a day but its tombstone."""
    runtime = prepare(tmp_path, build_crowd(emails={3: "canary"}))
    manifest = land(build_sync(), runtime).manifest

    remove_version(runtime.store, manifest.sync, manifest.version, now=NOW)

    prefix = version_prefix(manifest.sync, manifest.version)
    assert [item.name for item in runtime.store.list_objects(prefix)] == [
        manifest_name(manifest.sync, manifest.version)
    ]


class LosingStore(MemoryStore):
    """Loses what is set aside, or keeps something else of the same size."""

    def __init__(self, *, harm: str) -> None:
        super().__init__()
        self._harm = harm

    def put(self, name: str, body: bytes, *, metadata: Any = None) -> str:
        etag = super().put(name, body, metadata=metadata)
        if "/quarantine/" in name:
            self.delete([name])
            if self._harm == "altered":
                super().put(name, body[::-1], metadata=metadata)
        return etag


@pytest.mark.parametrize("harm", ["lost", "altered"])
@pytest.mark.parametrize("verify", ["read_back", "checksum"])
def test_quarantine_is_proved_like_all_else(tmp_path: Path, harm: str, verify: str) -> None:
    """What is not there, or not as it was sent, stops the version."""
    people = build_crowd(emails={3: "canary"})
    spec = build_sync(landing={"bucket_rows": 8, "verify": verify})

    with pytest.raises(IntegrityError):
        land(spec, prepare(tmp_path, people, store=LosingStore(harm=harm)))


def test_version_that_lost_its_quarantine_is_landed_again(tmp_path: Path) -> None:
    """And one that has it is found as it is."""
    spec, runtime = build_sync(), prepare(tmp_path, build_crowd(emails={3: "canary"}))
    manifest = land(spec, runtime).manifest
    partition = spec.partition(DAY, now=NOW)

    again = pipeline.mask_and_land(spec, partition, runtime, run_id="run-2")
    prefix = version_prefix(manifest.sync, manifest.version)
    runtime.store.delete([prefix + manifest.quarantine[0].name])
    anew = pipeline.mask_and_land(spec, partition, runtime, run_id="run-3")

    assert again.outcome is Landed.UNCHANGED
    assert not judge_landed_rows(manifest, store=runtime.store).passed
    assert anew.outcome is Landed.COMMITTED
    assert anew.manifest.quarantined == 1


def test_stricter_limit_holds_for_what_is_landed(tmp_path: Path) -> None:
    """A version that passed a looser limit is not taken for one that passes this."""
    runtime = prepare(tmp_path, build_crowd(emails={3: "canary"}))
    land(build_sync(), runtime)
    stricter = build_sync(quarantine={})

    with pytest.raises(DataError, match="would be in quarantine"):
        pipeline.mask_and_land(stricter, stricter.partition(DAY, now=NOW), runtime, run_id="run-2")


def test_counts_are_shown_and_no_value_is(tmp_path: Path) -> None:
    """Dagster and the command line name columns, reasons and places."""
    people = build_crowd(emails={3: "canary"}, birthdays={4: FUTURE})
    spec, store = build_sync(birthday="null"), MemoryStore()

    receipt = land(spec, prepare(tmp_path, people, store=store))

    metadata = describe_masked(spec, receipt)
    lines = _describe_faults(receipt)
    bodies = [gzip.decompress(it) for name, it in store._objects.items() if name.endswith(".gz")]
    assert metadata["quarantined"] == 1
    assert "| birthday | age_group | future_date | 1 | null |" in metadata["faults"].value
    assert "1 rows in quarantine" in metadata["summary"].value
    assert lines[:2] == [
        "column 'email': malformed_email in 1 rows (quarantine).",
        "column 'birthday': future_date in 1 rows (null).",
    ]
    assert lines[2].endswith(f"{receipt.manifest.version}/quarantine/")
    assert len(bodies) == len(receipt.manifest.objects) + 1
    assert b"canary" not in b"".join([*bodies, repr((metadata, receipt)).encode()])


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a@b.de", "none", ""]), st.sampled_from([BORN, FUTURE, ANCIENT])
        ),
        min_size=1,
        max_size=60,
    ),
    email=st.sampled_from(["null", "quarantine"]),
    birthday=st.sampled_from(["default", "null", "quarantine"]),
    file_format=st.sampled_from(["json", "parquet"]),
)
def test_every_row_lands_or_is_set_aside(
    tmp_path: Path,
    rows: list[tuple[str, dt.date]],
    email: str,
    birthday: str,
    file_format: str,
) -> None:
    """Records and quarantine are the input, each row in one of them, for its own faults alone."""
    keys = [f"u-{number:04d}" for number in range(len(rows))]
    people = build_people(
        keys=list(keys), emails=[it for it, _ in rows], birthdays=[it for _, it in rows]
    )
    spec = build_sync(
        email=email, birthday=birthday, landing={"format": file_format, "bucket_rows": 8}
    )
    bad_email = {key for key, (it, _) in zip(keys, rows, strict=True) if "@" not in it}
    bad_birthday = {key for key, (_, it) in zip(keys, rows, strict=True) if it != BORN}
    expected = (bad_email if email == "quarantine" else set()) | (
        bad_birthday if birthday == "quarantine" else set()
    )
    runtime = prepare(tmp_path, people)
    if len(expected) == len(rows):
        with pytest.raises(DataError, match="has 0 rows beside"):
            land(spec, runtime)
        return

    manifest = land(spec, runtime).manifest

    landed = read_records(runtime, manifest)
    aside = [line["row"]["user_id"] for line in read_quarantine(runtime, manifest)]
    assert (set(aside), len(aside)) == (expected, manifest.quarantined)
    assert landed.keys() == set(keys) - expected
    assert {key for key, it in landed.items() if it["email"] is None} == bad_email - expected
    nulled = bad_birthday if birthday == "null" else set()
    assert {key for key, it in landed.items() if it["birthday"] is None} == nulled - expected
