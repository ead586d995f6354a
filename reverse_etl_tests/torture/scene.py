"""The whole of it: a world, its writers and readers, a plan, and what was found in the end."""

from collections.abc import Callable

from reverse_etl_tests.torture.check import Check, Fault, Findings
from reverse_etl_tests.torture.final import look_for_leftovers
from reverse_etl_tests.torture.lanes import Lanes
from reverse_etl_tests.torture.plan import SMALL, Scale, build_plan
from reverse_etl_tests.torture.readers import Readers
from reverse_etl_tests.torture.watch import Watch
from reverse_etl_tests.torture.world import World
from reverse_etl_tests.torture.writers import Writers

# A clean run, then what readers hold on to: far longer than it ever takes.
_FOLLOW_SECONDS = 20.0


def keep_silent(_line: str) -> None:
    """Nobody watches."""


def torture_world(
    scale: Scale, seed: int, *, tell: Callable[[str], None] = keep_silent
) -> Findings:
    """Carry the plan of this seed out, readers at work all the time; return what was found."""
    findings = Findings()
    plan = build_plan(scale, seed)
    with (
        World(users=scale.users, seed=seed) as world,
        Writers(world.folder, world.environment) as writers,
    ):
        check = Check(world, findings)
        lanes = Lanes(world, plan, writers, check, findings, tell=tell)
        lanes.begin()
        with Watch(world, check, findings).looking(), Readers(world, check, findings) as readers:
            lanes.run()
            generation = lanes.end()
            readers.wait_for(generation, seconds=_FOLLOW_SECONDS)
        lanes.verify()
        look_for_leftovers(world, findings)
        check.heads.conclude()
    _require_done(scale, findings)
    return findings


def _require_done(scale: Scale, findings: Findings) -> None:
    """A plan that was not carried out proves nothing.

    Of the small one half is enough: on a machine that is busy with other tests, much comes too late.
    """
    share = 2 if scale is SMALL else 1
    wanted = {
        "kills": scale.kills,
        "publishes": scale.publishes,
        "back done": scale.rollbacks,
        "rebuild done": scale.rebuilds,
        "stops of Redis": scale.stops,
        "stalls of Redis": scale.stalls,
    }
    for what, number in wanted.items():
        if findings.counts[what] < number // share:
            findings.add(Fault.ERROR, f"{what}: {findings.counts[what]} of {number}")
