"""Look registered payments up by their reference, and decide which of the rows found is a given payment.

Invariant: a server that ignores the filter is an error, and so is a response from a cache; neither ever counts as "not
registered".
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from amili_async._paging.keyset import KeysetPager, filter_ignored
from amili_async._wire.context import ClientContext
from amili_async._wire.listing import Listing
from amili_async._wire.protocol import server_time
from amili_async.conditions import Condition, field
from amili_async.errors import ClientClosed, ConfigurationError, ReferenceTaken, RegisteredTwice
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.models.record_type import own_record_type
from amili_async.policies import Priority
from amili_async.query import build_query

LOOKUP_TIMEOUT = 30.0
"""Seconds for which a payment is looked up after an unknown outcome, unless a call specifies otherwise."""
FIRST_LOOKUP_PAUSE = 0.25
"""Seconds between the first two look-ups; each further pause is twice as long."""
MAX_LOOKUP_PAUSE = 4.0
"""Seconds between two look-ups at most."""
CREATED_TOLERANCE = 5.0
"""Seconds by which the clocks behind the API may differ, including the whole seconds of its dates."""

Identity = tuple[object, ...]
Rows = Sequence[CreditorPayment]


class PaymentLookup:
    """The look-ups of one client: each finds rows of `creditor--payments`."""

    def __init__(self, path: str, context: ClientContext) -> None:
        self._listing = Listing(path, own_record_type(CreditorPayment), context, must_be_current=True, operation="find")
        self._clock = context.clock
        self._sleep = context.sleep

    async def find(self, payment: NewCreditorPayment) -> CreatedPayment | None:
        """The registered payment that is this one; `None` if there is none.

        Raises `RegisteredTwice` if several are, and `ReferenceTaken` if all with its reference differ from it.
        """
        return match_payment(await self.find_by_reference([payment]), payment)

    async def find_by_reference(self, payments: Sequence[NewCreditorPayment]) -> list[CreditorPayment]:
        """All rows with a reference of one of *payments*, of any creditor: a row need not state its creditor."""
        references = {payment.creditor_payment_reference for payment in payments}
        pager = KeysetPager(self._listing, _has_reference_of(payments), priority=Priority.SINGLE)
        found: list[CreditorPayment] = []
        async with aclosing(pager.records()) as rows:
            async for row in rows:
                # A server that ignores the filter answers with other rows; the first one proves it.
                if row.creditor_payment_reference not in references:
                    raise filter_ignored(self._listing.path)
                found.append(row)
        return found

    async def find_recent(self, payment: NewCreditorPayment, *, sent_at: float, known_ids: Collection[str]) -> Rows:
        """The rows that match a payment and were created after it was sent, at *sent_at* by the client's clock.

        One request, for the newest hundred rows with its creditor and reference.
        """
        condition = _has_reference_of([payment]) & (field("creditor") == payment.creditor)
        query = build_query(condition, sort="-_id")
        response = await self._listing.send(query, priority=Priority.SINGLE)
        page = await self._listing.read(self._listing.decode, response, query, priority=Priority.SINGLE)
        # `_created` is the server's time, so "since it was sent" is counted back from the server's own `Date` header:
        # a wrong clock of this machine has no effect.
        elapsed = self._clock.now() - sent_at
        earliest = server_time(response, default=self._clock.wall()) - elapsed
        return tuple(
            row
            for row in page.items
            # A row known from another call is not this payment: a row need not state the case or invoice in which the
            # two payments differ.
            if not find_differences(row, payment) and was_created_since(row, earliest) and row.id not in known_ids
        )

    async def can_find(self, payment: NewCreditorPayment, payment_id: str) -> bool:
        """Whether a payment that was just registered is found by its reference, in a row that matches it."""

        async def find() -> Rows:
            rows = await self.find_by_reference([payment])
            return [row for row in rows if row.id == payment_id and not find_differences(row, payment)]

        found, _ = await self.poll(find, lookup_timeout=LOOKUP_TIMEOUT)
        return bool(found)

    async def poll(self, find: Callable[[], Awaitable[Rows]], *, lookup_timeout: float) -> tuple[Rows, int]:
        """Repeat a look-up until it finds rows or the time is over; returns the rows and the number of look-ups.

        A late registration can still be committed, so one empty look-up proves nothing; one that fails counts as empty.
        """
        began, pause, lookups = self._clock.now(), FIRST_LOOKUP_PAUSE, 0
        found: Rows = ()
        # Two bounds: the timeout interrupts a look-up in real time, the condition of the loop counts by the client's
        # clock, which tests run faster.
        with suppress(TimeoutError):
            async with asyncio.timeout(lookup_timeout):
                while not found and self._clock.now() - began < lookup_timeout:
                    try:
                        if lookups:
                            await self._sleep(pause)
                            pause = min(2 * pause, MAX_LOOKUP_PAUSE)
                        lookups += 1
                        found = await find()
                    except (ClientClosed, ConfigurationError):
                        break  # the client is closed, by another task: no further request can be sent
                    except Exception:  # noqa: BLE001, S112 - whatever fails, the outcome stays unknown
                        continue
        return found, lookups


def identity_of(payment: NewCreditorPayment) -> Identity:
    """All fields by which rows of the list can be distinguished; payments of one identity are one payment."""
    by = (payment.case, payment.invoice_number)
    return payment.creditor, payment.creditor_payment_reference, payment.amount, payment.bank_transaction_date, *by


def match_payment(rows: Iterable[CreditorPayment], payment: NewCreditorPayment) -> CreatedPayment | None:
    """The row that is this payment; `None` if no row has its creditor and reference.

    Raises `RegisteredTwice` if several rows are, and `ReferenceTaken` if the rows with its reference differ from it.
    """
    differences = {
        row.id: find_differences(row, payment)
        for row in rows
        if row.creditor_payment_reference == payment.creditor_payment_reference
        and not _contradicts(row.creditor, payment.creditor)
    }
    same = [row for row in rows if differences.get(row.id) == ()]
    if len(same) == 1:
        return created_from(same[0])
    if not differences:
        return None
    if same:
        raise RegisteredTwice(
            f"{len(same)} payments equal to this one are registered; nothing was sent. Have Amili cancel all but one: "
            ".matches has their ids",
            payment=payment,
            matches=tuple(row.id for row in same),
        )
    names = ", ".join(sorted({name for differing in differences.values() for name in differing}))
    raise ReferenceTaken(
        f"the reference belongs to a registered payment of this creditor that differs from this one in {names}; "
        "nothing was sent. Give this payment another reference: .matches has the ids of the registered ones",
        payment=payment,
        matches=tuple(differences),
    )


def find_differences(row: CreditorPayment, payment: NewCreditorPayment) -> tuple[str, ...]:
    """The names of the fields in which a row is another payment; empty if it can be this one.

    Creditor, case and invoice count only if the row states them: the API documents no `creditor` in its responses, and
    finds the case by the invoice. `case_invoice_number` is not compared: it need not be the number that was sent.
    """
    required = ("creditor_payment_reference", "amount", "bank_transaction_date")
    return (*(name for name in required if getattr(row, name) is None), *find_contradictions(row, payment))


def find_contradictions(row: CreditorPayment, payment: NewCreditorPayment) -> tuple[str, ...]:
    """The names of the fields that a row, or the response to a registration, states otherwise than the payment."""
    by = "case" if payment.case is not None else "invoice_number"
    names = ("creditor", "creditor_payment_reference", "amount", "bank_transaction_date", by)
    case = row.case and row.case.lower()  # ids are sent in lower case, which Eve keeps; another source may not
    return tuple(
        name for name in names if _contradicts(case if name == "case" else getattr(row, name), getattr(payment, name))
    )


def _contradicts(stated: Any, sent: Any) -> bool:
    if isinstance(stated, Decimal) and not stated.is_finite():
        return True  # a signalling NaN raises in a comparison
    return stated is not None and stated != sent


def was_created_since(row: CreditorPayment, earliest: float) -> bool:
    """Whether a row was created no earlier than that, in seconds since 1970."""
    created = row.created.timestamp() if isinstance(row.created, datetime) else 0.0
    # Eve reports 1 January 1970 for a document without a date.
    return (created or time_of(row.id)) >= earliest - CREATED_TOLERANCE


def time_of(row_id: str) -> float:
    """Seconds since 1970: the first four bytes of an ObjectId are the time at which it was made."""
    return float(int(row_id[:8], 16))


def created_from(row: CreditorPayment) -> CreatedPayment:
    """A row of the list as `create()` returns it."""
    fields = {name: getattr(row, name) for name in CreatedPayment.__struct_fields__ if name != "was_found"}
    return CreatedPayment(**fields, was_found=True)


def _has_reference_of(payments: Sequence[NewCreditorPayment]) -> Condition:
    return field("creditor_payment_reference").is_in([payment.creditor_payment_reference for payment in payments])
