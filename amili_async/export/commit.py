"""From the last row to the file under its name.

Invariant: first the whole file is on the disk beside the target, then the state notes it, then the file is renamed to
the target, then state and spool are removed. An export that finds such a state repeats at most the rename and the rest.
"""

import csv
from contextlib import suppress
from pathlib import Path

import msgspec

from amili_async.errors import ExportFailed
from amili_async.export.files import ExportPaths, finish_file, raising_export_failed, remove, rename, sync_directory
from amili_async.export.formats import Format
from amili_async.export.journal import EXPORT_AGAIN, RESUME_OR_OVERWRITE, FinishedExport, Journal, save
from amili_async.export.spool import Spool

_UNREADABLE = (ValueError, IndexError, csv.Error, msgspec.MsgspecError)
"""What a format raises for an older file that was changed; pyarrow's errors are `ValueError`s."""


def build_file(
    paths: ExportPaths,
    spool: Spool,
    file_format: Format,
    *,
    base: Path | None = None,
    removed: frozenset[str] = frozenset(),
) -> tuple[int, int]:
    """Write the whole file beside the target, and bring it onto the disk; returns its rows and its bytes.

    With *base* the rows are merged into those of that file, without the *removed* ones.
    """
    with raising_export_failed(paths.given):
        try:
            with paths.whole.open("wb") as file:
                merged = None if base is None else lambda: file_format.merge(base, spool.frames(), removed)
                rows = file_format.write(file, merged or spool.frames)
                finish_file(file, paths.target)
                size = file.tell()
            # Its name, too: the state that is saved next promises that the file is there.
            sync_directory(paths.whole)
            return rows, size
        except BaseException as error:
            remove(paths.whole)
            if base is None or not isinstance(error, _UNREADABLE):
                raise
    raise _changed(paths)


def read_ids(paths: ExportPaths, file_format: Format) -> list[str]:
    """The ids of the rows in the target."""
    with raising_export_failed(paths.given), suppress(*_UNREADABLE):
        return list(file_format.read_ids(paths.target))
    raise _changed(paths)


def _changed(paths: ExportPaths) -> ExportFailed:
    """Raised outside the handler of the format's error, which may quote a row and would show in the traceback."""
    return ExportFailed(
        f"{paths.given} cannot be brought up to date: it was changed since its export; {EXPORT_AGAIN}", path=paths.given
    )


def commit(journal: Journal, finished: FinishedExport) -> None:
    """Rename the whole file to the target, and keep its manifest beside it.

    Each step may have been done by an export that was killed afterwards.
    """
    paths = journal.paths
    with raising_export_failed(paths.given):
        if paths.whole.exists():
            # Again: the target may have been created since the export began.
            paths.check_free(may_replace=journal.state.overwrite or journal.state.since)
            rename(paths.whole, paths.target)
        elif not paths.target.exists() or paths.target.stat().st_size != finished.size:
            raise ExportFailed(
                f"{paths.given} was changed before its export was finished: {RESUME_OR_OVERWRITE}", path=paths.given
            )
        # After the rename: a manifest describes the file beside it, and until then that is the older one.
        save(paths.manifest, finished)
        journal.discard()


def commit_stream(paths: ExportPaths, spool: Spool, *, overwrite: bool) -> None:
    """Rename the whole file of an export that has no state to the target."""
    with raising_export_failed(paths.given):
        paths.check_free(may_replace=overwrite)
        # Before the rename: a manifest that exists describes the older file, and must never be beside the new one.
        remove(paths.manifest)
        rename(paths.whole, paths.target)
        spool.remove()
