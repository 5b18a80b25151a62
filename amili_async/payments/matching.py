"""Whether a registered payment is the one in question: pure.

The law: a payment is taken for another only where everything is the same that identifies it and that the API tells of
it. To take a stranger for it would lose the payment, while an error can still be looked into.
"""

from collections.abc import Iterable
from datetime import datetime

from amili_async.errors import ReferenceTaken, RegisteredTwice
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment

MARGIN = 5.0
"""Seconds by which the clocks behind the API may differ, the whole seconds of its dates included."""

Identity = tuple[object, ...]


def identify(payment: NewCreditorPayment) -> Identity:
    """All by which the API's list can tell this payment from others."""
    return (
        payment.creditor,
        payment.creditor_payment_reference,
        payment.amount,
        payment.bank_transaction_date,
        payment.case,
        payment.invoice_number,
    )


def find_differences(row: CreditorPayment, payment: NewCreditorPayment) -> tuple[str, ...]:
    """The names of the fields in which a registered payment is another one.

    Creditor, case and invoice count only where the row tells of them: the API documents no creditor in what it shows,
    finds the case by the invoice, and says that a case's own invoice number need not be the one that was sent.
    """
    differing = ["creditor"] if _contradicts(row.creditor, payment.creditor) else []
    names = ("creditor_payment_reference", "amount", "bank_transaction_date")
    differing += [name for name in names if getattr(row, name) != getattr(payment, name)]
    by = "case" if isinstance(payment.case, str) else "invoice_number"
    case = row.case.lower() if isinstance(row.case, str) else None
    if _contradicts(case if by == "case" else row.invoice_number, getattr(payment, by)):
        differing.append(by)
    return tuple(differing)


def _contradicts(told: object, sent: object) -> bool:
    return isinstance(told, str) and told != sent


def was_made_since(row: CreditorPayment, earliest: float) -> bool:
    """Whether a row was made no earlier than that, in seconds since 1970; by its id where it has no date."""
    made = row.created.timestamp() if isinstance(row.created, datetime) else 0.0
    return (made or float(int(row.id[:8], 16))) >= earliest - MARGIN


def find_same(rows: Iterable[CreditorPayment], payment: NewCreditorPayment) -> CreatedPayment | None:
    """The one among registered payments with its creditor and reference that is this payment; `None` without any.

    `RegisteredTwice` where several are, `ReferenceTaken` where those that there are differ.
    """
    others = {
        row.id: find_differences(row, payment)
        for row in rows
        if row.creditor_payment_reference == payment.creditor_payment_reference
        and not _contradicts(row.creditor, payment.creditor)
    }
    same = [row for row in rows if others.get(row.id) == ()]
    if len(same) == 1:
        return describe_found(same[0])
    if not others:
        return None
    if same:
        what = f"{len(same)} payments with this creditor and reference, all just like this one, are registered"
        ids = tuple(row.id for row in same)
        raise RegisteredTwice(f"{what}; nothing was sent, and .matches has the ids", payment=payment, matches=ids)
    names = ", ".join(sorted({name for differing in others.values() for name in differing}))
    what = f"the reference belongs to a registered payment of this creditor that differs from this one in {names}"
    raise ReferenceTaken(f"{what}; nothing was sent, and .matches has the ids", payment=payment, matches=tuple(others))


def describe_found(row: CreditorPayment) -> CreatedPayment:
    """A registered payment as `create()` gives it."""
    told = {name: getattr(row, name) for name in CreatedPayment.__struct_fields__ if name != "was_found"}
    return CreatedPayment(**told, was_found=True)
