"""The application: routes, and what every answer goes through."""

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reverse_etl.errors import ReverseEtlError
from reverse_etl.http_api.gate import Gate
from reverse_etl.http_api.metrics import CONTENT_TYPE, ApiMetrics
from reverse_etl.http_api.openapi import build_document, render_page
from reverse_etl.http_api.options import ApiOptions
from reverse_etl.http_api.problems import ProblemError
from reverse_etl.http_api.records import Records
from reverse_etl.http_api.tokens import Tokens
from reverse_etl.serving import AsyncReader

_LOG = logging.getLogger(__name__)
_NO_SNIFF = (b"x-content-type-options", b"nosniff")


class _KeyConvertor(PathConvertor):
    """All that follows, newlines too, which Starlette's own does not take for part of a path."""

    regex = "(?s:.*)"


register_url_convertor("key", _KeyConvertor())

Answer = Callable[[Scope, Receive], Awaitable[Response]]


def build_app(
    readers: Mapping[str, AsyncReader],
    *,
    tokens: Tokens | None,
    metrics: ApiMetrics,
    options: ApiOptions,
) -> ASGIApp:
    """The application over readers by sync; it closes them when it ends."""
    gate = Gate(tokens, syncs=frozenset(readers))
    records = Records(readers, gate=gate, options=options)
    document = build_document(needs_token=tokens is not None, options=options)
    pages = _Pages(readers, gate=gate, metrics=metrics, document=document)

    def route(path: str, answer: Answer, *methods: str) -> Route:
        return Route(path, _Endpoint(answer, name=path, metrics=metrics), methods=list(methods))

    @contextlib.asynccontextmanager
    async def live(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for reader in readers.values():
                await reader.aclose()

    app = Starlette(
        routes=[
            route("/v1/{sync}/batch", records.get_many, "POST"),
            route("/v1/{sync}/{key:key}", records.get_one, "GET"),
            route("/healthz", pages.tell_health, "GET"),
            route("/readyz", pages.tell_readiness, "GET"),
            route("/metrics", pages.tell_metrics, "GET"),
            route("/openapi.json", pages.show_document, "GET"),
            route("/", pages.show_page, "GET"),
        ],
        lifespan=live,
    )
    app.router.redirect_slashes = False
    return app


class _Endpoint:
    """One route: its answer, or the problem in its place; counted either way."""

    def __init__(self, answer: Answer, *, name: str, metrics: ApiMetrics) -> None:
        self._answer = answer
        self._name = name
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._answer(scope, receive)
        except ProblemError as problem:
            if isinstance(problem.__cause__, ReverseEtlError):
                _LOG.error("%s: %s", self._name, problem.__cause__)
            response = problem.respond()
        except Exception as error:  # noqa: BLE001 - told by its kind alone: its text may hold a key
            _LOG.error("%s: unforeseen %s", self._name, type(error).__name__)
            response = ProblemError(
                HTTPStatus.INTERNAL_SERVER_ERROR, "The API failed; its log says at what."
            ).respond()
        response.raw_headers.append(_NO_SNIFF)
        self._metrics.count_request(self._name, response.status_code)
        await response(scope, receive, send)


class _Pages:
    """What is told of the API itself; nothing of it is a record."""

    def __init__(
        self,
        readers: Mapping[str, AsyncReader],
        *,
        gate: Gate,
        metrics: ApiMetrics,
        document: dict[str, Any],
    ) -> None:
        self._readers = readers
        self._gate = gate
        self._metrics = metrics
        self._document = document

    async def tell_health(self, scope: Scope, receive: Receive) -> Response:
        """`/healthz`: the process answers."""
        del scope, receive
        return PlainTextResponse("ok\n")

    async def tell_readiness(self, scope: Scope, receive: Receive) -> Response:
        """`/readyz`: every sync has a version that can be read; which one, for a token that reaches it."""
        del receive
        versions: dict[str, str | None] = {}
        for sync, reader in self._readers.items():
            try:
                versions[sync] = await reader.version()
            except ReverseEtlError as error:
                _LOG.warning("/readyz: %s", error)
                versions[sync] = None
        is_ready = None not in versions.values()
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        told: dict[str, Any] = {"ready": is_ready}
        if self._gate.holds_token(scope):
            reached = self._gate.find_syncs(scope)
            told["versions"] = {sync: it for sync, it in versions.items() if sync in reached}
        body = json.dumps(told)
        return Response(body, status_code=status, media_type="application/json")

    async def tell_metrics(self, scope: Scope, receive: Receive) -> Response:
        """`/metrics`: for Prometheus, which has a token like everybody: syncs are named."""
        del receive
        self._gate.find_syncs(scope)
        return Response(self._metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def show_document(self, scope: Scope, receive: Receive) -> Response:
        """`/openapi.json`."""
        del scope, receive
        return Response(json.dumps(self._document), media_type="application/json")

    async def show_page(self, scope: Scope, receive: Receive) -> Response:
        """`/`: the same for a person."""
        del scope, receive
        return HTMLResponse(
            render_page(self._document),
            headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"},
        )
