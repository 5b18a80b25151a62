"""Spans of calls to a server: their tree, their attributes, and what is sent; whatever ends a call."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib import import_module

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from amili_async import AmiliClient, AmiliError, RateLimit
from amili_async.errors import ClientClosed
from amili_async.observers import TraceCalls
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.clocks import happens
from tests.support.payments import make_payment
from tests.support.spans import Spans, attributes_of, id_of, trace_sent_for
from tests.support.starting import Connect, StartSandbox

PAYOUTS = "GET /finance--payouts"


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    return await start_sandbox()


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect, spans: Spans) -> AsyncIterator[AmiliClient]:
    """A client with a token, whose calls are traced; at the end no span is open or current."""
    amili = await connect(sandbox, auth=sandbox.token(), page_size=20, observers=[TraceCalls(spans.tracer)])
    await amili.auth.get_valid_token()
    yield amili
    spans.check()


async def test_a_call_is_a_span_with_its_attempts_inside(amili: AmiliClient, sandbox: Sandbox, spans: Spans) -> None:
    """Below the caller's span; each attempt is a client span with the attributes of the conventions for HTTP."""
    sandbox.fail(Fault.unavailable())
    with spans.tracer.start_as_current_span("request of a user"):
        await amili.payouts.page()
    assert spans.tree() == ["request of a user", "  page finance--payouts", f"    {PAYOUTS}", f"    {PAYOUTS}"]
    _, call, failed, answered = spans.all
    assert (call.kind, failed.kind, answered.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.CLIENT)
    port = int(sandbox.url.rpartition(":")[2])
    of_both = {
        "http.request.method": "GET",
        "url.template": "/finance--payouts",
        "server.address": "127.0.0.1",
        "server.port": port,
    }
    assert attributes_of(failed) == of_both | {"http.response.status_code": 503, "error.type": "503"}
    assert attributes_of(answered) == of_both | {"http.response.status_code": 200, "http.request.resend_count": 1}
    codes = [span.status.status_code for span in (call, failed, answered)]
    assert codes == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.UNSET]
    assert [event.name for event in call.events] == ["PermitAcquired", "RetryScheduled", "PermitAcquired"]
    assert call.attributes is not None
    assert (call.attributes["amili.operation"], call.attributes["amili.attempts"]) == ("page", 2)


async def test_a_call_that_fails_is_a_span_with_its_error(amili: AmiliClient, sandbox: Sandbox, spans: Spans) -> None:
    """The class of the error, never its message; the name of no span has an id."""
    sandbox.fail(Fault(reset="before"), times=5)
    with pytest.raises(AmiliError):
        await amili.payouts.get("0" * 24)
    call, *attempts = spans.all
    assert (call.name, attributes_of(call)) == ("get finance--payouts", {"error.type": "ConnectionFailed"})
    assert {attempt.name for attempt in attempts} == {"GET /finance--payouts/{id}"}
    assert {attributes_of(attempt)["error.type"] for attempt in attempts} == {"ConnectionFailed"}
    assert "0" * 24 not in "".join(span.to_json() for span in spans.all)


async def test_the_context_of_each_attempt_is_sent(amili: AmiliClient, sandbox: Sandbox, spans: Spans) -> None:
    """`traceparent` names the attempt's own span; baggage, which may be personal, stays here."""
    sandbox.fail(Fault.unavailable())
    context.attach(baggage.set_baggage("customer", "Anna"))
    await amili.payouts.page()
    context.attach(Context())
    sent = [request.headers["traceparent"].rpartition("-")[0] for request in sandbox.requests]
    assert sent == [trace_sent_for(span) for span in spans.all if span.kind is SpanKind.CLIENT]
    assert not any("baggage" in request.headers for request in sandbox.requests)


async def test_a_token_request_is_a_span_below_the_call_that_needs_it(
    sandbox: Sandbox, connect: Connect, spans: Spans
) -> None:
    """Also after a 401, and with the rate limiter's events on the span of the attempt that caused them."""
    amili = await connect(sandbox, observers=[TraceCalls(spans.tracer)], rate_limit=RateLimit())
    await amili.payouts.page()
    token = ["  token authenticates/api-code", "    GET /authenticates/api-code"]
    assert spans.tree() == ["page finance--payouts", *token, f"  {PAYOUTS}"]
    assert [event.name for event in spans.all[0].events] == ["TokenRefreshed", "PermitAcquired"]
    spans.all.clear()
    sandbox.fail(Fault(revoke=True), path="/finance--payouts")
    await amili.payouts.page()
    assert spans.tree() == ["page finance--payouts", f"  {PAYOUTS}", *token, f"  {PAYOUTS}"]
    spans.all.clear()
    sandbox.fail(Fault(status=429))
    await amili.payouts.page()
    assert [event.name for event in spans.all[0].events][1] == "RateLimiterPaused"
    spans.check()


@pytest.mark.parametrize("kind", ["stream", "extract"])
async def test_pages_that_are_fetched_ahead_belong_to_where_the_iteration_began(
    kind: str, amili: AmiliClient, spans: Spans
) -> None:
    """Not to the span in which the consumer was when there was room for another page."""
    resource = amili.payout_specifications
    records = resource.stream() if kind == "stream" else resource.extract()
    with spans.tracer.start_as_current_span("job"):
        iterator = aiter(records)
        await anext(iterator)
    job = spans.named("job")
    while True:
        with spans.tracer.start_as_current_span("one record"):
            if await anext(iterator, None) is None:
                break
    calls = [span for span in spans.all if span.name == f"{kind} finance--payout-specifications"]
    assert len(calls) >= 13
    assert {span.parent and span.parent.span_id for span in calls} == {id_of(job)}


