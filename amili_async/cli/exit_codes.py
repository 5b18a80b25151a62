"""How a command ends: one exit code, and at most one sentence on stderr.

Invariant: no traceback, no secret and no filter value is printed; the package's errors contain neither of the last two.
"""

import asyncio
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import typer

from amili_async.errors import AmiliError, ConfigurationError, ExportFailed

T = TypeVar("T")

SUCCESS, PROBLEM, USAGE, API_FAILED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
EXIT_CODES = (
    "Exit codes: 0 success; 1 a problem was found (sums differ, nothing matches --where, rows changed during an export "
    "with --sort, a payment was rejected or not completed, or lacks one open case, a check of doctor failed); 2 wrong "
    "usage, configuration or file; 3 the API rejected a request, could not be reached or gave no usable answer (a "
    "payment may be registered); 130 interrupted; 143 terminated."
)
"""What the help states about them."""
_WORDS = (
    (r"\w+ \((--[a-z]+)\)", r"\1"),  # a parameter of the library with its option: `overwrite (--force)`
    (r"\bbase_url\b", "AMILI_BASE_URL"),
    (r"\ballow_http permits it\b", "AMILI_ALLOW_HTTP=1 permits it"),
    (r"\bprivate_key\b", "the private key"),
    (r"\bset ApiCodeCredentials\(token_name=…\)", "check AMILI_BASE_URL"),
    (r"\bauth: an access token\b", "AMILI_TOKEN: an access token"),
    ("pass ApiCodeCredentials or an async function as auth", "set AMILI_API_CODE and AMILI_PRIVATE_KEY_FILE instead"),
    (r"an aware datetime, or with text in RFC 1123 form \(", "a day or a time with its zone (2025-06-13T08:00:00Z, "),
    ("and RFC 1123 as a date", "and a text such as 'Fri, 13 Jun 2025 08:00:00 GMT' as a date"),
    (r"\bcomparison with None\b", "comparison with null"),
    ("True or False", "true or false"),
    (r"use is_in\(\) or \$in", "use $in"),
    (r"a long is_in\(\)", "a long $in"),
    ("combine the two conditions with &", "combine the two conditions with $and"),
    (r"\{'(\$\w+)': (\d+)\}", r'{"\1": \2}'),
    (r"\b(the|a) datetime\b", r"\1 time"),
    (r" with \.replace\(microsecond=0\)", ""),
    ("instead of since", "instead of --since"),
    ("workdir and storage_options require", "--workdir requires"),
    ("since= is an extraction that", "the export that the file is from"),
)
"""Words of the library, as patterns, and those of the command line."""


def run(command: Coroutine[Any, Any, int | None], *, advice: Callable[[BaseException], str] = lambda _: "") -> NoReturn:
    """Run a command, which returns its exit code (`None` is success), and exit with it.

    *advice* returns what to do after a failure, or an empty text.
    """
    raise typer.Exit(call(command, advice=advice) or SUCCESS)


def call(command: Coroutine[Any, Any, T], *, advice: Callable[[BaseException], str] = lambda _: "") -> T:
    """Run a part of a command and return its result; a failure ends the command as in `run`."""
    warnings.showwarning = _print_warning
    try:
        result = asyncio.run(_cancel_on_sigterm(command))
        sys.stdout.flush()
        return result
    except AmiliError as error:
        # A caller's mistake was found before anything was sent, so repeating the same command cannot help.
        hint = "" if isinstance(error, ConfigurationError) else advice(error)
        print_error(str(error), hint)
        code = USAGE if isinstance(error, (ConfigurationError, ExportFailed)) else API_FAILED
    except BrokenPipeError:
        silence_stdout()  # the reader has enough: `amili list … | head -1`
        code = SUCCESS
    except OSError as error:
        silence_stdout()
        print_error(f"the output cannot be written: {error.strerror or type(error).__name__}")
        code = USAGE
    except KeyboardInterrupt as error:
        print_error("interrupted", advice(error))
        code = INTERRUPTED
    except asyncio.CancelledError as error:  # asyncio.run() has ended, so nothing is left to cancel: this was SIGTERM
        print_error("terminated", advice(error))
        code = TERMINATED
    raise typer.Exit(code)


def print_error(*parts: str) -> None:
    """Print one line on stderr, prefixed with the program's name, in the words of the command line."""
    line = " ".join("; ".join(filter(None, parts)).split())
    sys.stderr.write(f"amili: {reword(line)}\n")


def reword(line: str) -> str:
    """A text of the library in the words of the command line."""
    for pattern, words in _WORDS:
        line = re.sub(pattern, words, line)
    return line


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_error(f"{message}")


def silence_stdout() -> None:
    """Discard what is still buffered, because Python would otherwise report the failed flush at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _cancel_on_sigterm(command: Coroutine[Any, Any, T]) -> T:
    """Run a command that SIGTERM stops as Ctrl-C does: what was written is kept."""
    task = asyncio.current_task()
    if task is not None:
        # Windows has no such handlers, and only the main thread of a process may install one.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await command
