"""Register one payment: send it, classify a failure, and look the payment up if the outcome is unknown.

Invariant: a payment is sent again only if the server certainly did not process it. A failure is *certain* (the payment
was not sent, or was rejected) and raised unchanged, or it is *unknown*: the server may have registered the payment
before the failure, or may register it after it. Then the payment is looked up; found, it is returned, otherwise
`PaymentOutcomeUnknown` is raised.
"""

import math
from collections import deque
from typing import TypeVar

from msgspec.structs import replace

from amili_async._wire.context import ClientContext
from amili_async._wire.decoding import RecordDecoder, decoder_for
from amili_async._wire.protocol import create_request
from amili_async.errors import AmiliError, ConfigurationError, PaymentNotSent, PaymentOutcomeUnknown, UnreadableResponse
from amili_async.events import PaymentLookedUp, PaymentRegistered
from amili_async.models import CreatedPayment, NewCreditorPayment, PaymentStatus, encode
from amili_async.models.fields import is_object_id
from amili_async.models.record_type import record_type_of
from amili_async.payments.lookup import Identity, PaymentLookup, Rows, created_from, identity_of

MAX_REMEMBERED = 10_000
"""Payments of which the client remembers that they are registered, or in doubt; the oldest are forgotten first."""

V = TypeVar("V")