async def test_other_events_join_the_current_span(amili: AmiliClient, spans: Spans) -> None:
    """Pages that are delivered, and payments that are registered; without a span that records they are dropped."""
    with spans.tracer.start_as_current_span("job") as job:
        await amili.payouts.stream().collect()
        await amili.creditor_payments.create(make_payment())
    token = trace.use_span(job)
    with token:
        await amili.payouts.stream().collect()
    assert [event.name for event in spans.named("job").events] == ["PageReceived", "PaymentRegistered"]
    page = spans.named("job").events[0]
    assert dict(page.attributes or {})["amili.path"] == "finance--payouts"


async def test_two_observers_make_two_trees_and_leave_no_context(sandbox: Sandbox, connect: Connect) -> None:
    """Each restores what was current before the call, in whichever order they are called."""
    first, second = Spans(), Spans()
    observers = [TraceCalls(first.tracer), TraceCalls(second.tracer)]
    amili = await connect(sandbox, observers=observers)
    sandbox.fail(Fault.unavailable(), path="/finance--payouts")
    await amili.payouts.page()
    for spans in (first, second):
        names = [span.name for span in spans.all]
        assert names == ["page finance--payouts", "token authenticates/api-code", *names[2:]]
        assert names[2:] == ["GET /authenticates/api-code", PAYOUTS, PAYOUTS]
        spans.check()


async def test_two_clients_share_one_observer(sandbox: Sandbox, connect: Connect, spans: Spans) -> None:
    """Concurrent calls do not become each other's parents."""
    observe = TraceCalls(spans.tracer)
    clients = [await connect(sandbox, auth=sandbox.token(), observers=[observe]) for _ in range(2)]
    await asyncio.gather(*(amili.payouts.page() for amili in clients for _ in range(5)))
    calls = [span for span in spans.all if span.name == "page finance--payouts"]
    assert [span.parent for span in calls] == [None] * 10
    parents = {span.parent.span_id for span in spans.all if span.name == PAYOUTS and span.parent is not None}
    assert parents == {id_of(span) for span in calls}
    spans.check()


async def test_an_observer_of_the_rate_limiter_alone_makes_no_span(
    sandbox: Sandbox, connect: Connect, spans: Spans
) -> None:
    """It gets events of calls whose start it did not see, or of no call."""
    amili = await connect(sandbox, auth=sandbox.token(), rate_limit=RateLimit())
    amili.rate_limiter.add_observer(TraceCalls(spans.tracer))
    sandbox.fail(Fault(status=429))
    with spans.tracer.start_as_current_span("job"):
        await amili.payouts.page()
    assert spans.tree() == ["job"]
    assert [event.name for event in spans.named("job").events] == ["RateLimiterPaused"]


@pytest.mark.parametrize("end", ["cancel", "close"])
async def test_a_call_that_is_cut_off_ends_its_spans(
    end: str, sandbox: Sandbox, connect: Connect, spans: Spans
) -> None:
    """Cancelled, or ended by its client: both of its spans end, with the error."""
    amili = await connect(sandbox, auth=sandbox.token(), observers=[TraceCalls(spans.tracer)])
    release = asyncio.Event()
    internals.hold_responses(sandbox, release.wait)

    async def call() -> None:
        try:
            await amili.payouts.page()
        finally:
            spans.check()

    task = asyncio.create_task(call())
    await happens(lambda: sandbox.requests)
    if end == "cancel":
        task.cancel()
    else:
        await amili.aclose()
    with pytest.raises(asyncio.CancelledError if end == "cancel" else ClientClosed):
        await task
    release.set()
    errors = [attributes_of(span)["error.type"] for span in spans.all]
    assert errors == [("CancelledError" if end == "cancel" else "ClientClosed"), "CancelledError"]


async def test_a_coroutine_that_is_closed_elsewhere_logs_nothing(
    amili: AmiliClient, spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that was never finished, and is collected in another context than its own, leaves none of it there."""
    caplog.set_level(logging.DEBUG, logger="opentelemetry")
    coroutine = amili.payouts.page()

    async def begin() -> None:
        coroutine.send(None)

    await asyncio.create_task(begin())
    coroutine.close()
    spans.check()
    assert [attributes_of(span)["error.type"] for span in spans.all] == ["GeneratorExit"] * 2
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


async def test_the_instrumentation_of_aiohttp_makes_no_second_span(
    sandbox: Sandbox, connect: Connect, spans: Spans
) -> None:
    """Its span would have the whole URL, with the values of the filter; other sessions keep theirs."""
    instrumentor = import_module("opentelemetry.instrumentation.aiohttp_client").AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    try:
        traced = await connect(sandbox, auth=sandbox.token(), observers=[TraceCalls(spans.tracer)])
        await traced.payouts.page()
        assert spans.tree() == ["page finance--payouts", f"  {PAYOUTS}"]
        assert sandbox.requests[-1].headers["traceparent"].startswith(trace_sent_for(spans.all[-1]))
        spans.all.clear()
        untraced = await connect(sandbox, auth=sandbox.token())
        await untraced.payouts.page()
        assert spans.tree() == ["GET"]
    finally:
        instrumentor.uninstrument()
    spans.check()


async def test_leaving_early_ends_every_span(amili: AmiliClient, spans: Spans) -> None:
    """The pages in flight are cancelled, and their spans end with that."""
    async with aclosing(amili.payout_specifications.stream().pages()) as pages:
        await anext(pages)
    errors = {attributes_of(span).get("error.type") for span in spans.all}
    assert errors <= {None, "CancelledError"}
