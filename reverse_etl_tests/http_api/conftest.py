"""A running API over a real Redis and a store that counts, with one small published sync."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import redis
import uvicorn

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.http_api.app import build_app
from reverse_etl.http_api.metrics import ApiMetrics
from reverse_etl.http_api.options import ApiOptions
from reverse_etl.http_api.server import build_config
from reverse_etl.http_api.tokens import Tokens, parse_tokens, write_line
from reverse_etl.serving import AsyncReader
from reverse_etl.serving.clients import AsyncRedisPort, build_async_opener
from reverse_etl_tests.serving.builders import (
    NEW,
    SYNC,
    CountingStore,
    Row,
    build_head,
    hard_keys,
    land,
    load,
    publish,
)

TOKEN = "retl_token-of-the-tests"
OTHER_TOKEN = "retl_token-of-another-sync"
KEYS = list(dict.fromkeys([*(f"u-{number}" for number in range(20)), *hard_keys()]))
ROWS: list[Row] = [{"user_id": key, "points": number} for number, key in enumerate(KEYS)]


@dataclass
class Answer:
    """A status, headers in lower case, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """A running API and what it reads."""

    port: int
    store: CountingStore
    client: redis.Redis
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {TOKEN}"})

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own, its path sent as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (self.headers if headers is None else headers).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """GET with the token, and further headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("GET", path, headers=self.headers | named)

    def batch(self, keys: Any, *, sync: str = SYNC) -> Answer:
        """POST of a batch with the token."""
        return self.ask("POST", f"/v1/{sync}/batch", body=json.dumps({"keys": keys}).encode())


class _Server(uvicorn.Server):
    """Runs in a thread of its own, and so hears no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        while not self.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *args: object) -> None:
        self.should_exit = True
        self._thread.join()

    @property
    def port(self) -> int:
        found: int = self.servers[0].sockets[0].getsockname()[1]
        return found


StartApi = Callable[..., Api]


@pytest.fixture
def start_api(redis_server: RedisServer, raw: redis.Redis) -> Iterator[StartApi]:
    """Starts APIs over one store and one Redis, in which nothing is published."""
    store = CountingStore()
    with ExitStack() as stack:

        def start(*, tokens: Tokens | str | None = "two", **options: Any) -> Api:
            metrics = ApiMetrics()
            reader = AsyncReader(
                SYNC,
                store=store,
                redis=AsyncRedisPort(build_async_opener(redis_server.url, timeout_seconds=1.0)),
                metrics=metrics.listen(SYNC),
                head_cache_seconds=0.0,
            )
            limits = ApiOptions(**options)
            app = build_app(
                {SYNC: reader},
                tokens=build_tokens() if isinstance(tokens, str) else tokens,
                metrics=metrics,
                options=limits,
            )
            config = build_config(app, host="127.0.0.1", port=0, options=limits)
            server = stack.enter_context(_Server(config))
            return Api(port=server.port, store=store, client=raw)

        yield start


def build_tokens() -> Tokens:
    """One for the sync, one for another."""
    lines = [
        write_line("web", TOKEN, syncs=[SYNC]),
        write_line("elsewhere", OTHER_TOKEN, syncs=["orders"]),
    ]
    return parse_tokens("# of the tests\n\n" + "\n".join(lines))


@pytest.fixture
def api(start_api: StartApi) -> Api:
    """A running API with a version that is live and in Redis."""
    started = start_api()
    head = build_head(NEW)
    land(started.store, head, ROWS)
    load(started.client, head, ROWS)
    publish(head, store=started.store, client=started.client)
    return started
