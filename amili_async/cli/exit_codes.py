"""How a command ends: one exit code, and at most one sentence on stderr.

The law: no traceback, no secret and no filter value is shown; the errors of the package promise the last two.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NoReturn

import typer

from amili_async.errors import AmiliError, ConfigurationError, ExportFailed

GOOD = 0
NOT_RIGHT = 1
"""The sums do not agree, rows moved during an export that was sorted otherwise than by id, or a payment is refused."""
USAGE = 2
"""The call, the configuration or a file is at fault."""
REFUSED = 3
"""The API refused, could not be reached, or gave no usable answer."""
INTERRUPTED = 130
"""Ctrl-C."""
TERMINATED = 143
"""SIGTERM."""


def run(command: Coroutine[Any, Any, int | None], *, advice: Callable[[], str] = str) -> NoReturn:
    """Run a command, which returns its exit code (`None` is good), and end with it.

    *advice* says what to do after a failure, if there is something.
    """
    try:
        code = asyncio.run(_stop_when_told(command)) or GOOD
        sys.stdout.flush()
    except AmiliError as error:
        is_mine = isinstance(error, ConfigurationError)  # it was refused, so the same command would be again
        complain(str(error) if is_mine else "; ".join(filter(None, (str(error), advice()))))
        code = USAGE if isinstance(error, (ConfigurationError, ExportFailed)) else REFUSED
    except BrokenPipeError:
        abandon_stdout()  # whoever read has read enough: `amili list … | head -1`
        code = GOOD
    except OSError as error:
        abandon_stdout()
        complain(f"the output cannot be written: {error.strerror or type(error).__name__}")
        code = USAGE
    except KeyboardInterrupt:
        complain("; ".join(filter(None, ("interrupted", advice()))))
        code = INTERRUPTED
    except asyncio.CancelledError:
        complain("; ".join(filter(None, ("terminated", advice()))))
        code = TERMINATED
    raise typer.Exit(code)


async def _stop_when_told(command: Coroutine[Any, Any, int | None]) -> int | None:
    """Run a command that SIGTERM ends as Ctrl-C does: with what was written kept."""
    task = asyncio.current_task()
    if task is not None:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not on every system, nor in every thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await command


def complain(sentence: str) -> None:
    """Say on stderr, in one line, what is wrong."""
    sys.stderr.write(f"amili: {' '.join(sentence.split())}\n")


def abandon_stdout() -> None:
    """Let what is still buffered go nowhere, so that Python does not report it when the process ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
