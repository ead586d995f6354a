"""docs/masking.md and the catalogue say the same."""

import re
from pathlib import Path
from typing import get_args

from reverse_etl.masking.faults import QuarantineRules, Reason
from reverse_etl.masking.rules import AnyRule, Rule

PAGE = Path(__file__).parents[2] / "docs" / "masking.md"


def list_catalogue() -> dict[str, set[str]]:
    """Every rule's name, and the options of its own."""
    rules: tuple[type[Rule], ...] = get_args(get_args(AnyRule)[0])
    return {
        get_args(rule.model_fields["rule"].annotation)[0]: set(rule.model_fields)
        - set(Rule.model_fields)
        for rule in rules
    }


def test_every_rule_and_option_is_documented() -> None:
    """The first table names each rule with each of its options, and no others."""
    table = PAGE.read_text("utf-8").partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)`(?: \(([^)]*)\))? \|", table, re.MULTILINE)

    assert {
        name: set(re.findall(r"`(\w+)`", options)) for name, options in rows
    } == list_catalogue()


def test_every_reason_is_documented() -> None:
    """The table of reasons names each, and no others; the page knows the defaults."""
    page = PAGE.read_text("utf-8")
    section = page.partition("\n## Rows that cannot be masked\n")[2].partition("\n## ")[0]
    reasons = re.findall(r"^\| `(\w+)` \| ", section, re.MULTILINE)

    defaults = QuarantineRules()
    assert sorted(reasons) == sorted(Reason)
    assert f"max_rows: {defaults.max_rows}, max_share: {defaults.max_share}" in section
    assert Rule.model_fields["max_bytes"].default == 1 << 20


def test_documented_token_function_is_the_rule() -> None:
    """The Python in the page computes the token that is pinned in test_rules.py."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - our own page

    token = names["token"](bytes(range(32)), "k1", "sync:shop", "ada@example.com")  # type: ignore[operator]

    assert token == "k1.f035862816af382fa4ec145d15aed7572dfaaf8a88335c9291d45b48c1ea1327"
