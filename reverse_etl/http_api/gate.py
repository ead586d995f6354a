"""Whether a request may read a sync: by its bearer token (RFC 6750), or because nobody is asked for one."""

from http import HTTPStatus

from starlette.types import Scope

from reverse_etl.http_api.problems import ProblemError
from reverse_etl.http_api.tokens import Tokens

_SCHEME = b"bearer "
_CHALLENGE = {"www-authenticate": 'Bearer realm="reverse_etl"'}


class Gate:
    """Looks at a request's token. `tokens` None: whoever can connect may read."""

    def __init__(self, tokens: Tokens | None, *, syncs: frozenset[str]) -> None:
        self._tokens = tokens
        self._syncs = syncs

    def check(self, scope: Scope, sync: str) -> None:
        """Return if the sync may be read, else raise `ProblemError`.

        A sync that is not served and one that the token does not reach are told apart for nobody.
        """
        if sync not in self.find_syncs(scope):
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "There is no such sync here, or this token does not reach it.",
            )

    def find_syncs(self, scope: Scope) -> frozenset[str]:
        """The syncs that the request's token reaches; `ProblemError` without a token of ours."""
        if self._tokens is None:
            return self._syncs
        token = _find_token(scope)
        grant = None if token is None else self._tokens.find(token)
        if grant is None:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "A bearer token of this API is needed: Authorization: Bearer ...",
                headers=_CHALLENGE,
            )
        return frozenset(filter(grant.allows, self._syncs))

    def holds_token(self, scope: Scope) -> bool:
        """Whether the request says who it is, or nobody is asked."""
        try:
            self.find_syncs(scope)
        except ProblemError:
            return False
        return True


def _find_token(scope: Scope) -> bytes | None:
    """The token of the one Authorization header; None when there is none, or more than one."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) != 1 or found[0][: len(_SCHEME)].lower() != _SCHEME:
        return None
    token: bytes = found[0][len(_SCHEME) :].strip()
    return token
