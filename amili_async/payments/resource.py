"""The resource `creditor--payments`, which is the only one that can also be written to."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from amili_async._wire.checks import check_count, check_implements, check_seconds
from amili_async._wire.context import ClientContext
from amili_async._wire.frames import hide_variables_of_methods
from amili_async._wire.iteration import Iteration, alone
from amili_async.errors import ConfigurationError, PaymentNotSent
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.payments.batch import BatchRegistration, PaymentOutcome
from amili_async.payments.claims import Claims
from amili_async.payments.create import PaymentCreator, PaymentMemory, check_payment
from amili_async.payments.lookup import LOOKUP_TIMEOUT, PaymentLookup
from amili_async.resources import Resource


@hide_variables_of_methods
class CreditorPayments(Resource[CreditorPayment]):
    """The payments that debtors made to creditors directly."""

    def __init__(self, path: str, context: ClientContext, memory: PaymentMemory | None = None) -> None:
        super().__init__(path, CreditorPayment, context)
        self._lookup = PaymentLookup(path, context)
        self._creator = PaymentCreator(path, context, self._lookup, memory)

    async def create(
        self, payment: NewCreditorPayment, *, lookup_timeout: float = LOOKUP_TIMEOUT, claims: Claims | None = None
    ) -> CreatedPayment:
        """Register a payment, never twice.

        - *payment*: what to register; keep it, or its reference, until the outcome is known.
        - *lookup_timeout*: seconds for which a payment is looked up whose outcome is unknown; 0 for not at all.
        - *claims*: where processes claim payments. No other process that uses them registers it then: it is claimed,
          looked up, and sent only if it is not found, as by `create_many(claims=)`.

        Check the result, or call its `raise_for_status()`: a registered payment is not always settled. A certain
        failure is raised unchanged, and nothing is registered then: `ValidationFailed` if the API rejects a field,
        `ConnectionFailed` if it could not be reached, and so on. If the payment was sent and no usable response
        arrived, it is looked up (same creditor, reference, amount, bank transaction date, and case or invoice;
        registered since it was sent) for at most *lookup_timeout* seconds: found, it is returned with `was_found`,
        otherwise `PaymentOutcomeUnknown` is raised. It is never sent again blindly. A date before 1990 or more than a
        year ahead raises `ConfigurationError`.

        Equal payments are one payment: one that this client has registered (of its last ten thousand) is returned with
        `was_found` and not sent again. One that an earlier call left in doubt, by `PaymentOutcomeUnknown`, a timeout
        around the call or another cancellation, is looked up first; not found, it raises `PaymentOutcomeUnknown` again
        until 15 minutes after it was sent, since it can still be in flight, and is sent after that. Only this client
        remembers that: to send it sooner, because you know from Amili that it was not registered, use another client.
        `PaymentNotSent` is raised if the look-up fails, or while another call is registering the same payment.
        """
        check_payment(payment)
        if claims is None:
            return await self._creator.create(payment, lookup_timeout=lookup_timeout)
        # As a list of one; with more to follow, it would also verify that look-ups find this payment.
        run = self._start_run((payment,), 1, lookup_timeout, claims, is_verified=True)
        async with aclosing(run.outcomes()) as outcomes:
            outcome = await anext(outcomes)
        if outcome.created is not None:
            return outcome.created
        raise outcome.error or PaymentNotSent("the payment was not sent", payment=payment)

    async def find(self, payment: NewCreditorPayment) -> CreatedPayment | None:
        """The registered payment that is this one, whenever and by any client it was registered; `None` if none is.

        Raises `ReferenceTaken` if payments with this creditor and reference are registered but differ from this one,
        and `RegisteredTwice` if several match it. A registration that the API is still processing is not found: after
        `PaymentOutcomeUnknown` wait some minutes.
        """
        check_payment(payment)
        return await self._lookup.find(payment)

    def create_many(
        self,
        payments: Iterable[NewCreditorPayment],
        *,
        concurrency: int | None = None,
        lookup_timeout: float = LOOKUP_TIMEOUT,
        claims: Claims | None = None,
    ) -> AsyncGenerator[PaymentOutcome, None]:
        """Register payments concurrently; one outcome for each, in their order, whether it failed or not.

        - *payments*: each with a reference of its own, the same in every run.
        - *concurrency*: how many are sent or looked up at once, instead of the client's.
        - *lookup_timeout*: as for `create()`.
        - *claims*: where processes claim payments: `amili_async.shared.PostgresClaims`, which is best for money,
          `RedisClaims`, or your own `Claims`.

        A second run over the same list registers nothing twice, if each payment has a reference of its own that is
        the same in both runs: references are looked up first, a hundred per request, and a registered payment is
        returned with `was_found` and not sent. A reference that appears twice in the list, or that belongs to a
        different registered payment, is an error and not sent. Nothing is sent either if the look-up fails
        (`PaymentNotSent`), if the API does not show the first registered payment by its reference, or after ten unknown
        outcomes in a row. An error of the iterable itself is raised after the outcomes of the payments before it.

        Payments are sent only while you wait for an outcome. Leaving early, with `contextlib.aclosing`, cancels what is
        running. Run over the list again some minutes later for the outcomes: a payment in doubt is treated as by
        `create()`. An iteration that a cancellation or an error has cut off, such as a timeout around `anext`, raises
        `ClientClosed` when asked again.

        Two processes that run over the same list *at the same time* can register a payment twice, unless both pass
        *claims*. Each payment is claimed before it is looked up, and only the process whose claim it is sends it; for
        another one it is `PaymentNotSent`, unless it is found. The claim of an unsent payment ends ten seconds after
        its process does. That of a payment that was sent lasts 15 minutes from then and is never taken over, so that a
        payment of a process that was killed is sent again only if it is not found after that time. If the claims
        cannot be reached, nothing is sent.

        What claims cannot prevent, since the API has no idempotency key: a payment sent by a process that was stopped
        for longer than 15 minutes between its last look at the claim and the sending; claims that the store loses, as
        Redis does in a restart or a failover, and Postgres does not; a payment registered in another way.
        """
        check_seconds(lookup_timeout, "lookup_timeout")
        if not isinstance(payments, Iterable):
            raise ConfigurationError("payments must be a list, or another iterable, of NewCreditorPayment")
        width = self._context.concurrency if concurrency is None else check_count(concurrency, "concurrency")
        return Iteration(self._start_run(payments, width, lookup_timeout, claims).outcomes(), alone)

    def _start_run(
        self,
        payments: Iterable[NewCreditorPayment],
        width: int,
        lookup_timeout: float,
        claims: Claims | None,
        *,
        is_verified: bool = False,
    ) -> BatchRegistration:
        if claims is not None:
            check_implements(claims, Claims, "claims: None, or a store of claims, which")
        return BatchRegistration(
            payments,
            creator=self._creator,
            lookup=self._lookup,
            context=self._context,
            width=width,
            lookup_timeout=lookup_timeout,
            claims=claims,
            is_verified=is_verified,
        )
