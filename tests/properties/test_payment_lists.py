"""A list of payments under any sequence of lost responses, rejections and interruptions: none is registered twice."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from amili_async import NewCreditorPayment, PaymentOutcome
from amili_async._wire.protocol import Request, Response
from amili_async.errors import (
    ConfigurationError,
    ConnectionFailed,
    PaymentOutcomeUnknown,
    ReferenceTaken,
    ServerFault,
    ValidationFailed,
)
from amili_async.models import format_date
from amili_async.payments.batch import BatchRegistration
from amili_async.payments.create import MAX_TIME_IN_FLIGHT
from tests.support import internals
from tests.support.exhaustive import examples
from tests.support.payment_registry import POST, Registry
from tests.support.payments import make_payment

REFERENCE = "creditor_payment_reference"
FATES = [
    "registered",
    "registered",
    "response lost",
    "registered, then 500",
    "unreadable",
    "lost before it arrived",
    "rejected",
    "not sent",
]

entries = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["100.50", "7"])), min_size=1, max_size=9)
fates = st.lists(st.sampled_from(FATES), max_size=12)
lookups = st.lists(st.sampled_from([True, True, False]), max_size=6)
pauses = st.lists(st.integers(0, 4), max_size=20)
leavings = st.one_of(
    st.none(), st.tuples(st.just("break"), st.integers(0, 5)), st.tuples(st.just("cancel"), st.integers(0, 40))
)


class UnreliableRegistry(Registry):
    """A registry in which each POST has a fate, each look-up works or fails, and each response takes some time."""

    def __init__(self, fates: Sequence[str], lookups: Sequence[bool], pauses: Sequence[int]) -> None:
        super().__init__()
        self.fates, self.lookups_work, self.pauses = iter(fates), iter(lookups), iter(pauses)

    async def call(self, request: Request) -> Response:
        for _ in range(next(self.pauses, 0)):
            await asyncio.sleep(0)
        if request.before_send is not None:
            await request.before_send()
        if request.method == "POST":
            return await self._post(json.loads(request.body or b"", parse_float=Decimal))
        if not next(self.lookups_work, True):
            raise ServerFault("down", status=503, request=request.label)
        where = json.loads(parse_qs(urlsplit(request.target).query)["where"][0])
        (references,) = [part[REFERENCE]["$in"] for part in where.get("$and", [where]) if REFERENCE in part]
        rows = [row for row in self.rows if row["creditor_payment_reference"] in references]
        return self.answer({"_items": rows, "_meta": {"total": len(rows), "max_results": 100}})

    async def _post(self, posted: dict[str, Any]) -> Response:
        fate = next(self.fates, "registered")
        if fate == "rejected":
            raise ValidationFailed("no", status=422, request=POST)
        if fate in ("lost before it arrived", "not sent"):
            raise ConnectionFailed("broken", request=POST, was_sent=fate == "lost before it arrived")
        amount = float(posted["amount"])
        row = {
            **posted,
            "amount": amount,
            "_id": self.make_id(len(self.rows)),
            "_created": format_date(self.now()),
        }
        self.rows.append(row)
        for _ in range(next(self.pauses, 0)):
            await asyncio.sleep(0)
        if fate == "response lost":
            raise ConnectionFailed("broken", request=POST)
        if fate == "registered, then 500":
            raise ServerFault("down", status=500, request=POST)
        return self.answer({} if fate == "unreadable" else {"_id": row["_id"], "_status": "OK"}, status=201)

    async def run(self, payments: Sequence[NewCreditorPayment], most: int | None = None) -> list[PaymentOutcome]:
        """The outcomes of a run, at most *most* of them."""
        registration = BatchRegistration(
            payments,
            creator=self.creator,
            lookup=self.lookup,
            context=self.context,
            width=3,
            lookup_timeout=0.6,
        )
        outcomes: list[PaymentOutcome] = []
        async with aclosing(registration.outcomes()) as outcomes_of_run:
            while most is None or len(outcomes) < most:
                outcome = await anext(outcomes_of_run, None)
                if outcome is None:
                    break
                outcomes.append(outcome)
        return outcomes

    def check(self, outcomes: Sequence[PaymentOutcome], payments: Sequence[NewCreditorPayment], before: int) -> None:
        """Assert that the outcomes are those of the first payments, in order, and agree with the rows."""
        assert [outcome.payment for outcome in outcomes] == list(payments[: len(outcomes)])
        fresh = self.rows[before:]
        for outcome in outcomes:
            payment, created = outcome.payment, outcome.created
            assert (created is None) != (outcome.error is None)
            if created is not None:
                (row,) = [row for row in self.rows if row["_id"] == created.id]
                assert row["creditor_payment_reference"] == payment.creditor_payment_reference
                assert row["amount"] == float(payment.amount)
            elif not isinstance(outcome.error, (PaymentOutcomeUnknown, ReferenceTaken, ConfigurationError)):
                references = [row["creditor_payment_reference"] for row in fresh]
                assert payment.creditor_payment_reference not in references, "an error, although it was registered"


@examples(200)
@given(entries, fates, lookups, pauses, leavings)
def test_later_runs_register_each_payment_once(
    listed: list[tuple[int, str]],
    fates: list[str],
    lookups: list[bool],
    pauses: list[int],
    leaving: tuple[str, int] | None,
) -> None:
    """However the first run ends, later ones register what is missing: what is in doubt only when it cannot arrive."""
    payments = [
        make_payment(creditor_payment_reference=f"PAY-{reference}", amount=Decimal(amount))
        for reference, amount in listed
    ]

    async def run() -> None:
        registry = UnreliableRegistry(fates, lookups, pauses)
        first = asyncio.create_task(registry.run(payments, leaving[1] if leaving and leaving[0] == "break" else None))
        if leaving is not None and leaving[0] == "cancel":
            for _ in range(leaving[1]):
                await asyncio.sleep(0)
            first.cancel()
        (outcomes,) = await asyncio.gather(first, return_exceptions=True)
        assert not isinstance(outcomes, Exception), outcomes
        if isinstance(outcomes, list):
            registry.check(outcomes, payments, 0)
            assert leaving is not None or len(outcomes) == len(payments)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert internals.count_payments_in_flight(registry.creator) == 0
        registry.fates = registry.lookups_work = iter(())  # type: ignore[assignment]
        before = len(registry.rows)
        outcomes = await registry.run(payments)
        registry.check(outcomes, payments, before)
        counts = Counter(row["creditor_payment_reference"] for row in registry.rows)
        assert counts.total() == len(counts)
        registry.clock.skip(MAX_TIME_IN_FLIGHT)
        before = len(registry.rows)
        outcomes = await registry.run(payments)
        registry.check(outcomes, payments, before)
        for place, outcome in enumerate(outcomes):
            is_repeated = outcome.payment.creditor_payment_reference in {
                payment.creditor_payment_reference for payment in payments[:place]
            }
            expected = (ConfigurationError,) if is_repeated else (type(None), ReferenceTaken)
            assert isinstance(outcome.error, expected)
        counts = Counter(row["creditor_payment_reference"] for row in registry.rows)
        assert counts == dict.fromkeys({payment.creditor_payment_reference for payment in payments}, 1)

    asyncio.run(run())
