"""The URL of a Redis server or cluster, taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.connection import parse_url

from reverse_etl.errors import ConfigError

URL_HELP = (
    "One looks like redis://USER:PASSWORD@HOST:6379/0, rediss://... for TLS, "
    "rediss://HOST:6379?cluster=true for a cluster by any of its nodes, or unix:///PATH?db=0. Check "
    "REVERSE_ETL_REDIS_URL."
)

_SWITCH = "cluster"
_MEANINGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """What redis-py is to connect with; `url` is what it understands itself, without `cluster`."""

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    is_cluster: bool


def parse_redis_url(url: str) -> RedisUrl:
    """The URL's parts; `ConfigError`, which shows nothing of it, when it is not one of Redis."""
    # No message of the parser is passed on: it may hold the password.
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        is_cluster = _MEANINGS[query.pop(_SWITCH, "false").lower()]
        # Only a cluster's, which is no file's: urllib forgets slashes of those.
        plain = parts._replace(query=urlencode(query)).geturl() if is_cluster else url
        options: dict[str, Any] = parse_url(plain)  # type: ignore[no-untyped-call]
        options.pop(_SWITCH, None)
    except (ValueError, KeyError):
        raise ConfigError(f"The Redis URL cannot be read. {URL_HELP}") from None
    path = parts.path.strip("/")
    if parts.scheme != "unix" and path and not path.isdecimal():
        # redis-py would take database 0 without a word.
        raise ConfigError(f"The Redis URL's path is not the number of a database. {URL_HELP}")
    if is_cluster and (parts.scheme == "unix" or options.get("db", 0) != 0):
        raise ConfigError(
            f"A Redis cluster has no socket in the file system and no database but 0. {URL_HELP}"
        )
    return RedisUrl(url=plain, options=options, is_cluster=is_cluster)
