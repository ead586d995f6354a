"""How each symptom of docs/runbook.md comes about: a set-up for every section that has commands.

Each is a generator: it breaks something, and yields before every block of commands of its section; what
stands between two yields is what the page tells people to do by hand.
"""

import shutil
from collections.abc import Iterator

from reverse_etl.errors import ReverseEtlError
from reverse_etl.masking.key_ring import parse_key_ring
from reverse_etl.pipeline import extract, mask_and_land
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import load_specs
from reverse_etl_tests.builders import MASKING_KEY
from reverse_etl_tests.docs.night import DAYS, SYNC, Night

EARLIEST, BEFORE, LIVE = DAYS
HEAD = f"{SYNC}:head"


def wrong_data_is_live(night: Night) -> Iterator[None]:
    """Nobody can see that but people."""
    del night
    yield
    yield


def rollback_is_refused(night: Night) -> Iterator[None]:
    """Somebody has just rolled back."""
    _run(night, "rollback", SYNC)
    yield


def a_version_that_was_left_is_needed_again(night: Night) -> Iterator[None]:
    """The day was right after all."""
    version = night.find_version(LIVE)
    night.console.placeholders["VERSION"] = version
    night.console.placeholders["MANIFEST"] = f"{SYNC}/dt={LIVE}/{version}/manifest.json"
    _run(night, "rollback", SYNC)
    yield


def redis_was_emptied(night: Night) -> Iterator[None]:
    """FLUSHALL, or a restart without persistence."""
    night.redis.flushall()
    yield


def records_are_missing_or_differ(night: Night) -> Iterator[None]:
    """One was evicted, another was overwritten."""
    keys = sorted(night.redis.keys(f"{SYNC}:{night.find_version(LIVE)}:*"))
    night.redis.delete(keys[0])
    night.redis.set(keys[1], b"{}")
    yield


def redis_cannot_be_reached(night: Night) -> Iterator[None]:
    """The address is one where nothing answers."""
    night.configure("REVERSE_ETL_REDIS_URL", "redis://127.0.0.1:1/0")
    yield


def redis_throws_keys_away(night: Night) -> Iterator[None]:
    """A cache's default policy."""
    night.redis.config_set("maxmemory", "1gb")
    night.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        yield
    finally:
        night.redis.config_set("maxmemory-policy", "noeviction")
        night.redis.config_set("maxmemory", "0")
    yield


def redis_has_no_room(night: Night) -> Iterator[None]:
    """Two versions do not fit any more."""
    used = night.redis.info("memory")["used_memory"]
    night.redis.config_set("maxmemory", str(used + 100_000))
    try:
        yield
    finally:
        night.redis.config_set("maxmemory", "0")


def redis_denies_a_command(night: Night) -> Iterator[None]:
    """An ACL that was written by hand."""
    rules = f"on >secret ~{SYNC}:* ~user_profile:* +@all -unlink"
    night.redis.execute_command("ACL", "SETUSER", "narrow", "reset", *rules.split())
    port = night.redis.connection_pool.connection_kwargs["port"]
    night.configure("REVERSE_ETL_REDIS_URL", f"redis://narrow:secret@127.0.0.1:{port}/0")
    try:
        yield
    finally:
        night.redis.acl_deluser("narrow")


def half_a_publish(night: Night) -> Iterator[None]:
    """A run died between the two heads."""
    night.redis.set(HEAD, night.seed.head_before)
    yield


def the_stores_head_is_lost(night: Night) -> Iterator[None]:
    """Somebody deleted it."""
    night.console.placeholders["VERSION"] = night.find_version(LIVE)
    (night.store / "head.json").unlink()
    yield


def both_heads_are_lost(night: Night) -> Iterator[None]:
    """Redis was emptied on top of it."""
    version = night.find_version(LIVE)
    night.console.placeholders["VERSION"] = version
    night.console.placeholders["MANIFEST"] = f"{SYNC}/dt={LIVE}/{version}/manifest.json"
    night.redis.flushall()
    (night.store / "head.json").unlink()
    yield


def an_object_is_lost(night: Night) -> Iterator[None]:
    """Somebody deleted one below the prefix."""
    objects = sorted((night.store / f"dt={LIVE}" / night.find_version(LIVE)).glob("*.jsonl.gz"))
    objects[0].unlink()
    yield


