"""What the benchmark carries: `bench.users`, 14 columns of mixed types, 308 bytes a user as JSON.

Other tools were measured with a record of that size, so that figures can be set side by side.
"""

from pathlib import Path
from typing import Any

import duckdb

from reverse_etl.embedded.building import Built, build_warehouse, compute_fingerprint
from reverse_etl.embedded.sample_people import MACROS

_SEED = 20261119

_CREATE_USERS = """
CREATE TABLE bench.users (
    user_id VARCHAR,
    account BIGINT,
    email VARCHAR,
    phone VARCHAR,
    name VARCHAR,
    birthday DATE,
    country VARCHAR,
    city VARCHAR,
    postcode VARCHAR,
    signup_at TIMESTAMPTZ,
    seen_at TIMESTAMP,
    balance DECIMAL(18, 2),
    score DOUBLE,
    active BOOLEAN
)
"""

# One value in twenty is NULL where real tables have some; the rest is drawn from number and seed.
_INSERT_USERS = """
INSERT INTO bench.users
SELECT
    printf('u-%07d', number) AS user_id,
    CASE WHEN number % 16 = 0 THEN 9007199254740993 ELSE 1000000000 END + number AS account,
    printf('user%07d@example.%s', number, pick(entropy, 'email', ['com', 'org', 'net'])) AS email,
    CASE
        WHEN number % 20 <> 1 THEN printf('+447700900%03d', draw_below(entropy, 'phone', 1000))
    END AS phone,
    concat(
        pick(entropy, 'given', ['Ann', 'Bob', 'Jörg', 'Zoë', '花子']), ' ',
        pick(entropy, 'family', ['Groß', 'Smith', 'O''Shea', '佐藤', 'Nuñez'])
    ) AS name,
    CASE
        WHEN number % 20 <> 2
        THEN DATE '1940-01-01' + draw_below(entropy, 'birthday', 25000)::INTEGER
    END AS birthday,
    pick(entropy, 'country', ['DE', 'FR', 'GB', 'JP', 'US']) AS country,
    pick(entropy, 'city', ['Köln', 'Lyon', 'Omaha', '東京']) AS city,
    printf('%05d', draw_below(entropy, 'post', 100000)) AS postcode,
    TIMESTAMPTZ '2016-01-01 00:00:00+00'
        + to_seconds(draw_below(entropy, 'sign-up', 300000000)) AS signup_at,
    CASE
        WHEN number % 20 <> 3
        THEN TIMESTAMP '2026-01-01 00:00:00' + to_seconds(draw_below(entropy, 'seen', 25000000))
    END AS seen_at,
    cents(draw_below(entropy, 'balance', 250000) - 20000) AS balance,
    round(draw_share(entropy, 'score') * 100, 1) AS score,
    draw_below(entropy, 'active', 5) > 0 AS active
FROM (
    SELECT number, hash(xor(hash(number), $seed::UBIGINT)) AS entropy
    FROM range(1, $users + 1) AS numbers(number)
)
"""

#: The sync's query, in BigQuery's dialect.
BENCH_QUERY = """
SELECT
  user_id, account, email, phone, name, birthday, country, city, postcode, signup_at, seen_at,
  balance, score, active
FROM bench.users
"""

#: The sync, as `attributes` in its YAML would have it: seven columns are kept, the others masked.
BENCH_ATTRIBUTES: dict[str, Any] = {
    "name": "bench_users",
    "description": "What `make bench` carries.",
    "source": {"query": "query.sql"},
    "key": "user_id",
    "columns": [
        {"name": "user_id", "rule": "keep"},
        {"name": "account", "rule": "keep"},
        {"name": "email", "rule": "hmac"},
        {"name": "phone", "rule": "hmac"},
        {"name": "name", "rule": "redact"},
        {"name": "birthday", "rule": "age_group"},
        {"name": "country", "rule": "keep"},
        {"name": "city", "rule": "keep"},
        {"name": "postcode", "rule": "truncate", "length": 3},
        {"name": "signup_at", "rule": "year"},
        {"name": "seen_at", "rule": "keep"},
        {"name": "balance", "rule": "bucket", "edges": [0, 100, 1000]},
        {"name": "score", "rule": "keep"},
        {"name": "active", "rule": "keep"},
    ],
    "landing": {"format": "json"},
    "partitions": {"start": "2026-11-01", "timezone": "UTC"},
}


def build_benchmark_warehouse(path: Path, *, users: int) -> Built:
    """Have `bench.users` in a DuckDB file at `path`; at once when it is there already."""

    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(MACROS)
        connection.execute("CREATE SCHEMA bench")
        connection.execute(_CREATE_USERS)
        connection.execute(_INSERT_USERS, {"users": users, "seed": _SEED})

    fingerprint = compute_fingerprint(
        arguments={"users": users, "seed": _SEED}, recipe=[MACROS, _CREATE_USERS, _INSERT_USERS]
    )
    return build_warehouse(path, fingerprint=fingerprint, fill=fill, reuse=True)
