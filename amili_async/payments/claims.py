"""Claims on payments: of several processes that run over one list at the same time, one sends each payment.

Invariant: a payment is sent only under a claim that the run has held without a gap since before it looked the payment
up. Just before the payment leaves, the claim is kept for 15 minutes: longer than the payment can be in flight, or be
missed by a look-up. A claim is given up only where certainly nothing was sent, and a store that fails means that
nothing is sent.
"""

import asyncio
import os
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Protocol, TypeVar

from amili_async._wire.clock import Clock
from amili_async.errors import PaymentNotSent
from amili_async.models import NewCreditorPayment
from amili_async.payments.create import MAX_TIME_IN_FLIGHT

T = TypeVar("T")

UNSENT_SECONDS = 10.0
"""Seconds for which an unsent payment is claimed: after a kill other processes may send it that soon."""
RENEWAL_INTERVAL = 3.0
"""Seconds between two renewals of the claims on unsent payments."""
CLAIM_TIMEOUT = 3.0
"""Seconds that the store may take for one answer: after one that is lost, a renewal is still in time."""


class Claims(Protocol):
    """Where processes claim payments: `amili_async.shared` has one in Redis and one in Postgres.

    A claim is a key, 32 characters that stand for a creditor and its reference, with an owner, which is one run over a
    list in one process, and a time at which it expires by the store's own clock.
    """

    async def take(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        """Claim those of *keys* on which no claim exists that has not expired, one of this owner included.

        Each is claimed for *seconds*. Returns those that were claimed.
        """

    async def keep(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        """Prolong the owner's claims on *keys* so that they last *seconds* or longer; never shorten one.

        Returns those that the owner still has: one that expired is lost, even if no other owner has taken it.
        """

    async def give_up(self, keys: Sequence[str], *, owner: str) -> None:
        """End the owner's claims on *keys*."""


class HeldClaims:
    """The claims of one run; without a store the run may send everything."""

    def __init__(self, store: Claims | None, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._owner = os.urandom(16).hex()
        self._held: set[str] = set()
        self._unsent: set[str] = set()
        self._failure: Exception | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def take(self, payments: Iterable[NewCreditorPayment]) -> None:
        """Claim *payments*, before they are looked up, and renew the claims from now on."""
        if self._store is None:
            return
        keys, self._failure = sorted({_key_of(payment) for payment in payments}), None
        try:
            taken = await _in_time(self._store.take(keys, owner=self._owner, seconds=UNSENT_SECONDS))
        except Exception as error:  # noqa: BLE001 - the drivers of stores have exceptions of their own
            self._failure = error
            return
        self._held |= taken
        self._unsent |= taken
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew(self._store))

    def reason_not_to_send(self, payment: NewCreditorPayment) -> PaymentNotSent | None:
        """Why a payment, of those that were claimed last, must not be sent; `None` if its claim is ours."""
        if self._store is None or _key_of(payment) in self._held:
            return None
        if self._failure is not None:
            error = _unclaimed(payment, f"it could not be claimed ({type(self._failure).__name__})")
            error.__cause__ = self._failure
            return error
        reason = "another process has claimed it, or an earlier run that may have sent it"
        return _unclaimed(payment, f"{reason}; run again within 15 minutes, until it is found or sent")

    async def keep(self, payment: NewCreditorPayment) -> None:
        """Keep the claim for as long as the payment can be in flight; raises `PaymentNotSent` if that fails."""
        if self._store is None:
            return
        if (reason := self.reason_not_to_send(payment)) is not None:
            raise reason
        key = _key_of(payment)
        try:
            kept = await _in_time(self._store.keep([key], owner=self._owner, seconds=MAX_TIME_IN_FLIGHT))
        except Exception as error:
            raise _unclaimed(payment, f"its claim could not be kept ({type(error).__name__})") from error
        if key not in kept:
            raise _unclaimed(payment, "its claim expired before it could be sent; run again")

    def mark_sent(self, payment: NewCreditorPayment) -> None:
        """From here on the claim is not given up unless `give_up` is called for the payment."""
        self._unsent.discard(_key_of(payment))

    async def give_up(self, payments: Iterable[NewCreditorPayment]) -> None:
        """End the claims on payments that certainly were not sent, as far as the store can be reached."""
        await self._give_up({_key_of(payment) for payment in payments} & self._held)

    async def give_up_unsent(self) -> None:
        """End all claims on unsent payments, as far as the store can be reached."""
        await self._give_up(self._unsent)

    def cancel(self) -> list[asyncio.Task[None]]:
        """Stop renewing, and return the task that did if it has not finished."""
        renewing, self._renewing = self._renewing, None
        if renewing is None:
            return []
        renewing.cancel()
        return [renewing]

    async def _give_up(self, keys: set[str]) -> None:
        ending = sorted(keys)
        self._held.difference_update(ending)
        self._unsent.difference_update(ending)
        if self._store is not None and ending:
            with suppress(Exception):  # it expires by itself
                await _in_time(self._store.give_up(ending, owner=self._owner))

    async def _renew(self, store: Claims) -> None:
        while True:
            await self._clock.sleep(RENEWAL_INTERVAL)
            if keys := sorted(self._unsent):
                with suppress(Exception):  # whether a claim is still ours is decided when its payment is sent
                    await _in_time(store.keep(keys, owner=self._owner, seconds=UNSENT_SECONDS))


def _key_of(payment: NewCreditorPayment) -> str:
    # A digest: neither the store nor its administrators see references. Without the base URL, since two processes may
    # reach one API by two names.
    identity = f"{payment.creditor} {payment.creditor_payment_reference}"
    return blake2b(identity.encode(), digest_size=16).hexdigest()


async def _in_time(answer: Awaitable[T]) -> T:
    async with asyncio.timeout(CLAIM_TIMEOUT):
        return await answer


def _unclaimed(payment: NewCreditorPayment, reason: str) -> PaymentNotSent:
    return PaymentNotSent(f"the payment was not sent: {reason}", payment=payment)
