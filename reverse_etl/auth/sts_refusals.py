"""What STS and the way to it refuse, as our errors: which side it was, and what to look at.

The texts of AWS are read, never repeated; the token is in no message, its claims are.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from reverse_etl.auth.id_token import IdToken, quote_claim
from reverse_etl.auth.options import GoogleOidc
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError

_ADDRESS = "REVERSE_ETL_STS_ENDPOINT_URL"
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What STS answered, and to what. `message` is AWS' own, to be read only."""

    code: str
    message: str
    status: int
    token: IdToken
    options: GoogleOidc

    @property
    def claims(self) -> str:
        """A sentence that tells what the token says."""
        return f"Google's token says: {self.token.describe()}."


@contextmanager
def map_refusals(token: IdToken, options: GoogleOidc) -> Iterator[None]:
    """Turn what botocore raises into ours."""
    try:
        yield
    except boto.ClientError as error:
        raise map_refusal(read_refusal(error, token, options)) from None
    except (boto.BotoCoreError, ResponseParserError, KeyError, OSError, ValueError) as error:
        raise _map_transport(error, options) from None


def read_refusal(error: boto.ClientError, token: IdToken, options: GoogleOidc) -> Refusal:
    """What the client kept of the answer."""
    said = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    return Refusal(
        code=str(said.get("Code") or ""),
        message=str(said.get("Message") or ""),
        status=int(metadata.get("HTTPStatusCode", HTTPStatus.INTERNAL_SERVER_ERROR)),
        token=token,
        options=options,
    )


def map_refusal(refusal: Refusal) -> ReverseEtlError:
    """Our error for an answer of STS."""
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR or refusal.status in _PASSING:
        return _map_busy(refusal)
    return _BY_CODE.get(refusal.code, _map_other)(refusal)


def _map_access(refusal: Refusal) -> ReverseEtlError:
    token = refusal.token
    return ConfigError(
        f"AWS refused (AccessDenied): role '{refusal.options.role_arn}' does not exist, or its trust "
        f"policy does not let this identity in. {refusal.claims} In the trust policy, Principal.Federated "
        "has to be accounts.google.com, and under StringEquals "
        f"accounts.google.com:sub {quote_claim(token.sub)}, "
        f"accounts.google.com:oaud {quote_claim(token.aud)}, and accounts.google.com:aud, if it is there "
        f"at all, {quote_claim(token.aws_aud)}. Correct the policy, REVERSE_ETL_AWS_ROLE_ARN or "
        "REVERSE_ETL_OIDC_AUDIENCE, or run as the service account that the policy names."
    )


def _map_invalid_token(refusal: Refusal) -> ReverseEtlError:
    if "verification key" in refusal.message:
        return TransientError(
            "AWS could not get Google's key to verify the identity token with (InvalidIdentityToken). "
            f"{refusal.claims} Run again in a moment; if it goes on, the token is not signed by Google."
        )
    return ConfigError(
        f"AWS refused Google's identity token as invalid (InvalidIdentityToken). {refusal.claims} A token "
        "of Google has iss 'https://accounts.google.com', and a sub and an aud: see what answers at the "
        "metadata server's address, and whether GOOGLE_APPLICATION_CREDENTIALS names the right file. "
        "AWS knows Google by itself: remove an IAM identity provider for accounts.google.com."
    )


def _map_expired_token(refusal: Refusal) -> ReverseEtlError:
    return TransientError(
        f"AWS refused Google's identity token as expired (ExpiredToken), though it was fetched just "
        f"now. {refusal.claims} Run again; if it goes on, whatever hands out the token hands out old "
        "ones."
    )


def _map_rejected_claim(refusal: Refusal) -> ReverseEtlError:
    return ConfigError(
        f"Google did not confirm the identity token to AWS (IDPRejectedClaim). {refusal.claims} See "
        "whether the service account is still enabled."
    )


def _map_provider_away(refusal: Refusal) -> ReverseEtlError:
    return TransientError(
        f"AWS could not reach Google to verify the identity token (IDPCommunicationError). "
        f"{refusal.claims} Run again in a moment."
    )


