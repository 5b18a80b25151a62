"""Every observer gets every event, and none can fail the call."""

import gc
import logging
import warnings
from functools import partial, wraps
from typing import Any
from unittest.mock import Mock

import pytest

from amili_async._wire.announcer import Announcer, check_observers
from amili_async.errors import ConfigurationError
from amili_async.events import Event, RetryScheduled


def make_event() -> Event:
    return RetryScheduled(call=1, request="GET /x", attempt=1, wait=0.5, error="TimedOut")


def test_every_observer_gets_every_event() -> None:
    """In the order in which they were given."""
    received: list[tuple[str, Event]] = []
    announce = Announcer(
        [lambda event: received.append(("first", event)), lambda event: received.append(("second", event))]
    )
    announce(make_event())
    assert received == [("first", make_event()), ("second", make_event())]


def test_an_observer_that_raises_affects_neither_the_call_nor_others(caplog: pytest.LogCaptureFixture) -> None:
    """The class of its error is logged, without the message; other observers get the event."""
    received: list[Event] = []

    def broken(event: Event) -> None:
        raise KeyError("s3cret")

    with caplog.at_level(logging.WARNING, logger="amili_async"):
        Announcer([broken, received.append])(make_event())
    assert received == [make_event()]
    assert "observer failed on RetryScheduled with KeyError" in caplog.text
    assert "s3cret" not in caplog.text


def test_an_announcer_without_observers_is_false() -> None:
    """Callers skip building an event that no observer would get."""
    assert not Announcer()
    assert Announcer([print])


def test_an_observer_whose_coroutine_is_not_awaited_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A lambda does not show that it returns a coroutine: the first event does, and nothing warns at its collection."""

    async def observe(event: Event) -> None:
        """Never runs."""

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Announcer([lambda event: observe(event)])(make_event())
        gc.collect()
    assert "observer failed on RetryScheduled with TypeError" in caplog.text


class AsyncObserver:
    """An observer that is an object with an async call."""

    async def __call__(self, event: Event) -> None:
        """Never runs."""

    async def observe(self, event: Event) -> None:
        """Never runs."""


@pytest.mark.parametrize(
    "observers",
    [[AsyncObserver()], [AsyncObserver().observe], [partial(AsyncObserver().observe)], [AsyncObserver], [5], print],
    ids=range(6),
)
def test_what_would_never_run_is_rejected(observers: Any) -> None:
    """Async functions, methods, partials and objects, and a class instead of an instance."""
    with pytest.raises(ConfigurationError, match="observers must be"):
        check_observers(observers)


def test_plain_callables_are_accepted() -> None:
    """Functions, methods, partials and objects, in any sequence; also one that starts a task by itself."""

    @wraps(AsyncObserver.observe)
    def schedule(*_: object) -> None:
        """Starts a task."""

    check_observers((print, [].append, partial(print, "x"), Mock(), schedule))
