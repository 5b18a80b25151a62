"""Registering a payment: what to make of each kind of failure.

The law: a payment is never sent again unless the server certainly did nothing with it. A failure is *not sent* or
*refused* (raised as it is), or *unknown* (raised as `PaymentOutcomeUnknown`).
"""

from collections.abc import Awaitable, Callable

from amili_async._wire.protocol import Request as WireRequest
from amili_async._wire.protocol import Response, create_request
from amili_async.errors import AmiliError, ConfigurationError, PaymentOutcomeUnknown
from amili_async.models import CreatedPayment, NewCreditorPayment, encode


async def register_payment(
    payment: NewCreditorPayment,
    *,
    path: str,
    call: Callable[[WireRequest], Awaitable[Response]],
    read: Callable[[Response, str], CreatedPayment],
) -> CreatedPayment:
    """Send the payment once; a try that the server certainly did nothing with may be followed by another."""
    if not isinstance(payment, NewCreditorPayment):
        raise ConfigurationError("create() takes a NewCreditorPayment")
    request = create_request(path, encode(payment))
    try:
        return read(await call(request), request.label)
    except AmiliError as error:
        # A failure to get a token is about another request: the payment itself was not sent.
        if error.was_not_processed or getattr(error, "request", request.label) != request.label:
            raise
        failure = error
    raise PaymentOutcomeUnknown(
        f"{request.label}: the payment may have been registered, or not ({type(failure).__name__}). "
        "Do not send it again before you have looked for it; .payment has what to look for",
        payment=payment,
    ) from failure
