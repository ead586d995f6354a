"""The server: uvicorn, with patience that ends, and without a log of what was asked."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reverse_etl.http_api.options import ApiOptions


def build_config(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    options: ApiOptions,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> uvicorn.Config:
    """How the application is served. Paths hold keys: no request is logged, and no server header sent."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_name_protocol(options.head_seconds),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=options.idle_seconds,
        timeout_graceful_shutdown=10,
        limit_concurrency=options.connections,
        ssl_certfile=None if certificate is None else str(certificate),
        ssl_keyfile=None if private_key is None else str(private_key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )


def _name_protocol(head_seconds: float) -> type[asyncio.Protocol]:
    return type("Protocol", (_PatientProtocol,), {"head_seconds": head_seconds})


class _PatientProtocol(HttpToolsProtocol):
    """Hangs up on a client that does not get through with the head of its request.

    uvicorn has no bound of its own: a byte a minute would hold a connection for ever.
    """

    head_seconds: float
    _waiting: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # uvicorn looks at its logger's handlers alone, which whoever sets up logging may add to.
        self.access_log = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # uvicorn forgets its own timer at any byte: those of a request that was answered already, or
        # between two, would keep a connection for ever.
        is_between = self.cycle is None or self.cycle.response_complete
        if is_between and self._waiting is None and not self.transport.is_closing():
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
