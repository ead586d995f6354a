"""The sample warehouse: nasty on purpose, the same each time, and nobody real in it."""

import datetime as dt
import re
import unicodedata
from pathlib import Path

import duckdb
import pytest

from reverse_etl.embedded.warehouse import (
    SampleWarehouse,
    build_sample_warehouse,
    ensure_sample_warehouse,
)
from reverse_etl.errors import ConfigError
from reverse_etl.progress import Progress

from .conftest import END_DATE

USER_ODDITIES = {
    "key with a space inside": "user_id LIKE 'u %'",
    "key with spaces around it": "user_id <> trim(user_id)",
    "key outside ASCII": "user_id LIKE 'ユーザー-%'",
    "key written from right to left": "regexp_matches(user_id, '\\p{Arabic}')",
    "key with an emoji": "contains(user_id, chr(129418))",
    "key with colons": "user_id LIKE 'u:%:'",
    "key that looks like a path": "user_id LIKE 'u/../%'",
    "key with a URL's signs": "user_id LIKE '%\\%2F%?%&%#%' ESCAPE '\\'",
    "key in braces": "user_id LIKE '{%}'",
    "key with an empty pair of braces first": "user_id LIKE 'u-{}{%'",
    "key with a pattern's signs": "contains(user_id, '*?[')",
    "key with quotes and a backslash": "contains(user_id, concat('\"', chr(92), ''''))",
    "key with a tab and a newline": "contains(user_id, chr(9)) AND contains(user_id, chr(10))",
    "key of digits with leading zeros": "regexp_full_match(user_id, '0[0-9]+')",
    "key longer than 300 bytes": "strlen(user_id) > 300",
    "account number that no double holds": "account_number = 9007199254740993 + 1300",
    "account number at the end of INT64": "account_number > 9223372036854770000",
    "account number below zero": "account_number < -9007199254740992",
    "no e-mail": "email IS NULL",
    "e-mail with quotes": "email LIKE '\"%\"@%'",
    "e-mail outside ASCII": "regexp_matches(email, '[^ -~]')",
    "e-mail in capitals with a tag": "email LIKE 'UPPER%+tag@EXAMPLE.NET'",
    "no phone": "phone IS NULL",
    "Japanese phone": "phone LIKE '090-%'",
    "Japanese phone in full-width digits": "contains(phone, chr(65296))",
    "E.164 phone": "regexp_full_match(phone, '\\+[0-9]{8,15}')",
    "phone with blanks": "phone LIKE '+33 6 %'",
    "no name": "full_name IS NULL",
    "empty name": "full_name = ''",
    "blank name": "full_name = ' '",
    "name that reads NULL": "full_name = 'NULL'",
    "name that is SQL": "contains(full_name, 'DROP TABLE')",
    "Latin name with accents": "regexp_matches(full_name, '[ëïçéüäößŁŞ]')",
    "name in kanji": "regexp_matches(full_name, '\\p{Han}')",
    "name with a kanji beyond 16 bits": "contains(full_name, chr(134071))",
    "name in half-width kana": "regexp_matches(full_name, '[ｦ-ﾟ]')",
    "Arabic name": "regexp_matches(full_name, '\\p{Arabic}')",
    "Hebrew name with points": "contains(full_name, chr(1464))",
    "Devanagari name": "regexp_matches(full_name, '\\p{Devanagari}')",
    "Thai name": "regexp_matches(full_name, '\\p{Thai}')",
    "Hangul name": "regexp_matches(full_name, '\\p{Hangul}')",
    "name with emoji joined by ZWJ": "contains(full_name, concat(chr(128105), chr(8205)))",
    "name with a skin tone": "contains(full_name, chr(127997))",
    "name with combining marks": "contains(full_name, concat('e', chr(776)))",
    "name that overrides its direction": "contains(full_name, chr(8238))",
    "name in two directions": "regexp_matches(full_name, '\\p{Arabic}.*[A-Za-z].*\\p{Hebrew}')",
    "name with a byte order mark": "contains(full_name, chr(65279))",
    "no birthday": "birthday IS NULL",
    "birthday in 1900": "birthday = DATE '1900-01-01'",
    "birthday on a leap day": "strftime(birthday, '%m-%d') = '02-29'",
    "no country": "country IS NULL",
    "city with an apostrophe": "contains(city, '''')",
    "no postal code": "postal_code IS NULL",
    "empty postal code": "postal_code = ''",
    "postal code with leading zero": "postal_code LIKE '0%'",
    "postal code with a sign": "postal_code LIKE '〒%'",
    "no IP address": "ip_address IS NULL",
    "IPv6 address": "contains(ip_address, '::')",
    "no bio": "bio IS NULL",
    "empty bio": "bio = ''",
    "very long bio": "strlen(bio) BETWEEN 5000 AND 25000",
    "bio with quotes and backslashes": "contains(bio, '\"') AND contains(bio, chr(92))",
    "bio with newlines and tabs": "contains(bio, chr(13) || chr(10) || chr(9))",
    "bio with a zero character": "contains(bio, chr(0))",
    "bio with the last control character": "contains(bio, chr(31)) AND contains(bio, chr(127))",
    "bio with line separators": "contains(bio, chr(8232)) AND contains(bio, chr(8233))",
    "bio that closes a script": "contains(bio, '</script>')",
    "bio with the last code point": "contains(bio, chr(1114111))",
    "bio with a noncharacter": "contains(bio, chr(65535))",
    "no login": "last_login IS NULL",
    "login at the epoch": "last_login = TIMESTAMP '1970-01-01'",
    "login to the second": "last_login > '2000-01-01' AND epoch_us(last_login) % 1000000 = 0",
    "login to the millisecond": "epoch_us(last_login) % 1000000 > 0 AND epoch_us(last_login) % 1000 = 0",
    "login to the microsecond": "epoch_us(last_login) % 1000 > 0",
    "no points": "loyalty_points IS NULL",
    "points below zero": "loyalty_points < 0",
    "no balance": "balance IS NULL",
    "largest balance": "balance = 9999999999999999.99",
    "smallest balance": "balance = -9999999999999999.99",
    "balance of zero": "balance = 0",
    "balance with cents that no double holds": "balance::VARCHAR LIKE '%.%1'",
    "no score": "score IS NULL",
    "score NaN": "isnan(score)",
    "score infinite": "score = 'Infinity'::DOUBLE",
    "score infinitely small": "score = '-Infinity'::DOUBLE",
    "score of minus zero": "score = 0 AND signbit(score)",
    "largest score": "score = 1.7976931348623157e308 AND isfinite(score)",
    "least score above zero": "score > 0 AND score < 1e-320",
    "score with all 17 digits": "score::VARCHAR = '0.30000000000000004'",
    "activity unknown": "is_active IS NULL",
    "no preferences": "preferences IS NULL",
    "preferences without a theme": "preferences IS NOT NULL AND preferences.theme IS NULL",
    "theme without a name": "preferences.theme IS NOT NULL AND preferences.theme.name IS NULL",
    "preferences without a language": "preferences IS NOT NULL AND preferences.language IS NULL",
    "no tags": "tags IS NULL",
    "empty list of tags": "len(tags) = 0",
    "tags that are blank or quoted": "list_contains(tags, '') AND list_contains(tags, '\"q\"')",
    "one tag twice": "len(tags) > len(list_distinct(tags))",
    "no addresses": "addresses IS NULL",
    "empty list of addresses": "len(addresses) = 0",
    "three addresses, one without a label": "len(addresses) = 3 AND addresses[3].label IS NULL",
    "no avatar": "avatar IS NULL",
    "empty avatar": "octet_length(avatar) = 0",
    "avatar that is no text": "starts_with(hex(avatar), '89504E470D0A1A0A00FF')",
    "no quiet hours": "quiet_hours IS NULL",
    "quiet from midnight": "quiet_hours = TIME '00:00:00'",
    "quiet from the last microsecond": "quiet_hours = TIME '23:59:59.999999'",
    "no settings": "settings IS NULL",
    "settings of JSON null": "settings::VARCHAR = 'null'",
    "empty settings": "settings::VARCHAR IN ('{}', '[]')",
    "settings with an integer that no double holds": "contains(settings::VARCHAR, '9007199254740993')",
    "nested settings": "json_extract(settings, '$.limits.daily') IS NOT NULL",
    "still here": "deleted_at IS NULL",
    "left lately": "deleted_at >= '2026-10-21 00:00:00+00'",
    "left long ago": "deleted_at < '2026-10-21 00:00:00+00'",
    "signed up lately": "signup_at >= '2026-10-21 00:00:00+00'",
}

