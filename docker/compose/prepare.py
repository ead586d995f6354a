"""What the services of docker/compose.yaml need before they start: secrets, sample rows, buckets.

`prepare.py rows` runs first and makes the secrets of this installation, at random and once, and the sample
warehouse; `prepare.py buckets` runs when the S3 server answers. Both may run again: what is there is kept.
"""

import datetime as dt
import hashlib
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from reverse_etl.cache.acl import Grant, Role, build_grant
from reverse_etl.embedded.places import choose_end_date, ensure_masking_key
from reverse_etl.embedded.warehouse import ensure_sample_warehouse
from reverse_etl.http_api.tokens import ALL_SYNCS, generate_token, write_line

SECRETS = Path("/run/secrets")
WAREHOUSE = Path("/var/lib/reverse_etl/warehouse.duckdb")
#: The syncs of the package's own defs folder, which the sample warehouse is for.
SYNCS = ("user_profile", "user_stats")
#: Where versions land, and what steps print.
BUCKETS = ("reverse-etl", "dagster-logs")

_USERS, _EVENTS = 20_000, 200_000
# Everybody in the group may read: databases run as users of their own, and are in it (group_add).
_FOLDER_MODE, _MODE, _PRIVATE_MODE = 0o750, 0o440, 0o400


def make_secrets(folder: Path, *, redis_host: str = "valkey:6379") -> None:
    """A random password for each server, in the form that each reads; nothing is made anew.

    Below `pipeline` and `reader` lie those that become variables (docker/with-secrets).
    """
    if (folder / "made").exists():
        return
    writer, reader, token = secrets.token_urlsafe(24), secrets.token_urlsafe(24), generate_token()
    # The folders first: a start that was cut short begins again, and overwrites what it had made.
    for part in ("pipeline", "reader", "servers"):
        (folder / part).mkdir(mode=_FOLDER_MODE, exist_ok=True)
    key_id, key = "K" + secrets.token_hex(9).upper(), secrets.token_urlsafe(30)
    acl = [
        # Says PONG to the health check, and nothing else.
        "user default on nopass resetkeys resetchannels -@all +ping",
        _write_user("writer", writer, build_grant(Role.WRITER, SYNCS)),
        _write_user("reader", reader, build_grant(Role.READER, SYNCS)),
    ]
    for part in ("pipeline", "reader"):
        _write(folder / part / "AWS_ACCESS_KEY_ID", key_id)
        _write(folder / part / "AWS_SECRET_ACCESS_KEY", key)
    _write(folder / "pipeline" / "DAGSTER_POSTGRES_PASSWORD", secrets.token_urlsafe(24))
    _write(folder / "pipeline" / "REVERSE_ETL_REDIS_URL", f"redis://writer:{writer}@{redis_host}/0")
    _write(folder / "reader" / "REVERSE_ETL_REDIS_URL", f"redis://reader:{reader}@{redis_host}/0")
    _write(folder / "reader" / "tokens", write_line("trial", token, syncs=[ALL_SYNCS]))
    _write(folder / "reader" / "token", token)
    _write(folder / "servers" / "valkey.acl", "\n".join(acl) + "\n")
    ensure_masking_key(folder / "masking.key")
    (folder / "masking.key").chmod(_PRIVATE_MODE)
    _write(folder / "made", "")


def make_rows(warehouse: Path) -> None:
    """The sample warehouse, up to today."""
    ensure_sample_warehouse(
        warehouse, users=_USERS, events=_EVENTS, end_date=choose_end_date(dt.datetime.now(dt.UTC))
    )


def make_buckets(endpoint_url: str, *, region: str) -> None:
    """The buckets, unless they are there."""
    import boto3  # noqa: PLC0415 - the other command does without
    from botocore.exceptions import ClientError  # noqa: PLC0415

    client = boto3.client("s3", endpoint_url=endpoint_url, region_name=region)
    # The first of AWS' regions is the one that has no name here.
    named = region != "us-east-1"
    place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if named else {}
    for bucket in BUCKETS:
        try:
            client.create_bucket(Bucket=bucket, **place)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
                raise
    client.close()


def _write_user(name: str, password: str, grant: Grant) -> str:
    """A line of an ACL file; it holds the password's SHA-256 alone, as the server does."""
    rules = grant.render_access_string().split(" ", 1)[1]
    return f"user {name} on #{hashlib.sha256(password.encode()).hexdigest()} resetkeys {rules}"


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w") as file:
        file.write(text)


def main(arguments: Sequence[str]) -> int:
    """Do one of the two."""
    if list(arguments) == ["rows"]:
        make_secrets(SECRETS)
        make_rows(WAREHOUSE)
    elif list(arguments) == ["buckets"]:
        make_buckets(
            os.environ["REVERSE_ETL_S3_ENDPOINT_URL"], region=os.environ["REVERSE_ETL_S3_REGION"]
        )
    else:
        print("prepare.py: rows or buckets", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