class PaymentCreator:
    """Registers the payments of one client, one at a time or several concurrently."""

    def __init__(self, path: str, context: ClientContext, lookup: PaymentLookup) -> None:
        self._path = path
        self._context = context
        self._lookup = lookup
        self._decoder: RecordDecoder[CreatedPayment] = decoder_for(record_type_of(CreatedPayment))
        self._in_flight: set[Identity] = set()
        self._created: dict[Identity, CreatedPayment] = {}
        self._in_doubt: dict[Identity, None] = {}
        self._known_ids: deque[str] = deque(maxlen=MAX_REMEMBERED)

    async def create(self, payment: NewCreditorPayment, *, lookup_timeout: float) -> CreatedPayment:
        """Register the payment unless it is registered; after an unknown outcome look it up."""
        check_payment(payment)
        check_lookup_timeout(lookup_timeout)
        identity = identity_of(payment)
        if identity in self._created:
            return replace(self._created[identity], was_found=True)
        if identity in self._in_flight:
            raise PaymentNotSent(
                "the payment was not sent: another call of this client is registering an equal payment. Await that "
                "call, or give a different payment a creditor_payment_reference of its own",
                payment=payment,
            )
        self._in_flight.add(identity)
        try:
            created = await self._find_or_send(payment, identity, lookup_timeout)
        finally:
            self._in_flight.discard(identity)
        _remember(self._created, identity, created)
        self._known_ids.append(created.id)
        self._announce_registered(created)
        return created

    async def _find_or_send(
        self, payment: NewCreditorPayment, identity: Identity, lookup_timeout: float
    ) -> CreatedPayment:
        """Send the payment, unless an earlier call whose outcome is unknown has registered it."""
        if identity in self._in_doubt:
            return await self._find_earlier(payment) or await self._send(payment, lookup_timeout)
        # In doubt from here on: a cancellation may end the call at any await, also after the server has the payment.
        _remember(self._in_doubt, identity, None)
        try:
            created = await self._send(payment, lookup_timeout)
        except PaymentOutcomeUnknown:
            raise
        except Exception:
            self._in_doubt.pop(identity, None)  # a certain failure: nothing is registered
            raise
        self._in_doubt.pop(identity, None)
        return created

    async def _find_earlier(self, payment: NewCreditorPayment) -> CreatedPayment | None:
        """The payment, if an earlier call registered it; without an answer it must not be sent."""
        try:
            return await self._lookup.find(payment)
        except PaymentNotSent:
            raise
        except AmiliError as error:
            raise PaymentNotSent(
                "the payment was not sent: after an earlier call it is unknown whether it is registered, and it could "
                f"not be looked up ({error}); try again later",
                payment=payment,
            ) from error

    async def _send(self, payment: NewCreditorPayment, lookup_timeout: float) -> CreatedPayment:
        """Send the payment once; return it, raise a certain failure, or look it up after any other failure."""
        request = create_request(self._path, encode(payment))
        sent_at = self._context.clock.now()
        try:
            response = await self._context.call(request)
            created = self._decoder.read_record(response, request=request.label)
            self._check_response(created, request.label)
        except AmiliError as error:
            # An error of another request is that of the token exchange, without which the payment is not sent.
            if error.was_not_processed or error.request not in {"", request.label}:
                raise
            failure = error
        else:
            # Both are ours, so a body cannot set them.
            reference = payment.creditor_payment_reference
            return replace(created, creditor_payment_reference=reference, was_found=False)
        return await self._find_sent(payment, failure, sent_at=sent_at, lookup_timeout=lookup_timeout)

    def _check_response(self, created: CreatedPayment, label: str) -> None:
        """Reject a 201 that cannot be the response to this payment: a gateway may have generated or cached it."""
        if not is_object_id(created.id) or created.id in self._known_ids:
            what = "an invalid id, or the id of an earlier payment"
        elif created.request_status not in {"OK", None}:
            what = "a _status other than OK"
        else:
            return
        raise UnreadableResponse(f"{label} was answered with {what}", request=label, location="$")

    async def _find_sent(
        self, payment: NewCreditorPayment, failure: AmiliError, *, sent_at: float, lookup_timeout: float
    ) -> CreatedPayment:
        """Look up a payment with an unknown outcome; raises `PaymentOutcomeUnknown` unless exactly one row is found."""

        async def find() -> Rows:
            return await self._lookup.find_recent(payment, sent_at=sent_at, known_ids=self._known_ids)

        began = self._context.clock.now()
        found, lookups = await self._lookup.poll(find, lookup_timeout=lookup_timeout)
        label, error, seconds = f"POST /{self._path}", type(failure).__name__, self._context.clock.now() - began
        was_found = len(found) == 1
        self._context.announce(
            PaymentLookedUp(request=label, error=error, was_found=was_found, lookups=lookups, seconds=seconds)
        )
        if was_found:
            return created_from(found[0])
        what = f"{len(found)} payments equal to it were registered since" if found else "no look-up found it"
        raise PaymentOutcomeUnknown(
            f"{label}: it is unknown whether the payment is registered ({error}; {what}). Call "
            "find(error.payment) some minutes later, and send the payment again only if that returns None",
            payment=payment,
            matches=tuple(row.id for row in found),
        ) from failure

    def _announce_registered(self, created: CreatedPayment) -> None:
        # Only documented words: observers write events to logs and metrics, which a value of the server could flood.
        status = PaymentStatus.COMPLETED if created.is_completed else created.status
        word = str(status) if status in tuple(PaymentStatus) else "other"
        label = f"POST /{self._path}"
        self._context.announce(PaymentRegistered(request=label, status=word, was_found=created.was_found))


def _remember(memory: dict[Identity, V], identity: Identity, value: V) -> None:
    """Keep a value, and forget the oldest one if there are too many."""
    memory[identity] = value
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]


def check_payment(payment: object) -> None:
    """Raise `ConfigurationError` for anything but a `NewCreditorPayment`."""
    if not isinstance(payment, NewCreditorPayment):
        raise ConfigurationError("only a NewCreditorPayment can be registered or looked up")


def check_lookup_timeout(lookup_timeout: object) -> None:
    """Raise `ConfigurationError` for anything but a finite number of seconds, at least 0."""
    is_number = isinstance(lookup_timeout, (int, float)) and not isinstance(lookup_timeout, bool)
    if not is_number or not 0 <= lookup_timeout < math.inf:  # type: ignore[operator]
        raise ConfigurationError("lookup_timeout must be a finite number of seconds, at least 0")
