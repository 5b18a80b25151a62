"""When a registered payment is the one in question."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from amili_async._wire.decoding import decoder_for
from amili_async._wire.protocol import Response
from amili_async.errors import ReferenceTaken, RegisteredTwice
from amili_async.models import CreditorPayment
from amili_async.models.record_type import RecordType
from amili_async.payments.lookup import find_differences, find_same, was_made_since
from tests.support.payment_registry import BOOKED, make_payment, make_row

SHAPE = RecordType[CreditorPayment](record=CreditorPayment, wire=CreditorPayment, projection=None)


def read_row(**changes: Any) -> CreditorPayment:
    body = msgspec.json.encode(make_row(**changes))
    row: CreditorPayment = decoder_for(SHAPE).read_record(Response(status=200, headers={}, body=body), request="GET")
    return row


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({}, ()),
        ({"amount": 100.50}, ()),
        ({"amount": "100.50"}, ()),
        ({"amount": 100.51}, ("amount",)),
        ({"amount": 100.50000000000001}, ("amount",)),
        ({"amount": None}, ("amount",)),
        ({"creditor": "0" * 24}, ("creditor",)),
        ({"creditor": None}, ()),
        ({"creditor_payment_reference": "pay-ref-001"}, ("creditor_payment_reference",)),
        ({"bank_transaction_date": "Fri, 04 Jul 2025 16:20:42 GMT"}, ("bank_transaction_date",)),
        ({"bank_transaction_date": None}, ("bank_transaction_date",)),
        ({"case": None}, ()),
        ({"case": "0" * 24}, ("case",)),
        ({"case": "68678EDA88B9226BB78D7169"}, ()),
        ({"invoice_number": "INV-9", "case_invoice_number": "INV-8"}, ()),
    ],
)
def test_a_payment_by_case(changes: dict[str, Any], differing: tuple[str, ...]) -> None:
    """Reference, amount and bank date must be the same, and creditor and case where the row tells of them."""
    assert find_differences(read_row(**changes), make_payment()) == differing


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"invoice_number": "INV-1"}, ()),
        ({"case_invoice_number": "INV-1"}, ()),
        ({"invoice_number": "INV-1", "case_invoice_number": "INV-1-B"}, ()),
        ({}, ()),
        ({"invoice_number": "INV-2"}, ("invoice_number",)),
        ({"case_invoice_number": "INV-2"}, ()),
        ({"invoice_number": "INV-2", "case_invoice_number": "INV-1"}, ("invoice_number",)),
    ],
)
def test_a_payment_by_invoice(changes: dict[str, Any], differing: tuple[str, ...]) -> None:
    """The invoice that was sent counts where the row tells of it; the case's own number may be another one."""
    payment = make_payment(case=UNSET, invoice_number="INV-1")
    assert find_differences(read_row(**changes), payment) == differing


def test_since_when() -> None:
    """A row counts from five seconds before the try on; by its id where it has no date of creation."""
    for seconds, is_since in ((10, True), (0, True), (-5, True), (-6, False)):
        made = BOOKED + timedelta(seconds=seconds)
        assert (
            was_made_since(read_row(_created=None, _id=f"{int(made.timestamp()):08x}{'0' * 16}"), BOOKED.timestamp())
            is is_since
        )
    epoch = read_row(_created="Thu, 01 Jan 1970 00:00:00 GMT", _id=f"{int(BOOKED.timestamp()):08x}{'0' * 16}")
    assert was_made_since(epoch, BOOKED.timestamp())
    assert was_made_since(read_row(), BOOKED.timestamp())
    assert not was_made_since(read_row(_created="Fri, 04 Jul 2025 16:20:35 GMT"), BOOKED.timestamp())


def test_the_same_is_found_among_others() -> None:
    """One that fits is found although others of the creditor share its reference, and strangers do not count."""
    rows = [
        read_row(_id="1" * 24, amount=99),
        read_row(_id="2" * 24, status="warning", settled_amount=90),
        read_row(_id="3" * 24, creditor="0" * 24),
    ]
    found = find_same(rows, make_payment())
    assert found is not None
    assert (found.id, found.status, found.settled_amount, found.was_found) == ("2" * 24, "warning", Decimal(90), True)
    assert found.created == datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC)


def test_none_is_found_where_there_is_none() -> None:
    """No row, or only those of other creditors and references, are no payment; one without a creditor may be it."""
    assert find_same([], make_payment()) is None
    assert find_same([read_row(creditor=None)], make_payment()) is not None
    assert find_same([read_row(creditor="0" * 24), read_row(creditor_payment_reference="B")], make_payment()) is None


def test_a_reference_that_belongs_to_another_payment_is_taken() -> None:
    """The error says in what it differs and which one it is, without a value."""
    rows = [read_row(amount=99), read_row(_id="1" * 24, bank_transaction_date="Fri, 04 Jul 2025 00:00:00 GMT")]
    with pytest.raises(ReferenceTaken, match="differs from this one in amount, bank_transaction_date;") as caught:
        find_same(rows, make_payment())
    assert caught.value.matches == (rows[0].id, rows[1].id)
    assert "PAY-REF" not in str(caught.value)


def test_a_payment_registered_twice_is_said_to_be() -> None:
    """Two rows just like it are no answer; the error names them, and not one that only has its reference."""
    rows = [read_row(_id="1" * 24), read_row(_id="2" * 24), read_row(_id="3" * 24, amount=99)]
    with pytest.raises(RegisteredTwice, match=r"2 payments .* all just like this one") as caught:
        find_same(rows, make_payment())
    assert caught.value.matches == ("1" * 24, "2" * 24)
