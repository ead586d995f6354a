#!/usr/bin/env python3
"""Whether what runs in this container answers: `healthcheck ROLE [PORT]`; the exit code is 0 when it does.

It imports no more than it needs: a check runs twice a minute, and Dagster's own takes seconds of CPU.
"""

import os
import sys
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.client import HTTPConnection

_TIMEOUT_SECONDS = 5


def check_code_server(port: int = 4000) -> bool:
    """Dagster's gRPC server says that it serves."""
    import grpc  # noqa: PLC0415 - a third of a second that the others do without
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service="DagsterApi")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_TIMEOUT_SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def check_webserver(port: int = 3000) -> bool:
    """The UI answers."""
    return _is_ok(port, "/server_info")


def check_reader(port: int = 8000) -> bool:
    """`reverse-etl serve` answers; whether there is something to serve says /readyz."""
    return _is_ok(port, "/healthz")


def check_daemon() -> bool:
    """The daemon's heartbeats in Dagster's storage are fresh; Dagster's command takes this one's place."""
    words = ["with-secrets", "dagster-daemon", "liveness-check"]
    os.execvp(words[0], words)  # noqa: S606 - our own words


def _is_ok(port: int, path: str) -> bool:
    # Not urllib: it would ask the proxy of the environment.
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    finally:
        connection.close()


CHECKS: dict[str, Callable[..., bool]] = {
    "code-server": check_code_server,
    "webserver": check_webserver,
    "daemon": check_daemon,
    "reader": check_reader,
}


def main(arguments: Sequence[str]) -> int:
    """The exit code; what is wrong goes to stderr, where `docker inspect` finds it."""
    if not arguments or arguments[0] not in CHECKS:
        print(f"healthcheck: say what runs here: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    role, *ports = arguments
    try:
        is_well = CHECKS[role](*map(int, ports))
        reason = "it says that it does not serve"
    except Exception as error:  # noqa: BLE001 - gRPC's class is imported only where it is needed
        is_well, reason = False, type(error).__name__
    if not is_well:
        print(f"healthcheck: the {role} does not answer ({reason})", file=sys.stderr)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
