"""Log lines: their facts as attributes of the record, their levels, and stderr for programs without a handler."""

import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from amili_async import events
from amili_async.events import AttemptFinished, AttemptStarted, CallFinished, Event, PaymentRegistered, RetryScheduled
from amili_async.observers import LogEvents, facts_of, level_of
from amili_async.observers.log import log_to_stderr
from tests.support.logs import no_handlers

SAMPLES: Mapping[Any, object] = {
    str: "GET /x",
    int: 7,
    float: 0.123456,
    bool: True,
    dict[str, str]: {"traceparent": "00"},
}
RETRIED = RetryScheduled(call=1, request="GET /finance--payouts", attempt=1, wait=0.123456, error="TimedOut")


def find_kinds(kind: type[Event] = Event) -> Iterator[type[Event]]:
    """Every class of events that is reported."""
    subclasses = kind.__subclasses__()
    if not subclasses:
        yield kind
    for each in subclasses:
        yield from find_kinds(each)


def types_of(hint: Any) -> tuple[Any, ...]:
    """A type, its origin and its parts: `dict` for `dict[str, str]`, `int` for `int | None`."""
    return hint, get_origin(hint), *get_args(hint)


def sample(kind: type[Event]) -> Event:
    """An event with a value in each field."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return kind(**{name: SAMPLES[next(filter(SAMPLES.get, types_of(hint)))] for name, hint in hints.items()})


@pytest.mark.parametrize("kind", list(find_kinds()), ids=lambda kind: kind.__name__)
def test_the_facts_of_each_event_are_attributes_of_its_record(
    kind: type[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """Under names that no record has already, so that `logging` accepts them, and as values that JSON has."""
    event = sample(kind)
    with caplog.at_level(logging.DEBUG, logger="amili_async"):
        LogEvents()(event)
    (record,) = caplog.records
    facts = {name: value for name, value in vars(record).items() if name.startswith("amili_")}
    expected = {f"amili_{name}": getattr(event, name) for name in kind.__struct_fields__ if name != "headers"}
    assert json.loads(json.dumps(facts)) == {"amili_event": kind.__name__, **expected}
    assert record.levelno == level_of(event)


def test_the_names_of_facts_are_few() -> None:
    """An index of logs has a column for each: they are those of the fields, whatever the events hold."""
    names = {name for kind in find_kinds() for name in facts_of(sample(kind))}
    assert names <= {name for kind in vars(events).values() for name in getattr(kind, "__struct_fields__", ())}
    assert len(names) <= 40
    assert names.isdisjoint({"event", "level", "timestamp", "logger"})  # names of structlog


def test_a_line_rounds_and_a_fact_is_exact(caplog: pytest.LogCaptureFixture) -> None:
    """People read four decimals of a second; headers that observers fill are in neither."""
    with caplog.at_level(logging.DEBUG, logger="amili_async"):
        LogEvents()(RETRIED)
        LogEvents()(AttemptStarted(call=1, request="GET /x", attempt=1, headers={"traceparent": "00"}))
    retried, started = caplog.records
    assert retried.getMessage().endswith("attempt=1 wait=0.1235 error=TimedOut")
    assert vars(retried)["amili_wait"] == 0.123456
    assert started.getMessage() == "AttemptStarted call=1 request=GET /x attempt=1"


def test_levels_are_those_of_operators() -> None:
    """A finished call is information, a retry and a payment that is not completed a warning, the rest for debugging."""
    assert level_of(sample(CallFinished)) == logging.INFO
    assert level_of(RETRIED) == logging.WARNING
    assert level_of(sample(AttemptStarted)) == logging.DEBUG
    paid = {"completed": logging.INFO, "warning": logging.WARNING, "other": logging.WARNING}
    for status, level in paid.items():
        assert level_of(PaymentRegistered(request="POST /x", status=status, was_found=False)) == level


def test_a_program_without_a_handler_logs_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """From the level on, one line for each event, although it is set twice; stdout stays empty."""
    with no_handlers() as logger:
        log_to_stderr(logging.INFO)
        log_to_stderr(logging.INFO)
        LogEvents()(RETRIED)
        LogEvents()(sample(AttemptStarted))
        logger.warning("observer failed")
    written = capsys.readouterr()
    assert written.out == ""
    first, second = written.err.splitlines()
    assert first[19:].partition(" ")[2].startswith("WARNING amili_async RetryScheduled call=1 request=GET /")
    assert second.endswith("WARNING amili_async observer failed")


@pytest.mark.parametrize("name", ["", "amili_async"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_program_with_a_handler_gets_each_line_once(
    name: str, is_first: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own handler alone has it, whether it was added before or after."""
    lines = io.StringIO()
    with no_handlers():
        if not is_first:
            log_to_stderr(logging.INFO)
        logging.getLogger(name).addHandler(logging.StreamHandler(lines))
        if is_first:
            log_to_stderr(logging.INFO)
        LogEvents()(RETRIED)
    assert lines.getvalue().count("RetryScheduled") == 1
    assert capsys.readouterr().err == ""


class ClosedPipe(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [ClosedPipe(), None])
def test_a_stderr_that_is_closed_fails_no_call(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is lost, as with the handlers of `logging`."""
    with no_handlers():
        log_to_stderr(logging.INFO)
        monkeypatch.setattr(sys, "stderr", stream)
        LogEvents()(RETRIED)


def test_each_event_is_logged_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    """A retry is a warning, an attempt is for debugging; each line holds the fields."""
    answered = AttemptFinished(
        call=1,
        request="GET /finance--payouts",
        address="api.example.com",
        port=443,
        status=200,
        error=None,
        attempt=1,
        seconds=0.25,
        size=1000,
    )
    observe = LogEvents()
    with caplog.at_level(logging.DEBUG, logger="amili_async"):
        observe(answered)
        observe(RetryScheduled(call=1, request="GET /finance--payouts", attempt=1, wait=0.5, error="TimedOut"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "DEBUG",
            "AttemptFinished call=1 request=GET /finance--payouts address=api.example.com port=443 "
            "status=200 error=None attempt=1 seconds=0.25 size=1000",
        ),
        ("WARNING", "RetryScheduled call=1 request=GET /finance--payouts attempt=1 wait=0.5 error=TimedOut"),
    ]


@pytest.mark.parametrize(("status", "level"), [("completed", "INFO"), ("warning", "WARNING"), ("other", "WARNING")])
def test_a_payment_that_is_not_completed_is_a_warning(
    status: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader of warnings alone learns of each payment that was not settled as intended."""
    with caplog.at_level(logging.DEBUG, logger="amili_async"):
        LogEvents()(PaymentRegistered(request="POST /creditor--payments", status=status, was_found=False))
    assert [record.levelname for record in caplog.records] == [level]
