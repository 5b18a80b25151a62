"""A creditor payment: a debtor paid the creditor directly, and the creditor reports it to Amili."""

import os
import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import field
from msgspec.structs import force_setattr

from amili_async._wire.frames import hide_variables
from amili_async.errors import ConfigurationError, PaymentNotCompleted
from amili_async.models.fields import Category, Id, Money, PaymentStatus, Record, check_id, is_object_id
from amili_async.models.portable import Portable
from amili_async.models.timestamps import Timestamp, format_date, is_like_a_date

if TYPE_CHECKING:
    from amili_async.client import AmiliClient

# A second file, saved by a spreadsheet, would otherwise register the payments of the first once more. A float has an
# exponent of at most three digits: more are a reference of hexadecimal digits, such as a part of a UUID.
_SPREADSHEET_DISPLAY = r"[+\u2212-]?[0-9]+([.,][0-9]+)?[eE][+\u2212-]?[0-9]{1,3}|#+|#N/A|#[A-ZÅÄÖ/0]+[!?]"

MAX_REFERENCE_LENGTH = 255
"""Characters of a reference or an invoice number: a look-up puts dozens of references into one request line."""


class _Registered(Record, frozen=True, kw_only=True):
    """The fields that the API documents for the response to a registration and for a row of the list."""

    request_status: Category | None = field(name="_status", default=None)
    """`_status`: `OK` if the request was accepted."""
    payment_status: Category | None = field(name="_payment_status", default=None)
    """`_payment_status`: the state of the registration, such as `completed`."""
    settled_amount: Money | None = None
    """The amount that was settled."""
    status: Category | None = None
    """The result of settling; `PaymentStatus` has the known values."""
    status_reason_locale: str | None = None
    """The locale key of the reason for that status."""
    case_invoice_number: str | None = None
    """The invoice number of the case, which need not be the one that was sent."""
    case_reference_number: str | None = None
    """The reference number of the case."""
    booking_date: Timestamp | None = None
    """When the payment was settled."""

    async def explain(self, client: "AmiliClient", *, language: str = "sv") -> str:
        """The reason for the status in a language (`sv`, `en`, …); empty if there is none.

        It is the text of `status_reason_locale`; the key itself if the API has no text for it or does not answer.
        """
        key = self.status_reason_locale
        return await client.explain(key, language=language) if key else ""


class CreatedPayment(_Registered, frozen=True, kw_only=True):
    """A registered payment, as returned by `create()`, `create_many()` and `find()`.

    A registered payment is not always settled: `status` can be `warning` or `error`, with the reason in
    `status_reason_locale`, and `raise_for_status()` raises for that. A payment that was found has all fields of its row
    in the list; the response to a registration has fewer.
    """

    creditor_payment_reference: str | None = None
    """The reference that was sent, the caller's or a generated one: `find()` looks the payment up by it."""
    was_found: bool = False
    """Whether a look-up found it, after a lost response or in a later run; `False` if this call created it."""

    @property
    def is_completed(self) -> bool:
        """Whether each status that the API states is `completed`."""
        # `status` is optional in the response, and a 201 can carry `warning` or `error`.
        return {self.status, self.payment_status} <= {PaymentStatus.COMPLETED, None}

    @hide_variables
    def raise_for_status(self) -> "CreatedPayment":
        """Return the payment itself if it is completed; otherwise raise `PaymentNotCompleted`.

        An undocumented status counts as not completed.
        """
        if self.is_completed:
            return self
        # An undocumented status is not quoted: errors show no contents of a record.
        bad = (PaymentStatus.WARNING, PaymentStatus.ERROR)
        status = next((each for each in (self.status, self.payment_status) if each in bad), "not a documented one")
        raise PaymentNotCompleted(
            f"the payment is registered, but its status is {status}: see .created for the API's reason, and do not "
            "send it again, since that would register it twice",
            created=self,
        )


class CreditorPayment(_Registered, frozen=True, kw_only=True):
    """One row of `creditor--payments`."""

    account: Id | None = None
    """The account's id, set by the API."""
    creditor: Id | None = None
    """The creditor's id."""
    case: Id | None = None
    """The case's id."""
    invoice_number: str | None = None
    """The invoice number by which the case was found."""
    currency: Category | None = None
    """`SEK`, the only one so far."""
    amount: Money | None = None
    """The amount that was paid."""
    bank_transaction_date: Timestamp | None = None
    """When the bank booked it."""
    client_registration_date: Timestamp | None = None
    """When the creditor registered it."""
    creditor_payment_reference: str | None = None
    """The creditor's own reference."""
    file_import_report: Id | None = None
    """The id of the file import that created it, set by the API."""
    origin: Category | None = None
    """Who registered it, such as `creditor_system`."""


