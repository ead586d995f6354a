"""The two clients of BigQuery, REST and Storage Read, as the deployment's options want them.

Dagster's `BigQueryResource` stays what it is for: assets that users write. The source does not go
through it, because it has to work outside Dagster too (command line, tests, other processes), needs
another address or no credentials for emulators, and a Storage Read client beside the REST one; the
resource gives none of these, and puts its key into the environment of the whole process.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import google.auth
import grpc
import grpc.experimental
from google.api_core import exceptions as api
from google.api_core.client_info import ClientInfo
from google.api_core.gapic_v1.client_info import ClientInfo as GapicClientInfo
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.faults import map_faults
from reverse_etl.sources.bigquery.options import BigQueryOptions

#: One request may take so long: to connect, and between two bytes of the answer.
REQUEST_TIMEOUT_SECONDS = 60.0
#: A request that fails in passing is repeated for so long.
RETRY_SECONDS = 120.0

_REST_ADDRESS = "https://bigquery.googleapis.com"
_GOOGLE = "googleapis.com"
_USER_AGENT = "reverse-etl"
_CHANNEL_OPTIONS = (
    # Messages are up to 10 MiB and more once decoded; a channel of one's own takes 4 MiB unless told.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Without pings, a connection that a firewall forgot is noticed only when the call's day is over.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Channels with equal options would share one TCP connection with the rest of the process.
    ("grpc.use_local_subchannel_pool", 1),
    # How much of each stream may be on its way or wait to be fetched, in the library, beyond any budget
    # of ours. Left to itself it measures the way and allows tens of MiB a stream where the reader, not
    # the way, is slow. At 2 MiB a stream brings 20 MiB/s over 100 ms of way, 200 MiB/s over 10 ms.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 2 << 20),
    # Whoever reads a stream waits for it himself; else one thread would carry the messages of all
    # streams to their readers, with five switches of threads for each instead of one.
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
)

Value = TypeVar("Value")


class Connection:
    """Clients for one deployment, each made when it is first asked for; safe to use from threads.

    `ConfigError` at once for addresses that contradict each other, and on first use when there are
    no credentials or no project.
    """

    def __init__(self, options: BigQueryOptions, *, retry_seconds: float = RETRY_SECONDS) -> None:
        check_addresses(options)
        self._options = options
        # Nothing is made twice, and making one thing may need another.
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}
        #: How REST requests are repeated. Waiting for a job is another matter: jobs.py does it.
        self.retry: Retry = bigquery.DEFAULT_RETRY.with_timeout(retry_seconds)

    def __repr__(self) -> str:
        return f"Connection({self._options.dataset!r})"

    @property
    def project(self) -> str:
        """The project that runs and pays for jobs."""
        return self._once("project", self._find_project)

    @property
    def client(self) -> bigquery.Client:
        """The REST client. Pass `**connection.limits` to its calls."""
        return self._once("client", self._build_client)

    @property
    def read_client(self) -> BigQueryReadClient:
        """The Storage Read client, on a channel of its own."""
        return self._once("read_client", self._build_read_client)

    @property
    def dataset(self) -> bigquery.DatasetReference:
        """The staging dataset; in `project` unless the options name another."""
        # A project of a domain has a point of its own: example.com:shop.staging
        project, _, dataset = self._options.dataset.rpartition(".")
        return bigquery.DatasetReference(project or self.project, dataset)

    @property
    def location(self) -> str:
        """Where jobs run: as set, else where the staging dataset lies."""
        return self._options.location or self._once(
            "location", lambda: str(self.get_staging_dataset().location)
        )

    @property
    def limits(self) -> dict[str, Any]:
        """`retry` and `timeout` for a call of the REST client."""
        return {"retry": self.retry, "timeout": REQUEST_TIMEOUT_SECONDS}

    @property
    def account(self) -> str | None:
        """The service account's address where the credentials tell it; None: ask a job."""
        email = getattr(self._credentials, "service_account_email", None)
        return email if email and "@" in email else None

    def get_staging_dataset(self) -> bigquery.Dataset:
        """The staging dataset as it stands; `ConfigError` when there is none."""
        with map_faults("looking at the staging dataset"):
            try:
                return self.client.get_dataset(self.dataset, **self.limits)
            except api.NotFound:
                pass
        raise ConfigError(
            f"The staging dataset '{self._options.dataset}' does not exist in project "
            f"'{self.dataset.project}'. Create it (docs/bigquery.md has the command), or correct "
            "REVERSE_ETL_BIGQUERY_DATASET and REVERSE_ETL_BIGQUERY_PROJECT."
        )

    def close(self) -> None:
        """Let go of both clients' sockets. What was closed is opened again when it is used."""
        with self._lock:
            client: bigquery.Client | None = self._made.pop("client", None)
            read_client: BigQueryReadClient | None = self._made.pop("read_client", None)
        if client is not None:
            client.close()
        if read_client is not None:
            read_client.transport.close()

    @property
    def _credentials(self) -> Credentials:
        return self._once("credentials", self._find_credentials)[0]

    def _find_credentials(self) -> tuple[Credentials, str | None]:
        """Credentials, and the project that goes with them, if one does."""
        if self._options.anonymous:
            return AnonymousCredentials(), None
        with map_faults("looking for credentials"):
            found: tuple[Credentials, str | None] = google.auth.default(
                scopes=bigquery.Client.SCOPE
            )
        return found

    def _find_project(self) -> str:
        project = self._options.project or self._once("credentials", self._find_credentials)[1]
        if not project:
            raise ConfigError(
                "No project is known to run BigQuery's jobs in. Set REVERSE_ETL_BIGQUERY_PROJECT; the "
                "credentials name none."
            )
        return project

    def _build_client(self) -> bigquery.Client:
        return bigquery.Client(
            project=self.project,
            credentials=self._credentials,
            # Said even where it is the default: else BIGQUERY_EMULATOR_HOST would redirect a
            # deployment, credentials and all, without a word.
            client_options={"api_endpoint": self._options.endpoint or _REST_ADDRESS},
            client_info=ClientInfo(user_agent=_USER_AGENT),
        )

    def _build_read_client(self) -> BigQueryReadClient:
        address = self._options.storage_endpoint
        if self._options.anonymous:
            # check_addresses has seen to it that there is one, and that it is not Google's.
            channel = grpc.insecure_channel(address, options=list(_CHANNEL_OPTIONS))
            return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
        return BigQueryReadClient(
            credentials=self._credentials,
            transport=_build_transport,
            client_options={} if address is None else {"api_endpoint": address},
            client_info=GapicClientInfo(user_agent=_USER_AGENT),
        )

    def _once(self, name: str, build: Callable[[], Value]) -> Value:
        with self._lock:
            if name not in self._made:
                self._made[name] = build()
            value: Value = self._made[name]
            return value


