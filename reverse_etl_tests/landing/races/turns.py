"""Threads that make their store calls one at a time, in an order that a test decides."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.store import ObjectStore

#: By actor, the call that it is about to make.
Pending = Mapping[str, str]
Choose = Callable[[Pending], str]
#: Called with what was done.
Look = Callable[[str], None]
# Of a test that hangs; none of these calls takes a second.
_PATIENCE_SECONDS = 60.0
_WITHOUT_TURN = {"stop", "close"}


@dataclass(slots=True)
class Outcome:
    """How an actor ended: with a value, or with an error of ours."""

    value: Any = None
    error: ReverseEtlError | None = None


@dataclass(slots=True)
class Turns:
    """Runs actors; whenever all of them wait before a call, `choose` says who makes it.

    `look` is called after every call, while nobody makes one; what it raises, `run` raises.
    """

    choose: Choose
    look: Look = lambda _: None
    trace: list[tuple[str, Pending]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _pending: dict[str, list[str]] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)
    _granted: str | None = None
    _is_busy: bool = False
    _is_free: bool = False
    _harm: BaseException | None = None

    def run(self, actors: Mapping[str, Callable[[], Any]]) -> dict[str, Outcome]:
        """Every actor in a thread of its own, to their ends; how each of them ended."""
        outcomes = {name: Outcome() for name in actors}
        self._pending = {name: [] for name in actors}
        self._running = set(actors)
        threads = [
            threading.Thread(target=self._act, args=(name, act, outcomes[name]))
            for name, act in actors.items()
        ]
        for thread in threads:
            thread.start()
        try:
            while self._grant_next():
                pass
        finally:
            with self._changed:
                self._is_free = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()
        if self._harm is not None:
            raise self._harm
        return outcomes

    def take(self, actor: str, label: str, call: Callable[[], Any]) -> Any:
        """Make a call when it is the actor's turn."""
        with self._changed:
            self._pending[actor].append(label)
            self._changed.notify_all()
            self._await(lambda: self._is_free or (self._granted == actor and not self._is_busy))
            self._pending[actor].remove(label)
            self._granted, self._is_busy = None, True
        try:
            return call()
        finally:
            self._end_call(f"{actor}: {label}")

    def _act(self, name: str, act: Callable[[], Any], outcome: Outcome) -> None:
        try:
            outcome.value = act()
        except ReverseEtlError as error:
            outcome.error = error
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            self._harm = self._harm or error
        with self._changed:
            self._running.discard(name)
            self._changed.notify_all()

    def _grant_next(self) -> bool:
        with self._changed:
            self._await(self._is_still)
            if self._harm is not None or not self._running:
                return False
            pending = {name: self._pending[name][0] for name in sorted(self._running)}
            chosen = self.choose(pending)
            self.trace.append((chosen, pending))
            self._granted = chosen
            self._changed.notify_all()
            return True

    def _is_still(self) -> bool:
        waiting = all(self._pending[name] for name in self._running)
        return waiting and self._granted is None and not self._is_busy

    def _end_call(self, label: str) -> None:
        try:
            if self._harm is None:
                self.look(label)
        except AssertionError as error:
            self._harm = error
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()

    def _await(self, condition: Callable[[], bool]) -> None:
        if not self._changed.wait_for(condition, _PATIENCE_SECONDS):
            raise AssertionError("An actor neither calls its store nor ends.")


class StoreInTurns:
    """A store whose calls are an actor's turns; several names are removed one by one.

    An actor's own calls come one after the other, so that an order can be played again; but with
    `at_once` it makes as many together as the store can use.
    """

    def __init__(
        self, inner: ObjectStore, turns: Turns, actor: str, *, at_once: bool = False
    ) -> None:
        self._inner = inner
        self._turns = turns
        self._actor = actor
        self.concurrency = inner.concurrency if at_once else 1

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name in _WITHOUT_TURN:
            return found

        def call(*args: Any, **options: Any) -> Any:
            # What a label does not show: bodies, and so metadata and etags.
            label = f"{name} {args[0] if args else ''}"
            return self._turns.take(self._actor, label, lambda: found(*args, **options))

        return call

    def list_objects(self, prefix: str, **ends: Any) -> Iterator[Any]:
        """A listing is of one moment."""
        listed = self._turns.take(
            self._actor,
            f"list_objects {prefix}",
            lambda: list(self._inner.list_objects(prefix, **ends)),
        )
        return iter(listed)

    def delete(self, names: Any) -> None:
        """No store promises that several go at once."""
        for name in names:
            self._turns.take(
                self._actor, f"delete {name}", lambda one=name: self._inner.delete([one])
            )

    def flush(self) -> None:
        """No power is lost here."""
        self._turns.take(self._actor, "flush", lambda: None)


def explore(act: Callable[[Choose], Turns], *, switches: int) -> int:
    """Play every order with up to so many switches away from an actor that could have gone on.

    `act` plays one order, from the beginning, on a store of its own. Returns how many there were.
    """
    played = 0
    open_orders: list[tuple[str, ...]] = [()]
    while open_orders:
        order = open_orders.pop()
        turns = act(_follow(order))
        played += 1
        taken = [chosen for chosen, _ in turns.trace]
        assert tuple(taken[: len(order)]) == order, "The same order has to lead to the same calls."
        for place in range(len(order), len(taken)):
            for other in turns.trace[place][1]:
                begun = (*taken[:place], other)
                if other != taken[place] and _count_switches(begun, turns) <= switches:
                    open_orders.append(begun)
    return played


def _follow(order: tuple[str, ...]) -> Choose:
    """This order, and from its end on whoever had the last turn, as long as there is something to do."""
    remaining = list(order)
    last: list[str] = []

    def choose(pending: Pending) -> str:
        goes_on = last[-1] if last and last[-1] in pending else min(pending)
        last.append(remaining.pop(0) if remaining else goes_on)
        return last[-1]

    return choose


def _count_switches(order: tuple[str, ...], turns: Turns) -> int:
    return sum(
        order[place] != order[place - 1] and order[place - 1] in turns.trace[place][1]
        for place in range(1, len(order))
    )
