"""From the last row to the file under its name.

The law: first the whole file is on the disk beside the target, then the state says so, then it is renamed, then the
rest goes away. Whoever finds that state knows that only the rename and what follows is left, or less than that.
"""

import csv
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export.files import ExportPaths, failing, keep_mode, remove, rename, sync_folder
from amili_async.export.formats import Format
from amili_async.export.journal import AGAIN, FinishedExport, Journal, save
from amili_async.export.spool import Spool

_UNREADABLE = (ValueError, IndexError, csv.Error, msgspec.MsgspecError)


def build(
    places: ExportPaths,
    spool: Spool,
    form: Format,
    *,
    base: Path | None = None,
    gone: frozenset[str] = frozenset(),
) -> tuple[int, int]:
    """Put the whole file beside the target, and on the disk; returns its rows and its bytes.

    With *base* the rows are merged into that file's.
    """
    with failing(places.named):
        try:
            with places.whole.open("wb") as file:
                if base is None:
                    rows = form.write(file, spool.frames)
                else:
                    rows = form.write(file, lambda: form.merge(base, spool.frames(), gone))
                file.flush()
                keep_mode(file, places.target)
                os.fsync(file.fileno())
                size = file.tell()
            sync_folder(places.whole)
            return rows, size
        except BaseException as error:
            remove(places.whole)
            if base is None or not isinstance(error, _UNREADABLE):
                raise
    raise _changed(places)


def read_ids(places: ExportPaths, form: Format) -> list[str]:
    """Which rows the target holds."""
    with failing(places.named), suppress(*_UNREADABLE):
        return list(form.read_ids(places.target))
    raise _changed(places)


def _changed(places: ExportPaths) -> ExportFailed:
    """To be raised where the error of whoever read the file is over: that may quote a row."""
    return ExportFailed(
        f"{places.named} cannot be brought up to date: it was changed since its export", path=places.named
    )


def commit(ledger: Journal, summary: FinishedExport) -> None:
    """Give the whole file its name, and leave the summary beside it; any part of this may have been done before."""
    places = ledger.places
    with failing(places.named):
        if places.whole.exists():
            places.check_free(may_replace=ledger.state.overwrite or ledger.state.since)
            rename(places.whole, places.target)
        elif not places.target.exists() or places.target.stat().st_size != summary.size:
            raise ConfigurationError(f"{places.named} was changed before its export was at its end: {AGAIN}")
        save(places.summary, summary)
        ledger.discard()


def commit_alone(places: ExportPaths, spool: Spool, *, overwrite: bool) -> None:
    """The same without a state; a summary that is there is of an older file."""
    with failing(places.named):
        places.check_free(may_replace=overwrite)
        remove(places.summary)
        rename(places.whole, places.target)
        spool.remove()
