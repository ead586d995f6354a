"""`reverse-etl token`: a new bearer token for the HTTP API, shown once, and the line that grants it."""

import argparse
import json

from reverse_etl.http_api.tokens import ALL_SYNCS, generate_token, write_line
from reverse_etl.landing.layout import check_sync_name


def execute(arguments: argparse.Namespace) -> int:
    """Print both; nothing is stored."""
    for sync in arguments.syncs:
        if sync != ALL_SYNCS:
            check_sync_name(sync)
    token = generate_token()
    line = write_line(arguments.name, token, syncs=arguments.syncs)
    if arguments.json:
        print(json.dumps({"token": token, "line": line}))
    else:
        print(f"Token, for the application alone (it cannot be shown again):\n  {token}")
        print(f"Line for the file that REVERSE_ETL_API_TOKENS_FILE names:\n  {line}")
    return 0
