"""What other people's libraries would tell the log, kept out of it."""

import logging


def keep_secrets_out_of_logs() -> None:
    """Keep botocore's debug lines out unless somebody asks for them by its name.

    They hold tokens, keys as STS answers them, and what was signed.
    """
    logger = logging.getLogger("botocore")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
