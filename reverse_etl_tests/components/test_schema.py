"""`dg check yaml`: a mistake is one error, at its line, in words that name it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from reverse_etl.components.schema import SyncAttributes
from reverse_etl_tests.components.yaml_syncs import SYNC, write_sync

DEFS = Path(__file__).parents[2] / "reverse_etl" / "defs"

WRONG = """\
type: reverse_etl.components.Sync
attributes:
  name: Shop Users
  sauce: {query: query.sql}
  source: {query: query.sql, kind: postgres}
  key: user_id
  owners: [nobody]
  columns:
    - {name: user_id, rule: keep}
    - {name: email, rule: hmca}
    - {name: phone}
    - name: birthday
      rule: age_group
      years: 0
    - {name: city, rule: truncate, lenght: 3}
  landing: {format: csv}
  partitions: {start: 2024-01-01}
  schedule: {at: 25:00}
  guards: {max_shrink: 20}
"""
#: Line, and what is said there.
FOUND = {
    (4, "'sauce' was unexpected"),
    (5, "'postgres' is not one of ['duckdb', 'bigquery']"),
    (7, "'nobody' does not match"),
    (10, "'hmca' is not one of ['age_group', 'bottom_code', 'bucket'"),
    (11, "'rule' is a required property"),
    (14, "0 is less than the minimum of 1"),
    (15, "'length' is a required property"),
    (15, "'lenght' was unexpected"),
    (16, "'csv' is not one of ['json', 'parquet']"),
    (18, "is not of type 'string'"),
    (19, "20 is greater than the maximum of 1"),
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """The schema as `dg check yaml` applies it."""
    schema = SyncAttributes.model_json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in DEFS.glob("*/defs.yaml")))
def test_shipped_syncs_are_valid(validator: Draft202012Validator, name: str) -> None:
    """The samples that people copy have no error."""
    document = yaml.safe_load((DEFS / name / "defs.yaml").read_text(encoding="utf-8"))

    assert list(validator.iter_errors(document["attributes"])) == []


MINIMAL: dict[str, Any] = {
    "name": "shop_users",
    "source": {"query": "query.sql"},
    "key": "user_id",
    "columns": [{"name": "user_id", "rule": "keep"}],
    "partitions": {"start": "2024-01-01"},
}
CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "null for an optional part": {"schedule": None, "source": {"query": "q", "kind": None}},
    "every rule": {
        "columns": [
            {"name": "a", "rule": "keep", "type": "ARRAY<STRING>"},
            {"name": "b", "rule": "drop"},
            {"name": "c", "rule": "redact", "value": "-"},
            {"name": "d", "rule": "hmac", "domain": "email"},
            {"name": "e", "rule": "age_group"},
            {"name": "f", "rule": "year"},
            {"name": "g", "rule": "truncate", "length": 3},
            {"name": "h", "rule": "bucket", "edges": [0, 1.5]},
        ]
    },
    "no columns": {"columns": []},
    "rule of another's option": {"columns": [{"name": "a", "rule": "keep", "length": 3}]},
    "column without a name": {"columns": [{"rule": "keep"}]},
    "column that is text": {"columns": ["user_id"]},
    "wrong schedule": {"schedule": {"at": "5:30"}},
    "schedule of another type": {"schedule": "05:30"},
    "too few versions": {"cache": {"keep_versions": 1}},
    "too many bucket rows": {"landing": {"bucket_rows": 10**7}},
    "monthly budget": {"source": {"query": "q", "monthly_budget_usd": 50}},
    "no monthly budget": {"source": {"query": "q", "monthly_budget_usd": None}},
    "budget of nothing": {"source": {"query": "q", "monthly_budget_usd": 0}},
    "unknown attribute": {"colums": []},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_schema_and_loading_agree(validator: Draft202012Validator, change: dict[str, Any]) -> None:
    """Sharpening the errors changes nothing about what is accepted."""
    attributes = {**MINIMAL, **change}

    try:
        SyncAttributes.model_validate(attributes)
    except ValidationError:
        is_loaded = False
    else:
        is_loaded = True

    assert validator.is_valid(attributes) == is_loaded


def test_mistake_in_a_choice_names_its_own_branch(validator: Draft202012Validator) -> None:
    """Not "is not valid under any of the given schemas", which helps nobody."""
    errors = list(validator.iter_errors({**MINIMAL, **CHANGES["rule of another's option"]}))

    assert [error.message for error in errors] == [
        "Additional properties are not allowed ('length' was unexpected)"
    ]
    assert list(errors[0].absolute_path) == ["columns", 0]


def write_project(folder: Path) -> Path:
    """A dg project with a defs folder of its own, in which the component is used."""
    (folder / "shop" / "defs").mkdir(parents=True)
    (folder / "shop" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "shop"\n',
        encoding="utf-8",
    )
    return folder / "shop" / "defs"


def check_yaml(project: Path) -> subprocess.CompletedProcess[str]:
    """`dg check yaml` as a person runs it."""
    command = [str(Path(sys.executable).with_name("dg")), "check", "yaml"]
    environment = {**os.environ, "PYTHONPATH": str(project), "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.e2e
def test_dg_check_yaml_names_every_wrong_line(tmp_path: Path) -> None:
    """Each mistake of a bad file is found, at its line, in words of its own."""
    defs = write_project(tmp_path)
    write_sync(defs / "shop_users", WRONG)

    checked = check_yaml(tmp_path)

    lines = re.findall(r"defs\.yaml:(\d+) - \S+ \S+ (.*)", checked.stdout)
    assert checked.returncode == 1
    assert {
        (line, fragment)
        for line, fragment in FOUND
        if not any(int(number) == line and fragment in said for number, said in lines)
    } == set()


@pytest.mark.e2e
def test_dg_check_yaml_passes_a_good_file(tmp_path: Path) -> None:
    """And says so."""
    defs = write_project(tmp_path)
    write_sync(defs / "shop_users", SYNC.format(name="shop_users"))

    checked = check_yaml(tmp_path)

    assert checked.returncode == 0, checked.stdout + checked.stderr
