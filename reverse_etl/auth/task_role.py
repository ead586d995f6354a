"""The role of the ECS task (or EKS pod): its container endpoint, and no other place."""

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from botocore.credentials import ContainerProvider
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
)
from botocore.httpsession import URLLib3Session
from botocore.utils import ContainerMetadataFetcher

from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl.model import AwsCredentials
from reverse_etl.quiet import keep_secrets_out_of_logs

_ADDRESS = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_BUSY = (408, 429)


def obtain_task_role() -> AwsCredentials:
    """The task's session of the moment; `ConfigError` outside a task, `TransientError` if it may pass."""
    keep_secrets_out_of_logs()
    with contextlib.closing(URLLib3Session(timeout=_Fetcher.TIMEOUT_SECONDS)) as session:
        fetcher = _Fetcher(session)
        with _map_refusals(fetcher):
            # botocore would keep what it loads, and fetch it once more if it ended within a quarter
            # of an hour: the answer is taken from under it.
            loaded = ContainerProvider(fetcher=fetcher).load()
    if loaded is None:
        raise ConfigError(
            "REVERSE_ETL_AWS_IDENTITY is task_role, and this is no ECS task with a role: neither "
            f"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor {_ADDRESS} is set. Give the task definition a "
            "taskRoleArn, or use google_oidc."
        )
    return _read_session(fetcher.answer)


class _Fetcher(ContainerMetadataFetcher):  # type: ignore[misc]
    """botocore's own, which remembers what was answered."""

    def __init__(self, session: URLLib3Session) -> None:
        super().__init__(session=session)
        self.answer: Any = None

    def retrieve_full_uri(self, full_url: str, headers: dict[str, str] | None = None) -> Any:
        """What the endpoint answers, from a host that botocore allows."""
        self.answer = super().retrieve_full_uri(full_url, headers=headers)
        return self.answer


@contextlib.contextmanager
def _map_refusals(fetcher: _Fetcher) -> Iterator[None]:
    try:
        yield
    except CredentialRetrievalError as error:  # whose text may quote the answer
        raise _map_answer(str(error)) from None
    except (BotoCoreError, OSError, KeyError, TypeError, ValueError) as error:
        if fetcher.answer is not None:
            raise _no_session() from None
        raise ConfigError(
            f"The task's credentials could not be asked for ({type(error).__name__}). {_ADDRESS} has to be "
            "https, or on this machine, and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE a file that can be "
            "read, of one line."
        ) from None


def _map_answer(text: str) -> ReverseEtlError:
    found = re.search(r"non 200 response (\d{3})\b", text)
    status = int(found[1]) if found else None
    if status is not None and 400 <= status < 500 and status not in _BUSY:  # noqa: PLR2004
        return ConfigError(
            f"The task's credentials endpoint refused (HTTP {status}). See that the task has a role, and "
            "that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names the token of this task."
        )
    return TransientError(
        f"The task's credentials endpoint did not answer as it should"
        f"{f' (HTTP {status})' if status else ''}. Run again in a moment."
    )


def _read_session(answer: Any) -> AwsCredentials:
    try:
        return AwsCredentials(
            access_key_id=answer["AccessKeyId"],
            secret_access_key=answer["SecretAccessKey"],
            session_token=answer["Token"],
            expires_at=dt.datetime.fromisoformat(answer["Expiration"]).astimezone(dt.UTC),
        )
    except (KeyError, TypeError, ValueError):
        raise _no_session() from None


def _no_session() -> TransientError:
    return TransientError(
        "What the task's credentials endpoint answered is no session. Run again; if it goes on, see "
        f"what {_ADDRESS} names."
    )
