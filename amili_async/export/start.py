"""Before the first request: whether an export may begin, or where an unfinished one continues.

Invariant: an export first locks the spool, and only then reads or changes any other of its files.
"""

from contextlib import ExitStack

from msgspec import Struct
from msgspec.structs import replace

from amili_async.errors import ConfigurationError
from amili_async.export.files import ExportPaths, raising_export_failed, remove
from amili_async.export.journal import (
    EXPORT_AGAIN,
    RESUME_OR_OVERWRITE,
    ExportSpec,
    ExportState,
    FinishedExport,
    Journal,
    check_spec,
    load,
    release,
)
from amili_async.export.spool import Spool, open_spool
from amili_async.extraction import Checkpoint


class ExportRequest(Struct, frozen=True, kw_only=True):
    """The export that the caller requests."""

    paths: ExportPaths
    """Where."""
    spec: ExportSpec
    """What."""
    overwrite: bool
    """Whether an existing target may be replaced, and an unfinished export be discarded."""
    resume: bool
    """Whether an unfinished export is continued."""
    since: bool
    """Whether an existing target is brought up to date."""
    sweep: bool
    """Whether deleted rows are left out of it."""


def open_stream_spool(paths: ExportPaths, opened: ExitStack, *, overwrite: bool) -> Spool:
    """An empty spool for an export that cannot be resumed; *opened* releases it."""
    with raising_export_failed(paths.given):
        spool = _open_spool(paths, opened)
        if paths.state.exists() and not overwrite:
            raise _unfinished(paths)
        paths.check_free(may_replace=overwrite)
        _clear(spool, paths)
        return spool


def open_journal(request: ExportRequest, opened: ExitStack) -> tuple[Journal, FinishedExport | None]:
    """The journal of the export, and the export that made the target if that is brought up to date.

    *opened* releases the spool.
    """
    paths = request.paths
    with raising_export_failed(paths.given):
        spool = _open_spool(paths, opened)
        # Without a look at the state: it may be damaged, and overwriting is the remedy.
        if request.overwrite and not request.resume:
            return _begin(request, spool)
        before = load(paths.state, ExportState)
        if before is None:
            return _begin(request, spool)
        if not request.resume:
            raise _unfinished(paths)
        return _resume(request, spool, before)


def _open_spool(paths: ExportPaths, opened: ExitStack) -> Spool:
    if paths.remote is not None:
        paths.target.parent.mkdir(parents=True, exist_ok=True)
    spool = open_spool(paths.spool)
    opened.callback(release, spool, paths)
    return spool


def _begin(request: ExportRequest, spool: Spool) -> tuple[Journal, FinishedExport | None]:
    base = _find_base(request)
    request.paths.check_free(may_replace=request.overwrite or base is not None)
    _clear(spool, request.paths)
    state = ExportState(
        spec=request.spec if base is None else base.spec,
        overwrite=request.overwrite,
        since=base is not None,
        sweep=request.sweep,
        spool_length=spool.length,
    )
    return Journal(request.paths, spool, state), base


def _resume(request: ExportRequest, spool: Spool, before: ExportState) -> tuple[Journal, FinishedExport | None]:
    state = replace(before, overwrite=before.overwrite or request.overwrite)
    words = ("leaves out deleted rows", "keeps deleted rows")
    _check_option(request, "sweep", words, before=state.sweep, requested=request.sweep)
    if state.finished is not None:
        # Only the rename is left, and may be done: the target is then no base to compare with, and the spool is not
        # needed.
        check_spec(_complete_spec(request, state.spec), state.spec, what=request.paths.state)
        return Journal(request.paths, spool, state), None
    base = _find_base(request)
    # Compared with the base rather than with the option: without a file, `since` makes the whole file.
    words = ("brings the file up to date", "writes all rows")
    _check_option(request, "since", words, before=state.since, requested=base is not None)
    check_spec(_complete_spec(request, state.spec), state.spec, what=request.paths.state)
    request.paths.check_free(may_replace=state.overwrite or state.since)
    spool.reopen(state.spool_length, rows=Checkpoint.from_json(bytes(state.checkpoint)).rows)
    return Journal(request.paths, spool, state), base


def _check_option(
    request: ExportRequest, option: str, words: tuple[str, str], *, before: bool, requested: bool
) -> None:
    if before != requested:
        what, how = (words[0], "with") if before else (words[1], "without")
        raise ConfigurationError(
            f"the unfinished export of {request.paths.given} {what}: resume it {how} {option} (--{option})"
        )


def _complete_spec(request: ExportRequest, before: ExportSpec) -> ExportSpec:
    """The spec of a request; if it brings a file up to date and omits the fields, they are those of the file."""
    if request.since and request.spec.fields is None:
        return replace(request.spec, fields=before.fields)
    return request.spec


def _find_base(request: ExportRequest) -> FinishedExport | None:
    """The export that made the target, if that exists and is to be brought up to date."""
    paths = request.paths
    if not request.since or not paths.exists():
        return None
    paths.fetch()
    base = load(paths.manifest, FinishedExport)
    if base is None:
        raise ConfigurationError(
            f"{paths.given} cannot be brought up to date: {paths.manifest.name} is missing; {EXPORT_AGAIN}"
        )
    check_spec(_complete_spec(request, base.spec), base.spec, what=paths.given)
    # The size is a cheap test for a file that was edited; rows that do not ascend are detected by the merge.
    if paths.target.stat().st_size != base.size:
        raise ConfigurationError(
            f"{paths.given} cannot be brought up to date: it was changed since its export; {EXPORT_AGAIN}"
        )
    return base


def _clear(spool: Spool, paths: ExportPaths) -> None:
    # The state first: while it exists, the rows in the spool can be resumed.
    remove(paths.state, paths.whole)
    spool.clear()


def _unfinished(paths: ExportPaths) -> ConfigurationError:
    return ConfigurationError(f"{paths.given} is an unfinished export: {RESUME_OR_OVERWRITE}")
