"""What observers get of a call: each event once, joined by its number, and no id in any of its texts."""

import asyncio
from typing import Any

import pytest

from amili_async._wire.announcer import Announcer
from amili_async._wire.calls import Call, Calls, template_of
from amili_async._wire.protocol import Request, Response, create_request, item_request, list_request
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.tasks import Cancellable, cancel_all
from amili_async.errors import NotFound
from amili_async.events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    Event,
    PermitAcquired,
    RetryScheduled,
)
from amili_async.policies import Priority, RateLimit
from amili_async.query import build_query
from tests.support.clocks import MovedClock, settle

ID = "65a0c0ffee65a0c0ffee65a0"
LIST = list_request("finance--payouts", build_query(), operation="stream", priority=Priority.BULK)
ONE = item_request("finance--payouts", ID)


class Observed:
    """Calls, and the events of their observer."""

    def __init__(self, base_url: str = "https://api.example.com/v1") -> None:
        self.clock, self.events = MovedClock(), list[Event]()
        self.running: set[Cancellable] = set()
        announce = Announcer([self.observe])
        self.calls = Calls(self.running, base_url=base_url, announce=announce, clock=self.clock)
        self.injected: dict[str, Any] = {}

    def observe(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, AttemptStarted):
            event.headers.update(self.injected)

    def finished(self) -> CallFinished:
        """The only event of its kind."""
        (event,) = [event for event in self.events if isinstance(event, CallFinished)]
        return event


def started(request: Request, base_url: str = "https://api.example.com") -> CallStarted:
    """The first event of a call."""
    observed = Observed(base_url)
    with observed.calls.begin(request):
        (event,) = observed.events
    assert isinstance(event, CallStarted)
    return event


async def test_a_call_reports_its_parts_in_their_order() -> None:
    """Each event has the number of the call; attempts are counted, and waits added up."""
    observed, limiter = Observed(), SlidingWindowLimiter(RateLimit(), clock=MovedClock())
    with observed.calls.begin(LIST) as call:
        call.on_wait()
        await observed.clock.move(2.0)
        await limiter.acquire(Priority.BULK)
        call.on_permit(Priority.BULK, limiter)
        call.begin_attempt()
        await observed.clock.move(1.0)
        call.end_attempt(NotFound("", status=404))
        call.on_retry("NotFound", 0.5)
        await observed.clock.move(0.5)
        call.begin_attempt()
        call.end_attempt(Response(status=200, headers={}, body=b"{}"))
    number = observed.finished().call
    of_call: dict[str, Any] = {"call": number, "request": "GET /finance--payouts"}
    server: dict[str, Any] = {"address": "api.example.com", "port": 443}
    what: dict[str, Any] = {"operation": "stream", "resource": "finance--payouts"}
    failed: dict[str, Any] = {"status": None, "error": "NotFound", "seconds": 1.0, "size": 0}
    answered: dict[str, Any] = {"status": 200, "error": None, "seconds": 0.0, "size": 2}
    assert observed.events == [
        CallStarted(parent=0, **of_call, **server, **what),
        PermitAcquired(priority="bulk", waited=2.0, remaining=99, **of_call),
        AttemptStarted(attempt=1, headers={}, **of_call),
        AttemptFinished(attempt=1, **failed, **of_call, **server),
        RetryScheduled(attempt=1, wait=0.5, error="NotFound", **of_call),
        AttemptStarted(attempt=2, headers={}, **of_call),
        AttemptFinished(attempt=2, **answered, **of_call, **server),
        CallFinished(call=number, attempts=2, waited=2.0, seconds=3.5, error=None, **what),
    ]


@pytest.mark.parametrize("error", [NotFound("", status=404), KeyError(), asyncio.CancelledError(), GeneratorExit()])
async def test_a_call_is_reported_as_finished_however_it_ends(error: BaseException) -> None:
    """With the name of the class of its error, also where a wait for a permit was not over."""
    observed = Observed()

    async def fail() -> None:
        with observed.calls.begin(LIST) as call:
            call.on_wait()
            await observed.clock.move(2.0)
            raise error

    with pytest.raises(type(error)):
        await fail()
    assert (observed.finished().error, observed.finished().waited) == (type(error).__name__, 2.0)


