"""A list of payments: outcomes in order, none lost, and nothing registered by a second run."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from amili_async import NewCreditorPayment, PaymentOutcome
from amili_async._wire.protocol import MAX_REQUEST_TARGET, Request, Response
from amili_async.errors import (
    ConfigurationError,
    ConnectionFailed,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    ReferenceTaken,
    ServerFault,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.models import CreditorPayment, format_date
from amili_async.payments.batch import MOST_AT_ONCE, MOST_UNKNOWN, BatchRegistration
from amili_async.payments.lookup import PaymentLookup
from amili_async.resources import Resource
from tests.support.clocks import settle
from tests.support.payment_registry import PATH, POST, Registry, make_payment


class Ledger(Registry):
    """A registry that keeps what is posted, and finds it by the filter."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0
        self.failures: dict[str, Exception] = {}
        self.shows_rows = True
        self.is_honest = True

    async def _call(self, request: Request) -> Response:
        self.longest = max(self.longest, len(request.target))
        if request.method == "POST":
            return self._store(json.loads(request.body or b""))
        self.looks += 1
        self.on_look()
        query = parse_qs(urlsplit(request.target).query)
        wanted = json.loads(query["where"][0])["creditor_payment_reference"]["$in"]
        rows = [row for row in self.rows if row["creditor_payment_reference"] in wanted] if self.shows_rows else []
        rows = rows if self.is_honest else self.rows
        return self.answer({"_items": rows, "_meta": {"total": len(rows), "max_results": 100}})

    def _store(self, posted: Mapping[str, Any]) -> Response:
        self.posts += 1
        reference = posted["creditor_payment_reference"]
        if reference in self.failures:
            raise self.failures[reference]
        row = {"_id": f"{0x6900_0000:08x}{len(self.rows):016x}", "_created": format_date(self.now()), **posted}
        self.rows.append(row)
        return self.answer({"_id": row["_id"], "_status": "OK"}, status=201)

    def run(self, payments: Any, *, width: int = 4, patience: float = 1.0) -> BatchRegistration:
        return BatchRegistration(
            payments,
            registrar=self.registrar,
            search=self.search,
            connection=self.connection,
            width=width,
            patience=patience,
        )

    async def collect(self, payments: Any, **options: Any) -> list[PaymentOutcome]:
        return [outcome async for outcome in self.run(payments, **options).outcomes()]

    async def take_all(self, payments: Any) -> tuple[list[PaymentOutcome], Exception | None]:
        """The outcomes, and the error that came after them."""
        stream, outcomes = self.run(payments).outcomes(), []
        try:
            while True:
                outcomes.append(await anext(stream))
        except StopAsyncIteration:
            return outcomes, None
        except Exception as error:  # noqa: BLE001 - it is what is tested
            return outcomes, error


def make_list(count: int) -> list[NewCreditorPayment]:
    return [make_payment(creditor_payment_reference=f"REF-{n}", amount=n + 1) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 98, 99, 100, 350])
async def test_one_outcome_each_in_order_and_a_second_run_sends_nothing(count: int) -> None:
    """Every payment is registered once, told in its place, and found by the second run."""
    ledger, payments = Ledger(), make_list(count)
    for run in range(2):
        outcomes = await ledger.collect(payments)
        assert [outcome.payment for outcome in outcomes] == payments
        assert all(outcome.error is None and outcome.created for outcome in outcomes)
        assert [outcome.created.was_found for outcome in outcomes if outcome.created] == [bool(run)] * count
        assert ledger.posts == count
    references = [row["creditor_payment_reference"] for row in ledger.rows]
    assert sorted(references) == sorted(f"REF-{n}" for n in range(count))


async def test_looking_up_costs_a_request_for_a_hundred() -> None:
    """350 payments cost four look-ups, and one more that proves that look-ups work."""
    ledger = Ledger()
    await ledger.collect(make_list(350))
    assert ledger.looks == 5


async def test_one_that_fails_does_not_keep_the_others_back() -> None:
    """Each failure stands at its place; those around it are registered."""
    ledger, payments = Ledger(), make_list(10)
    refused = ValidationFailed("no", status=422, request=POST)
    ledger.failures = {"REF-3": refused, "REF-6": ConnectionFailed("cut", request=POST), "REF-8": KeyError("token")}
    outcomes = await ledger.collect(payments)
    assert outcomes[3].error is refused
    assert isinstance(outcomes[6].error, PaymentOutcomeUnknown)
    assert isinstance(outcomes[8].error, KeyError)
    assert [n for n, outcome in enumerate(outcomes) if outcome.created] == [0, 1, 2, 4, 5, 7, 9]
    assert all((outcome.created is None) == (outcome.error is not None) for outcome in outcomes)


