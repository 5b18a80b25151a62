"""How a command reports results while it runs: as a table when it has finished, or as rows at once.

Invariant: a row is flushed before the next result is awaited, so an interrupted run leaves a record of its results.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from amili_async.cli.console import PlainConsole, write_bytes
from amili_async.cli.exit_codes import print_error, silence_stdout

T = TypeVar("T")


class TableReporter(Generic[T]):
    """Keeps the results that need attention and prints them together when the command has finished."""

    occupies_terminal = False
    """Whether it writes to a terminal while the command runs, where a progress bar would collide with it."""

    def __init__(
        self, *, needs_attention: Callable[[T], bool], print_table: Callable[[PlainConsole, Sequence[T]], None]
    ) -> None:
        self._needs_attention = needs_attention
        self._print_table = print_table
        self._kept: list[T] = []

    def add(self, result: T) -> None:
        if self._needs_attention(result):
            self._kept.append(result)

    def finish(self, *, is_quiet: bool = False) -> None:
        if not is_quiet:
            self._print_table(PlainConsole(), self._kept)

    def fail(self) -> None:
        """Report what is left of a command that cannot finish."""
        if self._kept:
            self.finish()
            print_error("unfinished: only the payouts above were compared before the failure")


class RowReporter(Generic[T]):
    """Writes each result to stdout at once; stdout holds nothing else, and the summary is printed on stderr."""

    def __init__(
        self, encode: Callable[[T], bytes], *, header: bytes, summarize: Callable[[], str], needs_reader: bool = False
    ) -> None:
        self.occupies_terminal = sys.stdout.isatty()
        self._encode, self._header, self._summarize = encode, header, summarize
        self._needs_reader, self._has_reader = needs_reader, True

    def add(self, result: T) -> None:
        self._write(self._encode(result))

    def finish(self, *, is_quiet: bool = False) -> None:
        self._write(b"")
        if not is_quiet and self._has_reader:
            print_error(self._summarize())

    def fail(self) -> None:
        """Everything is written already."""

    def _write(self, row: bytes) -> None:
        """Write while stdout has a reader; without one raise, or continue for the sake of the exit code."""
        if self._has_reader:
            try:
                write_bytes(self._header + row)
            except BrokenPipeError:
                if self._needs_reader:
                    raise
                silence_stdout()
                self._has_reader = False
        self._header = b""  # written with the first row, so a run that fails before it leaves stdout empty


Reporter: TypeAlias = TableReporter[T] | RowReporter[T]
