"""What was asked of a server: counts for benchmarks, a list of requests for tests."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SECRET = frozenset({"authorization", "x-amz-security-token"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request and how it ended. `status` is 0 where the connection was reset in place of an answer.

    `code` is S3's word for an error. `headers` are those of the request, less what signs it.
    """

    operation: str
    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    status: int
    code: str
    bytes_in: int
    access_key_id: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class Counts:
    """How much was asked. `most_in_flight`: requests that were being answered at the same moment."""

    operations: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def begin(self) -> None:
        """A request is being answered."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        """It is not any more."""
        self.in_flight -= 1

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            "operations": dict(self.operations),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "connections": self.connections,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }


def hide_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that let somebody in."""
    return {name: value for name, value in headers.items() if name not in _SECRET}