async def test_a_reference_that_stands_twice_is_sent_once() -> None:
    """The second is an error, whatever else it says, also hundreds of payments later; another creditor's is not."""
    ledger, payments = Ledger(), make_list(250)
    payments[1] = make_payment(creditor_payment_reference="REF-0", amount=77)
    payments[240] = make_payment(creditor_payment_reference="REF-0", amount=1)
    payments[241] = make_payment(creditor_payment_reference="REF-0", amount=1, creditor="0" * 24)
    outcomes = await ledger.collect(payments)
    assert [n for n, outcome in enumerate(outcomes) if outcome.error] == [1, 240]
    assert all(isinstance(outcomes[n].error, ConfigurationError) for n in (1, 240))
    assert ledger.posts == 248


async def test_a_reference_of_another_registered_payment_is_not_sent() -> None:
    """What differs from what is registered under the reference is an error."""
    ledger = Ledger()
    await ledger.collect(make_list(3))
    changed = make_payment(creditor_payment_reference="REF-1", amount=99)
    (outcome,) = await ledger.collect([changed])
    assert isinstance(outcome.error, ReferenceTaken)
    assert outcome.error.payment is changed
    assert ledger.posts == 3


@pytest.mark.parametrize("failure", [ServerFault("", status=503), KeyError("of the token source")])
async def test_what_cannot_be_looked_up_is_not_sent(failure: Exception) -> None:
    """Each payment of the hundred whose look-up fails says so, with the cause; the next hundred is tried."""
    ledger, payments = Ledger(), make_list(150)

    def fail_once() -> None:
        if ledger.looks == 1:
            raise failure

    ledger.on_look = fail_once
    outcomes = await ledger.collect(payments)
    for outcome in outcomes[:MOST_AT_ONCE]:
        assert isinstance(outcome.error, PaymentNotSent)
        assert outcome.error.__cause__ is failure
        assert outcome.error.was_not_processed
    assert all(outcome.created for outcome in outcomes[MOST_AT_ONCE:])
    assert ledger.posts == 150 - MOST_AT_ONCE


async def test_nothing_more_is_sent_where_look_ups_do_not_work() -> None:
    """If the first that was registered is not found by its reference, a second run could not know: the rest waits."""
    ledger = Ledger()
    ledger.shows_rows = False
    outcomes = await ledger.collect(make_list(120))
    assert outcomes[0].created
    assert all(isinstance(outcome.error, PaymentNotSent) for outcome in outcomes[1:])
    assert ledger.posts == 1


async def test_a_first_that_fails_proves_nothing() -> None:
    """Payments are sent one at a time until one was registered and found again."""
    ledger = Ledger()
    ledger.failures = {f"REF-{n}": ValidationFailed("no", status=422, request=POST) for n in (0, 1)}
    outcomes = await ledger.collect(make_list(6))
    assert [outcome.error is None for outcome in outcomes] == [False, False, True, True, True, True]
    ledger.shows_rows = False
    others = [make_payment(creditor_payment_reference=f"B-{n}") for n in range(3)]
    ledger.failures = {"B-0": ValidationFailed("no", status=422, request=POST)}
    outcomes = await ledger.collect(others)
    assert [type(outcome.error) for outcome in outcomes] == [ValidationFailed, type(None), PaymentNotSent]


async def test_a_server_that_ignores_the_filter_is_found_out() -> None:
    """Rows that were not asked for mean that nothing can be told of those that were."""
    ledger = Ledger()
    await ledger.collect(make_list(1))
    ledger.is_honest = False
    (outcome,) = await ledger.collect(make_list(2)[1:])
    assert isinstance(outcome.error, PaymentNotSent)
    assert isinstance(outcome.error.__cause__, UnreadableResponse)


@pytest.mark.parametrize("letter", ["x", "å", "😀", '"'])
async def test_long_references_are_looked_up_in_several_requests(letter: str) -> None:
    """No request line grows too long, however many bytes a reference takes in it."""
    ledger = Ledger()
    payments = [make_payment(creditor_payment_reference=f"{n:03}{letter * 252}") for n in range(90)]
    outcomes = await ledger.collect(payments)
    assert all(outcome.created for outcome in outcomes)
    assert ledger.longest <= MAX_REQUEST_TARGET


