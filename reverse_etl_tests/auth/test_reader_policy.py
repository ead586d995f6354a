"""An application with the reader's policy and nothing else: it reads, and is told what is not there."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from reverse_etl.auth.policies import build_reader_policy
from reverse_etl.errors import ConfigError, IntegrityError, NotFoundError
from reverse_etl.landing.layout import head_name, version_prefix
from reverse_etl.landing.manifest import encode_head
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.landing.store import MemoryStore
from reverse_etl.serving.reader import Reader
from reverse_etl_tests.cli.aws_cloud import build_rules
from reverse_etl_tests.identity.sessions import SessionBook
from reverse_etl_tests.landing.s3.scenes import PREFIX, open_store, session_credentials
from reverse_etl_tests.s3.clients import issue
from reverse_etl_tests.s3.server import BUCKET, S3Server
from reverse_etl_tests.serving.builders import (
    NEW,
    OLD,
    SYNC,
    build_head,
    build_rows,
    land,
    name_of,
)

pytestmark = pytest.mark.contract

ROWS = build_rows(10)
HEAD = build_head(OLD)
USER = ROWS[0]["user_id"]


class Enter(Protocol):
    """Opens the store of an application; `policy` is changed by what it is given."""

    def __call__(self, *, without: str | None = None, **changes: Any) -> S3Store:
        """Without one statement of the policy, if it is named."""
        ...


@pytest.fixture
def book() -> SessionBook:
    return SessionBook()


@pytest.fixture
def s3(book: SessionBook) -> Iterator[S3Server]:
    """A bucket that says of a prefix what is not there below it, as AWS has been seen to."""
    with S3Server(sessions=book) as server:
        server.permissions.prefix_reveals_absence = True
        yield server


@pytest.fixture
def enter(s3: S3Server, book: SessionBook) -> Iterator[Enter]:
    with ExitStack() as stack:

        def open_one(*, without: str | None = None, **changes: Any) -> S3Store:
            named: dict[str, Any] = {"bucket": BUCKET, "prefix": PREFIX, "kms_key_arn": None}
            policy = build_reader_policy(**(named | changes))
            policy["Statement"] = [it for it in policy["Statement"] if it["Sid"] != without]
            session = issue(book, rules=build_rules(policy))
            return stack.enter_context(
                open_store(s3, credentials=lambda: session_credentials(session))
            )

        yield open_one


def publish(s3: S3Server) -> None:
    """Land a version and point at it, as the pipeline."""
    landed = MemoryStore()
    land(landed, HEAD, ROWS)
    names = [item.name for item in landed.list_objects("")]
    for name in names:
        s3.put_object(f"{PREFIX}/{name}", landed.get(name))
    point_at(s3, OLD, generation=1)


def point_at(s3: S3Server, version: str, *, generation: int) -> None:
    head = build_head(version, generation=generation)
    s3.put_object(f"{PREFIX}/{head_name(SYNC)}", encode_head(head))


def test_present_is_read_and_absent_is_told(s3: S3Server, enter: Enter) -> None:
    """The store keeps its promise with exactly this policy."""
    s3.put_object(f"{PREFIX}/there", b"here")
    store = enter()

    assert store.get("there") == b"here"
    with pytest.raises(NotFoundError):
        store.get("not-there")


def test_rows_that_were_set_aside_are_not_read(s3: S3Server, enter: Enter) -> None:
    """They are for people, and no application has a use for them."""
    name = f"{SYNC}/dt=2026-11-19/{OLD}/quarantine/00000.jsonl.gz"
    s3.put_object(f"{PREFIX}/{name}", b"aside")

    with pytest.raises(ConfigError, match=r"denied|refused|AccessDenied"):
        enter().get(name)


def test_users_are_read(s3: S3Server, enter: Enter) -> None:
    """Who is there and who is not, without Redis."""
    publish(s3)
    reader = Reader(SYNC, store=enter(), redis=None)

    assert reader.get(USER) == ROWS[0]
    assert reader.get("nobody") is None


def test_sync_that_was_never_published_is_told(enter: Enter) -> None:
    """An application that is there before the first run."""
    reader = Reader(SYNC, store=enter(), redis=None)

    with pytest.raises(NotFoundError):
        reader.get(USER)


def test_retired_version_leads_to_the_newer_one(s3: S3Server, enter: Enter) -> None:
    """Objects that went while an old head was followed are no refusal."""
    publish(s3)
    reader = Reader(SYNC, store=enter(), redis=None, head_cache_seconds=3600)
    assert reader.version() == OLD
    for key in [
        key for key in s3.objects if key.startswith(f"{PREFIX}/{version_prefix(SYNC, OLD)}")
    ]:
        body = s3.objects[key].body
        s3.delete_object(key)
        s3.put_object(key.replace(version_prefix(SYNC, OLD), version_prefix(SYNC, NEW)), body)
    point_at(s3, NEW, generation=2)

    assert reader.get(USER) == ROWS[0]
    assert reader.version() == NEW


def test_object_that_was_lost_is_told(s3: S3Server, enter: Enter) -> None:
    """It is the store that lacks something, not the role."""
    publish(s3)
    s3.delete_object(f"{PREFIX}/{name_of(HEAD, USER)}")
    reader = Reader(SYNC, store=enter(), redis=None)

    with pytest.raises(IntegrityError, match="missing from the store"):
        reader.get(USER)


def test_without_the_listing_absence_is_a_refusal(enter: Enter) -> None:
    """Why the policy grants what the reader never does."""
    store = enter(without="ListObjects")

    with pytest.raises(ConfigError, match="s3:ListBucket"):
        store.get("not-there")


def test_listing_of_the_whole_bucket_tells_absence_everywhere(s3: S3Server, enter: Enter) -> None:
    """Where the names below a prefix do not suffice, the switch is what helps."""
    s3.permissions.prefix_reveals_absence = False

    with pytest.raises(ConfigError):
        enter().get("not-there")
    with pytest.raises(NotFoundError):
        enter(confine_listing=False).get("not-there")


def test_reader_stays_below_its_prefix_and_writes_nothing(s3: S3Server, enter: Enter) -> None:
    """What else lies in the bucket is neither read nor named, and nothing is changed."""
    s3.put_object("others/there", b"theirs")
    s3.put_object(f"{PREFIX}/there", b"here")
    above = enter(prefix="users")

    with pytest.raises(ConfigError):
        above.get("there")
    for change in (
        lambda: enter().put("new", b"1"),
        lambda: enter().delete(["there"]),
        lambda: list(above.list_objects("")),
    ):
        with pytest.raises(ConfigError):
            change()
    assert set(s3.objects) == {"others/there", f"{PREFIX}/there"}
