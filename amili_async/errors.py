"""Everything that this package raises, and for each whether another attempt makes sense.

AmiliError
├── ConfigurationError          the caller's mistake, found before anything was sent
├── ClientClosed                the client, stream or extraction was closed while this call was running
├── AuthenticationError         the credentials were rejected
├── ConnectionFailed            transient: no complete response arrived
│   └── TimedOut                transient: no complete response arrived in time
├── ApiError                    an error response
│   ├── BadRequest              400
│   ├── Forbidden               403
│   ├── NotFound                404
│   ├── Conflict                409, 412, 428
│   ├── ValidationFailed        422
│   ├── RateLimited             429, transient
│   │   └── BudgetExhausted     raised by the rate limiter, nothing was sent
│   │       └── RateLimiterUnavailable  the Redis of a shared one cannot be reached
│   └── ServerFault             5xx, transient
├── UnreadableResponse          a response without the documented structure
├── PaymentError                carries the payment
│   ├── PaymentOutcomeUnknown   it may be registered or not
│   ├── PaymentNotCompleted     it is registered, but its status is not `completed`
│   └── PaymentNotSent          whether it is registered already could not be determined
│       └── ReferenceTaken      another payment has its reference
│           └── RegisteredTwice  it is registered more than once
├── ExtractionInterrupted       carries the checkpoint to continue from
├── DeliveryFailed              a delivery or a handler of a stream failed
└── ExportFailed                a file could not be written, or a record does not fit into it

Invariant: no text here holds a credential, a filter value or the contents of a record. The server's own words are on
attributes (`issues`, `excerpt`); of its headers only the id of the request is in a text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from amili_async.response_head import ErrorWithHead

if TYPE_CHECKING:
    from amili_async import Checkpoint, CreatedPayment, NewCreditorPayment

NOT_PROCESSED = frozenset({400, 401, 403, 404, 405, 406, 409, 410, 411, 412, 413, 415, 422, 428, 429})
"""HTTP statuses after which the server certainly did not process the request; not 408, which a proxy can send late."""


class AmiliError(ErrorWithHead):
    """Base class of everything that this package raises."""

    transient: bool = False
    """Whether the same request may succeed a little later."""
    request: str = ""
    """Method and path of the request that failed, without the query; empty if no request failed."""
    was_not_processed: bool = False
    """Whether the server certainly did not process the request, so that even a POST may be sent again."""
    server_time: float | None = None
    """Seconds since 1970: the `Date` of an error response; `None` if it has none."""

    def __init__(self, message: str = "", *, request: str = "") -> None:
        super().__init__(message)
        self.request = request


class ConfigurationError(AmiliError):
    """The call or an option is wrong; raised before anything was sent."""

    was_not_processed = True


class ClientClosed(AmiliError):
    """The client, the stream or the extraction was closed while this call was running or waiting."""

    def __init__(self, message: str, *, request: str = "", was_sent: bool = False) -> None:
        super().__init__(message, request=request)
        self.was_sent = was_sent
        """Whether any of the request can have reached the server."""
        self.was_not_processed = not was_sent


class AuthenticationError(AmiliError):
    """The credentials were rejected, or no token could be read from the response to them."""

    def __init__(
        self, message: str, *, status: int | None = None, http_status: int | None = None, request: str = ""
    ) -> None:
        super().__init__(message, request=request)
        self.status = status
        """The HTTP status, or the code of a body that contradicts it; `None` without a response."""
        self.http_status = http_status if http_status is not None else status
        self.was_not_processed = self.http_status is None or self.http_status in NOT_PROCESSED


class ConnectionFailed(AmiliError):
    """The connection could not be made, or broke before the response was read completely, or that is no whole JSON."""

    transient: bool = True

    def __init__(
        self, message: str, *, request: str = "", was_sent: bool = True, attempts: int = 1, transient: bool = True
    ) -> None:
        super().__init__(message, request=request)
        self.transient = transient
        self.was_sent = was_sent
        self.attempts = attempts
        """Number of attempts."""
        self.was_not_processed = not was_sent


class TimedOut(ConnectionFailed):
    """No complete response arrived within the timeout of one attempt."""


class ApiError(AmiliError):
    """An error response; raised itself for a status without a subclass, such as a redirect, which is never followed."""

    retry_after: float | None = None
    """Seconds until the server or the rate limiter permits the next request; `None` if neither demanded a wait."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        request: str = "",
        code: int | str | None = None,
        issues: Mapping[str, tuple[str, ...]] | None = None,
        excerpt: str = "",
        attempts: int = 1,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message, request=request)
        self.status = status
        """The HTTP status, or the code of a body that reports `ERR` in spite of a 2xx status."""
        self.http_status = http_status if http_status is not None else status
        """The HTTP status itself."""
        self.code = code
        """`_error.code` of the body, which can differ from the status."""
        self.issues: Mapping[str, tuple[str, ...]] = issues or {}
        """Dotted field names to the server's messages about them, which may quote what was sent."""
        self.excerpt = excerpt
        """The server's own message, or the start of its body without markup, which may quote what was sent."""
        self.attempts = attempts
        self.was_not_processed = self.http_status in NOT_PROCESSED


