"""What a refusal advises does pass, changes no more than it must, and names no value."""

import datetime as dt
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from reverse_etl.engine import open_engine
from reverse_etl.errors import DataError
from reverse_etl.masking import risk_advice
from reverse_etl.masking.apply import compile_mask, mask_batch
from reverse_etl.masking.policy import Policy, resolve_policy
from reverse_etl.masking.risk import LRule, PrivacyRules
from reverse_etl.masking.risk_codes import CodedGroups, Outcome, Plan
from reverse_etl.masking.risk_steps import list_steps
from reverse_etl.masking.rules import (
    AgeGroup,
    AnyRule,
    Bucket,
    Keep,
    MaskContext,
    Truncate,
)
from reverse_etl_tests.masking.risk_reference import build_policy, open_inspector, show

CONTEXT = MaskContext(sync="people", partition_date=dt.date(2026, 11, 19))
BIRTHDAYS = [dt.date(1946 + year, 3, 1) for year in range(0, 80, 7)]
POSTCODES = ["10115", "10117", "10243", "80331", "80333", "80539"]


def mask(raw: pa.Table, policy: Policy) -> pa.Table:
    with closing(open_engine(memory_limit_bytes=64 << 20)) as engine:
        return mask_batch(engine, compile_mask(policy, context=CONTEXT), raw)


def refuse(raw: pa.Table, policy: Policy, rules: PrivacyRules, folder: Path) -> str | None:
    """The message with which the masked table is refused, or None."""
    inspector = open_inspector(rules, policy, folder)
    show(inspector, [mask(raw, policy)])
    try:
        inspector.conclude()
    except DataError as error:
        return error.message
    return None


def find_step(message: str) -> str:
    """What the message advises, as it says it."""
    return message.split("found to pass: ", 1)[1].split(";", 1)[0]


def number(table: pa.Table) -> pa.Table:
    return table.add_column(0, "id", pa.array(range(len(table)), pa.int64()))


PARSE = TypeAdapter[AnyRule](AnyRule).validate_python
LENGTHS, WIDTHS = (1, 2, 3, 4), (10, 20, 40, 80)
#: Every rule that may be advised below, with its options.
FOLLOWED: list[AnyRule] = [
    *(PARSE({"name": "postcode", "rule": "truncate", "length": length}) for length in LENGTHS),
    *(PARSE({"name": "birthday", "rule": "age_group", "years": years}) for years in WIDTHS),
    *(PARSE({"name": "seen", "rule": rule}) for rule in ("week", "month", "year")),
    *(
        PARSE({"name": name, "rule": rule})
        for name in ("postcode", "birthday", "seen")
        for rule in ("redact", "drop")
    ),
]


def is_advised(rule: AnyRule, message: str) -> bool:
    shown = rule.rule if rule.rule in {"redact", "week", "month", "year"} else rule.summary()
    return f"rule {shown} for '{rule.name}'" in find_step(message).split(" and ")


@given(
    people=st.lists(
        st.tuples(
            st.sampled_from([*BIRTHDAYS, dt.date(2030, 1, 1), None]),
            st.sampled_from([*POSTCODES, None]),
            st.sampled_from(
                [dt.date(2025, 12, 31), dt.date(2026, 1, 1), dt.date(2026, 1, 2), None]
            ),
            st.sampled_from(["flu", "cold", None]),
        ),
        max_size=40,
    ),
    least=st.sampled_from([None, 2]),
    limits=st.sampled_from([{}, {"_MOST_CELLS": 0}, {"_MOST_CELLS": 150}, {"_CELLS_LOOKED_AT": 0}]),
)
@settings(max_examples=20, deadline=None)
def test_following_the_advice_passes(
    tmp_path_factory: pytest.TempPathFactory,
    people: list[tuple[object, ...]],
    least: int | None,
    limits: dict[str, int],
) -> None:
    """The raw rows are masked again, by the rules that were advised, and nothing is refused then.

    So it is where the groups are too many for memory, and where few plans can be tried.
    """
    folder = tmp_path_factory.getbasetemp() / "scratch"
    fields = [("birthday", pa.date32()), ("postcode", pa.string()), ("seen", pa.date32())]
    schema = pa.schema([*fields, ("diagnosis", pa.string())])
    columns = zip(*people, strict=True) if people else [[]] * len(schema)
    raw = number(pa.table([list(column) for column in columns], schema=schema))
    given_rules: dict[str, AnyRule] = {
        "birthday": AgeGroup(name="birthday", rule="age_group", years=5),
        "postcode": Truncate(name="postcode", rule="truncate", length=5),
        "seen": Keep(name="seen", rule="keep"),
    }
    diversity = None if least is None else LRule(column="diagnosis", at_least=least)
    names = tuple(given_rules)
    rules = PrivacyRules(quasi_identifiers=names, k=3, l=diversity)

    with pytest.MonkeyPatch.context() as patched:
        for name, limit in limits.items():
            patched.setattr(risk_advice, name, limit)
        message = refuse(raw, build_policy(schema, *given_rules.values()), rules, folder)
    if message is None or "No generalisation passes" in message:
        return
    advised = [rule for rule in FOLLOWED if is_advised(rule, message)]
    followed = given_rules | {rule.name: rule for rule in advised}
    kept = tuple(name for name in names if followed[name].rule != "drop")

    assert len(advised) == len(find_step(message).split(" and "))
    if kept:
        again = PrivacyRules(quasi_identifiers=kept, k=3, l=diversity)
        policy = build_policy(schema, *followed.values())
        left = raw.drop_columns([name for name in names if name not in kept])
        assert refuse(left, policy, again, folder) is None


