"""What happened, as values, and how it reaches observers."""

import logging

import pytest

from amili_async.events import Announcer, Event, RetryScheduled


def make_event() -> Event:
    return RetryScheduled(request="GET /x", attempt=1, wait=0.5, error="TimedOut")


def test_every_observer_gets_every_event() -> None:
    """In the order in which they were given."""
    heard: list[tuple[str, Event]] = []
    announce = Announcer([lambda event: heard.append(("first", event)), lambda event: heard.append(("second", event))])
    announce(make_event())
    assert heard == [("first", make_event()), ("second", make_event())]


def test_an_observer_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure is logged by name, the others still hear, and the call goes on."""
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise KeyError("s3cret")

    with caplog.at_level(logging.WARNING, logger="amili_async"):
        Announcer([broken, heard.append])(make_event())
    assert heard == [make_event()]
    assert "an observer failed on RetryScheduled with KeyError" in caplog.text
    assert "s3cret" not in caplog.text


def test_an_announcer_without_observers_is_false() -> None:
    """So that the hot path need not make events that nobody hears."""
    assert not Announcer()
    assert Announcer([print])