class BadRequest(ApiError):
    """400: the server rejects the request as malformed."""


class Forbidden(ApiError):
    """403: these credentials do not permit the request."""


class NotFound(ApiError):
    """404: there is no such record or path, or these credentials may not see it."""


class Conflict(ApiError):
    """409, 412 or 428: the record is not in the state that the request assumes."""


class ValidationFailed(ApiError):
    """422: fields of the document are invalid; `issues` names them."""


class RateLimited(ApiError):
    """429: more requests than the limit allows, from this process or another with the same key."""

    transient: bool = True


class BudgetExhausted(RateLimited):
    """The rate limiter would have delayed this call for longer than `RateLimit` permits; nothing was sent."""

    transient: bool = False


class RateLimiterUnavailable(BudgetExhausted):
    """The shared rate limiter could not be reached for longer than this call may wait; nothing was sent."""


class ServerFault(ApiError):
    """5xx: the server, or a proxy in front of it, failed."""

    transient: bool = True


class UnreadableResponse(AmiliError):
    """A response without the documented structure: no JSON, a field of another type, no `_items`, or too large."""

    def __init__(self, message: str, *, request: str = "", location: str = "", record_id: str | None = None) -> None:
        super().__init__(message, request=request)
        self.location = location
        """Where in the JSON, as a path: `$._items[3].amount`; empty if the body as a whole is invalid."""
        self.record_id = record_id
        """The `_id` of the record that could not be read, if it has one."""


class PaymentError(AmiliError):
    """Base class of the payment errors that carry the payment concerned."""

    def __init__(
        self, message: str, *, payment: "NewCreditorPayment | CreatedPayment", matches: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.payment = payment
        """The payment that was to be registered, or, on a `PaymentNotCompleted`, the registered one."""
        self.matches = matches
        """The ids of registered payments that it may be, or that have its reference."""

    @property
    def reference(self) -> str:
        """The payment's `creditor_payment_reference`; empty if not known."""
        return self.payment.creditor_payment_reference or ""


class PaymentOutcomeUnknown(PaymentError):
    """It may be registered or not, see `__cause__` (absent if an earlier call sent it); `find()` it before a retry."""

    payment: "NewCreditorPayment"


class PaymentNotCompleted(PaymentError):
    """The payment is registered, but its status is `warning`, `error` or another that is not `completed`."""

    payment: "CreatedPayment"

    def __init__(self, message: str, *, created: "CreatedPayment") -> None:
        super().__init__(message, payment=created)
        self.created = created
        """The `CreatedPayment`; its `status` and `status_reason_locale` give the API's reason."""


class PaymentNotSent(PaymentError):
    """It was not sent: its look-up or claim failed (see `__cause__`), or another call or process may be sending it."""

    payment: "NewCreditorPayment"
    was_not_processed = True


class ReferenceTaken(PaymentNotSent):
    """A registered payment with this creditor and reference differs from it."""


class RegisteredTwice(ReferenceTaken):
    """Several equal payments are registered, and `matches` has their ids: only Amili can cancel one."""


class ExtractionInterrupted(AmiliError):
    """An extraction failed, see `__cause__`; continue from `checkpoint`, which covers exactly what was taken."""

    def __init__(self, message: str, *, checkpoint: "Checkpoint", record_id: str | None = None) -> None:
        super().__init__(message)
        self.checkpoint = checkpoint
        self.record_id = record_id
        """The `_id` of the record that could not be read, or whose handler failed, if it is known."""


class DeliveryFailed(AmiliError):
    """A delivery of a stream was reported as failed, or the handler of one of its records raised: see `__cause__`."""

    def __init__(self, message: str, *, number: int, record_id: str | None = None) -> None:
        super().__init__(message)
        self.number = number
        """Which delivery of the iteration, from 1."""
        self.record_id = record_id
        """The `_id` of the record concerned, if it is known."""


class ExportFailed(AmiliError):
    """A file could not be written, or a value does not fit its format. What was written of a resource is kept."""

    def __init__(
        self, message: str, *, path: Path | str, record_id: str | None = None, can_resume: bool = True
    ) -> None:
        super().__init__(message)
        self.path = path
        """The file, as the caller named it; of a URL its text, without a password."""
        self.record_id, self.can_resume = record_id, can_resume
        """The `_id` of the record that does not fit, `None` for a failure of the file; whether `resume` can help."""
