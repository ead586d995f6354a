"""A secret out of AWS Secrets Manager, with the same keyless session that S3 is asked with."""

import contextlib

from botocore import exceptions as boto
from botocore.config import Config
from botocore.parsers import ResponseParserError

from reverse_etl.auth.aws_secret_refusals import garbled_error, map_refusal, map_transport
from reverse_etl.auth.boto import Provide, build_session
from reverse_etl.auth.options import AwsSecret
from reverse_etl.auth.secret_text import read_secret_text

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
)


def fetch_aws_secret(options: AwsSecret, credentials: Provide) -> str:
    """The secret's text; asked for up to three times.

    `ConfigError` says which permission or secret is missing; `TransientError` when it may pass.
    Errors of `credentials` pass as they are.
    """
    version = {} if options.version_id is None else {"VersionId": options.version_id}
    try:
        session = build_session(credentials, options.region)
        client = session.client("secretsmanager", endpoint_url=options.endpoint_url, config=_CONFIG)
        with contextlib.closing(client):
            answer = client.get_secret_value(SecretId=options.secret_id, **version)
    except boto.ClientError as error:
        raise map_refusal(error, options) from None
    except (boto.BotoCoreError, ResponseParserError, KeyError, OSError, ValueError) as error:
        raise map_transport(error, options) from None
    content = answer.get("SecretString")
    if content is None:
        content = answer.get("SecretBinary")
    if content is None:
        raise garbled_error(options)
    return read_secret_text(
        content.encode() if isinstance(content, str) else content,
        place=f"Secret '{options.secret_id}'",
    )