EVENT_ODDITIES = {
    "visitor who was not signed in": "user_id IS NULL",
    "nothing paid": "amount IS NULL AND kind = 'view'",
    "refund": "kind = 'refund' AND amount < 0",
    "no device": "device IS NULL",
    "device of unknown system": "device IS NOT NULL AND device.os IS NULL",
    "version outside ASCII": "device.app_version LIKE '%β'",
    "no items": "items IS NULL",
    "empty list of items": "len(items) = 0",
    "many items": "len(items) = 25",
}

PHONE_RANGES = (
    r"\+447700900\d{3}|\+120255501\d\d|\+33 6 39 98 \d\d \d\d|\+493023125\d{3}"
    r"|090-0\d{3}-\d{4}|\+81900\d{7}"
)


@pytest.mark.parametrize("condition", USER_ODDITIES.values(), ids=USER_ODDITIES.keys())
def test_small_sample_holds_each_oddity_of_users(
    warehouse: duckdb.DuckDBPyConnection, condition: str
) -> None:
    """2,000 users are enough for every oddity that the chain must carry."""
    assert count(warehouse, f"shop.users WHERE {condition}") > 0


@pytest.mark.parametrize("condition", EVENT_ODDITIES.values(), ids=EVENT_ODDITIES.keys())
def test_small_sample_holds_each_oddity_of_events(
    warehouse: duckdb.DuckDBPyConnection, condition: str
) -> None:
    """20,000 events are enough for every oddity that a query must bear."""
    assert count(warehouse, f"shop.events WHERE {condition}") > 0


