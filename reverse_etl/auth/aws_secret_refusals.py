"""Why AWS gave no secret, as our errors; its own texts are read, never repeated."""

import re
from http import HTTPStatus

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from reverse_etl.auth.options import AwsSecret
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError

_SERVICE = "AWS Secrets Manager"
_ADDRESS = "REVERSE_ETL_MASKING_KEY_SECRET_ENDPOINT_URL"
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_THROTTLED = frozenset({"ThrottlingException", "Throttling", "RequestLimitExceeded"})
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})
_UNKNOWN_CALLER = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "ExpiredTokenException",
        "ExpiredToken",
        "IncompleteSignature",
        "MissingAuthenticationToken",
    }
)


def map_refusal(error: boto.ClientError, options: AwsSecret) -> ReverseEtlError:
    """Our error for an answer that is not the secret."""
    said = error.response.get("Error", {})
    code, message = str(said.get("Code") or ""), str(said.get("Message") or "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    label = code if re.fullmatch(r"[A-Za-z]{1,64}", code) else f"HTTP {status}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING or code in _THROTTLED:
        return TransientError(
            f"{_SERVICE} in region '{options.region}' is busy or has a fault of its own ({label}). Run "
            "again in a moment."
        )
    if code in _DENIED or code == "DecryptionFailure":
        return _map_denied(options, label, is_kms=code == "DecryptionFailure" or "KMS" in message)
    if code == "ResourceNotFoundException":
        return ConfigError(
            f"{_SERVICE} has no secret '{options.secret_id}', or not that version of it, in region "
            f"'{options.region}' ({label}). Correct REVERSE_ETL_MASKING_KEY_SECRET, or create the secret."
        )
    if code == "InvalidRequestException":
        return ConfigError(
            f"Secret '{options.secret_id}' is marked for deletion, or has no current version ({label}). "
            "Restore it (aws secretsmanager restore-secret), or name another. Without its key nobody is "
            "found in versions made with it."
        )
    if code in _UNKNOWN_CALLER:
        return ConfigError(
            f"{_SERVICE} does not accept the AWS credentials ({label}). Look at the way to AWS: "
            "reverse-etl doctor --auth; and at this machine's clock."
        )
    return ConfigError(
        f"{_SERVICE} refused secret '{options.secret_id}' ({label}). Check REVERSE_ETL_MASKING_KEY_SECRET "
        f"and {_ADDRESS}."
    )


def map_transport(error: Exception, options: AwsSecret) -> ReverseEtlError:
    """Our error for a request that nobody answered as AWS does."""
    place = options.endpoint_url or f"region '{options.region}'"
    kind = type(error).__name__
    # Before what it is a kind of: a connection that failed.
    if isinstance(error, boto.SSLError):
        return ConfigError(
            f"No trusted TLS connection to {_SERVICE} could be made ({place}). Check {_ADDRESS}, proxies, "
            "and the certificates of this machine."
        )
    if isinstance(
        error, boto.ConnectionError | boto.HTTPClientError | ResponseParserError | KeyError
    ):
        return TransientError(
            f"{_SERVICE} could not be reached or did not answer as it should ({place}; {kind}). Check the "
            f"network and {_ADDRESS}; then run again."
        )
    return ConfigError(
        f"{_SERVICE} could not be asked ({place}; {kind}). Check REVERSE_ETL_MASKING_KEY_SECRET and "
        f"{_ADDRESS}."
    )


def garbled_error(options: AwsSecret) -> TransientError:
    """The refusal of an answer that holds no secret."""
    return TransientError(
        f"What {_SERVICE} answered for '{options.secret_id}' holds no secret. Run again; if it goes on, "
        f"see what answers at {_ADDRESS}."
    )


def _map_denied(options: AwsSecret, label: str, *, is_kms: bool) -> ConfigError:
    if is_kms:
        return ConfigError(
            f"{_SERVICE} may not decrypt secret '{options.secret_id}' for this role ({label}). Grant the "
            "role kms:Decrypt on the key that encrypts the secret, in the key's own policy too."
        )
    return ConfigError(
        f"{_SERVICE} does not let this role read secret '{options.secret_id}' in region "
        f"'{options.region}' ({label}). Allow the role secretsmanager:GetSecretValue on this secret alone, "
        "and kms:Decrypt if a key of your own encrypts it."
    )
