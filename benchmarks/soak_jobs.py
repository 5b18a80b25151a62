"""What the soak does all at once on one client, each job with its check of what must be exact.

The law: a call may fail with an error that says so; what it does bring is exact, and what it says is true.
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
from benchmarks.soak_server import RESTLESS, Server

PAYMENTS_AT_ONCE = 24
PATIENCE = 1.5
"""Seconds for which a payment is looked for, in every other round; in the others it is not."""
_TRIES = 200
"""So often in a row nothing fails by chance."""


class Line(Struct, frozen=True):
    """What is looked at of a specification."""

    id: str = named(name="_id")
    """Its id."""
    amount: Decimal | None = None
    """Its amount."""


class Journal:
    """What happened, and what was wrong."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """How many rows came, payments were sent, and so on."""
        self.errors: Counter[str] = Counter()
        """How many calls failed for good, by the name of the error."""
        self.faults: list[str] = []
        """What was not exact."""

    def hold(self, is_true: bool, fault: str) -> None:  # noqa: FBT001 - it is what is held to be true
        """Note a fault unless it is true."""
        if not is_true:
            self.faults.append(fault)
            print(f"  NOT EXACT: {fault}", flush=True)

    def forgive(self, error: AmiliError, job: str) -> None:
        """Count a failure; whether it is one that such a server may cause."""
        cause = error.__cause__ if isinstance(error, (ExtractionInterrupted, PaymentNotSent)) else error
        self.errors[f"{job}: {type(error).__name__}" + ("" if cause is error else f" ({type(cause).__name__})")] += 1
        is_revoked = isinstance(cause, AuthenticationError) and cause.status == 401  # twice in a row
        is_expected = is_revoked or getattr(cause, "transient", False)
        moved = isinstance(cause, UnreadableResponse) and "rows came or went" in str(cause)
        self.hold(is_expected or moved, f"{job} failed with {type(error).__name__}: {error}")


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
        """An extraction, payments and a reconciliation at once, and eight streams again and again until they end."""
        streaming = [asyncio.create_task(self._stream_on()) for _ in range(8)]
        try:
            await asyncio.gather(self._extract(), self._pay(), self._reconcile())
        finally:
            for task in streaming:
                task.cancel()
            ended = await asyncio.gather(*streaming, return_exceptions=True)
        for error in ended:
            if not isinstance(error, asyncio.CancelledError):
                raise RuntimeError("a stream ended by itself") from error

    async def _stream_on(self) -> None:
        while True:
            try:
                await self._stream()
            except AmiliError as error:
                self._journal.forgive(error, "stream")

    async def _stream(self) -> None:
        """A stream over what stays is whole, in order, and does not drift; one that is left early is right so far."""
        random, hold = self._random, self._journal.hold
        sort = random.choice(("_id", "-_id", "-amount"))
        asked = self._amili.payout_specifications.stream(
            field("article") != RESTLESS, sort=sort, into=Line, concurrency=random.randint(1, 10)
        )
        leave_after = random.choice((None, None, None, random.randrange(len(self._ids))))
        async with asked as stream:
            rows = await _take(stream, leave_after)
        self._journal.counts["rows of streams"] += len(rows)
        ids = [row.id for row in rows]
        expected = {"_id": self._ids, "-_id": self._ids[::-1]}.get(sort, sorted(ids, key=ids.index))
        hold(ids == expected[: len(ids)], f"a stream sorted by {sort} is not in order")
        hold(len(set(ids)) == len(ids), f"a stream sorted by {sort} brought rows twice")
        hold(leave_after is not None or len(ids) == len(self._ids), f"a stream brought {len(ids)} rows")
        hold(all(self._amounts.get(row.id, "") == row.amount for row in rows), "a stream brought wrong rows")
        hold(not stream.drifted, "a stream says that it drifted, over rows that stay")
        self._journal.counts["streams"] += leave_after is None

    async def _extract(self) -> None:
        """Every row that stays comes once, none twice, and the sum is that of what came; go on after interruptions."""
        checkpoint: Checkpoint | None = None
        rows: list[Line] = []
        hold = self._journal.hold
        for _ in range(_TRIES):
            extraction = self._amili.payout_specifications.extract(into=Line, checkpoint=checkpoint)
            try:
                async with extraction:
                    async for row in extraction:
                        rows.append(row)  # noqa: PERF401 - what came before a failure counts, too
                break
            except ExtractionInterrupted as error:
                checkpoint = Checkpoint.from_json(error.checkpoint.to_json())
                self._journal.forgive(error, "extraction")
            except AmiliError as error:
                self._journal.forgive(error, "extraction")
        else:
            hold(False, f"an extraction was interrupted {_TRIES} times")  # noqa: FBT003 - it is not so
            return
        manifest = extraction.manifest
        amounts = {row.id: row.amount for row in rows}
        lacking = [row_id for row_id in self._ids if row_id not in amounts]
        hold(not lacking, f"an extraction lacks {len(lacking)} rows")
        hold(len(amounts) == len(rows), f"an extraction brought {len(rows) - len(amounts)} rows twice")
        hold(all(amounts.get(row_id, amount) == amount for row_id, amount in self._amounts.items()), "wrong amounts")
        hold(manifest.rows == len(rows), f"a manifest says {manifest.rows} rows instead of {len(rows)}")
        hold(manifest.sums["amount"] == sum(row.amount or 0 for row in rows), "the sum of a manifest is wrong")
        hold(manifest.verdict is not Verdict.PARTIAL, "an extraction that lacks nothing calls itself partial")
        self._journal.counts["extractions"] += 1
        self._journal.counts[f"extractions that are {manifest.verdict}"] += 1
        self._journal.counts["rows of extractions"] += len(rows)

    async def _reconcile(self) -> None:
        """Every payout that stays comes once, in order, and all agree, also those that come and go."""
        for _ in range(_TRIES):
            try:
                async with aclosing(self._amili.reconcile()) as reconciliations:
                    found = [each async for each in reconciliations]
            except AmiliError as error:
                self._journal.forgive(error, "reconcile")
            else:
                break
        else:
            self._journal.hold(False, f"a reconciliation failed {_TRIES} times")  # noqa: FBT003 - it is not so
            return
        ids = [each.payout_id for each in found]
        self._journal.hold(ids == sorted(set(ids)), "payouts were reconciled twice, or not in order")
        self._journal.hold(set(self._server.start.payouts) <= set(ids), "payouts were not reconciled")
        for each in found:
            self._journal.hold(each.agrees, f"payout {each.payout_id} does not agree: {each.differences}")
        self._journal.counts["reconciliations"] += 1
        self._journal.counts["payouts"] += len(ids)

    async def _pay(self) -> None:
        """Each payment that is told of is registered once, each unknown one at most once, each other one not at all."""
        payments = [self._make_payment() for _ in range(PAYMENTS_AT_ONCE)]
        lookup_timeout = PATIENCE * (self._journal.counts["payments"] // PAYMENTS_AT_ONCE % 2)
        outcomes = await self._create(payments, lookup_timeout)
        registered = await self._server.tell_payments(forget=False)
        for outcome in outcomes:
            self._compare(outcome, registered)
            if isinstance(outcome.error, PaymentOutcomeUnknown):
                await self._find(outcome.payment, registered)
        again = await self._create(payments, PATIENCE)
        finally_registered = await self._server.tell_payments(forget=True)
        for first, second in zip(outcomes, again, strict=True):
            reference = first.payment.creditor_payment_reference
            self._compare(second, finally_registered)
            known = registered.get(reference, [])
            if known:
                self._journal.hold(finally_registered.get(reference) == known, "a second run registered one twice")
            if known and second.created is not None:
                self._journal.hold(second.created.was_found, "a second run says that it made what there was")
        self._journal.counts["payments"] += len(payments)

    async def _create(self, payments: Sequence[NewCreditorPayment], lookup_timeout: float) -> list[PaymentOutcome]:
        async with aclosing(
            self._amili.creditor_payments.create_many(payments, lookup_timeout=lookup_timeout)
        ) as creating:
            outcomes = [outcome async for outcome in creating]
        self._journal.hold([each.payment for each in outcomes] == list(payments), "outcomes are not in order")
        return outcomes

    def _compare(self, outcome: PaymentOutcome, registered: dict[str, list[str]]) -> None:
        """Whether what is said of a payment is true."""
        ids, hold = registered.get(outcome.payment.creditor_payment_reference, []), self._journal.hold
        if outcome.created is not None:
            self._journal.counts["payments found" if outcome.created.was_found else "payments created"] += 1
            hold(ids == [outcome.created.id], f"a payment is said to be {outcome.created.id}, but there are {ids}")
        elif isinstance(outcome.error, PaymentOutcomeUnknown):
            self._journal.counts["payments unknown"] += 1
            hold(len(ids) <= 1, f"a payment whose outcome is unknown is registered as {ids}")
        else:
            self._journal.counts["payments refused or not sent"] += 1
            hold(isinstance(outcome.error, AmiliError), f"a payment failed with {outcome.error!r}")
            hold(not isinstance(outcome.error, ReferenceTaken), "a reference is said to be taken")
            hold(not ids, f"a payment is said not to be registered ({outcome.error!r}), but there are {ids}")

    async def _find(self, payment: NewCreditorPayment, registered: dict[str, list[str]]) -> None:
        """A payment whose outcome was unknown can be found later, if it is there."""
        found: CreatedPayment | None = None
        for _ in range(_TRIES):
            try:
                found = await self._amili.creditor_payments.find(payment)
                break
            except AmiliError as error:
                self._journal.forgive(error, "find")
        ids = registered.get(payment.creditor_payment_reference, [])
        self._journal.counts["unknown payments that were there"] += len(ids)
        brought = [] if found is None else [found.id]
        self._journal.hold(brought == ids, f"find() brought {brought}, but there are {ids}")

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
