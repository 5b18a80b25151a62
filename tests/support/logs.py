"""A process as it is outside pytest, which adds handlers of its own to each phase of a test."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_handlers() -> Iterator[logging.Logger]:
    """The package's logger in a program that configures no logging; all is as before afterwards."""
    logger, root = logging.getLogger("amili_async"), logging.getLogger()
    before = logger.level, logger.handlers, root.handlers
    logger.handlers, root.handlers = [], []
    try:
        yield logger
    finally:
        logger.handlers, root.handlers = before[1:]
        logger.setLevel(before[0])
