"""The calls that run, and what the observers get of each.

Invariant: each call that is reported as started is reported as finished exactly once, however it ends, and so is each
of its attempts. Without observers nothing is reported, nor computed for it. No id is in a route.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from itertools import count
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from amili_async._wire.announcer import Announcer
from amili_async._wire.clock import Clock
from amili_async._wire.protocol import Request, Response
from amili_async._wire.tasks import Cancellable, RunningCall
from amili_async.errors import ClientClosed
from amili_async.events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    PermitAcquired,
    RetryScheduled,
)
from amili_async.policies import Priority, RateLimiter

_TRACE_HEADERS = ("traceparent", "tracestate")
"""What an observer may send: https://www.w3.org/TR/trace-context/."""
_numbers = count(1)
_current: ContextVar[int] = ContextVar("amili_async_call", default=0)
"""The number of the call that runs in this context: a token request begins in that of the call that needs it."""


class Call(RunningCall):
    """A call of a client without observers: reports nothing."""

    __slots__ = ()

    headers: Mapping[str, str] = {}
    """What is sent besides, with the attempt that runs."""

    def on_wait(self) -> None:
        """It begins to wait for a permit."""

    def on_permit(self, priority: Priority, limiter: RateLimiter) -> None:
        """It got one."""

    def on_retry(self, error: str, wait: float) -> None:
        """Its latest attempt failed, and another one follows."""

    def begin_attempt(self) -> None:
        """The request is about to be sent."""

    def end_attempt(self, ended: Response | BaseException) -> None:
        """An attempt ended; does nothing if none has begun."""


class ObservedCall(Call):
    """A call that is reported to observers."""

    __slots__ = (
        *("_request", "_route", "_resource", "_announce", "_clock", "_server", "_number", "_parent", "_started"),
        *("_waiting_since", "_waited", "_attempts", "_attempt_started", "headers"),
    )

    def __init__(
        self,
        running: set[Cancellable],
        request: Request,
        *,
        announce: Announcer,
        clock: Clock,
        server: tuple[str, int],
    ) -> None:
        super().__init__(running, request.label)
        self._request, self._announce, self._clock, self._server = request, announce, clock, server
        self._resource = template_of(request.resource)
        self._route = f"{request.method} /{self._resource}{'/{id}' if request.operation == 'get' else ''}"
        self._number, self._parent = next(_numbers), _current.get()
        self._started = clock.now()
        self._waiting_since: float | None = None
        self._waited, self._attempts = 0.0, 0
        self._attempt_started: float | None = None
        self.headers: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        _current.set(self._number)
        address, port = self._server
        self._announce(
            CallStarted(
                call=self._number,
                parent=self._parent,
                operation=self._request.operation,
                resource=self._resource,
                request=self._route,
                address=address,
                port=port,
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        is_ended = super().__exit__(kind, error, trace)
        if is_ended:
            kind = ClientClosed
        now = self._clock.now()
        waiting = 0.0 if self._waiting_since is None else now - self._waiting_since
        self._announce(
            CallFinished(
                call=self._number,
                operation=self._request.operation,
                resource=self._resource,
                attempts=self._attempts,
                waited=self._waited + waiting,
                seconds=now - self._started,
                error=None if kind is None else kind.__name__,
            )
        )
        # Not `reset`: it raises where the coroutine is closed in another context than its own.
        if _current.get() == self._number:
            _current.set(self._parent)
        return is_ended

    def on_wait(self) -> None:
        self._waiting_since = self._clock.now()

    def on_permit(self, priority: Priority, limiter: RateLimiter) -> None:
        waited = self._clock.now() - (self._waiting_since or 0.0)
        self._waiting_since = None
        self._waited += waited
        self._announce(
            PermitAcquired(
                call=self._number,
                request=self._route,
                priority=priority.name.lower(),
                waited=waited,
                remaining=_remaining_of(limiter),
            )
        )

    def on_retry(self, error: str, wait: float) -> None:
        self._announce(
            RetryScheduled(call=self._number, request=self._route, attempt=self._attempts, wait=wait, error=error)
        )

    def begin_attempt(self) -> None:
        self._attempts += 1
        headers: dict[str, str] = {}
        self._announce(AttemptStarted(call=self._number, request=self._route, attempt=self._attempts, headers=headers))
        self.headers = {name: headers[name] for name in _TRACE_HEADERS if _is_header(headers.get(name))}
        self._attempt_started = self._clock.now()

    def end_attempt(self, ended: Response | BaseException) -> None:
        if self._attempt_started is None:
            return
        started, self._attempt_started = self._attempt_started, None
        response = ended if isinstance(ended, Response) else None
        address, port = self._server
        self._announce(
            AttemptFinished(
                call=self._number,
                request=self._route,
                address=address,
                port=port,
                status=None if response is None else response.status,
                error=type(ended).__name__ if response is None else None,
                attempt=self._attempts,
                seconds=self._clock.now() - started,
                size=0 if response is None else len(response.body),
            )
        )


class Calls:
    """Begins the calls of a client and its views."""

    def __init__(self, running: set[Cancellable], *, base_url: str, announce: Announcer, clock: Clock) -> None:
        url = urlsplit(base_url)
        self._server = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        self._running, self._announce, self._clock = running, announce, clock

    def begin(self, request: Request) -> Call:
        """The call of a request, to be entered where it runs."""
        if not self._announce:
            return Call(self._running, request.label)
        return ObservedCall(self._running, request, announce=self._announce, clock=self._clock, server=self._server)


@lru_cache(maxsize=256)
def template_of(path: str) -> str:
    """The path of a resource, with `{id}` for each id in it: any part after the first that has a digit."""
    return re.sub(r"(?<=/)[^/]*[0-9][^/]*", "{id}", path)


def _remaining_of(limiter: RateLimiter) -> int | None:
    try:
        return limiter.remaining
    except Exception:  # noqa: BLE001 - a fault in a caller's rate limiter must not fail the call, which holds a permit
        return None


def _is_header(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()
