"""From the last row to the file under its name.

The law: first the whole file is on the disk beside the target, then the state says so, then it is renamed, then the
rest goes away. Whoever finds that state knows that only the rename and what follows is left, or less than that.
"""

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export.files import ExportPaths, failing, remove, rename, sync_folder
from amili_async.export.formats import Format
from amili_async.export.journal import RESUME_OR_OVERWRITE, FinishedExport, Journal, save
from amili_async.export.spool import Spool

_UNREADABLE = (ValueError, IndexError, csv.Error, msgspec.MsgspecError)


def build(
    paths: ExportPaths,
    spool: Spool,
    file_format: Format,
    *,
    base: Path | None = None,
    gone: frozenset[str] = frozenset(),
) -> tuple[int, int]:
    """Put the whole file beside the target, and on the disk; returns its rows and its bytes.

    With *base* the rows are merged into that file's.
    """
    with failing(paths.given):
        try:
            with paths.whole.open("wb") as file:
                if base is None:
                    rows = file_format.write(file, spool.frames)
                else:
                    rows = file_format.write(file, lambda: file_format.merge(base, spool.frames(), gone))
                file.flush()
                _keep_mode(file, paths.target)
                os.fsync(file.fileno())
                size = file.tell()
            sync_folder(paths.whole)
            return rows, size
        except BaseException as error:
            remove(paths.whole)
            if base is None or not isinstance(error, _UNREADABLE):
                raise
    raise _changed(paths)


def read_ids(paths: ExportPaths, file_format: Format) -> list[str]:
    """Which rows the target holds."""
    with failing(paths.given), suppress(*_UNREADABLE):
        return list(file_format.read_ids(paths.target))
    raise _changed(paths)


def _changed(paths: ExportPaths) -> ExportFailed:
    """To be raised where the error of whoever read the file is over: that may quote a row."""
    return ExportFailed(
        f"{paths.given} cannot be brought up to date: it was changed since its export", path=paths.given
    )


def _keep_mode(file: BinaryIO, target: Path) -> None:
    """Whoever could not read the file that is replaced cannot read the new one."""
    with suppress(OSError, AttributeError):  # there is none, or the system has no modes
        os.fchmod(file.fileno(), target.stat().st_mode & 0o777)


def commit(journal: Journal, finished: FinishedExport) -> None:
    """Give the whole file its name, and leave its manifest beside it; any part of this may have been done before."""
    paths = journal.paths
    with failing(paths.given):
        if paths.whole.exists():
            paths.check_free(may_replace=journal.state.overwrite or journal.state.since)
            rename(paths.whole, paths.target)
        elif not paths.target.exists() or paths.target.stat().st_size != finished.size:
            raise ConfigurationError(
                f"{paths.given} was changed before its export was at its end: {RESUME_OR_OVERWRITE}"
            )
        save(paths.manifest, finished)
        journal.discard()


def commit_alone(paths: ExportPaths, spool: Spool, *, overwrite: bool) -> None:
    """The same without a state; a manifest that is there is of an older file."""
    with failing(paths.given):
        paths.check_free(may_replace=overwrite)
        remove(paths.manifest)
        rename(paths.whole, paths.target)
        spool.remove()