async def test_a_call_that_its_client_ends_is_reported_as_that() -> None:
    """`ClientClosed`, not the cancellation by which it was ended."""
    observed = Observed()

    async def wait() -> None:
        with observed.calls.begin(LIST):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await settle()
    await cancel_all(observed.running)
    await task
    assert observed.finished().error == "ClientClosed"


async def test_a_call_within_a_call_names_its_parent() -> None:
    """Also one that runs in a task of its own, and outlives the call in which it began."""
    observed, go = Observed(), asyncio.Event()

    async def fetch_token() -> None:
        with observed.calls.begin(ONE):
            await go.wait()

    with observed.calls.begin(LIST):
        task = asyncio.create_task(fetch_token())
        await settle()
    go.set()
    await task
    with observed.calls.begin(LIST):
        pass
    first, within, after = [event for event in observed.events if isinstance(event, CallStarted)]
    assert (first.parent, within.parent, after.parent) == (0, first.call, 0)


async def test_calls_of_all_clients_have_different_numbers() -> None:
    """Events of two clients with one observer cannot be mixed up."""
    assert started(LIST).call < started(LIST).call < started(ONE).call


@pytest.mark.parametrize(
    ("request_", "operation", "route"),
    [
        (LIST, "stream", "GET /finance--payouts"),
        (ONE, "get", "GET /finance--payouts/{id}"),
        (create_request("creditor--payments", b"{}"), "create", "POST /creditor--payments"),
        (list_request(f"cases/{ID}/notes", build_query()), "page", "GET /cases/{id}/notes"),
        (item_request(f"cases/{ID}/notes", ID), "get", "GET /cases/{id}/notes/{id}"),
    ],
)
async def test_no_id_is_in_a_route(request_: Request, operation: str, route: str) -> None:
    """Neither that of the record nor one in the path of a resource."""
    event = started(request_)
    assert (event.operation, event.request) == (operation, route)
    assert ID not in repr(event)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("finance--payouts", "finance--payouts"),
        ("level-2--events", "level-2--events"),
        ("cases/12345", "cases/{id}"),
        ("cases/A-12345/notes/9", "cases/{id}/notes/{id}"),
        ("case/registrations", "case/registrations"),
    ],
)
def test_parts_of_a_path_with_a_digit_count_as_ids(path: str, template: str) -> None:
    """Except the first, which names a resource."""
    assert template_of(path) == template


@pytest.mark.parametrize(
    ("base_url", "server"),
    [
        ("https://api.example.com/v1", ("api.example.com", 443)),
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("http://[::1]", ("::1", 80)),
    ],
)
async def test_the_server_is_that_of_the_base_url(base_url: str, server: tuple[str, int]) -> None:
    """With the port of its scheme where it names none."""
    event = started(LIST, base_url)
    assert (event.address, event.port) == server


async def test_only_the_headers_of_a_trace_are_taken_from_an_observer() -> None:
    """Neither a credential nor baggage, and no text that is no header."""
    observed = Observed()
    observed.injected = {"traceparent": "00-1-2-01", "baggage": "name=x", "X-API-Key": "x", "Authorization": "x"}
    with observed.calls.begin(LIST) as call:
        assert call.headers == {}
        call.begin_attempt()
        assert call.headers == {"traceparent": "00-1-2-01"}
        call.end_attempt(KeyError())
        observed.injected = {"traceparent": "00\r\nX-API-Key: x", "tracestate": 5}
        call.begin_attempt()
        assert call.headers == {}


async def test_a_rate_limiter_that_fails_to_count_fails_no_call() -> None:
    """A call that holds a permit would never release it."""

    class Broken(SlidingWindowLimiter):
        @property
        def remaining(self) -> int | None:
            raise KeyError

    observed = Observed()
    with observed.calls.begin(LIST) as call:
        call.on_wait()
        call.on_permit(Priority.BULK, Broken())
    (permit,) = [event for event in observed.events if isinstance(event, PermitAcquired)]
    assert permit.remaining is None


async def test_without_observers_a_call_reports_nothing() -> None:
    """It has no number either."""
    calls = Calls(set(), base_url="https://api.example.com", announce=Announcer(), clock=MovedClock())
    with calls.begin(LIST) as call:
        assert type(call) is Call
        call.begin_attempt()
        call.end_attempt(KeyError())
    assert call.headers == {}
