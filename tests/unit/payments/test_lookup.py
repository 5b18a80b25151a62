"""Which row of the list is a given payment."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from amili_async._wire.decoding import decoder_for
from amili_async._wire.protocol import Response
from amili_async.errors import ReferenceTaken, RegisteredTwice
from amili_async.models import CreditorPayment
from amili_async.models.record_type import record_type_of
from amili_async.payments.lookup import find_differences, match_payment, was_created_since
from tests.support.payment_registry import make_row
from tests.support.payments import BOOKED, make_payment


def read_row(**changes: Any) -> CreditorPayment:
    body = msgspec.json.encode(make_row(**changes))
    row: CreditorPayment = decoder_for(record_type_of(CreditorPayment)).read_record(
        Response(status=200, headers={}, body=body), request="GET"
    )
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
    """Reference, amount and bank date must be equal, and creditor and case if the row states them."""
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
    """The invoice must be equal if the row states it; the case's own number may differ."""
    payment = make_payment(case=None, invoice_number="INV-1")
    assert find_differences(read_row(**changes), payment) == differing


def test_a_row_is_recent_by_its_date_or_by_its_id() -> None:
    """A row counts from five seconds before the payment was sent; without a date its id has the time."""
    for seconds, is_since in ((10, True), (0, True), (-5, True), (-6, False)):
        made = BOOKED + timedelta(seconds=seconds)
        assert (
            was_created_since(read_row(_created=None, _id=f"{int(made.timestamp()):08x}{'0' * 16}"), BOOKED.timestamp())
            is is_since
        )
    epoch = read_row(_created="Thu, 01 Jan 1970 00:00:00 GMT", _id=f"{int(BOOKED.timestamp()):08x}{'0' * 16}")
    assert was_created_since(epoch, BOOKED.timestamp())
    assert was_created_since(read_row(), BOOKED.timestamp())
    assert not was_created_since(read_row(_created="Fri, 04 Jul 2025 16:20:35 GMT"), BOOKED.timestamp())


def test_the_matching_row_is_found_among_others() -> None:
    """The matching row is found although others share its reference; rows of other creditors do not count."""
    rows = [
        read_row(_id="1" * 24, amount=99),
        read_row(_id="2" * 24, status="warning", settled_amount=90),
        read_row(_id="3" * 24, creditor="0" * 24),
    ]
    found = match_payment(rows, make_payment())
    assert found is not None
    assert (found.id, found.status, found.settled_amount, found.was_found) == ("2" * 24, "warning", Decimal(90), True)
    assert found.created == datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC)


def test_rows_of_other_payments_are_no_match() -> None:
    """Rows of other creditors and references do not match; a row without a creditor can."""
    assert match_payment([], make_payment()) is None
    assert match_payment([read_row(creditor=None)], make_payment()) is not None
    assert (
        match_payment([read_row(creditor="0" * 24), read_row(creditor_payment_reference="B")], make_payment()) is None
    )


def test_a_reference_of_another_payment_is_taken() -> None:
    """The error names the fields that differ and carries the ids, but quotes no value."""
    rows = [read_row(amount=99), read_row(_id="1" * 24, bank_transaction_date="Fri, 04 Jul 2025 00:00:00 GMT")]
    with pytest.raises(ReferenceTaken, match="differs from this one in amount, bank_transaction_date;") as caught:
        match_payment(rows, make_payment())
    assert caught.value.matches == (rows[0].id, rows[1].id)
    assert "PAY-REF" not in str(caught.value)


def test_a_payment_registered_twice_is_reported() -> None:
    """The error carries the ids of both rows, and not of one that only has its reference."""
    rows = [read_row(_id="1" * 24), read_row(_id="2" * 24), read_row(_id="3" * 24, amount=99)]
    with pytest.raises(RegisteredTwice, match="2 payments equal to this one") as caught:
        match_payment(rows, make_payment())
    assert caught.value.matches == ("1" * 24, "2" * 24)
