"""What tasks inside the VPC may do is what they need: `warm` runs with its policy, and with nothing less."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reverse_etl import pipeline
from reverse_etl.auth.policies import Policy
from reverse_etl.cache.heads import read_redis_head
from reverse_etl.errors import ConfigError
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.s3.options import S3Options
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.model import AwsCredentials, Published
from reverse_etl.progress import keep_silent
from reverse_etl.sources.memory import MemorySource
from reverse_etl.stages.warming import ManifestAddress
from reverse_etl_tests.builders import NOW, Clock, build_runtime, build_spec, build_users
from reverse_etl_tests.identity.fixtures import clean_aws
from reverse_etl_tests.identity.sessions import Session, SessionBook
from reverse_etl_tests.infra.policy_documents import find_documents, render_document
from reverse_etl_tests.infra.sources import load_sources
from reverse_etl_tests.infra.task_policies import (
    BUCKET,
    EXPECTED,
    PREFIX,
    VALUES,
    build_rules,
)
from reverse_etl_tests.s3.identities import utc_now
from reverse_etl_tests.s3.server import S3Server

__all__ = ["clean_aws"]

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("clean_aws")]


@pytest.mark.parametrize("name", EXPECTED)
def test_terraform_grants_what_the_task_needs(name: str) -> None:
    """Action by action, resource by resource."""
    assert render_document(find_documents(load_sources())[name], VALUES) == EXPECTED[name]


def test_every_resource_is_named_but_where_there_is_none_to_name() -> None:
    """`*` alone stands only beside actions for which IAM knows no resource."""
    everywhere = {
        action
        for policy in EXPECTED.values()
        for statement in policy["Statement"]
        if "*" in statement.get("Resource", [])
        for action in statement["Action"]
    }

    assert everywhere == {"ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces"}


class Place:
    """A bucket that knows roles, with two days landed by its owner."""

    def __init__(self, server: S3Server, book: SessionBook, folder: Path, redis_url: str) -> None:
        self.server, self.book, self.folder, self.redis_url = server, book, folder, redis_url
        self.spec = build_spec()
        self._opened: list[S3Store] = []

    def open(self, session: Session | None = None) -> S3Store:
        """The store as the owner, or as a session."""
        keys = AwsCredentials(
            access_key_id=(session or self.server).access_key_id,
            secret_access_key=(session or self.server).secret_access_key,
            session_token=None if session is None else session.session_token,
            expires_at=None,
        )
        options = S3Options(
            bucket=BUCKET,
            prefix=PREFIX,
            region=self.server.region,
            endpoint_url=self.server.endpoint,
        )
        store = S3Store(options, lambda: keys)
        self._opened.append(store)
        return store

    def land(self, day: str) -> str:
        """A version of a day, landed and not published."""
        source = MemorySource({self.spec.query: build_users(200)})
        runtime = build_runtime(self.folder, source=source, store=self.open(), clock=Clock(NOW))
        partition = self.spec.partition(day, now=NOW)
        pipeline.extract(self.spec, partition, runtime, run_id="r")
        return pipeline.mask_and_land(self.spec, partition, runtime, run_id="r").manifest.version

    def warm(self, version: str, policy: Policy) -> Published:
        """What the task does, as its role."""
        session = self.book.issue(
            role_arn="arn:aws:iam::1:role/warm", session_name="task", rules=build_rules(policy)
        )
        runtime = build_runtime(
            self.folder, store=self.open(session), redis_url=self.redis_url, masking_key=None
        )
        address = ManifestAddress(store_url="s3://landing", sync=self.spec.name, version=version)
        receipt = pipeline.warm(address, runtime, keep_versions=2, report=keep_silent)
        head = find_head(self.open(), self.spec.name)
        assert head is not None
        assert read_redis_head(runtime.redis, self.spec.name) == head
        runtime.close()
        return receipt.outcome

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def place(tmp_path: Path, redis_url: str) -> Iterator[Place]:
    book = SessionBook(clock=utc_now)
    with S3Server(sessions=book) as server:
        # As has been seen of S3 (docs/aws.md); elsewhere `confine_listing = false` is for.
        server.permissions.prefix_reveals_absence = True
        made = Place(server, book, tmp_path, redis_url)
        yield made
        made.close()


def test_warm_runs_with_its_policy_and_no_more(place: Place) -> None:
    """The first version, the next two, one that makes room in Redis among them, and a late one."""
    days = [place.land(f"2026-11-1{day}") for day in (4, 5, 6)]

    outcomes = [place.warm(version, EXPECTED["warm"]) for version in (*days, days[0])]

    assert outcomes == [Published.LIVE] * 3 + [Published.SUPERSEDED]


@pytest.mark.parametrize("sid", ["ReadVersions", "MoveHead", "EndLoading", "ListObjects"])
def test_warm_needs_each_of_its_grants(place: Place, sid: str) -> None:
    """Without any of them it stops, and says which action is missing."""
    version = place.land("2026-11-14")
    rest = [it for it in EXPECTED["warm"]["Statement"] if it["Sid"] != sid]

    with pytest.raises(ConfigError, match="s3:"):
        place.warm(version, {"Statement": rest})
