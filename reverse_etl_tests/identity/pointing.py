"""Making this process (or the next) take a `MetadataServer` for Google's.

google-auth 2.62 keeps GCE_METADATA_HOST in a constant of `google.auth.compute_engine._metadata`, read at
import, and reads GCE_METADATA_IP at each call. So a new process needs both variables, and this process
the constant and the variable.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping

import pytest
from google.auth import _exponential_backoff
from google.auth.compute_engine import _metadata

from reverse_etl_tests.identity.metadata import MetadataServer

# Each would be asked before the metadata server, or keep it from being asked.
_RIVALS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GCE_METADATA_ROOT",
    "GCE_METADATA_MTLS_MODE",
    "NO_GCE_CHECK",
)


@contextlib.contextmanager
def pointed_at(server: MetadataServer, *, pause_seconds: float = 0.01) -> Iterator[None]:
    """google-auth in this process, and processes started meanwhile, ask `server`; undone at the end.

    google-auth repeats what failed (three times for the first question, five for others), with pauses
    of 1, 2, 4 and 8 seconds: here they are `pause_seconds` each.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in _RIVALS:
            patch.delenv(name, raising=False)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        patch.setattr(_metadata, "_GCE_METADATA_HOST", server.authority)
        patch.setattr(_metadata, "_NO_GCE_CHECK", False)
        patch.setattr(
            _metadata,
            "ExponentialBackoff",
            functools.partial(
                _exponential_backoff.ExponentialBackoff,
                initial_wait_seconds=pause_seconds,
                multiplier=1.0,
            ),
        )
        yield


def make_environment(server: MetadataServer, base: Mapping[str, str]) -> dict[str, str]:
    """`base` with what makes a new process ask `server`, and without what would keep it from it."""
    kept = {name: value for name, value in base.items() if name not in _RIVALS}
    return kept | dict(server.environment)
