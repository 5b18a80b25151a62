"""Before the first request: whether an export may begin, or where it goes on."""

from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from amili_async.errors import ConfigurationError
from amili_async.export.files import ExportPaths, refusing, remove
from amili_async.export.journal import (
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


class ExportRequest(Struct, frozen=True, kw_only=True):
    """What was asked for."""

    paths: ExportPaths
    """Where."""
    spec: ExportSpec
    """What."""
    overwrite: bool
    """Whether an existing target may be replaced, and an unfinished export be forgotten."""
    resume: bool
    """Whether an unfinished export goes on."""
    since: bool
    """Whether an existing target is brought up to date."""
    sweep: bool
    """Whether rows of it that are gone are left out."""


def open_alone(paths: ExportPaths, opened: ExitStack, *, overwrite: bool) -> Spool:
    """An empty spool for an export that cannot be resumed, let go with *opened*."""
    with refusing(paths.given):
        spool = _open_spool(paths, opened)
        if paths.state.exists() and not overwrite:
            raise _unfinished(paths.given)
        paths.check_free(may_replace=overwrite)
        _clear(spool, paths)
        return spool


def open_journal(request: ExportRequest, opened: ExitStack) -> tuple[Journal, FinishedExport | None]:
    """What is written from now on, and what the target holds already where it is brought up to date.

    The spool is let go with *opened*.
    """
    paths = request.paths
    with refusing(paths.given):
        spool = _open_spool(paths, opened)
        if request.overwrite and not request.resume:
            return _begin(request, spool)
        before = load(paths.state, ExportState)
        if before is None:
            return _begin(request, spool)
        if not request.resume:
            raise _unfinished(paths.given)
        return _go_on(request, spool, before)


def _open_spool(paths: ExportPaths, opened: ExitStack) -> Spool:
    spool = open_spool(paths.spool)
    opened.callback(release, spool, paths)
    return spool


def _begin(request: ExportRequest, spool: Spool) -> tuple[Journal, FinishedExport | None]:
    base = _find_base(request)
    request.paths.check_free(may_replace=request.overwrite or base is not None)
    _clear(spool, request.paths)
    spec = request.spec if base is None else base.spec
    state = ExportState(
        spec=spec, overwrite=request.overwrite, since=base is not None, sweep=request.sweep, spool_length=spool.length
    )
    return Journal(request.paths, spool, state), base


def _go_on(request: ExportRequest, spool: Spool, before: ExportState) -> tuple[Journal, FinishedExport | None]:
    state = replace(before, overwrite=before.overwrite or request.overwrite)
    if state.sweep != request.sweep:
        asked = (
            "leaves out what is gone: say sweep" if state.sweep else "does not look for what is gone: leave out sweep"
        )
        raise ConfigurationError(f"the unfinished export of {request.paths.given} {asked} (--sweep)")
    if state.finished is not None:
        check_spec(_filled(request, state), state.spec, what=request.paths.state)
        return Journal(request.paths, spool, state), None
    base = _find_base(request)
    if state.since != (base is not None):
        asked = "brings the file up to date: say since" if state.since else "makes the whole file: leave out since"
        raise ConfigurationError(f"the unfinished export of {request.paths.given} {asked} (--since)")
    check_spec(_filled(request, state), state.spec, what=request.paths.state)
    request.paths.check_free(may_replace=state.overwrite or state.since)
    spool.take_up(state.spool_length)
    return Journal(request.paths, spool, state), base


def _filled(request: ExportRequest, state: ExportState) -> ExportSpec:
    """The spec of a request; bringing a file up to date may leave its fields unsaid."""
    if request.since and request.spec.fields is None:
        return replace(request.spec, fields=state.spec.fields)
    return request.spec


def _find_base(request: ExportRequest) -> FinishedExport | None:
    """What the target holds, where it is there and is to be brought up to date."""
    paths = request.paths
    if not request.since or not paths.target.exists():
        return None
    base = load(paths.manifest, FinishedExport)
    if base is None:
        raise ConfigurationError(
            f"{paths.given} cannot be brought up to date: {paths.manifest.name} is not beside it; export it anew"
        )
    spec = request.spec if request.spec.fields is not None else replace(request.spec, fields=base.spec.fields)
    check_spec(spec, base.spec, what=paths.given)
    if paths.target.stat().st_size != base.size:
        raise ConfigurationError(f"{paths.given} was changed since its export, so it cannot be brought up to date")
    return base


def _clear(spool: Spool, paths: ExportPaths) -> None:
    remove(paths.state, paths.whole)
    spool.clear()


def _unfinished(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is an unfinished export: {RESUME_OR_OVERWRITE}")
