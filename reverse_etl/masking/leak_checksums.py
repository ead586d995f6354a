"""Check digits of payment cards and of the Japanese My Number, as SQL over an integer."""

#: As many digits as a BIGINT holds of every number that begins with 6 or less.
_CARD_DIGITS = 19
_MY_NUMBER_DIGITS = 12
# Weights of the eleven digits before the check digit, the last of them first.
_MY_NUMBER_WEIGHTS = (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)


def is_luhn_valid(number: str) -> str:
    """SQL: whether the last digit is the check digit of ISO/IEC 7812-1, of up to 19 digits.

    From the right every second digit counts twice. Twice a digit, its digits added up, is the double
    and one more from 5 on, modulo 10.
    """
    terms = []
    for place in range(_CARD_DIGITS):
        digit = _digit(number, place)
        doubled = f"2 * {digit} + ({number} // {5 * 10**place}) % 2"
        terms.append(doubled if place % 2 else digit)
    return f"({' + '.join(terms)}) % 10 = 0"


def is_my_number(number: str) -> str:
    """SQL: whether a number has twelve digits at most, the last of them a My Number's check digit.

    11 less the remainder of the weighted sum by 11, and 0 where that has two digits (Ordinance of the
    Ministry of Internal Affairs and Communications No. 85 of 2014, article 5).
    """
    weighted = " + ".join(
        f"{weight} * {_digit(number, place + 1)}" for place, weight in enumerate(_MY_NUMBER_WEIGHTS)
    )
    # 11 and 10, of the remainders 0 and 1, both become 0.
    valid = f"(11 - ({weighted}) % 11) % 11 % 10 = {_digit(number, 0)}"
    return f"{number} < {10**_MY_NUMBER_DIGITS} AND {valid}"


def _digit(number: str, place: int) -> str:
    return f"({number} // {10**place} % 10)"
