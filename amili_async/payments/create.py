"""Register one payment: send it, classify a failure, and look the payment up if the outcome is unknown.

Invariant: a payment is sent again only if the server certainly did not process it. A failure is *certain* (the payment
was not sent, or was rejected) and raised unchanged, or it is *unknown*: the server may have registered the payment
before the failure, or may register it after it. Then the payment is looked up; found, it is returned, otherwise
`PaymentOutcomeUnknown` is raised. From the moment at which it leaves until its outcome is known a payment is in doubt,
whatever ends the call; a later call looks it up, and sends it only when it can no longer be in flight.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from msgspec.structs import replace

from amili_async._wire.checks import check_seconds
from amili_async._wire.context import ClientContext
from amili_async._wire.decoding import RecordDecoder, decoder_for
from amili_async._wire.protocol import Response, create_request, server_time
from amili_async.errors import AmiliError, ConfigurationError, PaymentNotSent, PaymentOutcomeUnknown, UnreadableResponse
from amili_async.events import PaymentLookedUp, PaymentRegistered
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment, PaymentStatus, encode
from amili_async.models.fields import is_object_id
from amili_async.models.record_type import own_record_type
from amili_async.payments.lookup import (
    CREATED_TOLERANCE,
    Identity,
    PaymentLookup,
    Rows,
    created_from,
    find_contradictions,
    identity_of,
    time_of,
    was_created_since,
)

MAX_REMEMBERED = 10_000
"""Payments of which the client remembers that they are registered, and as many in doubt; the oldest are forgotten
first, but none in doubt that may be in flight."""
MAX_TIME_IN_FLIGHT = 900.0
"""Seconds for which a payment that was sent may still be registered: queued by a gateway, or in a slow commit."""
EARLIEST_DATE = datetime(1990, 1, 1, tzinfo=UTC)
"""An earlier date is a two-digit year, or a field that was never set."""
MAX_DATE_AHEAD = 366 * 86_400
"""Seconds: a date further ahead is a mistyped year."""


class PaymentMemory:
    """What a client and its views know of their payments; none of them sends one that another has sent."""

    def __init__(self) -> None:
        self.in_flight: set[Identity] = set()
        self.created: dict[Identity, CreatedPayment] = {}
        self.in_doubt: dict[Identity, float] = {}
        """When each of them was sent."""
        self.known_ids: deque[str] = deque(maxlen=MAX_REMEMBERED)


class PaymentCreator:
    """Registers the payments of one client, one at a time or several concurrently."""

    def __init__(
        self, path: str, context: ClientContext, lookup: PaymentLookup, memory: PaymentMemory | None = None
    ) -> None:
        self._path = path
        self._context = context
        self._lookup = lookup
        # As a row of the list: a response may state more than it is documented to, and that is compared.
        self._decoder: RecordDecoder[CreditorPayment] = decoder_for(own_record_type(CreditorPayment))
        memory = memory or PaymentMemory()
        self._in_flight, self._in_doubt = memory.in_flight, memory.in_doubt
        self._created, self._known_ids = memory.created, memory.known_ids

    async def create(
        self,
        payment: NewCreditorPayment,
        *,
        lookup_timeout: float,
        before_send: Callable[[], Awaitable[None]] | None = None,
    ) -> CreatedPayment:
        """Register the payment unless it is registered; after an unknown outcome look it up.

        *before_send* is awaited right before the payment leaves; what it raises is raised, and nothing is sent.
        """
        check_payment(payment)
        check_seconds(lookup_timeout, "lookup_timeout")
        for name in ("bank_transaction_date", "client_registration_date"):
            check_date(getattr(payment, name), name, now=self._context.clock.wall())
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
            created = await self._find_or_send(payment, identity, lookup_timeout, before_send)
        finally:
            self._in_flight.discard(identity)
        self._in_doubt.pop(identity, None)
        self._created[identity] = created
        if len(self._created) > MAX_REMEMBERED:
            del self._created[next(iter(self._created))]
        self._known_ids.append(created.id)
        self._announce_registered(created)
        return created

    def remembers(self, payment: NewCreditorPayment) -> bool:
        """Whether an earlier call has registered the payment, or left it in doubt, so that `create()` looks it up."""
        identity = identity_of(payment)
        return identity in self._created or identity in self._in_doubt

    async def _find_or_send(
        self,
        payment: NewCreditorPayment,
        identity: Identity,
        lookup_timeout: float,
        before_send: Callable[[], Awaitable[None]] | None,
    ) -> CreatedPayment:
        """Send the payment, unless an earlier call has registered it, or has sent it and it may be in flight still."""
        sent_at = self._in_doubt.get(identity)
        if sent_at is not None:
            if (found := await self._find_earlier(payment)) is not None:
                return found
            if self._context.clock.now() - sent_at < MAX_TIME_IN_FLIGHT:
                return await self._find_sent(payment, None, sent_at=sent_at, lookup_timeout=lookup_timeout)

        async def mark_in_doubt() -> None:
            if before_send is not None:
                await before_send()
            # From here on a cancellation may end the call at any await, also after the server has the payment.
            self._remember_doubt(identity)

        try:
            return await self._send(payment, mark_in_doubt, lookup_timeout)
        except PaymentOutcomeUnknown:
            raise
        except Exception:
            self._in_doubt.pop(identity, None)  # a certain failure: nothing is registered
            raise

    def _remember_doubt(self, identity: Identity) -> None:
        now = self._context.clock.now()
        self._in_doubt.pop(identity, None)  # the oldest must be the first
        self._in_doubt[identity] = now
        oldest, sent_at = next(iter(self._in_doubt.items()))
        if len(self._in_doubt) > MAX_REMEMBERED and now - sent_at >= MAX_TIME_IN_FLIGHT:
            del self._in_doubt[oldest]

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

    async def _send(
        self, payment: NewCreditorPayment, before_send: Callable[[], Awaitable[None]], lookup_timeout: float
    ) -> CreatedPayment:
        """Send the payment once; return it, raise a certain failure, or look it up after any other failure."""
        request = create_request(self._path, encode(payment), before_send=before_send)
        sent_at = self._context.clock.now()
        try:
            response = await self._context.call(request)
            created = self._decoder.read_record(response, request=request.label)
            if (fault := self._fault_of(created, payment, response, sent_at=sent_at)) is not None:
                raise UnreadableResponse(
                    f"{request.label} was answered with {fault}", request=request.label, location="$"
                ).with_headers(response.headers)
        except AmiliError as error:
            # An error of another request is that of the token exchange, without which the payment is not sent.
            if error.was_not_processed or error.request not in {"", request.label}:
                raise
            failure = error
        else:
            # Both are ours: the response to a registration need not have the reference.
            reference = payment.creditor_payment_reference
            return replace(created_from(created), creditor_payment_reference=reference, was_found=False)
        return await self._find_sent(payment, failure, sent_at=sent_at, lookup_timeout=lookup_timeout)

    def _fault_of(
        self, created: CreditorPayment, payment: NewCreditorPayment, response: Response, *, sent_at: float
    ) -> str | None:
        """Why a 201 cannot be the response to this payment: a gateway may have generated, cached or mixed it up."""
        if not is_object_id(created.id) or created.id in self._known_ids:
            return "an invalid id, or the id of an earlier payment"
        if created.request_status not in {"OK", None}:
            return "a _status other than OK"
        now = server_time(response, default=0.0)  # without a `Date` nothing shows the time by the server's clock
        earliest = now - (self._context.clock.now() - sent_at)
        is_late = time_of(created.id) > now + CREATED_TOLERANCE
        is_early = time_of(created.id) < earliest - CREATED_TOLERANCE or not was_created_since(created, earliest)
        if now and (is_early or is_late):
            return "an id or a date of another time"
        if contradictions := find_contradictions(created, payment):
            return f"another {', '.join(contradictions)}"
        settled = created.settled_amount
        if settled is not None and not (settled.is_finite() and 0 <= settled <= payment.amount):
            return "a settled_amount that is negative, or more than the amount"
        return None

    async def _find_sent(
        self, payment: NewCreditorPayment, failure: AmiliError | None, *, sent_at: float, lookup_timeout: float
    ) -> CreatedPayment:
        """Look up a payment that was sent; raises `PaymentOutcomeUnknown` unless exactly one row is found.

        *failure* is that of this call; `None` if an earlier call sent it.
        """

        async def find() -> Rows:
            return await self._lookup.find_recent(payment, sent_at=sent_at, known_ids=self._known_ids)

        began = self._context.clock.now()
        found, lookups = await self._lookup.poll(find, lookup_timeout=lookup_timeout)
        label, seconds = f"POST /{self._path}", self._context.clock.now() - began
        error = PaymentOutcomeUnknown.__name__ if failure is None else type(failure).__name__
        was_found = len(found) == 1
        self._context.announce(
            PaymentLookedUp(request=label, error=error, was_found=was_found, lookups=lookups, seconds=seconds)
        )
        if was_found:
            return created_from(found[0])
        why = "sent by an earlier call" if failure is None else error
        what = f"{len(found)} payments equal to it were registered since" if found else "no look-up found it"
        raise PaymentOutcomeUnknown(
            f"{label}: it is unknown whether the payment is registered ({why}; {what}). Call create() again some "
            "minutes later: it looks the payment up, and sends it only 15 minutes after it was last sent",
            payment=payment,
            matches=tuple(row.id for row in found),
        ) from failure

    def _announce_registered(self, created: CreatedPayment) -> None:
        # Only documented words: observers write events to logs and metrics, which a value of the server could flood.
        status = PaymentStatus.COMPLETED if created.is_completed else created.status
        word = str(status) if status in tuple(PaymentStatus) else "other"
        label = f"POST /{self._path}"
        self._context.announce(PaymentRegistered(request=label, status=word, was_found=created.was_found))


def check_payment(payment: object) -> None:
    """Raise `ConfigurationError` for anything but a `NewCreditorPayment`."""
    if not isinstance(payment, NewCreditorPayment):
        raise ConfigurationError("only a NewCreditorPayment can be registered or looked up")


def check_date(moment: datetime | None, name: str, *, now: float) -> None:
    """Raise `ConfigurationError` for a date that only a typing error explains; *now* is in seconds since 1970."""
    # Here and not in the struct: a payment is a value, and whether it lies ahead depends on the client's clock.
    if moment is not None and not EARLIEST_DATE.timestamp() <= moment.timestamp() <= now + MAX_DATE_AHEAD:
        raise ConfigurationError(
            f"{name} is before 1990, or more than a year ahead of this machine's clock: correct the date, or the "
            "clock; nothing was sent"
        )