def test_shorter_prefix_is_enough(tmp_path: Path) -> None:
    """One character less passes, so nothing is dropped, and nothing is shortened further."""
    raw = number(pa.table({"zip": ["10115", "10117", "80331", "80339"], "sex": ["f"] * 4}))
    rules = PrivacyRules(quasi_identifiers=("zip", "sex"), k=2)
    policy = build_policy(raw.schema.remove(0), Truncate(name="zip", rule="truncate", length=5))

    message = refuse(raw, policy, rules, tmp_path)

    assert message is not None
    assert find_step(message) == "rule truncate(length: 4) for 'zip'"
    assert "2 of 4 groups would remain" in message


def test_message_counts_groups_and_records(tmp_path: Path) -> None:
    """How many are below, and how small the smallest are, in words that say what to do."""
    raw = number(
        pa.table({"sex": ["f", "f", "m", "m", "m", "x"], "s": ["a", "a", "a", "b", "c", "a"]})
    )
    rules = PrivacyRules(quasi_identifiers=("sex",), k=3, l=LRule(column="s", at_least=2))

    message = refuse(raw, build_policy(raw.schema.remove(0)), rules, tmp_path)

    assert message == (
        "Equal in 'sex', the 6 records make 3 groups; 3 records are in 2 groups of fewer than k = 3 "
        "records (the smallest: 1 of 1, 1 of 2) and 3 records are in 2 groups with fewer than l = 2 "
        "values of 's'. Nothing was written. The cheapest generalisation found to pass: rule redact "
        "for 'sex'; 1 of 3 groups would remain. Change the rules under columns; a column that is "
        "dropped is no quasi-identifier any more."
    )


def test_two_columns_that_each_tell_apart_are_both_changed(tmp_path: Path) -> None:
    """When no single step passes, steps are put together, and none that is not needed."""
    raw = number(pa.table({"a": list("abcdef"), "b": list("uvwxyz"), "c": ["same", "same"] * 3}))
    rules = PrivacyRules(quasi_identifiers=("a", "b", "c"), k=6)

    message = refuse(raw, build_policy(raw.schema.remove(0)), rules, tmp_path)

    assert message is not None
    assert find_step(message) == "rule redact for 'a' and rule redact for 'b'"


def test_refusal_shows_no_value(tmp_path: Path) -> None:
    """Values stand in no part of the error, whatever was tried with them."""
    canary = "canary-4711"
    values = [f"{canary}-{at}" for at in range(5)]
    raw = number(pa.table({"q": values, "day": [dt.date(1987, 6, 5)] * 5, "s": [canary] * 5}))
    rules = PrivacyRules(quasi_identifiers=("q", "day"), k=2, l=LRule(column="s", at_least=2))

    message = refuse(raw, build_policy(raw.schema.remove(0)), rules, tmp_path)

    assert message is not None
    assert "4711" not in message
    assert "1987" not in message


def test_redact_is_advised_only_where_nulls_tell(tmp_path: Path) -> None:
    """The one record without a value would stay alone under redact, so the column is to be dropped."""
    raw = number(pa.table({"q": pa.array(["a", "b", "c", None]), "r": ["same"] * 4}))
    rules = PrivacyRules(quasi_identifiers=("q", "r"), k=2)

    message = refuse(raw, build_policy(raw.schema.remove(0)), rules, tmp_path)

    assert message is not None
    assert find_step(message) == "rule drop for 'q'"