def test_keys_are_present_and_unique(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Each user has a key of its own, however odd, and more than one in twenty is an odd one."""
    users = count(warehouse, "shop.users")

    distinct = count(warehouse, "(SELECT DISTINCT user_id FROM shop.users WHERE user_id <> '')")
    plain = count(warehouse, "shop.users WHERE regexp_full_match(user_id, 'u-[0-9]{7}')")

    assert users == distinct == 2_000
    assert 0.85 * users < plain < 0.95 * users


@pytest.mark.parametrize("fold", ["lower(user_id)", "nfc_normalize(user_id)"])
def test_some_keys_differ_by_case_or_composition_alone(
    warehouse: duckdb.DuckDBPyConnection, fold: str
) -> None:
    """Keys that a careless comparison would merge are there, so that merging them shows."""
    twins = f"(SELECT {fold} FROM shop.users GROUP BY 1 HAVING count(*) > 1)"

    assert count(warehouse, twins) > 0


@pytest.mark.parametrize(
    ("column_name", "reserved"),
    [
        ("email", r"(?is).+@(\S+\.)?example\.(com|org|net)"),
        ("phone", PHONE_RANGES),
        ("ip_address", r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}|2001:db8::[0-9a-f]{1,4}"),
    ],
)
def test_nobody_can_be_reached(
    warehouse: duckdb.DuckDBPyConnection, column_name: str, reserved: str
) -> None:
    """Contacts lie in domains and ranges that are kept for examples, or never assigned."""
    contacts = {
        # Full-width digits are digits to NFKC.
        unicodedata.normalize("NFKC", contact)
        for (contact,) in warehouse.execute(
            f"SELECT {column_name} FROM shop.users WHERE {column_name} IS NOT NULL"
        ).fetchall()
    }

    strays = [item for item in contacts if not re.fullmatch(reserved, item, re.IGNORECASE)]

    assert contacts
    assert strays == []


def test_events_lie_in_the_days_before_the_end(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Events fill the window of 30 days and nothing else."""
    row = warehouse.execute(
        "SELECT min(occurred_at), max(occurred_at), count(DISTINCT occurred_at::DATE) FROM shop.events"
    ).fetchone()

    assert row is not None
    first, last, days = row
    assert dt.datetime(2026, 10, 21, tzinfo=dt.UTC) <= first
    assert last < dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    assert days == 30


def test_few_users_do_most(warehouse: duckdb.DuckDBPyConnection) -> None:
    """The busiest user has a hundred times the median, and somebody did nothing at all."""
    row = warehouse.execute(
        """
        SELECT max(events), median(events), min(events)
        FROM (
            SELECT count(shop.events.event_id) AS events
            FROM shop.users LEFT JOIN shop.events USING (user_id) GROUP BY user_id
        )
        """
    ).fetchone()

    assert row is not None
    busiest, median, idlest = row
    assert busiest > 100 * median
    assert idlest == 0


def test_nobody_acts_while_not_a_user(warehouse: duckdb.DuckDBPyConnection) -> None:
    """A user's events lie between sign-up and departure, and every key in an event is a user's."""
    outside = count(
        warehouse,
        "shop.events LEFT JOIN shop.users USING (user_id) WHERE user_id IS NOT NULL AND "
        "(signup_at IS NULL OR occurred_at < signup_at OR occurred_at >= deleted_at)",
    )

    assert outside == 0


def test_amounts_are_the_sum_of_their_items(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Only purchases and refunds have an amount, to the cent that of their items."""
    wrong = count(
        warehouse,
        """
        (
            SELECT kind, amount, list_sum([x.price * x.quantity FOR x IN items]) AS total
            FROM shop.events
        )
        WHERE amount IS DISTINCT FROM
            CASE kind WHEN 'purchase' THEN total WHEN 'refund' THEN -total END
        """,
    )

    assert wrong == 0


def test_some_users_vanish_and_some_appear_each_week(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    """A later day's users are neither a part nor a superset of an earlier day's, and about as many."""
    week_ago = present_on(warehouse, "2026-11-12 00:00:00+00")
    now = present_on(warehouse, "2026-11-19 00:00:00+00")

    assert week_ago - now
    assert now - week_ago
    assert 0.95 < len(now) / len(week_ago) < 1.05


def test_equal_arguments_build_equal_content(tmp_path: Path, sample: SampleWarehouse) -> None:
    """A second build elsewhere holds the same rows in the same order."""
    again = build_sample_warehouse(
        tmp_path / "again.duckdb", users=2_000, events=20_000, end_date=END_DATE
    )

    assert read_digest(again.path) == read_digest(sample.path)


@pytest.mark.parametrize("change", [{"seed": 1}, {"end_date": dt.date(2026, 11, 21)}, {"days": 31}])
def test_other_arguments_build_other_content(
    tmp_path: Path, sample: SampleWarehouse, change: dict[str, object]
) -> None:
    """Seed, date and days each decide what is in the file."""
    arguments = {"users": 2_000, "events": 20_000, "end_date": END_DATE} | change

    other = build_sample_warehouse(tmp_path / "other.duckdb", **arguments)  # type: ignore[arg-type]

    assert read_digest(other.path) != read_digest(sample.path)


def test_counts_are_what_was_asked_for(tmp_path: Path) -> None:
    """One user and no events is a warehouse too, and the receipt tells what is in it."""
    path = tmp_path / "made" / "tiny.duckdb"

    built = build_sample_warehouse(path, users=1, events=0, end_date=END_DATE, days=1)

    with duckdb.connect(str(path), read_only=True) as connection:
        assert count(connection, "shop.users") == built.users == 1
        assert count(connection, "shop.events") == built.events == 0
    assert built.bytes == path.stat().st_size
    assert built.path == path
    assert not built.reused


def test_file_may_be_named_like_its_schema(tmp_path: Path) -> None:
    """`shop.duckdb` holds `shop.users` as any other file would."""
    path = tmp_path / "shop.duckdb"

    build_sample_warehouse(path, users=1, events=1, end_date=END_DATE)

    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS warehouse (READ_ONLY)")
        assert count(connection, "warehouse.shop.events") == 1


def test_same_arguments_are_built_once(tmp_path: Path) -> None:
    """`ensure` builds what is not there, and leaves alone what the same arguments built."""
    path = tmp_path / "warehouse.duckdb"

    first = ensure_sample_warehouse(path, users=50, events=100, end_date=END_DATE)
    identity = path.stat()
    second = ensure_sample_warehouse(path, users=50, events=100, end_date=END_DATE)

    assert not first.reused
    assert second.reused
    assert second.bytes == first.bytes
    assert 0 < second.seconds <= first.seconds
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (identity.st_ino, identity.st_mtime_ns)


def test_other_arguments_replace_an_older_sample(tmp_path: Path) -> None:
    """`ensure` builds again when one of the arguments is another."""
    path = tmp_path / "warehouse.duckdb"
    ensure_sample_warehouse(path, users=50, events=100, end_date=END_DATE)

    other = ensure_sample_warehouse(path, users=60, events=100, end_date=END_DATE)

    assert not other.reused
    with duckdb.connect(str(path), read_only=True) as connection:
        assert count(connection, "shop.users") == 60


def test_progress_counts_users_and_events(tmp_path: Path) -> None:
    """The last report tells the rows of both tables, and that there are no more to come."""
    reports: list[Progress] = []

    build_sample_warehouse(
        tmp_path / "warehouse.duckdb",
        users=50,
        events=100,
        end_date=END_DATE,
        report=reports.append,
    )

    assert reports[-1].rows == reports[-1].rows_total == 150


@pytest.mark.parametrize("wrong", [{"users": 0}, {"events": -1}, {"days": 0}, {"seed": -1}])
def test_impossible_counts_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    """A count that no warehouse can have is named, and nothing is written."""
    (name,) = wrong

    with pytest.raises(ConfigError, match=f"needs {name} of"):
        build_sample_warehouse(tmp_path / "no.duckdb", end_date=END_DATE, **wrong)  # type: ignore[arg-type]

    assert list(tmp_path.iterdir()) == []


def count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    assert row is not None
    return int(row[0])


def present_on(connection: duckdb.DuckDBPyConnection, moment: str) -> set[str]:
    rows = connection.execute(
        "SELECT user_id FROM shop.users WHERE signup_at < $moment::TIMESTAMPTZ "
        "AND (deleted_at IS NULL OR deleted_at >= $moment::TIMESTAMPTZ)",
        {"moment": moment},
    ).fetchall()
    return {user_id for (user_id,) in rows}


def read_digest(path: Path) -> list[str]:
    """A digest of each table that depends on every value and on the order of rows."""
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        digests = []
        for table in ("shop.users", "shop.events"):
            row = connection.execute(
                f"SELECT md5(string_agg(md5(sample::VARCHAR), '' ORDER BY rowid)) FROM {table} AS sample"
            ).fetchone()
            assert row is not None
            digests.append(str(row[0]))
        return digests
