"""Sessions end, and may do what their rules say."""

import datetime as dt

import pytest

from reverse_etl_tests.identity.clock import Clock
from reverse_etl_tests.identity.sessions import PolicyRule, SessionBook

ARN = "arn:aws:iam::123456789012:role/export"
OBJECTS = "arn:aws:s3:::bucket/masked/*"


def test_a_session_is_found_until_it_is_revoked() -> None:
    """The book holds what it gave; revoked keys are nobody's."""
    book = SessionBook()
    first, second = (book.issue(role_arn=ARN, session_name=name) for name in ("one", "two"))

    book.revoke(first.access_key_id)

    assert book.find(first.access_key_id) is None
    assert book.find(second.access_key_id) is second
    assert book.sessions == (second,)


def test_a_session_ends_by_the_books_clock() -> None:
    """To the moment: at its end a session is over."""
    clock = Clock()
    session = SessionBook(clock=clock).issue(role_arn=ARN, session_name="name", seconds=60)
    assert session.expires_at is not None

    assert not session.is_expired(session.expires_at - dt.timedelta(microseconds=1))
    assert session.is_expired(session.expires_at)


def test_stored_keys_have_no_end() -> None:
    """A user's keys have neither token nor expiry."""
    session = SessionBook().store_keys(user_arn="arn:aws:iam::123456789012:user/somebody")

    assert (session.session_token, session.expires_at) == (None, None)
    assert not session.is_expired(dt.datetime.max.replace(tzinfo=dt.UTC))
    assert session.access_key_id.startswith("AKIA")


def test_secrets_are_not_shown() -> None:
    """A failing test prints no secret."""
    session = SessionBook().issue(role_arn=ARN, session_name="name")

    assert session.secret_access_key not in repr(session)
    assert str(session.session_token) not in repr(session)


@pytest.mark.parametrize(
    ("action", "resource", "is_allowed"),
    [
        ("s3:PutObject", "arn:aws:s3:::bucket/masked/a/b", True),
        ("S3:putobject", "arn:aws:s3:::bucket/masked/a", True),
        ("s3:PutObject", "arn:aws:s3:::bucket/Masked/a", False),
        ("s3:PutObject", "arn:aws:s3:::bucket/other", False),
        ("s3:PutObjectAcl", "arn:aws:s3:::bucket/masked/a", False),
        ("s3:DeleteObject", "arn:aws:s3:::bucket/masked/a", False),
        ("s3:PutObject", "arn:aws:s3:::bucket/masked/locked", False),
    ],
)
def test_rules_say_what_a_session_may(action: str, resource: str, *, is_allowed: bool) -> None:
    """Nothing is allowed but what a rule allows and none denies."""
    rules = (
        PolicyRule(actions=("s3:PutObject", "s3:Get?bject"), resources=(OBJECTS,)),
        PolicyRule(actions=("s3:*",), resources=("*/locked",), allow=False),
    )
    session = SessionBook().issue(role_arn=ARN, session_name="name", rules=rules)

    assert session.may(action, resource) is is_allowed


@pytest.mark.parametrize(
    ("context", "is_allowed"),
    [({"s3:prefix": "masked/x"}, True), ({"s3:prefix": "other/"}, False), ({}, False)],
)
def test_a_condition_has_to_hold(context: dict[str, str], *, is_allowed: bool) -> None:
    """Listing is allowed below one prefix; a request that names none is refused."""
    rule = PolicyRule(
        actions=("s3:ListBucket",),
        resources=("arn:aws:s3:::bucket",),
        string_like={"s3:prefix": ("masked/*",)},
    )
    session = SessionBook().issue(role_arn=ARN, session_name="name", rules=(rule,))

    assert session.may("s3:ListBucket", "arn:aws:s3:::bucket", context) is is_allowed
