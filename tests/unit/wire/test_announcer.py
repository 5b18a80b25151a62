"""Every observer gets every event, and none can fail the call."""

import logging

import pytest

from amili_async._wire.announcer import Announcer
from amili_async.events import Event, RetryScheduled


def make_event() -> Event:
    return RetryScheduled(request="GET /x", attempt=1, wait=0.5, error="TimedOut")


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
