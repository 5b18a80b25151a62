"""Registering a list of payments: outcomes in order, one per payment, and nothing registered twice by a second run.

The law: what is registered already is found by its reference and not sent. So a payment whose reference cannot be
looked up is not sent either, and nothing more is sent where the API does not show by its reference what it has just
registered: a second run could not tell.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.context import ClientContext
from amili_async._wire.tasks import cancel_all
from amili_async.errors import ConfigurationError, PaymentNotSent, PaymentOutcomeUnknown, ReferenceTaken
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.models.json import encode_json
from amili_async.payments.create import PaymentCreator, check_payment
from amili_async.payments.lookup import PaymentLookup, find_same

MOST_AT_ONCE = 99
"""References looked up by one request: one less than a page holds, so that a page is certainly all that there is."""
LONGEST_LOOKUP = 6000
"""Bytes of references in one request line, of some 8,000 in all."""
MOST_UNKNOWN = 10
"""Outcomes in a row that are unknown, after which nothing more is sent: each would have to be looked into."""
LOOKAHEAD = 2
"""Payments sent or waiting to be told of, per request in flight: what was sent should soon be known."""

_NO_TELLING = "so a second run could not tell whether it is registered"


class PaymentOutcome(Struct, frozen=True, gc=False, kw_only=True):
    """What became of one payment of a list."""

    payment: NewCreditorPayment
    """The very object that was given."""
    created: CreatedPayment | None = None
    """The registered payment (`was_found`: it was registered before, or its answer got lost); `None` with an error."""
    error: Exception | None = None
    """Why it is not known to be registered; `None` where it is. Only after `PaymentOutcomeUnknown` it may be."""


class BatchRegistration:
    """One run over a list of payments."""

    def __init__(
        self,
        payments: Iterable[NewCreditorPayment],
        *,
        registrar: PaymentCreator,
        search: PaymentLookup,
        connection: ClientContext,
        width: int,
        patience: float,
    ) -> None:
        self._source: Iterator[NewCreditorPayment] = iter(payments)
        self._registrar = registrar
        self._search = search
        self._connection = connection
        self._patience = patience
        self._window = PrefetchWindow(lambda _: self._settle(*self._ready.popleft()), width=width)
        self._window.last = 0
        self._window.ahead = width * LOOKAHEAD
        self._ready: deque[tuple[NewCreditorPayment, Exception | CreatedPayment | None]] = deque()
        self._references: set[tuple[str, str]] = set()
        self._held_back: NewCreditorPayment | None = None
        self._looking_up: asyncio.Task[None] | None = None
        self._is_over = False
        self._failure: Exception | None = None
        self._verifying = asyncio.Lock()
        self._lookup_works = False
        self._lookup_broken = False
        self._unknown_in_a_row = 0

    async def outcomes(self) -> AsyncGenerator[PaymentOutcome, None]:
        """The outcomes in order; what the list itself raised comes after those of the payments before."""
        self._connection.running.add(self)
        try:
            while True:
                self._look_ahead()
                outcome = await self._window.take()
                if outcome is not None:
                    yield outcome
                elif self._looking_up is not None:
                    await asyncio.wait((self._looking_up,))
                else:
                    break
            if self._failure is not None:
                raise self._failure
        finally:
            self._connection.running.discard(self)
            await cancel_all((self,))

    def end(self) -> list[asyncio.Task[Any]]:
        """Cancel what is under way; returns the tasks that have yet to end."""
        tasks: list[asyncio.Task[Any]] = list(self._window.end())
        if self._looking_up is not None:
            self._looking_up.cancel()
            tasks.append(self._looking_up)
        return tasks

    def _look_ahead(self) -> None:
        """Look the next references up, beside the outcomes: what is known must not wait for that."""
        if self._looking_up is not None and self._looking_up.done():
            if not self._looking_up.cancelled():
                self._looking_up.result()
            self._looking_up = None
        if self._looking_up is None and not self._is_over and len(self._ready) < self._window.ahead:
            self._looking_up = asyncio.get_running_loop().create_task(self._prepare(self._take_some()))

    def _take_some(self) -> list[NewCreditorPayment]:
        """The next payments, as many as can be looked up at once."""
        taken: list[NewCreditorPayment] = []
        room = LONGEST_LOOKUP
        while len(taken) < MOST_AT_ONCE and (payment := self._held_back or self._take_next()) is not None:
            self._held_back = None
            room -= len(quote(encode_json(payment.creditor_payment_reference))) + 3
            if room < 0 and taken:
                self._held_back = payment
                break
            taken.append(payment)
        return taken

    def _take_next(self) -> NewCreditorPayment | None:
        try:
            payment = next(self._source)
            check_payment(payment)
        except StopIteration:
            self._is_over = True
        except Exception as error:  # noqa: BLE001 - it is raised when the payments before it are settled
            self._failure, self._is_over = error, True
        else:
            return payment
        return None

    async def _prepare(self, payments: list[NewCreditorPayment]) -> None:
        """Find out which of them are registered already, and let them have their turn."""
        rows: list[CreditorPayment] = []
        failure: Exception | None = None
        try:
            rows = await self._search.find_all(payments) if payments else []
        except Exception as error:  # noqa: BLE001 - it is told with each of them
            failure = error
        self._lookup_works |= bool(rows)
        for payment in payments:
            known: Exception | CreatedPayment | None
            key = (payment.creditor, payment.creditor_payment_reference)
            if key in self._references:
                known = ConfigurationError(
                    "an earlier payment of the list has the same creditor and creditor_payment_reference, by which a "
                    "second run knows what is registered; nothing was sent"
                )
            elif failure is not None:
                known = _not_sent(payment, f"its reference could not be looked up, {_NO_TELLING}", failure)
            else:
                try:
                    known = find_same(rows, payment)
                except ReferenceTaken as error:
                    known = error
            self._references.add(key)
            self._ready.append((payment, known))
        self._window.last = (self._window.last or 0) + len(payments)
        self._window.top_up()

    async def _settle(self, payment: NewCreditorPayment, known: Exception | CreatedPayment | None) -> PaymentOutcome:
        """Register it unless its outcome is known; the first one alone, until lookups have been seen to work."""
        if known is None and not self._lookup_works:
            async with self._verifying:
                if not self._lookup_works:
                    known = self._refuse(payment) or await self._register(payment)
                    await self._prove(payment, known)
        known = known or self._refuse(payment) or await self._register(payment)
        if isinstance(known, CreatedPayment):
            return PaymentOutcome(payment=payment, created=known)
        return PaymentOutcome(payment=payment, error=known)

    def _refuse(self, payment: NewCreditorPayment) -> PaymentNotSent | None:
        """Why nothing more is sent, if it is not."""
        if self._lookup_broken:
            shows = "the API does not show by its reference what it has just registered"
            return _not_sent(payment, f"{shows}, {_NO_TELLING}", None)
        if self._unknown_in_a_row >= MOST_UNKNOWN:
            return _not_sent(payment, f"the outcomes of the last {MOST_UNKNOWN} that were sent are unknown", None)
        return None

    async def _register(self, payment: NewCreditorPayment) -> Exception | CreatedPayment:
        known: Exception | CreatedPayment
        try:
            known = await self._registrar.register(payment, patience=self._patience)
        except Exception as error:  # noqa: BLE001 - one that fails does not keep the others from being told of
            known = error
        self._unknown_in_a_row = self._unknown_in_a_row + 1 if isinstance(known, PaymentOutcomeUnknown) else 0
        return known

    async def _prove(self, payment: NewCreditorPayment, created: Exception | CreatedPayment) -> None:
        """See whether a payment that was just registered is found by its reference; a failed one proves nothing."""
        if not isinstance(created, CreatedPayment):
            return
        self._lookup_works = await self._search.shows(payment, created.id)
        self._lookup_broken = not self._lookup_works


def _not_sent(payment: NewCreditorPayment, reason: str, cause: Exception | None) -> PaymentNotSent:
    error = PaymentNotSent(f"the payment was not sent: {reason}", payment=payment)
    error.__cause__ = cause
    return error
