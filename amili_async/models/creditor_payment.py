"""A creditor payment: a debtor paid the creditor directly, and the creditor says so."""

import secrets
from datetime import datetime
from decimal import Decimal

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import force_setattr

from amili_async.errors import ConfigurationError, PaymentNotCompleted
from amili_async.models.fields import (
    Maybe,
    Money,
    PaymentStatus,
    Record,
    Timestamp,
    check_id,
    format_date,
    is_like_a_date,
    is_object_id,
)

LONGEST_REFERENCE = 255
"""Characters of a reference or an invoice number: several dozens of them must fit into one request line."""


class _Registered(Record, frozen=True, gc=False, kw_only=True):
    """What the API tells of a payment that it has registered."""

    request_status: Maybe[str] = field(name="_status", default=UNSET)
    """`_status`: `OK` where the request as such was accepted."""
    payment_status: Maybe[str] = field(name="_payment_status", default=UNSET)
    """`_payment_status`: how far the registration got, such as `completed`."""
    settled_amount: Maybe[Money] = UNSET
    """How much was settled."""
    status: Maybe[str] = UNSET
    """How settling went; `PaymentStatus` has the known values."""
    status_reason_locale: Maybe[str] = UNSET
    """The locale key of the reason for that status."""
    case_invoice_number: Maybe[str] = UNSET
    """The invoice number of the case, which need not be the one that was sent."""
    case_reference_number: Maybe[str] = UNSET
    """The reference number of the case."""
    booking_date: Maybe[Timestamp] = UNSET
    """When the payment was settled."""


class CreatedPayment(_Registered, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A payment that is registered, as far as the API told of it.

    It can be registered and yet not settled as meant: `status` may be `warning` or `error`, and `status_reason_locale`
    says why. `raise_for_status()` makes an error of that. One that was found has all that its row in the list has; of
    one that was created the API tells less.
    """

    creditor_payment_reference: Maybe[str] = UNSET
    """The reference that it was sent with, be it yours or a generated one: by it the payment can be found again."""
    was_found: bool = False
    """Whether it was found to be registered, after an answer that never came or in an earlier run, not created now."""

    @property
    def is_completed(self) -> bool:
        """Whether nothing that the API said of it differs from `completed`."""
        said = {self.status, self.payment_status}
        return said <= {PaymentStatus.COMPLETED, None, UNSET}

    def raise_for_status(self) -> "CreatedPayment":
        """Return the payment itself if it is completed; else raise `PaymentNotCompleted`.

        A status that is neither documented nor `completed` counts as not completed.
        """
        if self.is_completed:
            return self
        known = [said for said in (self.status, self.payment_status) if said in tuple(PaymentStatus)]
        what = next((said for said in known if said != PaymentStatus.COMPLETED), "one that is not documented")
        raise PaymentNotCompleted(
            f"the payment is registered, but its status is {what}; .created says more. "
            "Sent again it would be registered twice",
            created=self,
        )


class CreditorPayment(_Registered, frozen=True, gc=False, kw_only=True):
    """One row of `creditor--payments`."""

    account: Maybe[str] = UNSET
    """The account's id, set by the API."""
    creditor: Maybe[str] = UNSET
    """The creditor's id."""
    case: Maybe[str] = UNSET
    """The case's id."""
    invoice_number: Maybe[str] = UNSET
    """The invoice number by which the case was found."""
    currency: Maybe[str] = UNSET
    """`SEK`, the only one so far."""
    amount: Maybe[Money] = UNSET
    """What was paid."""
    bank_transaction_date: Maybe[Timestamp] = UNSET
    """When the bank booked it."""
    client_registration_date: Maybe[Timestamp] = UNSET
    """When the creditor registered it."""
    creditor_payment_reference: Maybe[str] = UNSET
    """The creditor's own reference."""
    file_import_report: Maybe[str] = UNSET
    """The id of the file import that it came from, set by the API."""
    origin: Maybe[str] = UNSET
    """Who registered it, such as `creditor_system`."""


class NewCreditorPayment(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=False):
    """A payment to register. What the API would refuse, or misread, is a `ConfigurationError` here.

    `account` and `file_import_report` are missing on purpose: the API sets them. Two payments that are equal are the
    same payment: keep the object (or its reference) until you know what became of it.
    """

    creditor: str
    """The creditor's id."""
    amount: Money
    """More than zero, at most two decimals; an `int` or `float` becomes the `Decimal` that it prints as."""
    bank_transaction_date: datetime
    """When the bank booked it: aware, whole seconds."""
    case: str | UnsetType = UNSET
    """The case's id; either this or `invoice_number`."""
    invoice_number: str | UnsetType = UNSET
    """The invoice, by which the API finds the creditor's case; either this or `case`."""
    creditor_payment_reference: str = field(default_factory=lambda: f"auto-{secrets.token_hex(10)}")
    """The creditor's own reference, by which the payment is found again; one that no other has is made where none is
    given. It should be given where the payment may be put together anew, after a restart for example."""
    client_registration_date: datetime | UnsetType = UNSET
    """When the creditor registered it: aware, whole seconds; the API takes its own time where absent."""
    currency: str = "SEK"
    """Only `SEK` is supported."""
    origin: str = "creditor_system"
    """Only `creditor_system` is supported."""

    def __post_init__(self) -> None:
        if (self.case is UNSET) == (self.invoice_number is UNSET):
            raise ConfigurationError("a payment needs exactly one of case and invoice_number")
        force_setattr(self, "creditor", check_id(self.creditor, what="creditor"))
        if self.case is not UNSET:
            force_setattr(self, "case", check_id(self.case, what="case"))
        force_setattr(self, "amount", _check_amount(self.amount))
        for name in ("invoice_number", "creditor_payment_reference"):
            if getattr(self, name) is not UNSET:
                _check_text(getattr(self, name), name)
        for name in ("bank_transaction_date", "client_registration_date"):
            if getattr(self, name) is not UNSET:
                _check_moment(getattr(self, name), name)
        if self.currency != "SEK":
            raise ConfigurationError("currency must be 'SEK', the only one that the API supports")
        if self.origin != "creditor_system":
            raise ConfigurationError("origin must be 'creditor_system'")


def _check_amount(amount: object) -> Decimal:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, Decimal)):
        raise ConfigurationError("amount must be a Decimal")
    exact = Decimal(float.__repr__(amount)) if isinstance(amount, float) else Decimal(amount)
    if not exact.is_finite():
        raise ConfigurationError("amount must be a number, not NaN or infinite")
    if exact <= 0:
        raise ConfigurationError("amount must be more than zero")
    if not -2 <= exact.adjusted() <= 12 or 100 % exact.as_integer_ratio()[1]:
        raise ConfigurationError("amount must have at most two decimals and thirteen digits before them")
    return exact


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{name} must be a text that is not blank")
    if text != text.strip() or not text.isprintable() or len(text) > LONGEST_REFERENCE:
        raise ConfigurationError(
            f"{name} must have no blanks around it, only printable characters and plain blanks in it, and "
            f"at most {LONGEST_REFERENCE} characters: else it may be stored in another form, and not be found again"
        )
    if name == "creditor_payment_reference" and (is_object_id(text) or is_like_a_date(text)):
        raise ConfigurationError(f"{name} looks like an id or a date to the API, which could not find it again")


def _check_moment(moment: object, name: str) -> None:
    if not isinstance(moment, datetime):
        raise ConfigurationError(f"{name} must be a datetime with a time zone")
    try:
        format_date(moment)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None
