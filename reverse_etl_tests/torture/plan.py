"""How much of everything, and when: all of it drawn from the seed before anything begins."""

import random
from dataclasses import dataclass

from reverse_etl_tests.torture.orders import Kind, Moment, Point
from reverse_etl_tests.torture.truth import draw

# Marks of a writer's way after which it may be killed, and the points at which it kills itself.
_MARKS = {
    Kind.RUN: ["begin", "extract", "mask", "land", "commit", "announce", "load", "verify", "flip"],
    Kind.LAND: ["begin", "extract", "mask", "land", "commit"],
    Kind.PUBLISH: ["begin", "retire", "announce", "load", "verify", "flip"],
    Kind.WARM: ["begin", "retire", "announce", "load", "verify", "flip"],
    Kind.ROLLBACK: ["begin", "retire", "announce", "load", "flip"],
    Kind.REBUILD: ["begin", "retire", "announce", "load", "verify"],
}
_POINTS = {
    Kind.RUN: list(Point),
    Kind.LAND: [Point.BEFORE_COMMIT, Point.AFTER_COMMIT],
    Kind.PUBLISH: [Point.BEFORE_FLIP, Point.BETWEEN_FLIPS],
    Kind.WARM: [Point.BEFORE_FLIP, Point.BETWEEN_FLIPS],
    Kind.ROLLBACK: [Point.BEFORE_FLIP, Point.BETWEEN_FLIPS, Point.BETWEEN_FLIPS],
    Kind.REBUILD: [],
}
_LONGEST_DELAY_SECONDS = 0.06
_LONGEST_RUN_SECONDS = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is done. `faults` and `clean_loads` are of the second part, with so many users."""

    users: int
    publishes: int
    rollbacks: int
    rebuilds: int
    kills: int
    stops: int
    stalls: int
    faults: int
    clean_loads: int
    users_of_loads: int = 500


FULL = Scale(
    users=3000,
    publishes=20,
    rollbacks=5,
    rebuilds=4,
    kills=50,
    stops=4,
    stalls=4,
    faults=320,
    clean_loads=50,
)
SMALL = Scale(
    users=2000,
    publishes=5,
    rollbacks=2,
    rebuilds=1,
    kills=10,
    stops=1,
    stalls=1,
    faults=32,
    clean_loads=5,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One day that is to go live. `kinds` are the orders that carry it, `moments` when they die first."""

    number: int
    kinds: tuple[Kind, ...]
    moments: tuple[tuple[Kind, Moment], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that is done beside, when so many turns are over. `seconds`: so long Redis is away."""

    after_turns: int
    what: str
    target: str = ""
    flag: bool = False
    moments: tuple[Moment, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done. `turns`, `deeds` and `weather` go on beside each other."""

    turns: tuple[Turn, ...]
    deeds: tuple[Deed, ...]
    weather: tuple[Deed, ...]


def build_plan(scale: Scale, seed: int) -> Plan:
    """The same plan for the same seed; what comes of it depends on the machine too."""
    chance = draw(seed, "plan")
    beside = scale.kills // 5
    deeds = _draw_deeds(scale, chance, kills=beside)
    return Plan(
        turns=_draw_turns(scale, chance, kills=scale.kills - beside),
        deeds=deeds,
        weather=_draw_weather(scale, chance),
    )


def draw_moment(kind: Kind, chance: random.Random) -> Moment:
    """When to die: at any time, soon after a mark, or at a point."""
    way = chance.random()
    if way < 0.25 and _POINTS[kind]:
        return Moment(point=chance.choice(_POINTS[kind]))
    if way < 0.5:
        return Moment(delay_seconds=chance.uniform(0, _LONGEST_RUN_SECONDS))
    return Moment(
        mark=chance.choice(_MARKS[kind]),
        delay_seconds=chance.uniform(0, _LONGEST_DELAY_SECONDS),
    )


def _draw_turns(scale: Scale, chance: random.Random, *, kills: int) -> tuple[Turn, ...]:
    turns = []
    struck = [chance.randrange(scale.publishes) for _ in range(kills)]
    for number in range(scale.publishes):
        kinds = chance.choice(
            [(Kind.RUN,), (Kind.RUN,), (Kind.LAND, Kind.PUBLISH), (Kind.LAND, Kind.WARM)]
        )
        moments = tuple(
            (kind, draw_moment(kind, chance))
            for kind in (chance.choice(kinds) for _ in range(struck.count(number)))
        )
        turns.append(Turn(number=number, kinds=kinds, moments=moments))
    return tuple(turns)


def _draw_deeds(scale: Scale, chance: random.Random, *, kills: int) -> tuple[Deed, ...]:
    """Rollbacks, back and on again, and rebuilds."""
    whats = ["back"] * scale.rollbacks + ["rebuild"] * scale.rebuilds
    whats += ["forward"] * max(1, scale.rollbacks // 2)
    chance.shuffle(whats)
    struck = [chance.randrange(len(whats)) for _ in range(kills)]
    turns = sorted(chance.randint(2, scale.publishes) for _ in whats)
    deeds = []
    for number, (what, after_turns) in enumerate(zip(whats, turns, strict=True)):
        kind = Kind.REBUILD if what == "rebuild" else Kind.ROLLBACK
        deeds.append(
            Deed(
                after_turns=after_turns,
                what=what,
                target=chance.choice(["next", "named"]) if what == "back" else "named",
                flag=chance.random() < (0.5 if what == "rebuild" else 0.2),
                moments=tuple(draw_moment(kind, chance) for _ in range(struck.count(number))),
            )
        )
    return tuple(deeds)


def _draw_weather(scale: Scale, chance: random.Random) -> tuple[Deed, ...]:
    whats = ["stop"] * scale.stops + ["stall"] * scale.stalls
    chance.shuffle(whats)
    turns = sorted(chance.randint(1, max(1, scale.publishes - 1)) for _ in whats)
    return tuple(
        Deed(after_turns=turn, what=what, seconds=chance.uniform(0.2, 0.8))
        for what, turn in zip(whats, turns, strict=True)
    )
