"""Everything that this package raises, and for each whether another try makes sense.

AmiliError
├── ConfigurationError          the caller's mistake, found before anything was sent
├── ClientClosed                the client, stream or extraction was closed while this call was running
├── AuthenticationError         the credentials were refused
├── ConnectionFailed            transient: no whole answer came
│   └── TimedOut                transient: no whole answer came in time
├── ApiError                    the server said no
│   ├── BadRequest              400
│   ├── Forbidden               403
│   ├── NotFound                404
│   ├── Conflict                409, 412, 428
│   ├── ValidationFailed        422
│   ├── RateLimited             429, transient
│   │   └── BudgetExhausted     our own budget said so, nothing was sent
│   └── ServerFault             5xx, transient
├── UnreadableResponse          answered, but not in the agreed shape
├── PaymentError                carries the payment
│   ├── PaymentOutcomeUnknown   it may have been registered, or not
│   ├── PaymentNotCompleted     it is registered, but its status is not `completed`
│   └── PaymentNotSent          it could not be told whether it is registered already
│       └── ReferenceTaken      another has its reference
│           └── RegisteredTwice  it is registered more than once
├── ExtractionInterrupted       carries where to go on
└── ExportFailed                a file could not be written, or a record not be put into it

The law: no text here holds a credential, a filter value or the contents of a record. What the server said in its own
words is on attributes (`issues`, `excerpt`).
"""

import copyreg
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from amili_async.extraction.checkpoint import Checkpoint
    from amili_async.models import CreatedPayment, NewCreditorPayment

CERTAIN_REFUSALS = frozenset({400, 401, 403, 404, 405, 406, 409, 410, 411, 412, 413, 415, 422, 428, 429})
"""HTTP statuses after which it is certain that the server did nothing; a 408, say, can come after the fact."""


class AmiliError(Exception):
    """The root: catch it to catch everything that this package raises."""

    transient: ClassVar[bool] = False
    """Whether the same request may well succeed a little later."""
    request: str = ""
    """Method and path of the request that failed, without the query; empty where it was none."""
    was_not_processed: bool = False
    """Whether it is certain that the server did nothing, so that even a POST may be sent again."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Keep the attributes when an error travels between processes."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigurationError(AmiliError):
    """The call itself is wrong; it was refused before anything was sent."""

    was_not_processed = True


class ClientClosed(AmiliError):
    """The client, the stream or the extraction was closed while this call was running or waiting.

    A request of this call that had not been sent is never sent.
    """


class AuthenticationError(AmiliError):
    """The credentials were refused, or no token could be read from the answer to them."""

    def __init__(
        self, message: str, *, status: int | None = None, answered: int | None = None, request: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status, or the code of a body that contradicts it; `None` where the refusal was neither."""
        self.request = request
        self.answered = answered if answered is not None else status
        """The HTTP status itself."""
        self.was_not_processed = self.answered is None or self.answered in CERTAIN_REFUSALS


class ConnectionFailed(AmiliError):
    """The connection could not be made, or broke before the whole answer was read."""

    transient: ClassVar[bool] = True

    def __init__(self, message: str, *, request: str = "", was_sent: bool = True, attempts: int = 1) -> None:
        super().__init__(message)
        self.request = request
        self.was_sent = was_sent
        """Whether any of the request can have reached the server."""
        self.attempts = attempts
        """How many times it was tried."""
        self.was_not_processed = not was_sent


class TimedOut(ConnectionFailed):
    """No whole answer came within the time given to one try."""


class ApiError(AmiliError):
    """The server answered with an error; the subclasses say which.

    Raised as itself for any other status, say a redirect: none is followed, as the credential would travel along.
    """

    retry_after: float | None = None
    """Seconds until the server (or our own budget) expects the next request; `None` where neither said."""

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
        answered: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status, or the code of a body that says `ERR` although the status does not."""
        self.answered = answered if answered is not None else status
        """The HTTP status itself."""
        self.code = code
        """`_error.code` of the body, which can differ from the status."""
        self.request = request
        self.issues: Mapping[str, tuple[str, ...]] = issues or {}
        """Field (dotted) to what the server said about it, in its own words: these may quote what was sent."""
        self.excerpt = excerpt
        """The server's own message, or the start of its body without markup: it may quote what was sent."""
        self.attempts = attempts
        """How many times it was tried."""
        self.was_not_processed = self.answered in CERTAIN_REFUSALS


