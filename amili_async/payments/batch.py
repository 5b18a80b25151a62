"""Register a list of payments: outcomes in order, one per payment, and no duplicate in a second run over the list.

Invariant: a payment that a second run could not find is not sent. References are looked up before anything is sent; a
payment whose reference cannot be looked up, or is registered, is not sent; and after the first registration nothing
more is sent until the API has shown that payment by its reference. Nothing is sent while the consumer does not wait for
an outcome: it may have left its loop and hold the generator still.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Any

from msgspec import Struct

from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.context import ClientContext
from amili_async._wire.frames import hide_own_frames
from amili_async._wire.tasks import cancel_all
from amili_async.errors import AmiliError, ConfigurationError, PaymentNotSent, PaymentOutcomeUnknown, ReferenceTaken
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.payments.claims import Claims, HeldClaims
from amili_async.payments.create import PaymentCreator
from amili_async.payments.lookup import PaymentLookup, match_payment
from amili_async.payments.source import ListedPayment, PaymentSource

MAX_CONSECUTIVE_UNKNOWN = 10
"""Unknown outcomes in a row after which nothing more is sent: each of them has to be clarified by hand."""
LOOKAHEAD_PER_REQUEST = 2
"""Payments ahead of the consumer, per request in flight: few, since the outcome of each should soon be known."""

Known = Exception | CreatedPayment
"""The outcome of a payment, as far as it is known: an error, or the registered payment."""


class PaymentOutcome(Struct, frozen=True, gc=False, kw_only=True):
    """The outcome of one payment of a list."""

    payment: NewCreditorPayment
    """The very object that was given."""
    created: CreatedPayment | None = None
    """The registered payment, with `was_found` if it was registered before or its response was lost; else `None`."""
    error: Exception | None = None
    """Why it is not known to be registered; otherwise `None`. Only a `PaymentOutcomeUnknown` may be registered."""


class _NotWanted(Exception):
    """The consumer does not wait for an outcome, so the payment was not sent."""


class BatchRegistration:
    """One run over a list of payments."""

    def __init__(
        self,
        payments: Iterable[NewCreditorPayment],
        *,
        creator: PaymentCreator,
        lookup: PaymentLookup,
        context: ClientContext,
        width: int,
        lookup_timeout: float,
        claims: Claims | None = None,
        is_verified: bool = False,
    ) -> None:
        self._source = PaymentSource(payments)
        self._creator = creator
        self._lookup = lookup
        self._context = context
        self._lookup_timeout = lookup_timeout
        # The window keeps the order of outcomes: its page n is the outcome of the nth payment that was looked up.
        self._window = PrefetchWindow(lambda _: self._settle(*self._ready.popleft()), concurrency=width)
        self._window.last_page = 0
        self._window.pages_ahead = width * LOOKAHEAD_PER_REQUEST
        self._ready: deque[tuple[NewCreditorPayment, Known | None]] = deque()
        self._looking_up: asyncio.Task[None] | None = None
        self._claims = HeldClaims(claims, context.clock)
        self._verifying = asyncio.Lock()
        self._lookup_works = is_verified
        self._lookup_broken = False
        self._unknown_in_a_row = 0
        self._wanted = asyncio.Event()
        """Set while the consumer waits for an outcome: a loop that it has left looks like one that it is busy in."""

    async def outcomes(self) -> AsyncGenerator[PaymentOutcome, None]:
        """The outcomes in order; an error of the iterable itself is raised after those of the payments before it."""
        self._context.running.add(self)
        try:
            while True:
                self._start_lookup()
                if not self._window.is_ready:  # else each waiting payment would wake, and find itself not wanted
                    self._wanted.set()
                outcome = await self._window.take()
                if outcome is not None:
                    self._wanted.clear()
                    yield outcome
                elif self._looking_up is not None:
                    # `wait` does not raise what the look-up raised: `_start_lookup` does, in its next call.
                    await asyncio.wait((self._looking_up,))
                else:
                    break
            if self._source.end is not None and not isinstance(self._source.end, StopIteration):
                raise self._source.end
        finally:
            self._context.running.discard(self)
            await cancel_all((self,))
            await self._claims.give_up_unsent()

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel everything that is running and return its tasks that have not finished."""
        looking_up = [] if self._looking_up is None else [self._looking_up]
        for task in looking_up:
            task.cancel()
        return [*self._window.cancel(), *looking_up, *self._claims.cancel()]

    def _start_lookup(self) -> None:
        """Look up the next references in a task of its own, so that known outcomes are delivered concurrently."""
        if self._looking_up is not None and self._looking_up.done():
            # `cancel()` of a client that is closing cancels it; the window then raises for this run.
            if not self._looking_up.cancelled():
                self._looking_up.result()
            self._looking_up = None
        if self._looking_up is None and self._source.end is None and len(self._ready) < self._window.pages_ahead:
            self._looking_up = self._window.start(self._look_up(self._source.take_batch()))

    async def _look_up(self, batch: list[ListedPayment]) -> None:
        """Claim payments and find which are registered, and release all of them to be settled."""
        fresh = [listed.payment for listed in batch if not listed.is_repeated]
        rows: list[CreditorPayment] = []
        failure: Exception | None = None
        await self._claims.take(fresh)
        try:
            rows = await self._lookup.find_by_reference(fresh) if fresh else []
        except Exception as error:  # noqa: BLE001 - reported as the outcome of each payment of the batch
            failure = hide_own_frames(error)
        # A row that was found by its reference proves that look-ups work, so the first payment need not be sent alone.
        self._lookup_works |= bool(rows)
        known = [self._known_outcome(payment, rows, failure) for payment in fresh]
        await self._claims.give_up([payment for payment, outcome in zip(fresh, known, strict=True) if outcome])
        remaining = iter(known)
        self._ready.extend((each.payment, _repeated() if each.is_repeated else next(remaining)) for each in batch)
        self._window.last_page = (self._window.last_page or 0) + len(batch)
        self._window.top_up()

    def _known_outcome(
        self, payment: NewCreditorPayment, rows: list[CreditorPayment], failure: Exception | None
    ) -> Known | None:
        """The outcome that needs no request; `None` if the payment is to be sent."""
        if failure is not None:
            return _not_sent(payment, "its reference could not be looked up, so it may be registered already", failure)
        try:
            found = match_payment(rows, payment)
        except ReferenceTaken as error:
            return hide_own_frames(error)
        # One that this client has sent, under a claim of an earlier call, is looked up again by `create()`.
        if found is not None or self._creator.remembers(payment):
            return found
        return self._claims.reason_not_to_send(payment)

    async def _settle(self, payment: NewCreditorPayment, known: Known | None) -> PaymentOutcome:
        """The outcome of a payment, which is sent unless it is known; until look-ups are verified, one at a time."""
        if known is None and not self._lookup_works:
            # Sent one at a time: if payments are not found by their references, a second run would send each of them
            # again, and then only one has been sent. Tasks that waited for the lock send without it, or not at all.
            async with self._verifying:
                if not self._lookup_works:
                    known = await self._create(payment)
                    await self._verify_lookup(payment, known)
        known = known or await self._create(payment)
        if isinstance(known, CreatedPayment):
            return PaymentOutcome(payment=payment, created=known)
        return PaymentOutcome(payment=payment, error=known)

    def _reason_not_to_send(self, payment: NewCreditorPayment) -> PaymentNotSent | None:
        if self._lookup_broken:
            reason = "the API does not find the payment registered last by its reference, so a second run would not"
            return _not_sent(payment, reason, None)
        if self._unknown_in_a_row >= MAX_CONSECUTIVE_UNKNOWN:
            reason = f"the outcomes of the last {MAX_CONSECUTIVE_UNKNOWN} payments are unknown; find() them first"
            return _not_sent(payment, reason, None)
        return None

    async def _create(self, payment: NewCreditorPayment) -> Known:
        known: Known
        while True:
            while not self._is_wanted():
                await self._wanted.wait()
            if (reason := self._reason_not_to_send(payment)) is not None:
                return reason
            try:
                known = await self._creator.create(
                    payment, lookup_timeout=self._lookup_timeout, before_send=partial(self._prepare, payment)
                )
            except _NotWanted:
                continue
            except Exception as error:  # noqa: BLE001 - it is the outcome of this payment, and does not end the others
                known = hide_own_frames(error)
            break
        if isinstance(known, Exception) and not isinstance(known, PaymentOutcomeUnknown):
            await self._claims.give_up([payment])
        # A payment that an earlier call sent shows nothing of how requests fare, and has no cause.
        if not isinstance(known, PaymentOutcomeUnknown):
            self._unknown_in_a_row = 0
        elif known.__cause__ is not None:
            self._unknown_in_a_row += 1
        return known

    async def _prepare(self, payment: NewCreditorPayment) -> None:
        """The last step before the payment leaves: keep its claim, unless the consumer has left."""
        self._check_wanted()
        await self._claims.keep(payment)
        self._check_wanted()
        self._claims.mark_sent(payment)

    def _is_wanted(self) -> bool:
        # The next outcome is known some steps before the consumer resumes with it.
        if self._window.is_ready:
            self._wanted.clear()
        return self._wanted.is_set()

    def _check_wanted(self) -> None:
        # Again after the wait for a permit.
        if not self._is_wanted():
            raise _NotWanted

    async def _verify_lookup(self, payment: NewCreditorPayment, created: Known) -> None:
        """Check whether a payment that was just registered is found by its reference; a failed one proves nothing."""
        if isinstance(created, CreatedPayment):
            self._lookup_works = await self._lookup.can_find(payment, created.id)
            self._lookup_broken = not self._lookup_works


def _repeated() -> ConfigurationError:
    return ConfigurationError(
        "an earlier payment of the list has the same creditor and creditor_payment_reference; nothing was sent. Give "
        "each payment a reference of its own, by which a second run finds it"
    )


def _not_sent(payment: NewCreditorPayment, reason: str, cause: Exception | None) -> PaymentNotSent:
    because = f" ({cause})" if isinstance(cause, AmiliError) else ""  # other texts may hold what must not be shown
    error = PaymentNotSent(f"the payment was not sent: {reason}{because}", payment=payment)
    error.__cause__ = cause
    return error
