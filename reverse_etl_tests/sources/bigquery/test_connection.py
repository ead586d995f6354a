"""Clients for the deployment's addresses and credentials; nothing is sent where it should not go."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.oauth2.credentials import Credentials

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl_tests.bigquery.server import BigQueryServer

EMULATOR = BigQueryOptions(
    dataset="staging",
    project="p",
    endpoint="http://127.0.0.1:9050",
    storage_endpoint="127.0.0.1:9060",
    anonymous=True,
)


def build_real(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Connection:
    """A connection with credentials that are never used."""
    monkeypatch.setattr(
        "google.auth.default", lambda **_: (Credentials("a token"), "project-of-login")
    )
    return Connection(BigQueryOptions(**{"dataset": "staging", **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": None}, "emulators only"),
        ({"storage_endpoint": None}, "emulators only"),
        ({"endpoint": "http://bigquery.googleapis.com"}, "emulators only"),
        ({"endpoint": "https://BigQuery.GoogleAPIs.com."}, "emulators only"),
        ({"endpoint": "https://bigquery-psc.p.googleapis.com"}, "emulators only"),
        ({"storage_endpoint": "bigquerystorage.googleapis.com:443"}, "emulators only"),
        ({"endpoint": "127.0.0.1:9050"}, "is not a URL"),
        ({"endpoint": "http://"}, "is not a URL"),
        ({"storage_endpoint": "http://127.0.0.1:9060"}, "host:port"),
        ({"anonymous": False}, "clear text"),
    ],
    ids=str,
)
def test_addresses_that_contradict_each_other_are_refused(
    changes: dict[str, Any], said: str
) -> None:
    """No credentials in clear text, and none left out where Google listens."""
    with pytest.raises(ConfigError, match=said):
        Connection(dataclasses.replace(EMULATOR, **changes))


@pytest.mark.parametrize("host", ["127.0.0.1", "googleapis.com.example.org", "notgoogleapis.com"])
def test_emulator_may_have_any_other_name(host: str) -> None:
    """What only looks like Google is somebody else's."""
    options = dataclasses.replace(
        EMULATOR, endpoint=f"http://{host}:1", storage_endpoint=f"{host}:2"
    )

    assert repr(Connection(options)) == "Connection('staging')"


def test_emulator_gets_no_credentials() -> None:
    """Neither client looks for any."""
    connection = Connection(EMULATOR)

    assert isinstance(connection.client._credentials, AnonymousCredentials)
    assert connection.account is None
    connection.close()


def test_google_is_asked_with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login's project unless another is set; TLS; a BIGQUERY_EMULATOR_HOST changes nothing."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")

    connection = build_real(monkeypatch)

    assert connection.project == "project-of-login"
    assert connection.client._connection.API_BASE_URL == "https://bigquery.googleapis.com"
    assert connection.read_client.transport.host == "bigquerystorage.googleapis.com:443"
    connection.close()


def test_private_endpoints_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clients go where they are sent."""
    connection = build_real(
        monkeypatch,
        project="p",
        endpoint="https://bigquery-psc.p.googleapis.com",
        storage_endpoint="bigquerystorage-psc.p.googleapis.com:443",
    )

    assert connection.client._connection.API_BASE_URL == "https://bigquery-psc.p.googleapis.com"
    assert connection.read_client.transport.host == "bigquerystorage-psc.p.googleapis.com:443"
    connection.close()


def test_missing_credentials_say_how_to_get_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a laptop, on Google Cloud and elsewhere, each in a sentence."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    connection = Connection(BigQueryOptions(dataset="staging"))

    with pytest.raises(ConfigError, match="gcloud auth application-default login"):
        _ = connection.client


def test_missing_project_is_asked_for() -> None:
    """Nothing is guessed from the environment of another tool."""
    connection = Connection(dataclasses.replace(EMULATOR, project=None))

    with pytest.raises(ConfigError, match="REVERSE_ETL_BIGQUERY_PROJECT"):
        _ = connection.project


@pytest.mark.parametrize(
    ("dataset", "project", "name"),
    [
        ("staging", "p", "staging"),
        ("other.staging", "other", "staging"),
        ("example.com:shop.staging", "example.com:shop", "staging"),
    ],
)
def test_staging_dataset_may_lie_in_another_project(dataset: str, project: str, name: str) -> None:
    """`dataset` or `project.dataset`, of a domain too."""
    found = Connection(dataclasses.replace(EMULATOR, dataset=dataset)).dataset

    assert (found.project, found.dataset_id) == (project, name)


@pytest.mark.contract
def test_jobs_run_where_the_staging_dataset_lies(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Asked once, unless the location is set."""
    bigquery_server.create_dataset("tokyo", location="asia-northeast1")
    options = dataclasses.replace(bigquery_options, dataset="tokyo")
    connection = Connection(options)

    found = {connection.location, connection.location}

    assert found == {"asia-northeast1"}
    assert len(bigquery_server.log.named("datasets.get")) == 1
    assert Connection(dataclasses.replace(options, location="US")).location == "US"
    connection.close()


@pytest.mark.contract
def test_threads_share_clients(bigquery_options: BigQueryOptions) -> None:
    """However many ask at once, one client of each kind is made."""
    connection = Connection(bigquery_options)

    with ThreadPoolExecutor(8) as pool:
        clients = set(pool.map(lambda _: id(connection.client), range(32)))
        readers = set(pool.map(lambda _: id(connection.read_client), range(32)))

    assert len(clients) == len(readers) == 1
    connection.close()


@pytest.mark.contract
def test_closed_connection_opens_again(bigquery_options: BigQueryOptions) -> None:
    """Closing lets go of sockets, and is no end."""
    connection = Connection(bigquery_options)
    connection.close()
    assert connection.location == "EU"
    connection.close()

    assert connection.client.get_dataset(connection.dataset).location == "EU"

    connection.close()