class BadRequest(ApiError):
    """400: the server could not make sense of the request."""


class Forbidden(ApiError):
    """403: these credentials may not do this."""


class NotFound(ApiError):
    """404: there is no such record, or none that these credentials may see."""


class Conflict(ApiError):
    """409, 412 or 428: the record is not in the state that the request assumes."""


class ValidationFailed(ApiError):
    """422: fields of the document are wrong; `issues` says which."""


class RateLimited(ApiError):
    """429: more requests than the limit allows, by this process or another with the same key."""

    transient: ClassVar[bool] = True


class BudgetExhausted(RateLimited):
    """The request budget would have made this call wait longer than `RateLimit` allows; nothing was sent."""

    transient: ClassVar[bool] = False


class ServerFault(ApiError):
    """5xx: the server, or something in front of it, failed."""

    transient: ClassVar[bool] = True


class UnreadableResponse(AmiliError):
    """An answer came, but not in the agreed shape: not JSON, a field of another type, `_items` missing, too large."""

    def __init__(self, message: str, *, request: str = "", location: str = "", record_id: str | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.location = location
        """Where in the JSON, as a path: `$._items[3].amount`; empty where the body as a whole is at fault."""
        self.record_id = record_id
        """The `_id` of the record that could not be read, where it has one."""


class PaymentError(AmiliError):
    """Base class of the payment errors that carry the payment concerned."""

    def __init__(
        self, message: str, *, payment: "NewCreditorPayment | None" = None, matches: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.payment = payment
        """The `NewCreditorPayment` in question; `None` only on a `PaymentNotCompleted`."""
        self.matches = matches
        """The ids of registered payments that it may be, or that have its reference."""

    @property
    def reference(self) -> str | None:
        """The payment's `creditor_payment_reference`; `None` where it is not known."""
        return None if self.payment is None else self.payment.creditor_payment_reference


class PaymentOutcomeUnknown(PaymentError):
    """It was sent, no usable answer came, and looking for it did not settle it; `__cause__` is what went wrong.

    Never send it again blindly: ask `client.creditor_payments.find(error.payment)` some minutes later.
    """

    payment: "NewCreditorPayment"


class PaymentNotCompleted(PaymentError):
    """The payment is registered, but its status is `warning`, `error` or another that is not `completed`.

    `payment` is `None`: the error is raised from `created`, which does not hold what was sent.
    """

    def __init__(self, message: str, *, created: "CreatedPayment") -> None:
        super().__init__(message)
        self.created = created
        """The `CreatedPayment`; its `status` and `status_reason_locale` give the API's reason."""

    @property
    def reference(self) -> str | None:
        """The reference that `created` has."""
        return self.created.creditor_payment_reference or None


class PaymentNotSent(PaymentError):
    """It could not be told whether the payment is registered already; `__cause__` says why. It was not sent."""

    payment: "NewCreditorPayment"
    was_not_processed = True


class ReferenceTaken(PaymentNotSent):
    """Payments with this creditor and reference are registered that differ from it."""


class RegisteredTwice(ReferenceTaken):
    """Several payments just like it are registered, and `matches` has their ids: only Amili can take one back."""


class ExtractionInterrupted(AmiliError):
    """An extraction ended early; `checkpoint` is where to go on, and `__cause__` why, and whether to try again."""

    def __init__(self, message: str, *, checkpoint: "Checkpoint") -> None:
        super().__init__(message)
        self.checkpoint = checkpoint
        """Covers exactly what was taken."""


class ExportFailed(AmiliError):
    """A file could not be written, or a value does not fit its format. The export of a resource can be resumed."""

    def __init__(self, message: str, *, path: "Path", record_id: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        """The file, as the caller named it."""
        self.record_id = record_id
        """The `_id` of the record that does not fit; `None` where the file is at fault."""
