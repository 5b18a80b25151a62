"""The jobs that run concurrently on one client, each with its check that results are exact.

Invariant: a call may fail with an error; what it delivers is exact, and what it reports is true.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from msgspec import Struct
from msgspec import field as named

from amili_async import (
    AmiliClient,
    AmiliError,
    Checkpoint,
    CreatedPayment,
    NewCreditorPayment,
    PaymentOutcome,
    Verdict,
    field,
)
from amili_async.errors import (
    AuthenticationError,
    ExtractionInterrupted,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    ReferenceTaken,
    UnreadableResponse,
)
from tests.soak.server import RESTLESS, Server

PAYMENTS_AT_ONCE = 24
PATIENCE = 1.5
"""Seconds for which a payment is looked up, in every other round; in the others it is not looked up."""
_ATTEMPTS = 200
"""Chance does not fail that many attempts in a row."""


class Line(Struct, frozen=True):
    """The fields of a specification that are compared."""

    id: str = named(name="_id")
    """Its id."""
    amount: Decimal | None = None
    """Its amount."""


class Journal:
    """The counts of a run, and what was not exact."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """How many rows were delivered, payments sent, and so on."""
        self.errors: Counter[str] = Counter()
        """How many calls failed, by the name of the error."""
        self.faults: list[str] = []
        """What was not exact."""

    def check(self, is_true: bool, fault: str) -> None:
        """Note the fault unless the condition is true."""
        if not is_true:
            self.faults.append(fault)
            print(f"  NOT EXACT: {fault}", flush=True)

    def count_error(self, error: AmiliError, job: str) -> None:
        """Count an error; it is a fault unless such a server may cause it."""
        cause = error.__cause__ if isinstance(error, (ExtractionInterrupted, PaymentNotSent)) else error
        self.errors[f"{job}: {type(error).__name__}" + ("" if cause is error else f" ({type(cause).__name__})")] += 1
        is_revoked = isinstance(cause, AuthenticationError) and cause.status == 401  # twice in a row
        is_expected = is_revoked or getattr(cause, "transient", False)
        changed = isinstance(cause, UnreadableResponse) and "rows are being" in str(cause)
        self.check(is_expected or changed, f"{job} failed with {type(error).__name__}: {error}")


class Jobs:
    """All jobs, for one client."""

    def __init__(self, amili: AmiliClient, server: Server, journal: Journal) -> None:
        self._amili = amili
        self._server = server
        self._journal = journal
        self._random = Random()
        self._amounts = {row_id: _exact(amount) for row_id, amount in server.start.amounts.items()}
        self._ids = sorted(self._amounts)
        self._number = 0

    async def run_round(self) -> None:
        """Run an extraction, payments and a reconciliation concurrently, and eight streams in a loop besides."""
        streaming = [asyncio.create_task(self._stream_on()) for _ in range(8)]
        try:
            await asyncio.gather(self._extract(), self._pay(), self._reconcile())
        finally:
            for task in streaming:
                task.cancel()
            ended = await asyncio.gather(*streaming, return_exceptions=True)
        for error in ended:
            if not isinstance(error, asyncio.CancelledError):
                raise RuntimeError("a stream ended without being cancelled") from error

    async def _stream_on(self) -> None:
        while True:
            try:
                await self._stream()
            except AmiliError as error:
                self._journal.count_error(error, "stream")

    async def _stream(self) -> None:
        """A stream over rows that stay is complete, in order, and does not drift; one left early is a prefix."""
        random, check = self._random, self._journal.check
        sort = random.choice(("_id", "-_id", "-amount"))
        records = self._amili.payout_specifications.stream(
            field("article") != RESTLESS, sort=sort, into=Line, concurrency=random.randint(1, 10)
        )
        leave_after = random.choice((None, None, None, random.randrange(len(self._ids))))
        async with records as stream:
            rows = await _take(stream, leave_after)
        self._journal.counts["rows of streams"] += len(rows)
        ids = [row.id for row in rows]
        expected = {"_id": self._ids, "-_id": self._ids[::-1]}.get(sort, sorted(ids, key=ids.index))
        check(ids == expected[: len(ids)], f"a stream sorted by {sort} is not in order")
        check(len(set(ids)) == len(ids), f"a stream sorted by {sort} delivered rows twice")
        check(leave_after is not None or len(ids) == len(self._ids), f"a stream delivered {len(ids)} rows")
        check(all(self._amounts.get(row.id, "") == row.amount for row in rows), "a stream delivered wrong rows")
        check(not stream.drifted, "a stream reports drift over rows that stay")
        self._journal.counts["streams"] += leave_after is None

    async def _extract(self) -> None:
        """Each row that stays is delivered once, the sum is that of the delivered rows; resume after interruptions."""
        checkpoint: Checkpoint | None = None
        rows: list[Line] = []
        check = self._journal.check
        for _ in range(_ATTEMPTS):
            extraction = self._amili.payout_specifications.extract(into=Line, checkpoint=checkpoint)
            try:
                async with extraction:
                    async for row in extraction:
                        rows.append(row)  # noqa: PERF401 - rows delivered before an error count
                break
            except ExtractionInterrupted as error:
                checkpoint = Checkpoint.from_json(error.checkpoint.to_json())
                self._journal.count_error(error, "extraction")
            except AmiliError as error:
                self._journal.count_error(error, "extraction")
        else:
            check(False, f"an extraction was interrupted {_ATTEMPTS} times")
            return
        manifest = extraction.manifest
        amounts = {row.id: row.amount for row in rows}
        lacking = [row_id for row_id in self._ids if row_id not in amounts]
        check(not lacking, f"an extraction lacks {len(lacking)} rows")
        check(len(amounts) == len(rows), f"an extraction delivered {len(rows) - len(amounts)} rows twice")
        check(all(amounts.get(row_id, amount) == amount for row_id, amount in self._amounts.items()), "wrong amounts")
        check(manifest.rows == len(rows), f"a manifest reports {manifest.rows} rows instead of {len(rows)}")
        check(manifest.sums["amount"] == sum(row.amount or 0 for row in rows), "the sum of a manifest is wrong")
        check(manifest.verdict is not Verdict.PARTIAL, "a complete extraction reports that it is partial")
        self._journal.counts["extractions"] += 1
        self._journal.counts[f"extractions that are {manifest.verdict}"] += 1
        self._journal.counts["rows of extractions"] += len(rows)

    async def _reconcile(self) -> None:
        """Each payout that stays is compared once, in order, and all agree, also those that do not stay."""
        for _ in range(_ATTEMPTS):
            try:
                async with aclosing(self._amili.reconcile()) as reconciliations:
                    found = [each async for each in reconciliations]
            except AmiliError as error:
                self._journal.count_error(error, "reconcile")
            else:
                break
        else:
            self._journal.check(False, f"a reconciliation failed {_ATTEMPTS} times")
            return
        ids = [each.payout_id for each in found]
        self._journal.check(ids == sorted(set(ids)), "payouts were reconciled twice, or not in order")
        self._journal.check(set(self._server.start.payouts) <= set(ids), "payouts were not reconciled")
        for each in found:
            self._journal.check(each.agrees, f"payout {each.payout_id} does not agree: {each.differences}")
        self._journal.counts["reconciliations"] += 1
        self._journal.counts["payouts"] += len(ids)

    async def _pay(self) -> None:
        """Each reported payment is registered once, each unknown one at most once, and each other one not at all."""
        payments = [self._make_payment() for _ in range(PAYMENTS_AT_ONCE)]
        lookup_timeout = PATIENCE * (self._journal.counts["payments"] // PAYMENTS_AT_ONCE % 2)
        outcomes = await self._create(payments, lookup_timeout)
        registered = await self._server.list_payments(forget=False)
        for outcome in outcomes:
            self._compare(outcome, registered)
            if isinstance(outcome.error, PaymentOutcomeUnknown):
                await self._find(outcome.payment, registered)
        again = await self._create(payments, PATIENCE)
        finally_registered = await self._server.list_payments(forget=True)
        for first, second in zip(outcomes, again, strict=True):
            reference = first.payment.creditor_payment_reference
            self._compare(second, finally_registered)
            known = registered.get(reference, [])
            if known:
                self._journal.check(finally_registered.get(reference) == known, "a second run registered one twice")
            if known and second.created is not None:
                self._journal.check(second.created.was_found, "a second run reports as new what existed")
        self._journal.counts["payments"] += len(payments)

    async def _create(self, payments: Sequence[NewCreditorPayment], lookup_timeout: float) -> list[PaymentOutcome]:
        async with aclosing(
            self._amili.creditor_payments.create_many(payments, lookup_timeout=lookup_timeout)
        ) as creating:
            outcomes = [outcome async for outcome in creating]
        self._journal.check([each.payment for each in outcomes] == list(payments), "outcomes are not in order")
        return outcomes

    def _compare(self, outcome: PaymentOutcome, registered: dict[str, list[str]]) -> None:
        """What is reported of a payment is true."""
        ids, check = registered.get(outcome.payment.creditor_payment_reference, []), self._journal.check
        if outcome.created is not None:
            self._journal.counts["payments found" if outcome.created.was_found else "payments created"] += 1
            check(ids == [outcome.created.id], f"payment {outcome.created.id} was reported, but {ids} registered")
        elif isinstance(outcome.error, PaymentOutcomeUnknown):
            self._journal.counts["payments unknown"] += 1
            check(len(ids) <= 1, f"a payment whose outcome is unknown is registered as {ids}")
        else:
            self._journal.counts["payments rejected or not sent"] += 1
            check(isinstance(outcome.error, AmiliError), f"a payment failed with {outcome.error!r}")
            check(not isinstance(outcome.error, ReferenceTaken), "a reference is reported as taken")
            check(not ids, f"a payment is reported as not registered ({outcome.error!r}), but registered as {ids}")

    async def _find(self, payment: NewCreditorPayment, registered: dict[str, list[str]]) -> None:
        """A payment of unknown outcome is found later if it is registered."""
        found: CreatedPayment | None = None
        for _ in range(_ATTEMPTS):
            try:
                found = await self._amili.creditor_payments.find(payment)
                break
            except AmiliError as error:
                self._journal.count_error(error, "find")
        ids = registered.get(payment.creditor_payment_reference, [])
        self._journal.counts["unknown payments that were registered"] += len(ids)
        result = [] if found is None else [found.id]
        self._journal.check(result == ids, f"find() returned {result}, but registered are {ids}")

    def _make_payment(self) -> NewCreditorPayment:
        self._number += 1
        has_case = self._number % 2 == 0
        return NewCreditorPayment(
            creditor=f"{self._number % 3:024x}",
            amount=Decimal(100 + self._number) / 100,
            bank_transaction_date=datetime(2025, 6, 1, tzinfo=UTC),
            case=f"{self._number:024x}" if has_case else None,
            invoice_number=None if has_case else f"F-{self._number}",
        )


async def _take(rows: AsyncIterable[Line], most: int | None) -> list[Line]:
    taken: list[Line] = []
    async for row in rows:
        taken.append(row)
        if most is not None and len(taken) > most:
            break
    return taken


def _exact(amount: Any) -> Any:
    return Decimal(amount) if isinstance(amount, int) else amount
