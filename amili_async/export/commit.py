"""From the last row to the file under its name.

Invariant: first the whole file is on the disk beside the target, then the state notes it, then the file is renamed to
the target, then state and spool are removed. An export that finds such a state repeats at most the rename and the rest.
"""

import csv
from contextlib import suppress
from pathlib import Path

import msgspec

from amili_async.errors import ExportFailed
from amili_async.export.files import (
    ExportPaths,
    create_file,
    raising_export_failed,
    remove,
    rename,
    size_of,
    sync_directory,
)
from amili_async.export.formats import Format
from amili_async.export.journal import EXPORT_AGAIN, START_AGAIN, FinishedExport, Journal, save
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
            with create_file(paths.whole, like=paths.like) as file:
                merged = None if base is None else lambda: file_format.merge(base, spool.frames(), removed)
                rows = file_format.write(file, merged or spool.frames)
                size = file.tell()
            # Its name, too: the state that is saved next promises that the file is there.
            sync_directory(paths.whole)
            return rows, size
        except Exception as error:
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
        f"{paths.given} cannot be brought up to date: it was changed since its export; {EXPORT_AGAIN}",
        path=paths.given,
        can_resume=False,
    )


def commit(journal: Journal, finished: FinishedExport, *, is_partial: bool) -> None:
    """Rename the whole file to the target, or to the name of a partial file, and keep its manifest beside it.

    Each step may have been done by an export that was killed afterwards.
    """
    paths = journal.paths
    target = paths.partial if is_partial else paths.target
    with raising_export_failed(paths.given):
        if size_of(paths.whole) == finished.size:
            # Again: the target may have been created since the export began. After an upload the whole file is still
            # there, so that an export that was killed then finds its own file.
            is_ours = paths.remote is not None and paths.size() == finished.size
            paths.check_free(may_replace=is_partial or is_ours or journal.state.overwrite or journal.state.since)
            if is_partial:
                rename(paths.whole, target)
            else:
                paths.publish()
        elif (size_of(target) if is_partial else paths.size()) != finished.size:
            raise ExportFailed(
                f"{paths.given} was changed before its export was finished: {START_AGAIN}",
                path=paths.given,
                can_resume=False,
            )
        # After the rename: a manifest describes the file beside it, and until then that is the older one.
        save(target.with_name(f"{target.name}.manifest.json"), finished, like=target)
        if paths.remote is not None and not is_partial:
            paths.remote.upload_manifest(paths.manifest)
        journal.discard()


def commit_stream(paths: ExportPaths, spool: Spool, *, overwrite: bool) -> None:
    """Rename the whole file of an export that has no state to the target."""
    with raising_export_failed(paths.given):
        paths.check_free(may_replace=overwrite)
        # Before the rename: a manifest that exists describes the older file, and must never be beside the new one.
        remove(paths.manifest)
        if paths.remote is not None:
            paths.remote.remove_manifest()
        paths.publish()
        remove(paths.whole)
        spool.remove()
