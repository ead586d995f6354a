"""docs/bigquery.md names the roles, settings and labels that the code knows."""

import re
from pathlib import Path

import pytest

from reverse_etl.settings import VARIABLES
from reverse_etl.sources.bigquery import reasons
from reverse_etl.sources.bigquery.labels import build_labels
from reverse_etl_tests.sources.bigquery.test_names import REQUEST

PAGE = (Path(__file__).parents[3] / "docs" / "bigquery.md").read_text("utf-8")


def test_settings_that_are_named_exist() -> None:
    """No reader is sent to a variable that is refused."""
    named = set(re.findall(r"REVERSE_ETL_\w+", PAGE))

    assert named - VARIABLES == set()


@pytest.mark.parametrize("setting", sorted(it for it in VARIABLES if "_BIGQUERY_" in it))
def test_every_setting_of_bigquery_is_explained(setting: str) -> None:
    """What can be set is said where it belongs."""
    assert setting in PAGE


def test_permissions_that_are_listed_are_granted_by_the_role_beside_them() -> None:
    """The page and the error messages ask for the same roles."""
    rows = re.findall(r"^\| .+? \| `(roles/[\w.]+)` \| (.+) \|$", PAGE, re.MULTILINE)

    assert len(rows) == 5
    for role, permissions in rows:
        for permission in re.findall(r"`((?:bigquery|datacatalog)\.[\w.]+)`", permissions):
            assert role in str(reasons.find_role(permission)), permission


def test_labels_are_those_that_jobs_carry() -> None:
    """Bills are read by them."""
    (listed,) = re.findall(r"^\*\*Labels\*\* (.+?)\. In", PAGE, re.DOTALL | re.MULTILINE)

    named = {label.partition("=")[0] for label in re.findall(r"`([^`]+)`", listed)}

    assert named == set(build_labels(REQUEST, fingerprint="0"))
