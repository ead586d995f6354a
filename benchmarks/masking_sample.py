"""What is masked: the benchmark's users under the rules of `user_profile`, and groups of people."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from benchmarks.sample import BENCH_ATTRIBUTES

_PROFILE = Path(__file__).parents[1] / "reverse_etl" / "defs" / "user_profile" / "defs.yaml"
#: Columns of the benchmark's users, by the column of `user_profile` that is most like each.
_LIKE = {
    "loyalty_points": "account",
    "full_name": "name",
    "postal_code": "postcode",
    "last_login": "seen_at",
    "is_active": "active",
}
_TEXTS_WITH_FINDS = {"email": ["email"], "phone": ["phone"]}

_PEOPLE = """
SELECT
    number,
    concat(hash(number, 'age') % 14 * 5 + 15, '-', hash(number, 'age') % 14 * 5 + 19) AS age_group,
    format('JP-{:02d}', hash(number, 'prefecture') % 47 + 1) AS prefecture,
    ['f', 'm', 'x'][(hash(number, 'gender') % 3 + 1)::INTEGER] AS gender,
    format('d{:02d}', hash(number, 'diagnosis') % 30) AS diagnosis,
    format('{:07d}', number // 5) AS family,
    format('{:07d}', hash(number, 'postcode') % 10000000) AS postcode,
    DATE '1940-01-01' + (hash(number, 'birthday') % 25000)::INTEGER AS birthday
FROM range($people) AS numbers(number)
"""


def build_profile_attributes() -> dict[str, Any]:
    """The benchmark's sync under the rules that `user_profile` ships with."""
    shipped = yaml.safe_load(_PROFILE.read_text(encoding="utf-8"))["attributes"]["columns"]
    rules = {_LIKE.get(rule["name"], rule["name"]): rule for rule in shipped}
    names = [rule["name"] for rule in BENCH_ATTRIBUTES["columns"]]
    columns = [{**rules[name], "name": name} for name in names]
    return {**BENCH_ATTRIBUTES, "columns": columns}


def build_kept_attributes() -> dict[str, Any]:
    """Nothing is masked and everything is declared: the most that the leak scan has to search."""
    columns = [{"name": rule["name"], "rule": "keep"} for rule in BENCH_ATTRIBUTES["columns"]]
    allow = [{"column": name, "kinds": kinds} for name, kinds in _TEXTS_WITH_FINDS.items()]
    return {**BENCH_ATTRIBUTES, "columns": columns, "leaks": {"allow": allow}}


def build_people(count: int) -> pa.Table:
    """People by quasi-identifiers; of a family there are five, and nobody else has their postcode."""
    with duckdb.connect() as connection:
        people: pa.Table = connection.sql(_PEOPLE, params={"people": count}).to_arrow_table()
    return people
