"""Carries a plan out: days forward, rollbacks beside them, and Redis going away, all at the same time."""

import threading
import time
from collections.abc import Callable

from reverse_etl.landing.documents import find_head
from reverse_etl_tests.torture.check import Check, Fault, Findings
from reverse_etl_tests.torture.orders import Ending, Kind, Moment, Order, Point
from reverse_etl_tests.torture.plan import Deed, Plan, Turn, draw_moment
from reverse_etl_tests.torture.truth import SYNC, build_run_id, draw
from reverse_etl_tests.torture.world import World
from reverse_etl_tests.torture.writers import Writers

_PAUSE_SECONDS = 0.1
# Each waits for what is passing: Redis away, another writer at work, a dead one's lease.
_MOST_TRIES = 60
_HALF_FLIP_SECONDS = 0.4
_LIVE = ("live", "already_live")


class Lanes:
    """Three lanes side by side. Every error of a writer that is not one of those expected is a finding.

    `tell` is told how far it is, a line a turn.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        writers: Writers,
        check: Check,
        findings: Findings,
        *,
        tell: Callable[[str], None],
    ) -> None:
        self._world = world
        self._plan = plan
        self._writers = writers
        self._check = check
        self._findings = findings
        self._tell = tell
        self._turn = 0
        self._turned = threading.Condition()

    def begin(self) -> None:
        """The first version, before anybody reads."""
        self._carry(Turn(number=-1, kinds=(Kind.RUN,), moments=()))

    def run(self) -> None:
        """The whole plan."""
        lanes = [
            threading.Thread(target=self._follow, args=(self._plan.deeds, self._do)),
            threading.Thread(target=self._follow, args=(self._plan.weather, self._blow)),
        ]
        for lane in lanes:
            lane.start()
        try:
            for turn in self._plan.turns:
                self._carry(turn)
                self._advance()
                done = self._findings.counts
                self._tell(
                    f"turn {self._turn} of {len(self._plan.turns)}: {done['kills']} kills, "
                    f"{done['orders']} orders, {done['answers']:,} answers"
                )
        finally:
            self._advance(len(self._plan.turns))
            for lane in lanes:
                lane.join()

    def end(self) -> int:
        """Two clean days, nothing in their way: the first sweeps, the second shows that it did."""
        for number in range(2):
            self._carry(Turn(number=len(self._plan.turns) + number, kinds=(Kind.RUN,), moments=()))
        head = find_head(self._world.store, SYNC)
        assert head is not None
        return head.generation

    def verify(self) -> None:
        """`reverse-etl verify`, which must find no difference."""
        ending = self._carry_out(Order(kind=Kind.VERIFY, shift_seconds=0, words=("verify", SYNC)))
        found = ending.document or {"error": ending.message}
        if found.get("differences") != 0:
            self._findings.add(Fault.LEFTOVER, f"verify found: {found}")

    def _advance(self, turn: int | None = None) -> None:
        with self._turned:
            self._turn = self._turn + 1 if turn is None else turn
            self._turned.notify_all()

    def _follow(self, deeds: tuple[Deed, ...], act: Callable[[Deed], None]) -> None:
        """Do each when its turn has come."""
        try:
            for deed in deeds:
                with self._turned:
                    self._turned.wait_for(lambda deed=deed: self._turn >= deed.after_turns)
                act(deed)
        except Exception as error:  # noqa: BLE001 - told
            self._findings.add(Fault.ERROR, f"a lane raised {type(error).__name__}: {error}")

    def _carry(self, turn: Turn) -> None:
        """Until its version is live, and all who were to die have died."""
        moments = list(turn.moments)
        for _ in range(_MOST_TRIES):
            if self._carry_once(turn, moments) and not moments:
                return
        self._findings.add(Fault.ERROR, f"turn {turn.number} did not go live")

    def _carry_once(self, turn: Turn, moments: list[tuple[Kind, Moment]]) -> bool:
        """With one mark; False when another attempt has to be landed."""
        mark = self._world.prepare()
        outcome = version = None
        for kind in turn.kinds:
            order = Order(
                kind=kind,
                shift_seconds=self._world.find_shift(turn.number + 1),
                day=self._world.find_day(turn.number + 1),
                run_id=build_run_id(mark),
                version=version,
            )
            ending = self._repeat(order, moments)
            if ending is None or ending.document is None:
                return False
            outcome, version = ending.document["outcome"], ending.document["version"]
        if outcome not in _LIVE:
            return False
        self._findings.count("publishes")
        return True

    def _repeat(self, order: Order, moments: list[tuple[Kind, Moment]]) -> Ending | None:
        """The same order until it is done; None when it cannot be."""
        for _ in range(_MOST_TRIES):
            ending = self._strike(order, moments)
            if ending.succeeded:
                return ending
            if not ending.was_killed:
                if self._is_stuck(order, ending):
                    return None
                if not self._is_expected(order, ending):
                    self._blame(order, ending)
                if ending.error != "TransientError":
                    return None
                time.sleep(_PAUSE_SECONDS)
            if order.kind in (Kind.RUN, Kind.LAND):
                return None  # a mark is for one attempt
        self._findings.add(Fault.ERROR, f"{order.kind} was not done in {_MOST_TRIES} tries")
        return None

    def _strike(self, order: Order, moments: list[tuple[Kind, Moment]]) -> Ending:
        """Carry an order out, and have the writer die if one of its kind is to."""
        mine = [number for number, (kind, _) in enumerate(moments) if kind is order.kind]
        if not mine:
            return self._carry_out(order)
        _, moment = moments[mine[0]]
        ending = self._carry_out(order, moment)
        if ending.was_killed:
            del moments[mine[0]]
            return ending
        self._findings.count("came too late to be killed")
        again = draw_moment(order.kind, draw(self._world.seed, f"again {order.run_id}"))
        moments[mine[0]] = (order.kind, again)
        return ending

    def _carry_out(self, order: Order, moment: Moment | None = None) -> Ending:
        if moment is not None and moment.point is not None:
            order = _aim(order, moment)
        ending = self._writers.carry_out(order, moment)
        self._findings.count("orders")
        if ending.was_killed:
            self._findings.count("kills")
            self._findings.count(f"killed: {order.kind} at {ending.mark}")
            if ending.mark == Point.BETWEEN_FLIPS:
                # Readers learn the store's head, and come back to a Redis that is a step behind.
                self._blow(Deed(after_turns=0, what="stall", seconds=_HALF_FLIP_SECONDS))
        elif ending.error is not None:
            self._findings.count(f"refused: {order.kind}, {ending.error}")
        return ending

    def _is_expected(self, order: Order, ending: Ending) -> bool:
        """Whether a writer may say so."""
        if ending.error == "TransientError":
            return True
        if ending.error == "TerminalError" and "is blocked" in ending.message:
            return order.kind in (Kind.PUBLISH, Kind.WARM)  # rolled back from, just now
        if order.kind is Kind.WARM and order.words:  # of a blocked one, which retention may remove
            return order.version not in self._world.list_versions()
        if order.kind is not Kind.ROLLBACK or ending.error == "bug":
            return False
        if order.version is not None:  # retention may have removed it just now
            return order.version not in self._world.list_versions()
        return ending.error == "NotFoundError" or "was removed from" in ending.message

    def _is_stuck(self, order: Order, ending: Ending) -> bool:
        """Whether a dead run's half flip stands in the way; then what a person would do is done."""
        if ending.error != "TerminalError" or "because the heads differ" not in ending.message:
            return False
        self._findings.add(Fault.STUCK, f"{order.kind} {order.day}: {ending.message}")
        self._repeat(Order(kind=Kind.REBUILD, shift_seconds=order.shift_seconds), [])
        return True

    def _blame(self, order: Order, ending: Ending) -> None:
        self._findings.add(
            Fault.ERROR, f"{order.kind} {order.day or ''}: {ending.error}: {ending.message}"
        )

    def _do(self, deed: Deed) -> None:
        """A rollback or a rebuild, which dies as often as is planned and is then done."""
        kind = Kind.REBUILD if deed.what == "rebuild" else Kind.ROLLBACK
        moments = list(deed.moments)
        for _ in range(_MOST_TRIES):
            moment = moments[0] if moments else None
            order = self._build_deed(deed, kind, is_doomed=moment is not None)
            if order is None:
                self._go_on()
                continue
            if order.version is not None:
                self._check.heads.order(order.version)
            ending = self._carry_out(order, moment)
            if ending.was_killed:
                moments.pop(0)
            elif ending.succeeded and not moments:
                self._findings.count(f"{deed.what} done")
                if deed.what == "back":
                    self._try_blocked()
                return
            elif ending.error is not None and self._is_stuck(order, ending):
                continue
            elif ending.error is not None and not self._is_expected(order, ending):
                self._blame(order, ending)
                return
            else:
                self._redraw(kind, moments)
                if ending.error == "NotFoundError":
                    self._go_on()
        self._findings.count(f"{deed.what} given up")

    def _go_on(self) -> None:
        """There is nowhere to go: to the newest version, from which there is, or else a turn goes by."""
        newest = self._world.list_versions()[-1]
        self._check.heads.order(newest)
        self._carry_out(
            Order(kind=Kind.ROLLBACK, shift_seconds=0, words=("rollback", SYNC, "--to", newest))
        )
        time.sleep(_PAUSE_SECONDS)

    def _try_blocked(self) -> None:
        """A plain run of a version that readers were just rolled back from: it must be refused."""
        head = find_head(self._world.store, SYNC)
        assert head is not None
        committed = self._world.list_versions()
        for version in [it for it in head.blocked if it in committed][-1:]:
            address = f"{SYNC}/dt={version[:10]}/{version}/manifest.json"
            order = Order(kind=Kind.WARM, shift_seconds=0, words=("warm", address), version=version)
            self._repeat(order, [])
            self._findings.count("runs of a blocked version")

    def _redraw(self, kind: Kind, moments: list[Moment]) -> None:
        """It ended before it could be killed: another moment."""
        if moments:
            self._findings.count("came too late to be killed")
            purpose = f"again {kind} {self._findings.counts['orders']}"
            moments[0] = draw_moment(kind, draw(self._world.seed, purpose))
        time.sleep(_PAUSE_SECONDS)

    def _build_deed(self, deed: Deed, kind: Kind, *, is_doomed: bool) -> Order | None:
        """The command line; or, for one that is to tell of its way and die, the same for the pipeline."""
        version = None
        if kind is Kind.ROLLBACK and deed.target == "named":
            version = self._choose_target(deed)
            if version is None:
                return None
        words = [str(kind), SYNC]
        if version is not None:
            words += ["--to", version]
        elif kind is Kind.ROLLBACK:
            words.append("--again")
        if deed.flag:
            words.append("--kept" if kind is Kind.REBUILD else "--no-block")
        return Order(
            kind=kind,
            shift_seconds=self._world.find_shift(self._turn),
            version=version,
            flag=deed.flag,
            words=() if is_doomed else tuple(words),
        )

    def _choose_target(self, deed: Deed) -> str | None:
        """A committed version before the live one, or after it; a blocked one if there is one."""
        head = find_head(self._world.store, SYNC)
        assert head is not None
        versions = self._world.list_versions()
        if deed.what == "back":
            earlier = [version for version in versions if version < head.version]
            return earlier[-1] if earlier else None
        later = [version for version in versions if version > head.version]
        blocked = [version for version in versions if version in head.blocked]
        return next(iter([*blocked, *later]), None)

    def _blow(self, deed: Deed) -> None:
        """Redis goes away, and comes back: empty after a stop, as it was after a stall."""
        if deed.what == "stall":
            self._world.stall_redis(deed.seconds)
        else:
            self._world.stop_redis(deed.seconds)
        self._findings.count(f"{deed.what}s of Redis")


def _aim(order: Order, moment: Moment) -> Order:
    return Order(
        kind=order.kind,
        shift_seconds=order.shift_seconds,
        day=order.day,
        run_id=order.run_id,
        version=order.version,
        flag=order.flag,
        point=moment.point,
    )
