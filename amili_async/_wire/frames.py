"""Tracebacks without frames of the package: their variables hold what the caller passed, and rows.

rich, loguru, Sentry and structlog print the variables of each frame of a traceback, most of them by default.

Invariant: what the package raises to its caller has no frame of the package, nor has any of its causes.
"""

from asyncio import CancelledError
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from types import FunctionType, TracebackType
from typing import Any, ParamSpec, TypeVar

from amili_async.errors import AmiliError

E = TypeVar("E", bound=BaseException)
K = TypeVar("K", bound=type)
P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = __name__.partition(".")[0]


def hide_variables(call: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a function that the caller calls: its errors show no variables of the package."""
    if iscoroutinefunction(call):

        @wraps(call)
        async def hiding_async(*arguments: P.args, **options: P.kwargs) -> Any:
            try:
                return await call(*arguments, **options)
            except (Exception, CancelledError) as error:
                hide_own_frames(error)
                raise

        return hiding_async  # type: ignore[return-value]

    @wraps(call)
    def hiding(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return call(*arguments, **options)
        except Exception as error:
            hide_own_frames(error)
            raise  # does not add this frame again, which holds the arguments

    return hiding


def hide_variables_of_methods(kind: K) -> K:
    """Class decorator: `hide_variables` for each public method and operator."""
    for name, method in tuple(vars(kind).items()):
        if isinstance(method, FunctionType) and (not name.startswith("_") or name.endswith("__")):
            setattr(kind, name, hide_variables(method))
    return kind


def hide_own_frames(error: E) -> E:
    """The error itself, without frames of the package in its traceback and in those of its causes.

    An error that is not of the package may be a fault in it, so a note keeps the lines through which it was raised.
    """
    chain: list[BaseException] = [error]
    for each in chain:
        places = [_place_of(entry) for entry in _entries(each.__traceback__) if _is_inside(entry)]
        if places and isinstance(each, Exception) and not isinstance(each, AmiliError):
            each.add_note(f"raised through {PACKAGE}: {', '.join(places)}")
        each.__traceback__ = hide_frames(PACKAGE, each.__traceback__)
        chain += [cause for cause in (each.__cause__, each.__context__) if cause is not None and cause not in chain]
    return error


def hide_frames(library: str, trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of a library, whose variables hold what no report may show."""
    kept: TracebackType | None = None
    for entry in reversed([each for each in _entries(trace) if _library_of(each) != library]):
        kept = TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _library_of(entry: TracebackType) -> str:
    return str(entry.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_inside(entry: TracebackType) -> bool:
    return _library_of(entry) == PACKAGE and entry.tb_frame.f_code.co_filename != __file__


def _place_of(entry: TracebackType) -> str:
    code = entry.tb_frame.f_code
    return f"{Path(code.co_filename).name}:{entry.tb_lineno} {code.co_name}"
