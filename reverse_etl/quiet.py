"""What a process would leave behind by itself: libraries' debug lines, and its memory after a crash."""

import logging
import resource


def keep_secrets_out_of_logs() -> None:
    """Keep botocore's debug lines out unless somebody asks for them by its name.

    They hold tokens, keys as STS answers them, and what was signed.
    """
    logger = logging.getLogger("botocore")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def switch_off_core_dumps() -> None:
    """Let no crash of a native library write rows, keys and tokens to a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