def a_column_is_new_upstream(night: Night) -> Iterator[None]:
    """The query selects what no rule names."""
    night.change_sync("query.sql", "  users.birthday,\n", "  users.birthday,\n  users.city,\n")
    yield
    rule = "    - {name: birthday, rule: age_group}\n"
    night.change_sync("defs.yaml", rule, rule + "    - {name: city, rule: keep}\n")
    yield


def a_masking_key_is_missing(night: Night) -> Iterator[None]:
    """Nobody mounted the secret."""
    night.configure("REVERSE_ETL_MASKING_KEY", None)
    yield


def the_masking_key_is_anothers(night: Night) -> Iterator[None]:
    """The test environment's key in production."""
    fingerprint = parse_key_ring(MASKING_KEY).current.fingerprint
    night.configure("REVERSE_ETL_REFUSED_KEY_FINGERPRINTS", f"test={fingerprint}")
    yield


def too_few_rows(night: Night) -> Iterator[None]:
    """Half of a table is gone for a moment."""
    night.change_source("CREATE TABLE shop.kept AS SELECT * FROM shop.users")
    night.change_source("DELETE FROM shop.users WHERE user_id < 'u-0000400'")
    yield
    night.change_source("DELETE FROM shop.users")
    night.change_source("INSERT INTO shop.users SELECT * FROM shop.kept")
    yield


def a_value_would_leak(night: Night) -> Iterator[None]:
    """Somebody fills a harmless column with e-mail addresses."""
    night.change_source("UPDATE shop.users SET country = concat(user_id, '@example.com')")
    yield


def a_key_is_there_twice(night: Night) -> Iterator[None]:
    """A join that multiplies rows."""
    night.change_sync("query.sql", "FROM shop.users AS users\n", _TWICE)
    yield


def another_run_holds_the_lease(night: Night) -> Iterator[None]:
    """A loader was suspended, or died a moment ago."""
    night.redis.set(f"{SYNC}:loading", b"somebody", px=600_000)
    night.configure("REVERSE_ETL_LEASE_SECONDS", "0.2")
    yield
    night.configure("REVERSE_ETL_LEASE_SECONDS", None)
    night.redis.delete(f"{SYNC}:loading")
    yield


def a_snapshot_has_expired(night: Night) -> Iterator[None]:
    """`extract` ran days ago, and `masked` is materialised alone."""
    spec = load_specs(night.defs)[SYNC]
    runtime = Runtime(settings=Settings.load())
    partition = spec.partition(LIVE, now=runtime.now())
    extract(spec, partition, runtime, run_id="days-ago")
    shutil.rmtree(night.folder / "warehouse.duckdb.snapshots")
    try:
        mask_and_land(spec, partition, runtime, run_id="alone")
    except ReverseEtlError as error:
        night.console.seen = str(error)
    runtime.close()
    yield


def days_were_missed(night: Night) -> Iterator[None]:
    """Dagster was down over a weekend."""
    shutil.rmtree(night.store / f"dt={EARLIEST}")
    yield


def a_day_is_late(night: Night) -> Iterator[None]:
    """The schedule did not run."""
    del night
    yield


def a_user_has_to_be_forgotten(night: Night) -> Iterator[None]:
    """The row is gone in the warehouse, and today's version has it still."""
    night.change_source("DELETE FROM shop.users WHERE user_id = 'u-0000007'")
    yield


def a_setting_is_misspelt(night: Night) -> Iterator[None]:
    """Two letters changed places."""
    night.configure("REVERSE_ETL_REDIS_ULR", "redis://127.0.0.1:1/0")
    yield


def the_source_is_away(night: Night) -> Iterator[None]:
    """The warehouse is not where the settings say."""
    night.configure("REVERSE_ETL_DUCKDB_PATH", "moved.duckdb")
    yield


def the_store_cannot_be_written(night: Night) -> Iterator[None]:
    """The address is no folder."""
    night.configure("REVERSE_ETL_STORE_URL", "file:///dev/null/store")
    yield


def nobody_knows_what_is_wrong(night: Night) -> Iterator[None]:
    """Nothing is."""
    del night
    yield


_TWICE = (
    "FROM (SELECT * FROM shop.users UNION ALL SELECT * FROM shop.users WHERE user_id < 'u-0000010') "
    "AS users\n"
)


def _run(night: Night, *words: str) -> None:
    code, printed = night.console.execute(words)
    assert code == 0, printed
