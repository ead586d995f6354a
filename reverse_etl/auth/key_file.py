"""The file that GOOGLE_APPLICATION_CREDENTIALS names: what kind it is, and whether it will do.

Only its `type` is read. google-auth passes over kinds that it cannot use without a word, and would
then take the machine's own identity: that is refused here.
"""

import json
from pathlib import Path

from reverse_etl.errors import ConfigError

_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_IMPERSONATED = "impersonated_service_account"
_PRIVATE_KEY = "service_account"

#: What works on a laptop, for every message that needs it.
LOGIN = (
    "gcloud auth application-default login --impersonate-service-account=NAME@PROJECT.iam."
    f"gserviceaccount.com, and set {_VARIABLE} to the file that it writes"
)
_INSTEAD = (
    f"Use an identity that is not stored: on Google Cloud unset {_VARIABLE} and attach a service "
    f"account; locally: {LOGIN}."
)


def check_credentials_file(path: Path, *, refuse_key_file: bool) -> None:
    """`ConfigError` unless google-auth makes identity tokens of this file, and is allowed to."""
    kind = _read_kind(path)
    if kind == _IMPERSONATED or (kind == _PRIVATE_KEY and not refuse_key_file):
        return
    if kind == _PRIVATE_KEY:
        raise key_file_error()
    if kind == "authorized_user":
        raise ConfigError(
            f"The file that {_VARIABLE} names is a person's login (type authorized_user), and a person has "
            f"no identity token for AWS. {_INSTEAD}"
        )
    if kind == "external_account":
        raise ConfigError(
            f"The file that {_VARIABLE} names is a workload identity configuration (type "
            "external_account), of which google-auth makes no identity tokens. Let it impersonate a "
            f"service account in a file of type {_IMPERSONATED}, or run on Google Cloud. {_INSTEAD}"
        )
    raise ConfigError(
        f"The file that {_VARIABLE} names is of no type that identity tokens are made of. {_INSTEAD}"
    )


def key_file_error() -> ConfigError:
    """The refusal of a private key that somebody stored."""
    return ConfigError(
        f"The file that {_VARIABLE} names holds a service account's private key (type {_PRIVATE_KEY}), "
        f"which is refused: whoever copies it is the service account. {_INSTEAD}"
    )


def _read_kind(path: Path) -> object:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"The file that {_VARIABLE} names cannot be read ({type(error).__name__}). {_INSTEAD}"
        ) from None
    except ValueError:  # whose text may quote the file
        content = None
    return content.get("type") if isinstance(content, dict) else None
