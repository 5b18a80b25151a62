"""Before the first request: whether an export may begin, or where it goes on."""

from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from amili_async.errors import ConfigurationError
from amili_async.export.files import ExportPaths, refusing, remove
from amili_async.export.journal import (
    AGAIN,
    ExportSpec,
    ExportState,
    FinishedExport,
    Journal,
    check_same,
    load,
    release,
)
from amili_async.export.spool import Spool, open_spool


class ExportRequest(Struct, frozen=True, kw_only=True):
    """What was asked for."""

    places: ExportPaths
    """Where."""
    plan: ExportSpec
    """What."""
    overwrite: bool
    """Whether an existing target may be replaced, and an unfinished export be forgotten."""
    resume: bool
    """Whether an unfinished export goes on."""
    since: bool
    """Whether an existing target is brought up to date."""
    sweep: bool
    """Whether rows of it that are gone are left out."""


def open_alone(places: ExportPaths, opened: ExitStack, *, overwrite: bool) -> Spool:
    """An empty spool for an export that cannot be resumed, let go with *opened*."""
    with refusing(places.named):
        spool = _open_spool(places, opened)
        if places.state.exists() and not overwrite:
            raise _unfinished(places.named)
        places.check_free(may_replace=overwrite)
        _clear(spool, places)
        return spool


def open_ledger(order: ExportRequest, opened: ExitStack) -> tuple[Journal, FinishedExport | None]:
    """What is written from now on, and what the target holds already where it is brought up to date.

    The spool is let go with *opened*.
    """
    places = order.places
    with refusing(places.named):
        spool = _open_spool(places, opened)
        if order.overwrite and not order.resume:
            return _begin(order, spool)
        before = load(places.state, ExportState)
        if before is None:
            return _begin(order, spool)
        if not order.resume:
            raise _unfinished(places.named)
        return _go_on(order, spool, before)


def _open_spool(places: ExportPaths, opened: ExitStack) -> Spool:
    spool = open_spool(places.spool)
    opened.callback(release, spool, places)
    return spool


def _begin(order: ExportRequest, spool: Spool) -> tuple[Journal, FinishedExport | None]:
    base = _find_base(order)
    order.places.check_free(may_replace=order.overwrite or base is not None)
    _clear(spool, order.places)
    plan = order.plan if base is None else base.plan
    state = ExportState(
        plan=plan, overwrite=order.overwrite, since=base is not None, sweep=order.sweep, length=spool.length
    )
    return Journal(order.places, spool, state), base


def _go_on(order: ExportRequest, spool: Spool, before: ExportState) -> tuple[Journal, FinishedExport | None]:
    state = replace(before, overwrite=before.overwrite or order.overwrite)
    if state.sweep != order.sweep:
        asked = (
            "leaves out what is gone: say sweep" if state.sweep else "does not look for what is gone: leave out sweep"
        )
        raise ConfigurationError(f"the unfinished export of {order.places.named} {asked} (--sweep)")
    if state.finished is not None:
        check_same(_filled(order, state), state.plan, what=order.places.state)
        return Journal(order.places, spool, state), None
    base = _find_base(order)
    if state.since != (base is not None):
        asked = "brings the file up to date: say since" if state.since else "makes the whole file: leave out since"
        raise ConfigurationError(f"the unfinished export of {order.places.named} {asked} (--since)")
    check_same(_filled(order, state), state.plan, what=order.places.state)
    order.places.check_free(may_replace=state.overwrite or state.since)
    spool.take_up(state.length)
    return Journal(order.places, spool, state), base


def _filled(order: ExportRequest, state: ExportState) -> ExportSpec:
    """The plan of an order; bringing a file up to date may leave its fields unsaid."""
    if order.since and order.plan.fields is None:
        return replace(order.plan, fields=state.plan.fields)
    return order.plan


def _find_base(order: ExportRequest) -> FinishedExport | None:
    """What the target holds, where it is there and is to be brought up to date."""
    places = order.places
    if not order.since or not places.target.exists():
        return None
    base = load(places.summary, FinishedExport)
    if base is None:
        raise ConfigurationError(
            f"{places.named} cannot be brought up to date: {places.summary.name} is not beside it; export it anew"
        )
    plan = order.plan if order.plan.fields is not None else replace(order.plan, fields=base.plan.fields)
    check_same(plan, base.plan, what=places.named)
    if places.target.stat().st_size != base.size:
        raise ConfigurationError(f"{places.named} was changed since its export, so it cannot be brought up to date")
    return base


def _clear(spool: Spool, places: ExportPaths) -> None:
    remove(places.state, places.whole)
    spool.clear()


def _unfinished(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is an unfinished export: {AGAIN}")