async def test_what_the_list_itself_raises_comes_last() -> None:
    """The payments before it are registered and told; then comes the error."""
    ledger = Ledger()

    def read() -> Iterator[NewCreditorPayment]:
        yield from make_list(5)
        raise KeyError("row 6")

    outcomes, error = await ledger.take_all(read())
    assert isinstance(error, KeyError)
    assert len(outcomes) == ledger.posts == 5


async def test_what_is_no_payment_ends_the_list() -> None:
    """It is refused where it stands, after the outcomes of those before."""
    ledger = Ledger()
    outcomes, error = await ledger.take_all([*make_list(2), {"amount": 5}])
    assert isinstance(error, ConfigurationError)
    assert len(outcomes) == ledger.posts == 2


async def test_a_list_is_read_as_it_is_needed() -> None:
    """Whoever takes one outcome of an endless list has sent few payments."""
    ledger = Ledger()

    def read() -> Iterator[NewCreditorPayment]:
        n = 0
        while True:
            yield make_payment(creditor_payment_reference=f"REF-{n}")
            n += 1

    outcomes = ledger.run(read(), width=3).outcomes()
    await anext(outcomes)
    await outcomes.aclose()
    assert 1 <= ledger.posts <= 7
    assert ledger.connection.running == set()


async def test_after_ten_unknown_outcomes_in_a_row_nothing_more_is_sent() -> None:
    """Where nothing that is sent is answered, the rest of the list is not added to what has to be looked into."""
    ledger = Ledger()
    payments = make_list(40)
    ledger.failures = {each.creditor_payment_reference: ConnectionFailed("cut", request=POST) for each in payments}
    outcomes = await ledger.collect(payments)
    unknown = [outcome for outcome in outcomes if isinstance(outcome.error, PaymentOutcomeUnknown)]
    assert len(unknown) == ledger.posts == MOST_UNKNOWN
    assert all(isinstance(outcome.error, PaymentNotSent) for outcome in outcomes[MOST_UNKNOWN:])
    assert "the last 10" in str(outcomes[-1].error)


async def test_unknown_outcomes_among_good_ones_stop_nothing() -> None:
    """Each that is settled begins the count anew."""
    ledger = Ledger()
    payments = make_list(60)
    lost = [each for number, each in enumerate(payments) if number % 6]
    ledger.failures = {each.creditor_payment_reference: ConnectionFailed("cut", request=POST) for each in lost}
    outcomes = await ledger.collect(payments, width=1)
    assert [outcome.created is not None for outcome in outcomes] == [number % 6 == 0 for number in range(60)]
    assert ledger.posts == 60


async def test_two_runs_at_once_of_one_client_register_each_payment_once() -> None:
    """What one has registered since the other looked it up is found; what is just under way is refused."""
    ledger = Ledger()
    payments = make_list(30)
    runs = await asyncio.gather(ledger.collect(payments), ledger.collect(payments[::-1]))
    assert len(ledger.rows) == ledger.posts == len(payments)
    for outcome in (*runs[0], *runs[1]):
        assert outcome.created is not None or isinstance(outcome.error, ConfigurationError)


async def test_rows_that_do_not_tell_of_their_creditor_are_known_all_the_same() -> None:
    """The API documents no creditor in what it shows of a payment: a second run registers nothing twice."""
    ledger = Ledger()
    await ledger.collect(make_list(12))
    for row in ledger.rows:
        del row["creditor"]
    again = Ledger()
    again.rows = ledger.rows
    outcomes = await again.collect(make_list(12))
    assert again.posts == 0
    assert all(outcome.created is not None and outcome.created.was_found for outcome in outcomes)


async def test_what_is_known_does_not_wait_for_the_next_look_up() -> None:
    """The outcomes of the first hundred come although the references of the second cannot be looked up yet."""
    ledger = Ledger()
    gate = asyncio.Event()
    stall = ledger._call

    async def call(request: Request) -> Response:
        if request.method == "GET" and ledger.posts > 50:
            await gate.wait()
        return await stall(request)

    ledger.connection = replace(ledger.connection, call=call)
    ledger.search = PaymentLookup(Resource(PATH, CreditorPayment, ledger.connection), ledger.connection)
    outcomes = ledger.run(make_list(150)).outcomes()
    first = [await asyncio.wait_for(anext(outcomes), 5) for _ in range(MOST_AT_ONCE)]
    assert all(outcome.created is not None for outcome in first)
    waiting = asyncio.ensure_future(anext(outcomes))
    await settle()
    assert not waiting.done()
    gate.set()
    assert (await waiting).created is not None
    assert len([outcome async for outcome in outcomes]) == 150 - MOST_AT_ONCE - 1
