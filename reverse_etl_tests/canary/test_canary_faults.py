"""Values that rules cannot mask: refused, made NULL or set aside, and never shown on the way."""

import gzip
import json

import pytest
import yaml

from reverse_etl_tests.canary.conftest import MakeNest
from reverse_etl_tests.canary.scene import Nest
from reverse_etl_tests.canary.values import KEY, MASKED, SYNC

#: Rules that cannot mask the canary of the column.
_RULES = {
    "masked_text": {"rule": "ip_prefix"},
    "masked_bytes": {"rule": "keep", "max_bytes": 4},
    "masked_json": {"rule": "keep", "max_bytes": 4},
    "masked_nested": {"rule": "keep", "max_bytes": 4, "type": MASKED["masked_nested"].type},
}


def declare_faults(nest: Nest, *, on_error: str) -> None:
    """Some rows have values that cannot be masked, in several columns at once."""
    folder = nest.folder / "defs" / SYNC
    document = yaml.safe_load((folder / "defs.yaml").read_text(encoding="utf-8"))
    attributes = document["attributes"]
    attributes["columns"] = [
        {"name": it["name"], "on_error": on_error} | _RULES[it["name"]]
        if it["name"] in _RULES
        else it
        for it in attributes["columns"]
    ]
    attributes["quarantine"] = {"max_share": 0.5}
    (folder / "defs.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    # The first ten keys are shorter than the others.
    is_chosen = f"CHAR_LENGTH(user_id) = {len(KEY.value) + 1}"
    replaced = ", ".join(f"IF({is_chosen}, {name}, NULL) AS {name}" for name in _RULES)
    (folder / "query.sql").write_text(f"SELECT * REPLACE ({replaced}) FROM shop.people\n", "utf-8")


@pytest.mark.parametrize(
    ("on_error", "door"),
    [
        ("quarantine", "functions"),
        ("null", "functions"),
        ("fail", "functions"),
        ("quarantine", "cli --json"),
        ("fail", "cli"),
        ("quarantine", "dagster"),
    ],
)
def test_value_that_cannot_be_masked_is_not_shown(
    make_nest: MakeNest, on_error: str, door: str
) -> None:
    """Neither the error nor a count, neither a record nor what was set aside has any of it."""
    nest = make_nest()
    declare_faults(nest, on_error=on_error)

    outcome = nest.run(door)

    aside = list((nest.folder / "store").rglob("quarantine/*.gz"))
    lines = [
        json.loads(it) for path in aside for it in gzip.decompress(path.read_bytes()).splitlines()
    ]
    assert outcome.succeeded is (on_error != "fail")
    assert bool(lines) is (on_error == "quarantine")
    assert all(line["reasons"].keys() == _RULES.keys() for line in lines)
    assert b"malformed_ip" in b"".join(outcome.shown.values())
    assert nest.find_escaped(outcome) == []
    assert nest.list_leftovers() == []
