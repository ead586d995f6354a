"""Who may read which sync: bearer tokens, of which only the SHA-256 is stored.

A token is 32 random bytes, so a plain hash cannot be searched backwards; a password's could.
The file has a line for each: `<name> <64 hexadecimal digits> <sync>[,<sync>...]`, or `*` for all syncs;
empty lines and lines that begin with `#` are left out.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from reverse_etl.errors import ConfigError

ALL_SYNCS = "*"
_PREFIX = "retl_"
_TOKEN_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the bearer of one token may read. `name` is for logs and metrics of whoever runs it."""

    name: str
    digest: bytes = field(repr=False)
    syncs: frozenset[str]

    def allows(self, sync: str) -> bool:
        """Whether the sync is among them."""
        return sync in self.syncs or ALL_SYNCS in self.syncs


@dataclass(frozen=True, slots=True)
class Tokens:
    """All grants."""

    grants: tuple[Grant, ...]

    def find(self, token: bytes) -> Grant | None:
        """The grant of a token. Every grant is compared, each in constant time."""
        digest = hashlib.sha256(token).digest()
        found = None
        for grant in self.grants:
            if hmac.compare_digest(grant.digest, digest):
                found = grant
        return found


def generate_token() -> str:
    """A new token; nobody can show it again."""
    return _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def write_line(name: str, token: str, *, syncs: Iterable[str]) -> str:
    """The line of a token for the file; `ConfigError` when the name is not one."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "A token's name is 1 to 63 letters, digits, dots, dashes and underscores, such as `shop-web`."
        )
    return f"{name} {hashlib.sha256(token.encode()).hexdigest()} {','.join(syncs)}"


def parse_tokens(text: str) -> Tokens:
    """The grants in a file's text; `ConfigError` names the line that is not one, and shows nothing of it."""
    grants: dict[str, Grant] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        grant = _parse_line(line, number)
        if grant.name in grants:
            raise ConfigError(
                f"Line {number} of the tokens' file has the name of an earlier line. A name is used once."
            )
        grants[grant.name] = grant
    if not grants:
        raise ConfigError(
            "The tokens' file grants nothing to anybody. Make a line: reverse-etl token NAME SYNC..."
        )
    return Tokens(tuple(grants.values()))


def read_tokens(path: Path) -> Tokens:
    """The grants of a file; `ConfigError` when it cannot be read, or others could write to it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"REVERSE_ETL_API_TOKENS_FILE names '{path.name}', which cannot be read, or is not ASCII."
        ) from None
    if mode & 0o022:
        raise ConfigError(
            f"The tokens' file '{path.name}' can be changed by others (mode {mode & 0o777:04o}). "
            f"Make it yours: chmod 600 {path.name}"
        )
    return parse_tokens(text)


def _parse_line(line: str, number: int) -> Grant:
    parts = line.split()
    if len(parts) == _PARTS and _NAME.fullmatch(parts[0]) and _DIGEST.fullmatch(parts[1]):
        syncs = frozenset(parts[2].split(","))
        if all(syncs):
            return Grant(name=parts[0], digest=bytes.fromhex(parts[1]), syncs=syncs)
    raise ConfigError(
        f"Line {number} of the tokens' file is not `<name> <64 hexadecimal digits> <sync>[,<sync>...]`. "
        "Make one: reverse-etl token NAME SYNC..."
    )
