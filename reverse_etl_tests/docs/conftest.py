"""The night's deployment, made once."""

from pathlib import Path

import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl_tests.docs.night import Night, Seed, build_seed, open_night, set_environment


@pytest.fixture(scope="session")
def seeds() -> list[Seed]:
    """The seed, once there is one."""
    return []


@pytest.fixture
def night(
    seeds: list[Seed],
    raw: redis.Redis,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Night:
    """Three published days, as nobody has broken them yet."""
    if not seeds:
        folder = tmp_path_factory.mktemp("seed")
        set_environment(folder, url=redis_server.url, monkeypatch=monkeypatch)
        seeds.append(build_seed(folder, client=raw))
    return open_night(seeds[0], tmp_path, client=raw, url=redis_server.url, monkeypatch=monkeypatch)
