"""What the configured user may do in Redis, found out without doing it.

A transaction refuses each command that the user may not use when it is queued. It is never executed:
the connection is closed instead.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import redis
from redis.connection import AbstractConnection
from redis.exceptions import ExecAbortError, NoPermissionError, ResponseError

from reverse_etl.cache.acl import Role, build_grant
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.faults import mapped
from reverse_etl.landing.layout import check_sync_name

_COMMANDS = build_grant(Role.WRITER, ()).commands
#: Not among a sync's keys. Were it ever executed, it would be one look at nothing.
_ELSEWHERE = "_reverse_etl_doctor"
_VALUES = {"set": ("0", "PX", "1000"), "mset": ("0",), "pexpire": ("1000",)}
_FIELDS = {"hget": ("f",), "hset": ("f", "0"), "hdel": ("f",)}
_WITHOUT_KEY = {"ping": (), "info": ("memory",), "unwatch": ()}
#: Refused inside a transaction for another reason, or its beginning and end.
_APART = ("watch", "multi", "exec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """`missing` commands of a writer, by name; `reaches_others` where the user may read any key.

    `is_examined` is False where the server has no transactions to find out with.
    """

    missing: tuple[str, ...] = ()
    reaches_others: bool = False
    is_examined: bool = True


def examine_permissions(target: RedisTarget, sync: str) -> Permissions:
    """Whether this user may do what loading, publishing and retiring a sync take; nothing is written.

    In a cluster every primary is asked: each has users of its own.
    """
    key = f"{check_sync_name(sync)}:0doctor"
    found = [
        _examine_server(client, key, address=address) for address, client in target.list_clients()
    ]
    missing = {name for permissions in found for name in permissions.missing}
    return Permissions(
        missing=tuple(name for name in _COMMANDS if name in missing),
        reaches_others=any(permissions.reaches_others for permissions in found),
        is_examined=all(permissions.is_examined for permissions in found),
    )


def _examine_server(client: redis.Redis, key: str, *, address: str) -> Permissions:
    with _connected(client, address=address) as connection:
        missing = [
            name
            for name, words in (("watch", (key,)), ("multi", ()), ("exec", ()))
            if _is_denied(connection, name, *words)
        ]
    if "multi" in missing:
        return Permissions(missing=tuple(missing), is_examined=False)
    with _connected(client, address=address) as connection:
        if _ask(connection, "multi") != b"OK":
            return Permissions(missing=tuple(missing), is_examined=False)
        missing += [
            name
            for name in _COMMANDS
            if name not in _APART and _is_denied(connection, name, *_build_words(name, key))
        ]
        reaches_others = not _is_denied(connection, "get", _ELSEWHERE)
    return Permissions(missing=tuple(missing), reaches_others=reaches_others)


def _build_words(name: str, key: str) -> tuple[str, ...]:
    if name in _WITHOUT_KEY:
        return _WITHOUT_KEY[name]
    return key, *_VALUES.get(name, ()), *_FIELDS.get(name, ())


def _is_denied(connection: AbstractConnection, name: str, *words: str) -> bool:
    # EXEC tells in an error of its own kind that it may not be used. That a key is another node's (MOVED)
    # is said after that the command is allowed.
    return isinstance(_ask(connection, name, *words), NoPermissionError | ExecAbortError)


def _ask(connection: AbstractConnection, name: str, *words: str) -> object:
    """The reply, or the error that is one."""
    connection.send_command(name.upper(), *words)  # type: ignore[no-untyped-call]
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


@contextlib.contextmanager
def _connected(client: redis.Redis, *, address: str) -> Iterator[AbstractConnection]:
    """A connection of its own, closed at the end: what was queued goes with it."""
    pool = client.connection_pool
    with mapped(address=address):
        connection = pool.get_connection()
        try:
            yield connection
        finally:
            connection.disconnect()  # type: ignore[no-untyped-call]
            pool.release(connection)
