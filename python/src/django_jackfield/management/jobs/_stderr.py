"""The lines of a long-running job, where one can read them."""

from __future__ import annotations

import logging


def log_to_stderr(verbosity: int) -> None:
    """Makes the lines visible unless the project's LOGGING takes care of them."""
    logger = logging.getLogger("django_jackfield")
    if logger.hasHandlers():
        return
    stream = logging.StreamHandler()
    stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(stream)
    logger.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
