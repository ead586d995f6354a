"""docs/aws.md and infra/README.md name what is there: settings, messages, permissions, prices."""

import re
from pathlib import Path

import pytest

from reverse_etl.auth.policies import build_permissions_policy, build_reader_policy
from reverse_etl.settings import VARIABLES
from reverse_etl_tests.infra.sources import load_sources

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "aws.md").read_text("utf-8")
README = (ROOT / "infra" / "README.md").read_text("utf-8")

PUT, GET, STORED, OUT = 0.005 / 1000, 0.0004 / 1000, 0.023 / 1e9, 0.12 / 2**30


def read_table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def read_package() -> str:
    """The package's texts, with the pieces of each message joined as Python joins them."""
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "reverse_etl").rglob("*.py"))
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("page", [PAGE, README], ids=["aws.md", "README.md"])
def test_settings_that_are_named_exist(page: str) -> None:
    """No reader is sent to a variable that is refused."""
    assert set(re.findall(r"REVERSE_ETL_\w+", page)) - VARIABLES == set()


def test_messages_are_those_that_are_said() -> None:
    """Whoever looks up a message finds it; whoever changes one is reminded of the page."""
    said = read_package()

    messages = [row[0] for row in read_table("When it stops")]
    assert len(messages) > 15
    assert [message for message in messages if message not in said] == []


def test_permissions_are_those_of_the_policies() -> None:
    """The table grants what the policies grant, no more and no less."""
    pipeline, reader = build_permissions_policy, build_reader_policy
    listed = {"pipeline": set[str](), "reader": set[str]()}
    for row in read_table("Policies"):
        who = "reader" if "reader" in row[0] else "pipeline"
        listed[who] |= set(re.findall(r"`((?:s3|kms|secretsmanager):[A-Z]\w+)`", " ".join(row)))

    for who, build in (("pipeline", pipeline), ("reader", reader)):
        policy = build(
            bucket="b", prefix="p", kms_key_arn="arn:aws:kms:r:1:key/1", key_secret_arn="s"
        )
        granted = {action for statement in policy["Statement"] for action in statement["Action"]}
        assert listed[who] == granted


def test_costs_are_computed_from_the_prices() -> None:
    """Each number of the table follows from its objects and bytes; an object is got twice."""
    for row in read_table("What it costs"):
        found = re.fullmatch(r"([\d,]+) \((\d+) MB\)", row[1])
        assert found is not None
        objects, size = int(found[1].replace(",", "")), int(found[2]) * 1_000_000
        day = (objects * PUT, 2 * objects * GET, size * OUT)
        expected = [*day, sum(day), size * STORED]
        assert row[2:] == [f"{amount:.4f}" for amount in expected]


def test_page_stays_short() -> None:
    """It is read when something has stopped."""
    assert len(PAGE.splitlines()) <= 120


def test_values_of_the_readme_are_variables() -> None:
    """What is to be written into a file of values can be."""
    for side in ("aws", "google"):
        known = set(re.findall(r'variable "(\w+)"', load_sources()[f"{side}/variables.tf"]))
        (listed,) = re.findall(rf"`{side}/terraform\.tfvars`.*?```hcl\n(.*?)```", README, re.DOTALL)
        named = set(re.findall(r"^ *(\w+) +=", listed, re.MULTILINE))
        assert named
        assert named - known == set()


@pytest.mark.parametrize(
    ("page", "folder"), [(PAGE, ROOT / "docs"), (README, ROOT / "infra")], ids=["aws", "readme"]
)
def test_links_lead_somewhere(page: str, folder: Path) -> None:
    """Files that are linked are there."""
    targets = [it.split("#")[0] for it in re.findall(r"\]\(([^)]+)\)", page)]

    assert [target for target in targets if not (folder / target).exists()] == []