def test_advice_that_could_not_be_softened_passes_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When trials run out right after something passed, that is what is advised."""
    monkeypatch.setattr("reverse_etl.masking.risk_advice._MOST_TRIALS", 9)
    raw = number(pa.table({"a": list("abcdef"), "b": list("uvwxyz"), "c": ["same"] * 6}))
    rules = PrivacyRules(quasi_identifiers=("a", "b", "c"), k=6)

    message = refuse(raw, build_policy(raw.schema.remove(0)), rules, tmp_path)

    assert message is not None
    assert find_step(message) == "rule redact for 'a' and rule redact for 'b'"


def test_what_cannot_be_tried_is_named(tmp_path: Path) -> None:
    """Fewer edges may be the better way, but what they would land cannot be told from labels here."""
    raw = number(pa.table({"points": pa.array([1, 11, 21], pa.int64())}))
    rules = PrivacyRules(quasi_identifiers=("points",), k=2)
    policy = build_policy(
        raw.schema.remove(0),
        Bucket.model_validate({"name": "points", "rule": "bucket", "edges": [10, 20]}),
    )

    message = refuse(raw, policy, rules, tmp_path)

    assert message is not None
    assert "Not tried: fewer edges for 'points'." in message


@pytest.mark.parametrize(
    ("groups", "allowed", "trials"), [(9, 10, 10), (9, 36, 36), (5_000, 10, 8)]
)
def test_few_plans_are_tried_of_many_groups(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: int, allowed: int, trials: int
) -> None:
    """The trials are as many as the cells they look at allow, of a way that leads nowhere too."""
    monkeypatch.setattr(risk_advice, "_CELLS_LOOKED_AT", allowed * 9 * 14)
    count, tried = CodedGroups.count, Counter[str]()

    def count_trial(coded: CodedGroups, plan: Plan) -> Outcome:
        tried["plans"] += 1
        return count(coded, plan)

    monkeypatch.setattr(CodedGroups, "count", count_trial)
    names = [f"c{at}" for at in range(6)]
    raw = number(pa.table({name: [f"{at}" for at in range(groups)] for name in names}))
    rules = PrivacyRules(quasi_identifiers=tuple(names), k=groups)

    message = refuse(raw, build_policy(raw.schema.remove(0)), rules, tmp_path)

    assert tried["plans"] == trials
    assert message is not None
    assert [f"for '{name}'" in find_step(message) for name in names] == [True] * 6
    assert f"1 of {groups:,} groups would remain" in message


def test_what_passes_by_hash_alone_is_not_advised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A plan is counted exactly before it is named; one group of all records is the last resort."""
    monkeypatch.setattr(CodedGroups, "count", lambda *_: Outcome(groups=1, refused_records=0))
    raw = number(pa.table({"q": ["a", "b"], "r": ["c", "d"]}))
    rules = PrivacyRules(quasi_identifiers=("q", "r"), k=2)

    message = refuse(raw, build_policy(raw.schema.remove(0)), rules, tmp_path)

    assert message is not None
    assert find_step(message) == "rule drop for 'q' and rule drop for 'r'"
    assert "1 of 2 groups would remain" in message


@pytest.mark.parametrize(
    ("most_cells", "step", "left"),
    [
        (99, "rule redact for 'zip'", 2),
        (0, "rule drop for 'zip' and rule drop for 'sex'", 1),
    ],
)
def test_a_table_beyond_memory_is_made_coarser_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most_cells: int, step: str, left: int
) -> None:
    """The column with most values gives way first; one with few is left as it is if that is enough."""
    monkeypatch.setattr(risk_advice, "_MOST_CELLS", most_cells)
    raw = number(pa.table({"zip": [f"{at:05}" for at in range(100)], "sex": ["f", "m"] * 50}))
    rules = PrivacyRules(quasi_identifiers=("zip", "sex"), k=5)
    policy = build_policy(raw.schema.remove(0), Truncate(name="zip", rule="truncate", length=5))

    message = refuse(raw, policy, rules, tmp_path)

    assert message is not None
    assert find_step(message) == step
    assert f"{left} of 100 groups would remain" in message


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        ({"rule": "keep"}, ["week", "month", "year", "redact", "drop"]),
        ({"rule": "month"}, ["year", "redact", "drop"]),
        ({"rule": "week"}, ["redact", "drop"]),
        ({"rule": "redact"}, ["drop"]),
    ],
    ids=lambda it: it.get("rule") if isinstance(it, dict) else "",
)
@pytest.mark.parametrize(
    "kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")], ids=str
)
def test_moments_are_made_coarser_by_the_calendar(
    tmp_path: Path, rule: dict[str, str], steps: list[str], kind: pa.DataType
) -> None:
    """Week, month and year where they can be told from what lands; each can be computed."""
    days = [dt.date(2026, 1, 1), dt.date(2026, 12, 31)]
    raw = number(pa.table({"q": pa.array(days, pa.date32()).cast(kind)}))
    policy = build_policy(raw.schema.remove(0), PARSE({"name": "q", **rule}))

    offered = [step.rule for step in list_steps(policy.columns[1], at=0)]
    message = refuse(raw, policy, PrivacyRules(quasi_identifiers=("q",), k=2), tmp_path)

    assert offered == steps
    if "year" in steps:
        assert message is not None
        assert find_step(message) == "rule year for 'q'"


def test_steps_of_a_column_go_from_mild_to_all() -> None:
    """A few lengths, one by one and then by halves; then whether there is a value; then nothing."""
    policy = resolve_policy(
        [Keep(name="id", rule="keep"), Truncate(name="q", rule="truncate", length=20)],
        key="id",
        schema=pa.schema([("id", pa.int64()), ("q", pa.string())]),
    )

    steps = list_steps(policy.columns[1], at=0)

    shortened = [f"truncate(length: {length})" for length in (19, 18, 17, 10, 5, 1)]
    assert [step.rule for step in steps] == [*shortened, "redact", "drop"]
