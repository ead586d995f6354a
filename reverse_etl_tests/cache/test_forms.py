"""What holds of loading and verifying holds in every form of Redis: one server, over TLS, a cluster."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState, record_key
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.spool import open_spool
from reverse_etl.cache.verify import verify_records, verify_spooled
from reverse_etl.cache.versions import list_versions
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.engine import open_engine
from reverse_etl.errors import IntegrityError
from reverse_etl.model import RecordGroup
from reverse_etl_tests.cache.builders import (
    CANARY,
    SYNC,
    VERSION,
    build_groups,
    build_keyed_lines,
    build_lines,
    build_manifest,
)
from reverse_etl_tests.cache.tls import TlsFront

pytestmark = pytest.mark.contract

ODD_KEYS = ["a\nb", "\r\n", "\x00", "{a}b", "{", "é:値", "", "k" * 65_536, "-ERR", '"', "\\"]


@pytest.fixture(params=["single", "tls", "cluster"])
def form(request: pytest.FixtureRequest) -> Iterator[RedisTarget]:
    """An empty Redis, in every form."""
    if request.param == "cluster":
        with RedisTarget(request.getfixturevalue("cluster").url) as target:
            yield target
        return
    request.getfixturevalue("raw")
    server: RedisServer = request.getfixturevalue("redis_server")
    if request.param == "single":
        with RedisTarget(server.url) as target:
            yield target
        return
    certificate: Path = request.getfixturevalue("certificate")
    with TlsFront(certificate, behind=server.port) as front:
        url = f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={certificate}"
        with RedisTarget(url) as target:
            yield target


@pytest.fixture
def work(form: RedisTarget) -> Iterator[Bulk]:
    """Bulk work on it."""
    with open_engine(memory_limit_bytes=256 << 20) as engine:
        yield Bulk(engine=engine, target=form)


def carry(bulk: Bulk, lines: list[str], folder: Path) -> None:
    """Load, and verify in both ways."""
    manifest = build_manifest(lines)

    def read() -> Iterator[RecordGroup]:
        return build_groups(lines, rows=1000)

    with open_spool(folder) as spool:
        load_records(read(), manifest=manifest, bulk=bulk, spool=spool)
        verify_spooled(spool, groups=read, manifest=manifest, bulk=bulk)
    verify_records(read(), manifest=manifest, bulk=bulk)


def test_records_are_loaded_and_proved(work: Bulk, tmp_path: Path) -> None:
    """Many records: each is there as its line, and the version is marked."""
    lines = build_lines(5000)

    carry(work, lines, tmp_path)

    assert list_versions(work.target, SYNC)[VERSION].state is VersionState.VERIFIED
    with work.target.commands() as client:
        assert client.get(record_key(SYNC, VERSION, f"{CANARY}-77".encode())) == lines[77].encode()


def test_odd_keys_are_kept_as_they_are(work: Bulk, tmp_path: Path) -> None:
    """Newlines, NUL, braces, nothing at all, 64 KB: the key's bytes are the key."""
    lines = build_keyed_lines(ODD_KEYS)

    carry(work, lines, tmp_path)

    with work.target.commands() as client:
        found = [client.get(record_key(SYNC, VERSION, key.encode())) for key in ODD_KEYS]
    assert found == [line.encode() for line in lines]


def test_large_records_go_through(work: Bulk, tmp_path: Path) -> None:
    """Records of ten megabytes, larger than every buffer."""
    carry(work, [*build_lines(1, value_bytes=10 << 20), *build_keyed_lines(["small"])], tmp_path)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda client, key: client.delete(key),
        lambda client, key: client.append(key, "x"),
        lambda client, key: client.set(key, b"-ERR " + CANARY.encode()),
    ],
    ids=["missing", "longer", "like_an_error"],
)
def test_one_wrong_record_is_found(
    work: Bulk, tmp_path: Path, tamper: Callable[[redis.Redis, bytes], object]
) -> None:
    """Of thousands: nothing is marked, and nothing of the record is shown."""
    lines = build_lines(2000)
    manifest = build_manifest(lines)
    with open_spool(tmp_path) as spool:
        load_records(build_groups(lines), manifest=manifest, bulk=work, spool=spool)
        with work.target.commands() as client:
            tamper(client, record_key(SYNC, VERSION, f"{CANARY}-1321".encode()))

        with pytest.raises(
            IntegrityError, match=r"records read together, [01] are missing"
        ) as raised:
            verify_spooled(spool, groups=lambda: build_groups(lines), manifest=manifest, bulk=work)

    assert CANARY not in str(raised.value)
    assert list_versions(work.target, SYNC)[VERSION].state is VersionState.LOADING
