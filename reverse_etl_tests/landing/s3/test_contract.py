"""The store on S3 keeps the contract: on our server, over HTTP and over TLS, and on moto's."""

import itertools
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from reverse_etl.errors import ConfigError
from reverse_etl.landing.s3.options import S3Options
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.model import AwsCredentials
from reverse_etl_tests.contracts.store import StoreContract, count_up
from reverse_etl_tests.landing.s3.scenes import PREFIX, in_an_hour, open_store
from reverse_etl_tests.s3.server import S3Server

pytestmark = pytest.mark.contract

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def http_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def tls_server() -> Iterator[S3Server]:
    with S3Server(tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def moto() -> Iterator[Any]:
    """A client of a server, to make buckets by."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    yield client
    client.close()
    server.stop()


class TestOverHttp(StoreContract):
    """Every promise of the contract, below a prefix."""

    @pytest.fixture
    def store(self, http_server: S3Server) -> Iterator[S3Store]:
        bucket = http_server.create_bucket(f"contract-{next(_numbers)}")
        with open_store(http_server, bucket=bucket.name) as store:
            yield store


class TestOverTls(StoreContract):
    """The same with a certificate of REVERSE_ETL_S3_CA_FILE, in the whole of a bucket."""

    @pytest.fixture
    def store(self, tls_server: S3Server) -> Iterator[S3Store]:
        bucket = tls_server.create_bucket(f"contract-{next(_numbers)}")
        with open_store(tls_server, bucket=bucket.name, prefix="") as store:
            yield store


class TestOnMoto(StoreContract):
    """The same on a server that others wrote."""

    def test_empty_object_has_no_bytes(self, store: S3Store) -> None:
        """Moto gives no heed to a range of an empty object, as no S3 does: that is told."""
        store.put("empty", b"")

        assert store.get_range("empty", start=0, length=4) == b""
        with pytest.raises(ConfigError, match="does not speak S3"):
            store.get_tail("empty", length=4)

    def test_no_increment_is_lost(self, store: S3Store) -> None:
        """Moto looks at the etag first and writes then, so writers of two threads may both succeed."""
        store.put("counter", b"0")

        for _ in range(3):
            count_up(store, "counter", 10)

        assert store.get("counter") == b"30"

    @pytest.fixture
    def store(self, moto: Any) -> Iterator[S3Store]:
        bucket = f"contract-{next(_numbers)}"
        moto.create_bucket(Bucket=bucket)
        keys = AwsCredentials(
            access_key_id="test",
            secret_access_key="test",
            session_token="test",
            expires_at=in_an_hour(),
        )
        options = S3Options(
            bucket=bucket,
            prefix=PREFIX,
            region="us-east-1",
            endpoint_url=moto.meta.endpoint_url,
            concurrency=16,
        )
        store = S3Store(options, lambda: keys)
        yield store
        store.close()
