"""Redis' errors as ours: mapped here, once. Only the code of an error reply is ever passed on.

The text after the code may quote what was sent; it is never shown, stored or chained.
"""

import contextlib
import re
import ssl
from collections.abc import Iterator

import redis
from redis import exceptions

from reverse_etl.errors import (
    ConfigError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,30}")

# What an error reply's first word means for the caller. Source: valkey.io/topics/protocol and the
# shared error table in the server's server.c.
_ACCESS = {
    "NOAUTH": "asks for a user and password",
    "WRONGPASS": "refused the user or password",
    "NOPERM": "does not let this user do what is needed",
}
_AWAY = {
    "LOADING": "is still reading its data from disk",
    "BUSY": "is busy with a script",
    "READONLY": "is a replica, which takes no writes (a failover may be going on)",
    "MASTERDOWN": "has lost its primary",
    "CLUSTERDOWN": "belongs to a cluster that is down",
    "IAMAWAY": "could not ask IAM who we are",  # a word of ours, see `map_error`
    "TRYAGAIN": "is moving these keys to another node",
    "NOREPLICAS": "has too few replicas to take writes",
}
# Seen of ElastiCache, not documented. It quotes nothing.
_IAM_AWAY = "IAM Authentication service is not available"
_CLUSTER = ("MOVED", "ASK", "CROSSSLOT")

_REFUSED_LOGIN = (
    exceptions.AuthenticationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
    exceptions.AuthorizationError,
)

_WITHOUT_CODE: tuple[tuple[tuple[type[Exception], ...], type[ReverseEtlError], str], ...] = (
    (
        (exceptions.InvalidResponse,),
        ConfigError,
        "does not speak Redis' protocol. Check host, port and scheme (rediss:// for TLS)",
    ),
    (
        (redis.TimeoutError, TimeoutError),
        TransientError,
        "did not answer in time. Check its load, the network between, and the host and port",
    ),
    (
        (exceptions.ClusterError,),
        TransientError,
        "keeps referring from node to node of its cluster. Run the step again, or check the nodes",
    ),
    (
        (redis.ConnectionError, OSError),
        TransientError,
        "cannot be reached, or hung up. Check that it runs, and host, port and scheme",
    ),
)


def map_code(code: str, *, address: str, numbers: str = "") -> ReverseEtlError:
    """Our error for an error reply with this code; `numbers` are added to "out of memory"."""
    if code in _ACCESS:
        return ConfigError(
            f"Redis at {address} {_ACCESS[code]} ({code}). Check the user, its password and its "
            "permissions (ACL) behind REVERSE_ETL_REDIS_URL; of a login by IAM, "
            "REVERSE_ETL_REDIS_IAM_USER, what our role may, and this machine's clock (docs/redis.md)."
        )
    if code in _AWAY:
        return TransientError(
            f"Redis at {address} {_AWAY[code]} ({code}). Nothing went live; run the step again "
            "when it is back."
        )
    if code in _CLUSTER:
        return ConfigError(
            f"Redis at {address} is a node of a cluster and refers to another one ({code}). Add "
            "`?cluster=true` to REVERSE_ETL_REDIS_URL."
        )
    if code == "OOM":
        return TerminalError(
            f"Redis at {address} is out of memory{numbers}. The live version is untouched. Raise "
            "maxmemory (two versions have to fit), or keep fewer versions; then run the step again."
        )
    return TerminalError(
        f"Redis at {address} refused a command with the error {code}. Its text is withheld, "
        "because it may quote a value; look at the server's log and at who else writes to its keys."
    )


def parse_code(line: bytes) -> str:
    """The code of an error reply that starts with `-`; `ERR` when it has none that can be shown."""
    word = line[1:].split(b"\r", 1)[0].split(b" ", 1)[0].decode("ascii", "replace")
    return word if _CODE.fullmatch(word) else "ERR"


@contextlib.contextmanager
def mapped(*, address: str) -> Iterator[None]:
    """Turn what redis-py or a socket raises inside into our errors, without a chain of causes."""
    try:
        yield
    except exceptions.RedisClusterException as error:
        raise _map_cluster_error(error, address=address) from None
    except (redis.RedisError, OSError) as error:
        raise map_error(error, address=address) from None


def map_error(error: Exception, *, address: str) -> ReverseEtlError:
    """Our error for one of redis-py or of a socket."""
    # redis-py cuts the code off the texts of the errors it knows and keeps it here.
    code = getattr(error, "status_code", None)
    known = _guess_code(error) if code in (None, "ERR") else str(code)
    if known is not None:
        return map_code(known, address=address)
    if _is_bad_certificate(error):
        return ConfigError(
            f"The TLS certificate of Redis at {address} could not be verified. Check the host name "
            "and the certificate authority (`?ssl_ca_certs=FILE` in REVERSE_ETL_REDIS_URL)."
        )
    for kinds, ours, text in _WITHOUT_CODE:
        if isinstance(error, kinds):
            return ours(f"Redis at {address} {text} of REVERSE_ETL_REDIS_URL.")
    unknown = "ERR" if code == "ERR" else parse_code(b"-" + str(error).encode())
    return map_code(unknown, address=address)


def _guess_code(error: Exception) -> str | None:
    """The code of an error that came without one, where its kind or its text tells."""
    if _IAM_AWAY in str(error):
        return "IAMAWAY"
    return "WRONGPASS" if isinstance(error, _REFUSED_LOGIN) else None


def _map_cluster_error(error: exceptions.RedisClusterException, *, address: str) -> ReverseEtlError:
    """Our error for a cluster that was not found: what the last node that was asked had said."""
    cause = error.__cause__
    if isinstance(cause, redis.RedisError | OSError):
        return map_error(cause, address=address)
    if not isinstance(cause, exceptions.RedisClusterException):
        return map_code("CLUSTERDOWN", address=address)  # slots that nobody holds
    if isinstance(cause.__context__, exceptions.NoPermissionError):
        return map_code("NOPERM", address=address)
    return ConfigError(
        f"Redis at {address} is not in cluster mode. Take `cluster=true` out of REVERSE_ETL_REDIS_URL."
    )


def _is_bad_certificate(error: BaseException | None) -> bool:
    """Whether redis-py wrapped a failed verification; it is found only as the error's context."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__context__
    return False
