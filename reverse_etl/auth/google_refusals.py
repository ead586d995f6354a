"""Why Google gave no identity token, as our errors; its own texts are never repeated."""

import re
from dataclasses import dataclass
from http import HTTPStatus

import requests
from google.auth import exceptions as auth

from reverse_etl.auth.key_file import LOGIN
from reverse_etl.auth.options import GoogleOidc
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError

_METADATA = "/computeMetadata/"
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What google-auth asked last, and the status of the answer; None if there was none."""

    path: str
    status: int | None

    @property
    def may_pass(self) -> bool:
        """Whether the same question may be answered in a moment."""
        return self.status is None or _may_pass(self.status)


def map_refusal(error: Exception, last: Asked | None, options: GoogleOidc) -> ReverseEtlError:
    """Our error for what google-auth raised after it had asked `last`."""
    if last is not None and last.path.startswith(_METADATA):
        return _map_metadata(last)
    if isinstance(error, auth.DefaultCredentialsError) and options.credentials_file is None:
        return _map_elsewhere()
    return _map_impersonation(error, last)


def _map_elsewhere() -> ReverseEtlError:
    """The first question went to the metadata server's address, and it was not there."""
    return ConfigError(
        "There is no Google identity: Google's metadata server did not answer, so this is not Google Cloud "
        f"(or its network is closed to 169.254.169.254). Locally: {LOGIN}. Outside Google Cloud, inside "
        "AWS: set REVERSE_ETL_AWS_IDENTITY to task_role."
    )


def _map_metadata(last: Asked) -> ReverseEtlError:
    answered = "nothing" if last.status is None else f"HTTP {last.status}"
    if last.status == HTTPStatus.OK:
        return TransientError(
            "What Google's metadata server gave as an identity token is none. Run again; if it goes on, "
            "see what answers at its address."
        )
    if last.may_pass:
        return TransientError(
            f"Google's metadata server is busy or has a fault ({answered}). Run again in a moment."
        )
    if last.path.endswith("/identity"):
        return ConfigError(
            f"Google's metadata server refused an identity token ({answered}). Give this machine a service "
            "account that may have one; on GKE, bind the Kubernetes service account to it by Workload "
            "Identity (roles/iam.workloadIdentityUser)."
        )
    return ConfigError(
        f"This machine of Google Cloud has no service account ({answered}). Attach one: on a VM, gcloud "
        "compute instances set-service-account; on GKE, bind the Kubernetes service account to one by "
        "Workload Identity; on Cloud Run, gcloud run services update --service-account."
    )


def _map_impersonation(error: Exception, last: Asked | None) -> ReverseEtlError:
    """A file was used: its login is renewed first, then the service account is impersonated."""
    status = _find_status(error)
    is_passing = isinstance(
        error, auth.TransportError | auth.TimeoutError | requests.RequestException
    )
    if is_passing or getattr(error, "retryable", False) or (status and _may_pass(status)):
        return TransientError(
            "Google's login service did not answer. Check the network (port 443 to *.googleapis.com); "
            "then run again."
        )
    if status is not None:
        return ConfigError(
            f"Google refused to impersonate the service account (HTTP {status}). Give the login the role "
            "roles/iam.serviceAccountTokenCreator on it, and enable iamcredentials.googleapis.com in its "
            "project."
        )
    if last is not None and last.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED):
        return ConfigError(
            "Google refused the login that GOOGLE_APPLICATION_CREDENTIALS names: it has run out or was "
            f"revoked. Log in again: {LOGIN}."
        )
    return ConfigError(
        "The file that GOOGLE_APPLICATION_CREDENTIALS names gave no identity token "
        f"({type(error).__name__}). Write it again: {LOGIN}."
    )


def _find_status(error: Exception) -> int | None:
    """The HTTP status that IAM's answer holds: google-auth keeps it in a text alone."""
    found = (
        re.search(r"'code': (\d{3})\b", str(error))
        if isinstance(error, auth.RefreshError)
        else None
    )
    return None if found is None else int(found[1])


def _may_pass(status: int) -> bool:
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING
