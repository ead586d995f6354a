"""The server's clock: expiration and time travel go by it, and a test may set it."""

import datetime as dt

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Clock:
    """Real time until `moment` is set; then it stands still there."""

    def __init__(self) -> None:
        self.moment: dt.datetime | None = None

    def now(self) -> dt.datetime:
        """The moment at which the server is."""
        return self.moment or dt.datetime.now(dt.UTC)


def to_millis(moment: dt.datetime) -> int:
    """Milliseconds since 1970, as the REST API counts."""
    return (moment - _EPOCH) // dt.timedelta(milliseconds=1)


def from_millis(millis: str | float) -> dt.datetime:
    """The moment so many milliseconds after 1970."""
    return _EPOCH + dt.timedelta(milliseconds=int(millis))
