"""Registering one payment: what to make of each kind of failure.

The law: a payment is sent again only where the server certainly did nothing with it. A failure is *not sent* or
*refused* (raised as it is), or *unknown*: then the payment is looked for, since a registration may have come before
the failure, or may still be on its way. Found, it is returned; else `PaymentOutcomeUnknown`. Equal payments are one
payment: what this client has registered is not sent again, and what it is in doubt about is looked for before it is.
"""

import math
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from amili_async._wire.context import ClientContext
from amili_async._wire.decoding import decoder_for
from amili_async._wire.protocol import create_request
from amili_async.errors import (
    AmiliError,
    ConfigurationError,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    UnreadableResponse,
)
from amili_async.events import PaymentLookedFor, PaymentRegistered
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment, PaymentStatus, encode
from amili_async.models.fields import is_object_id
from amili_async.models.record_type import RecordType
from amili_async.payments.lookup import Identity, PaymentLookup, describe_found, find_same, identify

REMEMBERED = 10_000
"""Payments registered, or in doubt, last. The id of one of them can be no answer to another."""

_SHAPE = RecordType[CreatedPayment](record=CreatedPayment, wire=CreatedPayment, projection=None)


class PaymentCreator:
    """Registers the payments of one client."""

    def __init__(self, path: str, connection: ClientContext, search: PaymentLookup) -> None:
        self._path = path
        self._connection = connection
        self._search = search
        self._under_way: set[Identity] = set()
        self._registered: dict[Identity, CreatedPayment] = {}
        self._in_doubt: dict[Identity, None] = {}
        self._known_ids: deque[str] = deque(maxlen=REMEMBERED)

    async def register(self, payment: NewCreditorPayment, *, patience: float) -> CreatedPayment:
        """Send the payment, and after an unknown outcome look for it."""
        check_payment(payment)
        check_patience(patience)
        identity = identify(payment)
        if identity in self._under_way:
            raise ConfigurationError(
                "this very payment is being registered by another call at this moment; if it is meant to be another "
                "one, give it a creditor_payment_reference of its own"
            )
        if identity in self._registered:
            return replace(self._registered[identity], was_found=True)
        self._under_way.add(identity)
        try:
            created = await self._settle(payment, identity, patience)
        finally:
            self._under_way.discard(identity)
        _remember(self._registered, identity, created)
        self._known_ids.append(created.id)
        status = PaymentStatus.COMPLETED if created.is_completed else created.status
        self._connection.announce(
            PaymentRegistered(
                request=f"POST /{self._path}",
                status=str(status) if status in tuple(PaymentStatus) else "other",
                was_found=created.was_found,
            )
        )
        return created

    async def find(self, payment: NewCreditorPayment) -> CreatedPayment | None:
        """The payment, if it is registered; `ReferenceTaken` where that cannot be said."""
        check_payment(payment)
        return find_same(await self._search.find_all([payment]), payment)

    async def _settle(self, payment: NewCreditorPayment, identity: Identity, patience: float) -> CreatedPayment:
        """Register it, unless an earlier call of which nobody knows what came of it has done so."""
        if identity in self._in_doubt:
            return await self._find_again(payment) or await self._register(payment, patience)
        _remember(self._in_doubt, identity, None)
        try:
            created = await self._register(payment, patience)
        except Exception as error:
            if not isinstance(error, PaymentOutcomeUnknown):
                self._in_doubt.pop(identity, None)
            raise
        self._in_doubt.pop(identity, None)
        return created

    async def _find_again(self, payment: NewCreditorPayment) -> CreatedPayment | None:
        """What became of the earlier call; a failure to learn it leaves the payment unsent."""
        try:
            return await self.find(payment)
        except PaymentNotSent:
            raise
        except AmiliError as error:
            raise PaymentNotSent(
                "the payment was not sent: an earlier call left open whether it is registered, and it could not be "
                "looked for",
                payment=payment,
            ) from error

    async def _register(self, payment: NewCreditorPayment, patience: float) -> CreatedPayment:
        request = create_request(self._path, encode(payment))
        started = self._connection.clock.now()
        try:
            response = await self._connection.call(request)
            created: CreatedPayment = decoder_for(_SHAPE).read_record(response, request=request.label)
            self._check_answer(created, request.label)
        except AmiliError as error:
            # A failure to get a token is about another request: the payment itself was not sent.
            if error.was_not_processed or error.request not in {"", request.label}:
                raise
            failure = error
        else:
            reference = payment.creditor_payment_reference
            return replace(created, creditor_payment_reference=reference, was_found=False)
        matches = await self._look_for(payment, failure, started=started, patience=patience)
        if len(matches) == 1:
            return describe_found(matches[0])
        what = f"{len(matches)} payments just like it were registered since" if matches else "it was not found"
        raise PaymentOutcomeUnknown(
            f"{request.label}: the payment may have been registered, or not ({type(failure).__name__}; {what}). Do not "
            "send it again before find(error.payment) has told you, some minutes from now, that it is not there",
            payment=payment,
            matches=tuple(row.id for row in matches),
        ) from failure

    def _check_answer(self, created: CreatedPayment, request: str) -> None:
        """Refuse to believe what cannot be the answer to this payment: a gateway may have made it up, or kept it."""
        if not is_object_id(created.id) or created.id in self._known_ids:
            what = "an id that is none, or is that of an earlier payment"
        elif created.request_status not in {"OK", None, UNSET}:
            what = "a _status that is not OK"
        else:
            return
        raise UnreadableResponse(f"{request} was answered with {what}", request=request, location="$")

    async def _look_for(
        self, payment: NewCreditorPayment, failure: AmiliError, *, started: float, patience: float
    ) -> Sequence[CreditorPayment]:
        """The payments registered since the try that can be this one; tells the observers how it went."""
        clock = self._connection.clock
        began = clock.now()
        matches, looks = await self._search.look_for(
            lambda: self._search.find_recent(payment, started=started, known=self._known_ids), patience=patience
        )
        self._connection.announce(
            PaymentLookedFor(
                request=f"POST /{self._path}",
                error=type(failure).__name__,
                was_found=len(matches) == 1,
                looks=looks,
                seconds=clock.now() - began,
            )
        )
        return matches


def _remember(memory: dict[Any, Any], key: Hashable, value: object) -> None:
    """Keep it, and forget the oldest of too many."""
    memory[key] = value
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]


def check_payment(payment: object) -> None:
    """Refuse what is no payment."""
    if not isinstance(payment, NewCreditorPayment):
        raise ConfigurationError("only a NewCreditorPayment can be registered or looked for")


def check_patience(patience: object) -> None:
    """Refuse what is no number of seconds."""
    is_number = isinstance(patience, (int, float)) and not isinstance(patience, bool)
    if not is_number or not 0 <= patience < math.inf:  # type: ignore[operator]
        raise ConfigurationError("patience must be a number of seconds, 0 or more, and not endless")
