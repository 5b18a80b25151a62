"""The endpoints that can do more than the others: payouts have specifications, payments can be registered."""

from typing import Unpack

from amili_async._wire.reading import reader_of
from amili_async.connection import Connection
from amili_async.filters import Condition, Where, filter_document
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment, Payout, PayoutSpecification
from amili_async.models.fields import check_id
from amili_async.models.shape import Shape
from amili_async.payments import register_payment
from amili_async.query import field
from amili_async.resources import Resource, StreamOptions
from amili_async.streams import Stream


class Payouts(Resource[Payout]):
    """The payouts, and the way from each to its specifications."""

    def __init__(self, path: str, connection: Connection, specifications: Resource[PayoutSpecification]) -> None:
        super().__init__(path, Payout, connection)
        self._specifications = specifications

    def specifications(
        self, payout: Payout | str, where: Where = None, **options: Unpack[StreamOptions]
    ) -> Stream[PayoutSpecification]:
        """The specifications of one payout, given the payout or its id."""
        payout_id = payout.id if isinstance(payout, Payout) else payout
        condition = field("payout") == check_id(payout_id, what="payout")
        if where is not None:
            condition &= Condition(filter_document(where))
        return self._specifications.stream(condition, **options)


class CreditorPayments(Resource[CreditorPayment]):
    """The payments that debtors made to creditors directly."""

    def __init__(self, path: str, connection: Connection) -> None:
        super().__init__(path, CreditorPayment, connection)
        self._created = Shape[CreatedPayment](record=CreatedPayment, wire=CreatedPayment, projection=None)

    async def create(self, payment: NewCreditorPayment) -> CreatedPayment:
        """Register a payment, never twice.

        Look at `status` of what comes back: a payment can be registered and yet not settled as meant.
        `ValidationFailed` where the API refuses a field; `PaymentOutcomeUnknown` where it was sent and no usable
        answer came: it is then not sent again.
        """
        return await register_payment(
            payment,
            path=self.path,
            call=self._connection.call,
            read=lambda response, request: reader_of(self._created).read_record(response, request=request),
        )
