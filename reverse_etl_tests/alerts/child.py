"""A deliverer in a process of its own, which dies where it is told: `child.py FOLDER PORT WHERE`."""

import os
import sys
from pathlib import Path

from reverse_etl.alerts.delivery import Deliverer
from reverse_etl.alerts.model import Alert
from reverse_etl.alerts.outbox import Outbox
from reverse_etl.alerts.outcome import Outcome
from reverse_etl.alerts.webhook import WebhookChannel
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl_tests.alerts.scenes import SlowClock, build_target

#: How a process ends that nobody asked to.
KILLED = 9


class _Deadly(WebhookChannel):
    """Dies before it sends, or after."""

    where = ""

    def send(self, alert: Alert) -> Outcome:
        if self.where == "claimed":
            os._exit(KILLED)
        outcome = super().send(alert)
        if self.where == "sent":
            os._exit(KILLED)
        return outcome


def main() -> None:
    """One round."""
    folder, port, where = sys.argv[1:]
    channel = _Deadly(build_target(int(port)), None)
    channel.where = where
    outbox = Outbox(DirectoryStore(Path(folder)))
    Deliverer(outbox=outbox, channels=(channel,), now=SlowClock()).deliver()
    if where == "marked":
        os._exit(KILLED)


if __name__ == "__main__":
    main()
