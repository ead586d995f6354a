"""`reverse-etl serve`: the HTTP API over the live versions of some syncs."""

import argparse
import ipaddress
import logging
import sys
from pathlib import Path

from reverse_etl.errors import ConfigError
from reverse_etl.landing.layout import check_sync_name
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings

_TIMEOUT_SECONDS = 0.1


def execute(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    # Starlette, uvicorn and Prometheus' client are an extra, and nobody else waits for them.
    import uvicorn  # noqa: PLC0415

    from reverse_etl.http_api.app import build_app  # noqa: PLC0415
    from reverse_etl.http_api.metrics import ApiMetrics  # noqa: PLC0415
    from reverse_etl.http_api.options import ApiOptions  # noqa: PLC0415
    from reverse_etl.http_api.server import build_config  # noqa: PLC0415
    from reverse_etl.http_api.tokens import read_tokens  # noqa: PLC0415
    from reverse_etl.serving import AsyncReader  # noqa: PLC0415
    from reverse_etl.serving.clients import AsyncRedisPort, build_async_opener  # noqa: PLC0415

    runtime = Runtime(settings=Settings.load())
    tokens_file = runtime.settings.api_tokens_file
    _check_openness(arguments.host, tokens_file=tokens_file, is_open=arguments.no_tokens)
    tokens = None if tokens_file is None else read_tokens(tokens_file)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    metrics, options = ApiMetrics(), ApiOptions()
    readers = {
        sync: AsyncReader(
            check_sync_name(sync),
            store=runtime.store,
            redis=AsyncRedisPort(
                build_async_opener(
                    runtime.redis_url,
                    timeout_seconds=_TIMEOUT_SECONDS,
                    credentials=runtime.redis_login,
                )
            ),
            keys=runtime.masking_keys,
            metrics=metrics.listen(sync),
        )
        for sync in arguments.syncs
    }
    app = build_app(readers, tokens=tokens, metrics=metrics, options=options)
    server = uvicorn.Server(
        build_config(
            app,
            host=arguments.host,
            port=arguments.port,
            options=options,
            certificate=arguments.certificate,
            private_key=arguments.private_key,
        )
    )
    scheme = "http" if arguments.certificate is None else "https"
    print(
        f"Serving {', '.join(readers)} at {scheme}://{arguments.host}:{arguments.port}/ "
        "(Ctrl-C stops).",
        file=sys.stderr,
    )
    try:
        server.run()
    except KeyboardInterrupt:
        pass  # how a person ends it: uvicorn has answered what was under way
    finally:
        runtime.close()
    return 0 if server.started else 1


def _check_openness(host: str, *, tokens_file: Path | None, is_open: bool) -> None:
    """`ConfigError` unless it was said who may read."""
    if tokens_file is not None and is_open:
        raise ConfigError(
            "--no-tokens and REVERSE_ETL_API_TOKENS_FILE contradict each other. Leave one out."
        )
    if tokens_file is None and not is_open:
        raise ConfigError(
            "Nobody is said who may read: set REVERSE_ETL_API_TOKENS_FILE (`reverse-etl token` makes its "
            "lines), or, on your own machine, --no-tokens."
        )
    if is_open and not _is_loopback(host):
        raise ConfigError(
            f"--no-tokens lets everybody read who can connect, and {host} is not a loopback address. Set "
            "REVERSE_ETL_API_TOKENS_FILE."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
