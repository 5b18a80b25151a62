"""The types that type checkers must infer; checked by test_typing.py, never run."""

from collections.abc import AsyncGenerator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, assert_type

from msgspec import Struct

from amili_async import (
    AmiliClient,
    AuthTokenProvider,
    Case,
    Checkpoint,
    Condition,
    CreatedPayment,
    Creditor,
    CreditorPayment,
    CreditorPayments,
    Creditors,
    Delivery,
    Difference,
    Extraction,
    Headers,
    Manifest,
    NewCreditorPayment,
    Page,
    PaymentOutcome,
    Payout,
    Payouts,
    PayoutSpecification,
    PayoutSummary,
    Plan,
    Priority,
    Quota,
    RateLimit,
    RateLimiter,
    Reconciliation,
    Resource,
    ResponseHead,
    Stream,
    StreamCheckpoint,
    Token,
    field,
    reconcile_payout,
)
from amili_async.errors import (
    AmiliError,
    DeliveryFailed,
    ExportFailed,
    ExtractionInterrupted,
    PaymentError,
    PaymentNotCompleted,
    PaymentOutcomeUnknown,
)
from amili_async.testing import Sandbox


class Line(Struct):
    """A type of the caller."""

    total_amount: Decimal


async def fetch_token() -> Token:
    """A token source of the caller."""
    return Token(value="x", lifetime=60)


class SharedLimiter(RateLimiter):
    """A rate limiter of the caller, written with public names."""

    @property
    def limit(self) -> RateLimit:
        """What all processes may send together."""
        return RateLimit()

    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:
        """Wait for a permit."""

    def release_unused(self) -> None:
        """Release a permit."""

    def on_response(self, quota: Quota | None = None) -> None:
        """Release a permit."""

    def on_no_response(self, seconds: float) -> None:
        """Release a permit."""

    def on_rate_limited(self, seconds: float | None) -> float:
        """Pause."""
        return seconds or 60.0


def read(error: Exception) -> None:
    """The attributes of errors."""
    if isinstance(error, AmiliError):
        assert_type(error.request_id, str | None)
        assert_type(error.headers, Headers)
        assert_type(error.headers.get("Via"), str | None)
        assert_type(error.headers["Via"], str)
    if isinstance(error, PaymentOutcomeUnknown):
        assert_type(error.payment, NewCreditorPayment)
        assert_type(error.payment.amount, Decimal)
    elif isinstance(error, PaymentNotCompleted):
        assert_type(error.payment, CreatedPayment)
        assert_type(error.created, CreatedPayment)
    elif isinstance(error, PaymentError):
        assert_type(error.payment, NewCreditorPayment | CreatedPayment)
        assert_type(error.reference, str)
    elif isinstance(error, ExtractionInterrupted):
        assert_type(error.checkpoint, Checkpoint)
        assert_type(error.record_id, str | None)
    elif isinstance(error, DeliveryFailed):
        assert_type(error.record_id, str | None)
    elif isinstance(error, ExportFailed):
        assert_type(error.path, Path | str)


def insert(sandbox: Sandbox) -> None:
    """Rows of a user's test."""
    assert_type(sandbox.insert(Payout(id="x", amount=Decimal(5))), str)
    assert_type(sandbox.insert("payouts", {"currency": "EUR"}), str)
    assert_type(sandbox.insert("payouts", {"colour": "red"}, extra=True), str)
    assert_type(sandbox.connect(page_size=5), AmiliClient)
    with Sandbox(payouts=5, rate_limit=None) as other:
        assert_type(other, Sandbox)


async def handle_payout(payout: Payout) -> str:
    """A handler; what it returns is not used."""
    return payout.id


