"""Check digits of payment cards and of the Japanese My Number, of many numbers at once."""

import numpy as np
import numpy.typing as npt

#: As many digits as an INT64 holds of every number that begins with 6 or less.
_CARD_DIGITS = 19
_MY_NUMBER_DIGITS = 12
# Weights of the eleven digits before the check digit, the last of them first.
_MY_NUMBER_WEIGHTS = (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)

_Numbers = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]


def is_luhn_valid(numbers: _Numbers) -> _Flags:
    """Whether the last digit is the check digit of ISO/IEC 7812-1, of up to 19 digits.

    From the right every second digit counts twice. Twice a digit, its digits added up, is the double
    and one more from 5 on, modulo 10.
    """
    total = np.zeros(len(numbers), np.int64)
    left = numbers
    for place in range(_CARD_DIGITS):
        left, digits = np.divmod(left, 10)
        total += 2 * digits + (digits >= 5) if place % 2 else digits  # noqa: PLR2004 - see above
    return np.asarray(total % 10 == 0)


def is_my_number(numbers: _Numbers) -> _Flags:
    """Whether a number has twelve digits at most, the last of them a My Number's check digit.

    11 less the remainder of the weighted sum by 11, and 0 where that has two digits (Ordinance of the
    Ministry of Internal Affairs and Communications No. 85 of 2014, article 5).
    """
    left, last = np.divmod(numbers, 10)
    weighted = np.zeros(len(numbers), np.int64)
    for weight in _MY_NUMBER_WEIGHTS:
        left, digits = np.divmod(left, 10)
        weighted += weight * digits
    # 11 and 10, of the remainders 0 and 1, both become 0.
    valid = (11 - weighted % 11) % 11 % 10 == last
    return np.asarray(valid & (numbers < 10**_MY_NUMBER_DIGITS))
