"""What holds for every error that leaves this room."""

from collections.abc import Callable

import pytest

from reverse_etl.errors import ReverseEtlError


def catch(act: Callable[[], object]) -> ReverseEtlError:
    """The error of ours that it raises, which brings no other along: Dagster would store that too."""
    with pytest.raises(ReverseEtlError) as caught:
        act()
    error = caught.value
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return error