class NewCreditorPayment(Portable, frozen=True, kw_only=True):
    """A payment to register. A value that the API would reject or misread raises `ConfigurationError`.

    By default *creditor_payment_reference* is a generated one, *currency* `SEK` and *origin* `creditor_system`.
    `file_import_report` is not accepted: the API sets it. Two equal objects are the same payment: keep the object, or
    its reference, until its outcome is known.
    """

    creditor: str
    """The creditor's id."""
    amount: Money
    """More than zero, at most two decimals; an `int` or `float` becomes the `Decimal` that it prints as."""
    bank_transaction_date: datetime
    """When the bank booked it: aware, whole seconds."""
    case: str | None = None
    """The case's id; either this or `invoice_number`."""
    invoice_number: str | None = None
    """The invoice number by which the API finds the case; either this or `case`."""
    creditor_payment_reference: str = field(default_factory=lambda: f"auto-{os.urandom(10).hex()}")
    """The creditor's own reference, by which the payment is looked up; a unique one is generated by default. Give one
    if the same payment can be constructed again, for example after a restart."""
    client_registration_date: datetime | None = None
    """When the creditor registered it: aware, whole seconds; the API uses its own time if absent."""
    account: str | None = None
    """The account's id. Leave it out unless Amili requires it: the API sets it from the case or the creditor."""
    # Factories, because `omit_defaults` would not send a field that equals a plain default, and the API requires both.
    currency: str = field(default_factory=lambda: "SEK")
    """Only `SEK` is supported."""
    origin: str = field(default_factory=lambda: "creditor_system")
    """Only `creditor_system` is supported."""

    @hide_variables
    def __post_init__(self) -> None:
        if (self.case is None) == (self.invoice_number is None):
            raise ConfigurationError("a payment needs exactly one of case and invoice_number")
        force_setattr(self, "creditor", check_id(self.creditor, what="creditor"))
        if self.account is not None:
            force_setattr(self, "account", check_id(self.account, what="account"))
        if self.case is not None:
            force_setattr(self, "case", check_id(self.case, what="case"))
        force_setattr(self, "amount", _check_amount(self.amount))
        if self.invoice_number is not None:
            _check_text(self.invoice_number, "invoice_number")
        _check_text(self.creditor_payment_reference, "creditor_payment_reference")
        _check_moment(self.bank_transaction_date, "bank_transaction_date")
        if self.client_registration_date is not None:
            _check_moment(self.client_registration_date, "client_registration_date")
        if self.currency != "SEK":
            raise ConfigurationError("currency must be 'SEK', the only one that the API supports")
        if self.origin != "creditor_system":
            raise ConfigurationError("origin must be 'creditor_system'")


def _check_amount(amount: object) -> Decimal:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, Decimal)):
        raise ConfigurationError("amount must be a Decimal, an int or a float")
    # The shortest repr is what the caller wrote: Decimal(0.1) has 55 digits. numpy's floats override `__repr__`.
    exact = Decimal(float.__repr__(amount)) if isinstance(amount, float) else Decimal(amount)
    if not exact.is_finite():
        raise ConfigurationError("amount must be finite")
    if exact <= 0:
        raise ConfigurationError("amount must be more than zero")
    # `adjusted` first: as_integer_ratio() of 1E+999999 would compute a million digits. A denominator that divides 100
    # means at most two decimals, whatever zeros follow; unlike quantize() it is independent of the decimal context.
    if not -2 <= exact.adjusted() <= 12 or 100 % exact.as_integer_ratio()[1]:
        raise ConfigurationError("amount must have at most two decimals and thirteen digits before them")
    return exact


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{name} must be a text that is not blank")
    if text != text.strip() or not text.isprintable() or len(text) > MAX_REFERENCE_LENGTH:
        raise ConfigurationError(
            f"{name} must have no blanks around it, only printable characters in it, and at most "
            f"{MAX_REFERENCE_LENGTH} characters: the API may store another text otherwise, which no look-up finds"
        )
    if not unicodedata.is_normalized("NFC", text):
        raise ConfigurationError(
            f"{name} must be in Unicode's composed form (NFC), since the API compares code points and would take the "
            f"other form for another {name}: write it as {unicodedata.normalize('NFC', text)!r}"
        )
    if re.fullmatch(_SPREADSHEET_DISPLAY, text) is not None:
        raise ConfigurationError(
            f"{name} looks like what a spreadsheet shows for a long number or an error, such as 1,23457E+15: format "
            "the column as text and enter the original again; put a letter before one that a program generates"
        )
    # Eve parses such a text in a filter as an ObjectId or a date, which equals no stored text.
    if name == "creditor_payment_reference" and (is_object_id(text) or is_like_a_date(text)):
        raise ConfigurationError(f"{name} looks like an id or a date, which the API cannot look up: add a prefix to it")


def _check_moment(moment: object, name: str) -> None:
    if not isinstance(moment, datetime):
        raise ConfigurationError(f"{name} must be a datetime with a time zone")
    try:
        format_date(moment)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None
