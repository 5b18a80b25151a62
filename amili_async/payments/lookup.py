"""Asking the API which payments it has registered, by their references.

The law: a filter that the server does not honour is an error, never "there is none".
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime

from amili_async._paging.keyset import KeysetPager, filter_ignored
from amili_async._wire.context import ClientContext
from amili_async._wire.decoding import decoder_for
from amili_async._wire.protocol import list_request, server_time
from amili_async.errors import ConfigurationError, ReferenceTaken, RegisteredTwice
from amili_async.filters import Condition
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.models.record_type import RecordType
from amili_async.query import build_query, field
from amili_async.resources import Resource

MARGIN = 5.0
"""Seconds by which the clocks behind the API may differ, the whole seconds of its dates included."""

Identity = tuple[object, ...]


def identify(payment: NewCreditorPayment) -> Identity:
    """All by which the API's list can tell this payment from others."""
    return (
        payment.creditor,
        payment.creditor_payment_reference,
        payment.amount,
        payment.bank_transaction_date,
        payment.case,
        payment.invoice_number,
    )


def find_differences(row: CreditorPayment, payment: NewCreditorPayment) -> tuple[str, ...]:
    """The names of the fields in which a registered payment is another one.

    Creditor, case and invoice count only where the row tells of them: the API documents no creditor in what it shows,
    finds the case by the invoice, and says that a case's own invoice number need not be the one that was sent.
    """
    differing = ["creditor"] if _contradicts(row.creditor, payment.creditor) else []
    names = ("creditor_payment_reference", "amount", "bank_transaction_date")
    differing += [name for name in names if getattr(row, name) != getattr(payment, name)]
    by = "case" if isinstance(payment.case, str) else "invoice_number"
    case = row.case.lower() if isinstance(row.case, str) else None
    if _contradicts(case if by == "case" else row.invoice_number, getattr(payment, by)):
        differing.append(by)
    return tuple(differing)


def _contradicts(told: object, sent: object) -> bool:
    return isinstance(told, str) and told != sent


def was_made_since(row: CreditorPayment, earliest: float) -> bool:
    """Whether a row was made no earlier than that, in seconds since 1970; by its id where it has no date."""
    made = row.created.timestamp() if isinstance(row.created, datetime) else 0.0
    return (made or float(int(row.id[:8], 16))) >= earliest - MARGIN


def find_same(rows: Iterable[CreditorPayment], payment: NewCreditorPayment) -> CreatedPayment | None:
    """The one among registered payments with its creditor and reference that is this payment; `None` without any.

    `RegisteredTwice` where several are, `ReferenceTaken` where those that there are differ.
    """
    others = {
        row.id: find_differences(row, payment)
        for row in rows
        if row.creditor_payment_reference == payment.creditor_payment_reference
        and not _contradicts(row.creditor, payment.creditor)
    }
    same = [row for row in rows if others.get(row.id) == ()]
    if len(same) == 1:
        return describe_found(same[0])
    if not others:
        return None
    if same:
        what = f"{len(same)} payments with this creditor and reference, all just like this one, are registered"
        ids = tuple(row.id for row in same)
        raise RegisteredTwice(f"{what}; nothing was sent, and .matches has the ids", payment=payment, matches=ids)
    names = ", ".join(sorted({name for differing in others.values() for name in differing}))
    what = f"the reference belongs to a registered payment of this creditor that differs from this one in {names}"
    raise ReferenceTaken(f"{what}; nothing was sent, and .matches has the ids", payment=payment, matches=tuple(others))


def describe_found(row: CreditorPayment) -> CreatedPayment:
    """A registered payment as `create()` gives it."""
    told = {name: getattr(row, name) for name in CreatedPayment.__struct_fields__ if name != "was_found"}
    return CreatedPayment(**told, was_found=True)


_SHAPE = RecordType[CreditorPayment](record=CreditorPayment, wire=CreditorPayment, projection=None)


FIRST_PAUSE = 0.25
"""Seconds between the first two looks; each further pause is twice as long."""
LONGEST_PAUSE = 4.0
"""Seconds between two looks at most."""
PATIENCE = 30.0
"""Seconds for which a payment is looked for, unless a call says otherwise."""

Rows = Sequence[CreditorPayment]


class PaymentLookup:
    """Finds registered payments."""

    def __init__(self, payments: Resource[CreditorPayment], connection: ClientContext) -> None:
        self._payments = payments
        self._connection = connection

    async def look_for(self, look: Callable[[], Awaitable[Rows]], *, patience: float) -> tuple[Rows, int]:
        """Look until something is found, patience is over, or nothing can be sent any more.

        Returns what was found, and how often it was looked. A look that fails has found nothing.
        """
        clock = self._connection.clock
        began, pause, looks = clock.now(), FIRST_PAUSE, 0
        found: Rows = ()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not found and clock.now() - began < patience:
                    if looks:
                        await clock.sleep(pause)
                        pause = min(2 * pause, LONGEST_PAUSE)
                    looks += 1
                    try:
                        found = await look()
                    except ConfigurationError:
                        break  # the client was closed
                    except Exception:  # noqa: BLE001, S112 - whatever hinders a look, the outcome stays as unknown as it was
                        continue
        return found, looks

    async def shows(self, payment: NewCreditorPayment, payment_id: str) -> bool:
        """Whether a payment that was just registered is found by its reference, in a row that is like it."""

        async def look() -> Rows:
            rows = await self.find_all([payment])
            return [row for row in rows if row.id == payment_id and not find_differences(row, payment)]

        found, _ = await self.look_for(look, patience=PATIENCE)
        return bool(found)

    async def find_recent(self, payment: NewCreditorPayment, *, started: float, known: Collection[str]) -> Rows:
        """The payments like this one that were registered since *started* (by our clock), without the *known* ids.

        One request, for the newest hundred with its creditor and reference. How long ago the try began is taken from
        the time on the answer: a clock of ours that is wrong does no harm.
        """
        asked = build_query(_has_reference_of([payment]) & (field("creditor") == payment.creditor), sort="-_id")
        request = list_request(self._payments.path, asked)
        response = await self._connection.call(request)
        clock = self._connection.clock
        page = decoder_for(_SHAPE).read_page(response, request=request.label, number=1)
        earliest = server_time(response, default=clock.wall()) - (clock.now() - started)
        return tuple(
            row
            for row in page.items
            if not find_differences(row, payment) and was_made_since(row, earliest) and row.id not in known
        )

    async def find_all(self, payments: Sequence[NewCreditorPayment]) -> list[CreditorPayment]:
        """Every registered payment that has the reference of one of these, whoever its creditor is."""
        asked = {payment.creditor_payment_reference for payment in payments}
        walk = KeysetPager(self._payments.path, _SHAPE, _has_reference_of(payments), self._connection.call)
        found: list[CreditorPayment] = []
        async with aclosing(walk.records()) as rows:
            async for row in rows:
                if row.creditor_payment_reference not in asked:
                    raise filter_ignored(self._payments.path)
                found.append(row)
        return found


def _has_reference_of(payments: Sequence[NewCreditorPayment]) -> Condition:
    return field("creditor_payment_reference").is_in([payment.creditor_payment_reference for payment in payments])
