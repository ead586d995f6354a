"""What was asked of the server, in order, for a test to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Request:
    """One request: `name` is the API's (`jobs.insert`, `tables.get`, `CreateReadSession`, `ReadRows`).

    `status` is what it ended with: an HTTP status, or a gRPC code's name; None while it lasts and when
    it was never answered. `query` and `body` are REST's. `fields` and `restriction` belong to a
    session, `offset` and `rows` (sent so far) to a stream.
    """

    name: str
    method: str = "POST"
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    status: int | str | None = None
    job_id: str | None = None
    table: str | None = None
    session: str | None = None
    stream: str | None = None
    offset: int | None = None
    rows: int = 0
    fields: tuple[str, ...] = ()
    restriction: str = ""


class Log(list[Request]):
    """Every request since the server began."""

    def named(self, *names: str) -> list[Request]:
        """The requests of these names."""
        return [request for request in self if request.name in names]
