"""What a support ticket needs: errors and pages have the id of their request, and the headers that explain it."""

import pickle
from collections.abc import Awaitable, Callable

import pytest

from amili_async import AmiliClient, RetryPolicy
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    ExtractionInterrupted,
    NotFound,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    ServerFault,
    TimedOut,
    UnreadableResponse,
)
from amili_async.sandbox import Fault
from tests.support.payments import make_payment
from tests.support.starting import Connect, StartSandbox

SENT = {"X-Request-ID": "abc-123", "Via": "1.1 gateway", "Set-Cookie": "session=s3cret", "X-Debug": "s3cret"}
KEPT = {"x-request-id": "abc-123", "via": "1.1 gateway"}
EMPTY_PAGE: dict[str, list[object]] = {"_items": []}
Provoke = Callable[[AmiliClient], Awaitable[object]]


async def get_page(amili: AmiliClient) -> None:
    await amili.payouts.page()


async def get_record(amili: AmiliClient) -> None:
    await amili.payouts.get("0" * 24)


async def count(amili: AmiliClient) -> None:
    await amili.payouts.count()


async def extract(amili: AmiliClient) -> None:
    _ = [record async for record in amili.payouts.extract()]


async def pay(amili: AmiliClient) -> None:
    await amili.creditor_payments.create(make_payment(), lookup_timeout=0)


ROWS: list[tuple[str, type[AmiliError], Provoke, Fault]] = [
    ("an error response", NotFound, get_record, Fault(status=404, headers=SENT)),
    ("a redirect", ApiError, get_page, Fault(status=302, headers={**SENT, "Location": "/?s3cret"})),
    ("a 500 of a proxy", ServerFault, get_page, Fault(status=502, body="<p>s3cret", headers=SENT)),
    ("an error in a 200", ApiError, get_page, Fault(status=200, body={"_status": "ERR"}, headers=SENT)),
    ("a 401", AuthenticationError, get_page, Fault(status=401, headers=SENT)),
    ("no JSON", ConnectionFailed, get_page, Fault(status=200, body="<p>s3cret", headers=SENT)),
    ("a body that is cut off", ConnectionFailed, get_page, Fault(cut=20, headers=SENT)),
    ("a body that stops", TimedOut, get_page, Fault(cut=20, hang=True, headers=SENT)),
    ("another type", UnreadableResponse, get_page, Fault(status=200, body={"_items": [{"_id": 5}]}, headers=SENT)),
    ("another record", UnreadableResponse, get_record, Fault(status=200, body={"_id": "1" * 24}, headers=SENT)),
    ("a compression", UnreadableResponse, get_page, Fault(headers={**SENT, "Content-Encoding": "compress"})),
    ("no count", UnreadableResponse, count, Fault(status=200, body=EMPTY_PAGE, headers=SENT)),
    ("a cached page", UnreadableResponse, extract, Fault(headers={**SENT, "Age": "9"})),
    ("a payment", PaymentOutcomeUnknown, pay, Fault(status=500, headers=SENT)),
    ("an odd 201", PaymentOutcomeUnknown, pay, Fault(status=201, body={"_id": "0" * 24}, headers=SENT)),
]


@pytest.mark.parametrize(("kind", "provoke", "fault"), [pytest.param(*row, id=name) for name, *row in ROWS])
async def test_an_error_has_the_id_of_its_request(
    kind: type[AmiliError], provoke: Provoke, fault: Fault, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """In its text, and with the headers of the list on attributes, which a pickle keeps; no other header is there."""
    sandbox = await start_sandbox()
    timeout = 0.2 if kind is TimedOut else 30.0
    amili = await connect(sandbox, auth=sandbox.token(), retry=RetryPolicy(attempts=2), timeout=timeout)
    sandbox.fail(fault, times=None)
    with pytest.raises(kind) as caught:
        await provoke(amili)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301 - our own
        assert error.request_id == "abc-123"
        assert error.headers.items() >= KEPT.items()
        assert str(error).endswith("(request id abc-123)")
        assert "s3cret" not in f"{error!r} {error} {error.headers}"


async def test_each_error_of_a_retried_call_is_that_of_its_last_attempt(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A connection that breaks without a response has no id after a 503: the id would be of another attempt."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), retry=RetryPolicy(attempts=2))
    sandbox.fail(Fault(status=503, headers=SENT))
    sandbox.fail(Fault(reset="before"), times=None)
    with pytest.raises(ConnectionFailed) as caught:
        await amili.payouts.page()
    assert (caught.value.attempts, caught.value.request_id, caught.value.headers) == (2, None, {})


async def test_a_rejected_exchange_has_the_id_of_its_response(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The rejection of the API code is a request too, and so is a response without a token."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    for status in (401, 403, 200):
        sandbox.fail(Fault(status=status, body={}, headers=SENT), times=None, path="/authenticates")
        with pytest.raises(AuthenticationError, match=r"\(request id abc-123\)$"):
            await amili.payouts.page()
        sandbox.stop_failing()


async def test_a_payment_that_was_not_sent_has_the_id_of_the_look_up(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Its text has the id once, although that of the cause is a part of it."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), retry=RetryPolicy(attempts=1))
    sandbox.fail(Fault(reset="before"), method="POST")
    with pytest.raises(PaymentOutcomeUnknown):
        await pay(amili)
    sandbox.fail(Fault(status=500, headers=SENT), times=None, method="GET")
    with pytest.raises(PaymentNotSent) as caught:
        await pay(amili)
    assert caught.value.request_id == "abc-123"
    assert str(caught.value).count("abc-123") == 1


async def test_an_interrupted_extraction_has_the_id_of_its_cause(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Also a pickle of it, as a cluster returns it."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), retry=RetryPolicy(attempts=1), page_size=2)
    sandbox.fail(Fault(status=503, headers=SENT), times=None, after=2)
    with pytest.raises(ExtractionInterrupted, match=r"\(request id abc-123\)$") as caught:
        await extract(amili)
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (caught.value.request_id, copied.request_id, copied.headers["via"]) == ("abc-123", "abc-123", "1.1 gateway")


async def test_a_page_has_the_head_of_its_response(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A single page and each page of a stream; the records and counts alone make two pages equal."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, page_size=100)
    await amili.payouts.count()
    plain = await amili.payout_specifications.page(2)
    assert (plain.response.status, plain.response.request_id) == (200, None)
    assert plain.response.headers["Content-Type"] == "application/json"
    sandbox.fail(Fault(headers=SENT), times=None)
    pages = [page async for page in amili.payout_specifications.stream(max_items=240).pages()]
    assert [page.response.request_id for page in pages] == ["abc-123"] * 3
    assert [len(page.items) for page in pages] == [100, 100, 40]
    assert pages[1] == plain
    assert all("s3cret" not in repr(page.response) for page in pages)
