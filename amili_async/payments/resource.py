"""The endpoints that can do more than the others: payouts have specifications, payments can be registered."""

from collections.abc import AsyncGenerator, Iterable

from amili_async._wire.context import ClientContext, check_count
from amili_async.errors import ConfigurationError
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.payments.batch import BatchRegistration, PaymentOutcome
from amili_async.payments.create import PaymentCreator, check_patience
from amili_async.payments.lookup import PATIENCE, PaymentLookup
from amili_async.resources import Resource


class CreditorPayments(Resource[CreditorPayment]):
    """The payments that debtors made to creditors directly."""

    def __init__(self, path: str, connection: ClientContext) -> None:
        super().__init__(path, CreditorPayment, connection)
        self._search = PaymentLookup(self, connection)
        self._registrar = PaymentCreator(path, connection, self._search)

    async def create(self, payment: NewCreditorPayment, *, patience: float = PATIENCE) -> CreatedPayment:
        """Register a payment, never twice.

        Look at what comes back, or call its `raise_for_status()`: a payment can be registered and yet not settled as
        meant. A failure that is certain is raised as it is, and nothing is registered then: `ValidationFailed` where
        the API refuses a field, `ConnectionFailed` where it could not be reached, and so on. Where the payment was
        sent and no usable answer came, it is looked for (same creditor, reference, amount, bank transaction date, and
        case or invoice; registered since the try) for at most *patience* seconds, 0 for not at all: found, it is
        returned with `was_found`, else `PaymentOutcomeUnknown` is raised. It is never sent again blindly.

        Equal payments are one payment: what this client has registered (of its last ten thousand) is returned with
        `was_found` and not sent again; what an earlier call left in doubt is looked for first, and `PaymentNotSent`
        raised where that fails. A call that is cancelled may have registered the payment: `find()` tells, some minutes
        later.
        """
        return await self._registrar.register(payment, patience=patience)

    async def find(self, payment: NewCreditorPayment) -> CreatedPayment | None:
        """The registered payment that is this one, whenever and by whomever it was registered; `None` without any.

        `ReferenceTaken` where payments with this creditor and reference are registered but differ from this one,
        `RegisteredTwice` where several are just like it. A registration that is still on its way is not seen: after
        `PaymentOutcomeUnknown` ask some minutes later.
        """
        return await self._registrar.find(payment)

    def create_many(
        self, payments: Iterable[NewCreditorPayment], *, concurrency: int | None = None, patience: float = PATIENCE
    ) -> AsyncGenerator[PaymentOutcome, None]:
        """Register payments, several at a time; one outcome for each, in their order, whether it failed or not.

        A second run over the same list registers nothing twice, if each payment has a reference of its own that is
        the same in both runs: references are looked up first, a hundred per request, and what is registered comes
        back with `was_found` and is not sent. A reference that stands twice in the list, or belongs to a payment that
        differs, is an error, and not sent. Nor is anything sent where the look-up fails (`PaymentNotSent`), or where
        the API does not show by its reference the first payment that was registered, or after ten outcomes in a row
        that are unknown.

        Two processes that run over the same list *at the same time* can register a payment twice: between the look-up
        of the one and its sending there is room for the other. Give each its own part of the list.

        Leaving early cancels what is under way; run over the list again, some minutes later, to learn what became of
        it: a payment that is still on its way is not seen. What the list itself raises while it is read is raised
        after the outcomes of the payments before.
        """
        check_patience(patience)
        if not isinstance(payments, Iterable):
            raise ConfigurationError("create_many() takes a list of payments, or another iterable")
        return BatchRegistration(
            payments,
            registrar=self._registrar,
            search=self._search,
            connection=self._connection,
            width=self._connection.concurrency if concurrency is None else check_count(concurrency, "concurrency"),
            patience=patience,
        ).outcomes()
