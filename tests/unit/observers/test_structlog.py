"""The README's line for structlog, with the real one."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from amili_async.errors import ServerFault
from amili_async.events import Event, Observer
from amili_async.observers import LogEvents, facts_of, level_of
from amili_async.policies import RetryPolicy
from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import HastyClock, on_clock


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Undo what a test configures."""
    yield
    structlog.reset_defaults()


async def cause_a_retry(observe: Observer) -> None:
    """Request a page that fails twice."""
    async with Sandbox(payouts=1, specifications=1, payments=0) as sandbox:
        sandbox.fail(Fault(status=503), times=2, path="finance--payouts")
        retry = RetryPolicy(attempts=2)
        client = on_clock(HastyClock())(sandbox.url, auth=sandbox.token(), observers=[observe], retry=retry)
        async with client as amili:
            with pytest.raises(ServerFault):
                await amili.payouts.page()


async def test_a_logger_of_structlog_gets_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    """With its name, its level, and its fields as values; the level filters."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
    )
    log = structlog.get_logger()

    def observe(event: Event) -> None:
        log.log(level_of(event), type(event).__name__, **facts_of(event))

    await cause_a_retry(observe)
    lines = {line["event"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    retried, finished = lines["RetryScheduled"], lines["CallFinished"]
    assert "AttemptFinished" not in lines
    assert (retried["level"], retried["error"]) == ("warning", "ServerFault")
    assert (finished["level"], finished["attempts"]) == ("info", 2)
    assert retried["call"] == finished["call"]


async def test_a_formatter_of_structlog_has_the_facts_of_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Where structlog renders what other packages log, `ExtraAdder` finds the fields."""
    formatter = structlog.stdlib.ProcessorFormatter(
        processor=structlog.processors.JSONRenderer(), foreign_pre_chain=[structlog.stdlib.ExtraAdder()]
    )
    with caplog.at_level(logging.WARNING, logger="amili_async"):
        await cause_a_retry(LogEvents())
    (line,) = (json.loads(formatter.format(record)) for record in caplog.records)
    assert (line["amili_event"], line["amili_error"], line["amili_attempt"]) == ("RetryScheduled", "ServerFault", 1)