def _map_region(refusal: Refusal) -> ReverseEtlError:
    return ConfigError(
        f"AWS refused: STS is not activated in region '{refusal.options.region}' for the account of role "
        f"'{refusal.options.role_arn}' (RegionDisabled). Activate it in IAM's account settings, or set "
        "REVERSE_ETL_S3_REGION to a region where it is."
    )


def _map_validation(refusal: Refusal) -> ReverseEtlError:
    asked = refusal.options.session_seconds
    if "DurationSeconds" in refusal.message or "durationSeconds" in refusal.message:
        return ConfigError(
            f"AWS refused: a session of {asked} seconds is longer than role "
            f"'{refusal.options.role_arn}' allows (ValidationError). Lower "
            "REVERSE_ETL_AWS_SESSION_SECONDS, or raise the role's maximum session duration."
        )
    return ConfigError(
        "AWS refused the request as malformed (ValidationError): the role's ARN, the session's name or "
        f"the token is not as STS takes it. {refusal.claims} Check REVERSE_ETL_AWS_ROLE_ARN and "
        "REVERSE_ETL_ENVIRONMENT."
    )


def _map_packed(refusal: Refusal) -> ReverseEtlError:
    return ConfigError(
        f"AWS refused: policies and tags of the session are too large together (PackedPolicyTooLarge). "
        f"None are asked for here: see what tags the token brings along. {refusal.claims}"
    )


def _map_busy(refusal: Refusal) -> ReverseEtlError:
    return TransientError(
        f"STS in region '{refusal.options.region}' is busy or has a fault of its own"
        f"{_label(refusal)}. Run again in a moment."
    )


def _map_other(refusal: Refusal) -> ReverseEtlError:
    return ConfigError(
        f"AWS refused to give a session of role '{refusal.options.role_arn}'{_label(refusal)}. "
        f"{refusal.claims} Check the role, its trust policy, and {_ADDRESS}."
    )


def _label(refusal: Refusal) -> str:
    """Code and status in brackets; only a plain word passes as a code."""
    parts = [refusal.code] if re.fullmatch(r"[A-Za-z.]{1,64}", refusal.code) else []
    return f" ({', '.join([*parts, f'HTTP {refusal.status}'])})"


def _map_transport(error: Exception, options: GoogleOidc) -> ReverseEtlError:
    place = options.endpoint_url or f"region '{options.region}'"
    kind = type(error).__name__
    # Before what it is a kind of: a connection that failed.
    if isinstance(error, boto.SSLError):
        return ConfigError(
            f"No trusted TLS connection to STS could be made ({place}). Check {_ADDRESS}, "
            "REVERSE_ETL_S3_CA_FILE, proxies, and the certificates of this machine."
        )
    # An answer of well-formed XML from somebody else is a KeyError in botocore's parser.
    if isinstance(
        error, (boto.ConnectionError, boto.HTTPClientError, ResponseParserError, KeyError)
    ):
        return TransientError(
            f"STS could not be reached or did not answer as it should ({place}; {kind}). Check the "
            f"network and {_ADDRESS}; then run again."
        )
    return ConfigError(
        f"STS could not be asked ({place}; {kind}). Check REVERSE_ETL_S3_REGION, {_ADDRESS} and "
        "REVERSE_ETL_S3_CA_FILE."
    )


_BY_CODE: Mapping[str, Callable[[Refusal], ReverseEtlError]] = {
    "AccessDenied": _map_access,
    "AccessDeniedException": _map_access,
    "InvalidIdentityToken": _map_invalid_token,
    "ExpiredToken": _map_expired_token,
    "ExpiredTokenException": _map_expired_token,
    "IDPRejectedClaim": _map_rejected_claim,
    "IDPCommunicationError": _map_provider_away,
    "RegionDisabledException": _map_region,
    "RegionDisabled": _map_region,
    "ValidationError": _map_validation,
    "PackedPolicyTooLarge": _map_packed,
    "Throttling": _map_busy,
    "ThrottlingException": _map_busy,
    "RequestLimitExceeded": _map_busy,
}
