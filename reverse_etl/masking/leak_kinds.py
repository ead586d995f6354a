"""What the leak scan looks for, and what makes a count of it more than an accident.

A record's finds are one integer: eight bits a kind, how many candidates it has (15 at most) and how
many of them are hits. A candidate that is no hit has the length and the beginning of the kind, and not
its check digit.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

#: Bits of one kind: candidates above, hits below.
FIELD_BITS = 8
COUNT_BITS = 4
#: More candidates of one kind in one record are not looked at.
MOST_CANDIDATES = (1 << COUNT_BITS) - 1
#: A candidate that is a hit, and one that is none.
HIT, MISS = (1 << COUNT_BITS) + 1, 1 << COUNT_BITS

# Six standard deviations: of all columns that anybody will ever land, none is there by chance.
_DEVIATIONS = 6
# Identifiers are not drawn at random; so much more than chance explains they have to have in common.
_BEYOND_CHANCE = 0.25


class LeakKind(StrEnum):
    """What a value looks like."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    MY_NUMBER = "my_number"
    IP = "ip"
    JWT = "jwt"
    CLOUD_KEY = "cloud_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When finds of a kind stop a version; docs/leaks.md has the arithmetic.

    `share` of a column's values, and no fewer than `least`. `chance` is the share of candidates that
    random digits make hits; 0 where nothing looks like the kind by accident.
    """

    words: str
    share: float
    least: int
    chance: float = 0.0


LIMITS = {
    LeakKind.EMAIL: Limits(words="e-mail addresses", share=0.001, least=3),
    # 0A0 and no zero: of eleven random digits after a zero, 5 in 10 times 1 in 10 times 9 in 10.
    LeakKind.PHONE: Limits(words="phone numbers", share=0.005, least=3, chance=0.05),
    LeakKind.CARD: Limits(words="payment card numbers", share=0.001, least=5, chance=0.1),
    # One in ten; 2 in 11 where the last digit is always 0, as two remainders give it.
    LeakKind.MY_NUMBER: Limits(words="My Numbers", share=0.005, least=5, chance=0.1),
    LeakKind.IP: Limits(words="IP addresses", share=0.005, least=3),
    LeakKind.JWT: Limits(words="JSON web tokens", share=0.0, least=1),
    LeakKind.CLOUD_KEY: Limits(words="cloud keys", share=0.0, least=1),
}


def find_shift(kind: LeakKind) -> int:
    """Where the kind's bits begin."""
    return FIELD_BITS * list(LeakKind).index(kind)


def explains_by_chance(*, hits: int, candidates: int, chance: float) -> bool:
    """Whether digits that mean nothing could have made so many hits of so many candidates."""
    if not chance:
        return False
    deviation = math.sqrt(candidates * chance * (1 - chance))
    likely = candidates * chance + _DEVIATIONS * deviation
    structured = candidates * (chance + _BEYOND_CHANCE * (1 - chance))
    return hits < max(likely, structured)
