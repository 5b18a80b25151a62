"""A file that a command writes at its end: what stands under its name is what stood there before, or all of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TextIO

from amili_async.errors import ConfigurationError
from amili_async.export.files import find_paths, raising_export_failed, remove, rename


@contextmanager
def replace_at_end(path: Path) -> Iterator[TextIO]:
    """A file beside *path* that gets its name when the block is left, and is gone if the block fails.

    `ConfigurationError` where it cannot be written, before the block begins if that can be known.
    """
    paths = find_paths(path)
    paths.check_free(may_replace=True)
    target = paths.target
    if target.exists() and not target.is_file():
        raise ConfigurationError(f"{path} is not a file")
    fresh = target.with_name(f"{target.name}.{token_hex(4)}.new")
    with raising_export_failed(path):
        file = fresh.open("x", encoding="utf-8", newline="\n")
    try:
        with file:
            yield file
            with raising_export_failed(path):
                _finish(file, target)
        with raising_export_failed(path):
            rename(fresh, target)
    except BaseException:
        remove(fresh)
        raise


def _finish(file: TextIO, target: Path) -> None:
    """See to it that all is on the disk, and that whoever could not read the old file cannot read this one."""
    file.flush()
    with suppress(OSError, AttributeError):  # there is none, or the system has no modes
        os.fchmod(file.fileno(), target.stat().st_mode & 0o777)
    os.fsync(file.fileno())