async def use(amili: AmiliClient, payment: NewCreditorPayment) -> None:
    """Every public call, with the type that it must have."""
    first = AmiliClient("https://api.example.com", auth=fetch_token, rate_limit=SharedLimiter(), max_wait=2)
    assert_type(first.with_options(max_wait=None, headers={"X-Team": "finance"}), AmiliClient)
    assert_type(first.rate_limiter, RateLimiter)
    assert_type(first.rate_limiter.remaining, int | None)
    AmiliClient("https://api.example.com", auth="x", rate_limit=first.rate_limiter)
    assert_type(amili.auth, AuthTokenProvider)
    assert_type(amili.payouts, Payouts)
    assert_type(amili.creditor_payments, CreditorPayments)
    assert_type(amili.creditors, Creditors)
    assert_type(await amili.creditors.find(name="x"), tuple[Creditor, ...])
    assert_type(await amili.cases.find("F-1"), tuple[Case, ...])
    assert_type(amili.resource("invoices", Line), Resource[Line])
    assert_type(amili.resource("invoices", Line).stream(), Stream[Line])
    assert_type(await amili.resource("invoices", dict[str, Any]).get("x"), dict[str, Any])
    assert_type(Payout.from_json("{}"), Payout)
    assert_type(Payout.from_json("{}").to_dict("iso"), dict[str, Any])
    assert_type(await amili.auth.get_valid_token(), str)
    condition = (field("creditor") == "x") & ~(field("amount") > 5) | field("state").is_in(["reminder"])
    assert_type(condition, Condition)
    assert_type(amili.payouts.stream(), Stream[Payout])
    assert_type(amili.payouts.stream(condition, sort=["-created"], max_items=5, concurrency=2), Stream[Payout])
    assert_type(amili.payout_specifications.stream({"article": "capital"}, into=Line), Stream[Line])
    assert_type(amili.payout_specifications.stream(into=dict[str, Any]), Stream[dict[str, Any]])
    assert_type(amili.payouts.specifications("x", sort="amount"), Stream[PayoutSpecification])
    assert_type(await amili.creditor_payments.get("x"), CreditorPayment)
    assert_type(await amili.creditor_payments.get("x", into=Line), Line)
    assert_type(await amili.creditor_payments.page(2, page_size=10), Page[CreditorPayment])
    assert_type(await amili.creditor_payments.page(into=Line), Page[Line])
    assert_type((await amili.payouts.page()).response, ResponseHead)
    assert_type(await amili.creditor_payments.count(), int)
    assert_type((await amili.creditor_payments.create(payment, lookup_timeout=5)).raise_for_status(), CreatedPayment)
    assert_type(await amili.creditor_payments.find(payment), CreatedPayment | None)
    async for outcome in amili.creditor_payments.create_many([payment], concurrency=2):
        assert_type(outcome, PaymentOutcome)
    async for found in amili.reconcile(condition):
        assert_type(found, Reconciliation)
        assert_type(found.differences, tuple[Difference, ...])
    assert_type(reconcile_payout(Payout(id="x"), [PayoutSpecification(id="y")]), Reconciliation)
    assert_type(amili.payouts.stream().pages(), AsyncGenerator[Page[Payout], None])
    assert_type(await amili.payouts.stream().first(), Payout | None)
    payouts = await amili.payouts.stream().collect()
    assert_type(payouts, list[Payout])
    assert_type(sum((each.total_amount or Decimal(0) for each in payouts), Decimal(0)), Decimal)
    assert_type(sum(each.amount for each in payouts if each.amount is not None), Decimal | Literal[0])
    assert_type(sorted(each.payout_date for each in payouts if each.payout_date), list[datetime])
    async for payout in amili.payouts.stream():
        assert_type(payout.id, str)
        assert_type(payout.total_amount, Decimal | None)
        assert_type(payout.payout_date, datetime | None)
        assert_type(payout.finance_category, str | None)
        assert_type(payout.summary, dict[str, PayoutSummary] | None)
        if payout.total_amount is not None and payout.total_amount > 5:
            assert_type(payout.total_amount + 1, Decimal)
            assert_type(f"{payout.total_amount:.2f}", str)
    async for line in amili.payouts.stream(into=Line):
        assert_type(line.total_amount, Decimal)
    extraction = amili.payouts.extract(condition, parts=4)
    assert_type(extraction, Extraction[Payout])
    assert_type(extraction.checkpoint, Checkpoint)
    assert_type(extraction.manifest, Manifest)
    assert_type(extraction.deliveries(unfinished=4), AsyncGenerator[Delivery[Payout], None])
    async for delivery in amili.payouts.stream(into=Line).deliveries():
        assert_type(delivery.records, tuple[Line, ...])
    assert_type(await extraction.for_each(handle_payout), Manifest)
    assert_type(await amili.payouts.stream().for_each(handle_payout, concurrency=2), int)
    assert_type(amili.payouts.stream(checkpoint=amili.payouts.stream().checkpoint).checkpoint, StreamCheckpoint)
    assert_type(extraction.batches(), AsyncGenerator[tuple[Payout, ...], None])
    assert_type(Checkpoint.from_json(extraction.checkpoint.to_json()), Checkpoint)
    assert_type(amili.payouts.extract(into=Line, since=extraction.manifest), Extraction[Line])
    async for row in amili.payouts.extract(into=dict[str, Any], checkpoint=extraction.checkpoint):
        assert_type(row, dict[str, Any])
    assert_type(await amili.payouts.sweep(["x"]), frozenset[str])
    assert_type(await amili.payouts.plan(condition), Plan)
