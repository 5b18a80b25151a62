"""The input of `amili pay`: its bytes, its lock, and its rows as every spreadsheet writes them."""

import csv
import io
import os
import re
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from typing import BinaryIO

from amili_async.cli.exit_codes import print_error
from amili_async.errors import ConfigurationError

_DELIMITERS = ",;\t"  # Excel writes semicolons where the decimal separator is a comma
_DECLARED = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t ]*(?=[\r\n]|$)', re.IGNORECASE)  # Excel's own first line


def read_input(name: str, *, held: ExitStack | None = None) -> bytes:
    """The content of the file *name*, or of standard input for `-`.

    With *held* the file is locked until that stack is closed: another run that would register it raises.
    """
    what = "standard input" if name == "-" else name
    with ExitStack() as stack:
        try:
            # Not a context manager of its own, because a lock is released when the file is closed.
            file = sys.stdin.buffer if name == "-" else (held or stack).enter_context(open(name, "rb"))  # noqa: PTH123
            if held is not None and _is_regular(file):
                _lock(file, what, held)
            return file.read()
        except OSError as error:
            raise ConfigurationError(f"{what} cannot be read: {error.strerror or 'it is closed'}") from None


def split_rows(text: str, known: Collection[str]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each record that is not blank, with the line on which it begins."""
    declared = _DECLARED.match(text)
    lines = io.StringIO(text[declared.end() :] if declared else text, newline="")
    if declared:
        delimiter = declared[1]
    else:
        header = next((line for line in lines if line.strip(f'{_DELIMITERS}" \r\n')), "").lower()
        names = {each: {name.strip(' \t\r\n"') for name in header.split(each)} for each in _DELIMITERS}
        delimiter = max(_DELIMITERS, key=lambda each: len(names[each].intersection(known)))
    lines.seek(0)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield begins, cells
            begins = reader.line_num + 1  # a quoted cell may span lines, so records and lines are counted apart
    except csv.Error:
        raise ConfigurationError(
            f"line {begins}: a quoted cell is not closed, text follows its closing quotation mark, or a cell is too "
            "long; later lines were not checked"
        ) from None


def _is_regular(file: BinaryIO) -> bool:
    with suppress(OSError):  # a stream of a test has no descriptor
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    return False


def _lock(file: BinaryIO, what: str, held: ExitStack) -> None:
    """Lock the file itself, to which any name may lead: a symlink and a hard link have the same lock."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Standard input is shared with the shell, which may keep it open, and the lock with it.
        held.callback(fcntl.flock, file, fcntl.LOCK_UN)
    except ImportError:  # Windows
        _warn_of_no_lock(what, "this system has no such locks")
    except BlockingIOError:
        raise ConfigurationError(
            f"{what} is being registered by another run of amili pay; wait until it has finished"
        ) from None
    except OSError as error:  # a file system without locks: ENOTSUP, ENOLCK, ENOSYS, or EBADF over NFS
        _warn_of_no_lock(what, error.strerror or type(error).__name__)


def _warn_of_no_lock(what: str, reason: str) -> None:
    print_error(f"{what} cannot be locked ({reason}): make sure that no other run registers it at the same time")
