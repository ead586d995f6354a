"""The list of versions in Redis says what may be relied on, and nothing that is not so."""

import pytest

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState
from reverse_etl.cache.versions import (
    forget_version,
    list_kept,
    list_versions,
    mark_retiring,
    mark_verified,
    register_version,
    renew_verified,
    restore_registration,
)
from reverse_etl.errors import TransientError
from reverse_etl_tests.cache.builders import EARLIER, LATER, NOW, SYNC, VERSION, build_manifest
from reverse_etl_tests.cache.scenes import Publisher

pytestmark = pytest.mark.contract

SAME_DAY_LATER = "2026-11-19.01kxqt5w8b7g4m2v"


def test_kept_are_the_other_verified_versions(publisher: Publisher) -> None:
    """Half loaded and half retired versions are never listed as something to roll back to."""
    for version in (LATER, EARLIER, VERSION):
        publisher.verify(version)
    register_version(publisher.target, build_manifest([], version=SAME_DAY_LATER), now=NOW)

    assert list_kept(publisher.target, SYNC, beside=VERSION) == (EARLIER, LATER)
    mark_retiring(publisher.target, SYNC, EARLIER, now=NOW)
    assert list_kept(publisher.target, SYNC, beside=VERSION) == (LATER,)


def test_only_verified_versions_are_renewed(target: RedisTarget) -> None:
    """Renewing says whether there was something to rely on."""
    manifest = build_manifest([])

    assert not renew_verified(target, SYNC, VERSION, now=NOW)
    register_version(target, manifest, now=NOW)
    assert not renew_verified(target, SYNC, VERSION, now=NOW)
    mark_verified(target, manifest, now=NOW)
    assert renew_verified(target, SYNC, VERSION, now=NOW)


def test_retiring_what_is_not_listed_lists_nothing(target: RedisTarget) -> None:
    """A version that was forgotten already is not brought back by being retired again."""
    mark_retiring(target, SYNC, VERSION, now=NOW)

    assert list_versions(target, SYNC) == {}


@pytest.mark.parametrize("present", [True, False])
def test_registration_is_restored_only_when_missing(target: RedisTarget, *, present: bool) -> None:
    """What another run has verified meanwhile is not called half loaded again."""
    manifest = build_manifest([])
    if present:
        register_version(target, manifest, now=NOW)
        mark_verified(target, manifest, now=NOW)

    restore_registration(target, manifest, now=NOW)

    expected = VersionState.VERIFIED if present else VersionState.LOADING
    assert list_versions(target, SYNC)[VERSION].state is expected


@pytest.mark.parametrize("state", [VersionState.LOADING, VersionState.VERIFIED])
def test_only_what_is_retiring_is_forgotten(target: RedisTarget, state: VersionState) -> None:
    """Whoever slept while another run loaded the version again does not take it off the list."""
    manifest = build_manifest([])
    register_version(target, manifest, now=NOW)
    if state is VersionState.VERIFIED:
        mark_verified(target, manifest, now=NOW)

    with pytest.raises(TransientError, match="was taken over"):
        forget_version(target, SYNC, VERSION)
    assert list_versions(target, SYNC)[VERSION].state is state

    mark_retiring(target, SYNC, VERSION, now=NOW)
    for _ in range(2):
        forget_version(target, SYNC, VERSION)
    assert list_versions(target, SYNC) == {}
