"""Why Google gave no secret, as our errors; its own texts are read, never repeated."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import requests
from google.auth import exceptions as auth

from reverse_etl.auth.options import GoogleSecret
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError

_SERVICE = "Google Secret Manager"
_ADDRESS = "REVERSE_ETL_MASKING_KEY_SECRET_ENDPOINT_URL"
_LOGIN = (
    "On Google Cloud: attach a service account. Locally: gcloud auth application-default login. "
    "Inside AWS: keep the key in Secrets Manager (aws-secret://...)."
)
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_WRONG_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    UnicodeError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """An answer that is no secret: its HTTP status, Google's words for it, and who had asked."""

    status: int
    code: str
    reason: str
    account: str | None

    @classmethod
    def of(cls, status: int, document: Mapping[str, Any], *, account: str | None) -> Self:
        """What the answer says; '' for what it does not."""
        said = document.get("error")
        error = said if isinstance(said, dict) else {}
        details = error.get("details")
        reasons = (
            str(detail["reason"])
            for detail in (details if isinstance(details, list) else [])
            if isinstance(detail, dict) and "reason" in detail
        )
        return cls(
            status=status,
            code=str(error.get("status") or ""),
            reason=next(reasons, ""),
            account=account,
        )

    @property
    def who(self) -> str:
        """Whom Google refused, for a sentence."""
        return "this identity" if self.account is None else f"service account '{self.account}'"


def map_answer(denial: Denial, options: GoogleSecret) -> ReverseEtlError:
    """Our error for an answer that is not the secret."""
    if denial.status >= HTTPStatus.INTERNAL_SERVER_ERROR or denial.status in _PASSING:
        return TransientError(
            f"{_SERVICE} is busy or has a fault of its own (HTTP {denial.status}). Run again in a moment."
        )
    match denial.status:
        case HTTPStatus.FORBIDDEN:
            return _map_forbidden(denial, options)
        case HTTPStatus.NOT_FOUND:
            return ConfigError(
                f"{_SERVICE} has no '{options.name}' (NOT_FOUND). Correct REVERSE_ETL_MASKING_KEY_SECRET, or "
                "make the secret: gcloud secrets create."
            )
        case HTTPStatus.UNAUTHORIZED:
            return ConfigError(
                f"{_SERVICE} does not accept the Google credentials (UNAUTHENTICATED). {_LOGIN}"
            )
        case HTTPStatus.BAD_REQUEST if denial.code == "FAILED_PRECONDITION":
            return ConfigError(
                f"The secret's version '{options.name}' is disabled or destroyed (FAILED_PRECONDITION). "
                "Enable it (gcloud secrets versions enable), or name another version in "
                "REVERSE_ETL_MASKING_KEY_SECRET. Without its key nobody is found in versions made with it."
            )
    return ConfigError(
        f"{_SERVICE} refused '{options.name}' (HTTP {denial.status}). Check "
        f"REVERSE_ETL_MASKING_KEY_SECRET and {_ADDRESS}."
    )


def map_login(error: Exception, options: GoogleSecret, *, may_pass: bool) -> ReverseEtlError:
    """Our error for what google-auth raised before the secret could be asked for.

    `may_pass`: nobody answered its last question, or somebody who was busy.
    """
    if isinstance(error, auth.DefaultCredentialsError):
        return ConfigError(
            f"There is no Google identity to fetch '{options.name}' with: google-auth found neither a "
            f"metadata server nor a login. {_LOGIN}"
        )
    if may_pass:
        return TransientError(
            f"Google's login service did not answer, so '{options.name}' was not fetched. Check the "
            "network; then run again."
        )
    return ConfigError(
        f"The Google credentials are refused, have run out, or cannot be read ({type(error).__name__}), so "
        f"'{options.name}' was not fetched. {_LOGIN}"
    )


def map_transport(error: Exception, options: GoogleSecret) -> ReverseEtlError:
    """Our error for a request that nobody answered."""
    if isinstance(error, requests.exceptions.SSLError):
        return ConfigError(
            f"No trusted TLS connection to {_SERVICE} could be made. Check {_ADDRESS}, proxies, and the "
            "certificates of this machine."
        )
    if isinstance(error, _WRONG_ADDRESS):
        return ConfigError(f"{_SERVICE} could not be asked: {_ADDRESS} is no address. Correct it.")
    return TransientError(
        f"{_SERVICE} did not answer at '{options.endpoint_url}' ({type(error).__name__}). Check the network "
        f"and {_ADDRESS}; then run again."
    )


def garbled_error(options: GoogleSecret, what: str) -> TransientError:
    """The refusal of an answer that is not as Google sends it."""
    return TransientError(
        f"What {_SERVICE} answered for '{options.name}' {what}, so it is not used. Run again; if it goes on, "
        f"see what answers at '{options.endpoint_url}'."
    )


def _map_forbidden(denial: Denial, options: GoogleSecret) -> ReverseEtlError:
    if denial.reason == "SERVICE_DISABLED":
        return ConfigError(
            f"{_SERVICE}'s API is not enabled in the project of '{options.name}' (SERVICE_DISABLED). "
            "gcloud services enable secretmanager.googleapis.com --project PROJECT."
        )
    if denial.reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
        return ConfigError(
            f"The token of {denial.who} may not be used for {_SERVICE} "
            "(ACCESS_TOKEN_SCOPE_INSUFFICIENT). Give this machine the scope cloud-platform."
        )
    return ConfigError(
        f"{_SERVICE} does not let {denial.who} read '{options.name}' (PERMISSION_DENIED): it lacks "
        "secretmanager.versions.access, or the secret does not exist. Grant "
        "roles/secretmanager.secretAccessor on this secret alone: gcloud secrets "
        "add-iam-policy-binding."
    )