def check_addresses(options: BigQueryOptions) -> None:
    """Refuse addresses that would send credentials in clear text, or none where some are needed."""
    rest = urlsplit(options.endpoint or _REST_ADDRESS)
    storage = urlsplit(f"//{options.storage_endpoint or _GOOGLE}")
    if rest.scheme not in ("http", "https") or not rest.hostname:
        raise ConfigError(
            "REVERSE_ETL_BIGQUERY_ENDPOINT is not a URL such as https://bigquery-private.p.googleapis.com."
        )
    if not storage.hostname or storage.path:
        raise ConfigError(
            "REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT is not `host:port`, without a scheme or a path."
        )
    if options.anonymous and any(_is_google(found) for found in (rest.hostname, storage.hostname)):
        raise ConfigError(
            "REVERSE_ETL_BIGQUERY_ANONYMOUS is for emulators only, and calls would go to Google. Unset "
            "it, or set both REVERSE_ETL_BIGQUERY_ENDPOINT and REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT "
            "to the emulator."
        )
    if not options.anonymous and rest.scheme != "https":
        raise ConfigError(
            "REVERSE_ETL_BIGQUERY_ENDPOINT begins with http://, which would send credentials in clear "
            "text. Use https://, or REVERSE_ETL_BIGQUERY_ANONYMOUS=1 if it is an emulator."
        )


def _is_google(host: str) -> bool:
    name = host.rstrip(".").lower()
    return name == _GOOGLE or name.endswith(f".{_GOOGLE}")


def _build_transport(**arguments: Any) -> BigQueryReadGrpcTransport:
    """The library's own transport, on a channel with our options."""

    def open_channel(
        *names: Any, options: Iterable[tuple[str, Any]] = (), **others: Any
    ) -> grpc.Channel:
        ours = {**dict(options), **dict(_CHANNEL_OPTIONS)}
        return BigQueryReadGrpcTransport.create_channel(
            *names, options=list(ours.items()), **others
        )

    return BigQueryReadGrpcTransport(channel=open_channel, **arguments)
