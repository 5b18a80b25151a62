"""Which payments can be registered, and how they are sent."""

import copy
import decimal
import json
import pickle
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_async import field
from amili_async.errors import ConfigurationError, PaymentNotCompleted
from amili_async.models import CreatedPayment, NewCreditorPayment, encode
from tests.support.payments import CASE, CREDITOR

SAMPLES = Path(__file__).parent.parent / "samples"
BOOKED = datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC)


def new_payment(**fields: Any) -> NewCreditorPayment:
    """A good payment with some of its fields replaced; `None` leaves one out."""
    chosen = {
        "creditor": CREDITOR,
        "case": CASE,
        "amount": Decimal("100.00"),
        "bank_transaction_date": BOOKED,
        **fields,
    }
    return NewCreditorPayment(**chosen)


def test_the_apis_example_is_sent_unchanged() -> None:
    """The JSON of the example is sent field by field, with the account where the caller gives it."""
    example = json.loads((SAMPLES / "payment_request.json").read_bytes())
    named = new_payment(amount=100.0, creditor_payment_reference="PAY-REF-001", account=example["account"])
    sent = encode(named)
    assert json.loads(sent) == example
    assert b'"amount":100.0,' in sent


def test_only_given_fields_are_sent() -> None:
    """Currency, origin and a reference are always sent; a field without a value is absent, not null."""
    payment = new_payment(case=None, invoice_number="INV-1")
    assert json.loads(encode(payment)) == {
        "creditor": CREDITOR,
        "invoice_number": "INV-1",
        "amount": 100,
        "bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT",
        "creditor_payment_reference": payment.creditor_payment_reference,
        "currency": "SEK",
        "origin": "creditor_system",
    }


def test_a_reference_is_generated_by_default() -> None:
    """Each payment has its own, which the API parses neither as an id nor as a date; copies keep it."""
    payments = [new_payment() for _ in range(1000)]
    references = {payment.creditor_payment_reference for payment in payments}
    assert len(references) == 1000
    for reference in references:
        assert re.fullmatch(r"auto-[0-9a-f]{20}", reference)
        field("creditor_payment_reference").is_in([reference])  # a reference that cannot be looked up is rejected
    changed = msgspec.structs.replace(payments[0], amount=Decimal(5))
    assert changed.creditor_payment_reference == payments[0].creditor_payment_reference


@pytest.mark.parametrize(
    ("statuses", "is_completed"),
    [
        ({}, True),
        ({"status": None, "payment_status": None}, True),
        ({"status": "completed", "payment_status": "completed"}, True),
        ({"status": "warning"}, False),
        ({"status": "error", "payment_status": "completed"}, False),
        ({"payment_status": "error"}, False),
        ({"status": "CANARY"}, False),
        ({"payment_status": "CANARY"}, False),
    ],
)
def test_a_status_other_than_completed_raises(statuses: dict[str, Any], is_completed: bool) -> None:
    """A warning, an error and an undocumented status raise an error that carries the payment and quotes no value."""
    created = CreatedPayment(id="0" * 24, status_reason_locale="CANARY", **statuses)
    assert created.is_completed is is_completed
    if is_completed:
        assert created.raise_for_status() is created
        return
    with pytest.raises(PaymentNotCompleted, match=r"is (warning|error|not a documented one)") as caught:
        created.raise_for_status()
    assert caught.value.created is created
    assert "CANARY" not in str(caught.value)


def test_times_are_sent_in_gmt() -> None:
    """Both dates are converted from the caller's time zone."""
    summer = timezone(timedelta(hours=2))
    sent = json.loads(
        encode(
            new_payment(
                bank_transaction_date=BOOKED.astimezone(summer),
                client_registration_date=datetime(2025, 7, 5, 1, tzinfo=summer),
            )
        )
    )
    assert sent["bank_transaction_date"] == "Fri, 04 Jul 2025 16:20:41 GMT"
    assert sent["client_registration_date"] == "Fri, 04 Jul 2025 23:00:00 GMT"


def test_ids_are_sent_in_lower_case() -> None:
    """An id in upper case is converted to the form that the API uses."""
    payment = new_payment(creditor=CREDITOR.upper(), case=CASE.upper())
    assert (payment.creditor, payment.case) == (CREDITOR, CASE)


class SubclassedFloat(float):
    """A float with another `repr`, as numpy's are."""

    def __repr__(self) -> str:
        return f"float64({float(self)})"


@pytest.mark.parametrize(
    ("amount", "sent"),
    [
        (1, "1"),
        (0.1, "0.1"),
        (100.0, "100.0"),
        (SubclassedFloat(12.5), "12.5"),
        (Decimal("0.01"), "0.01"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1.1000"), "1.1000"),
        (Decimal("1E+3"), "1E+3"),
        (Decimal("9999999999999.99"), "9999999999999.99"),
    ],
)
def test_amounts_are_sent_exactly(amount: Any, sent: str) -> None:
    """An amount is a JSON number with the digits of its `repr`."""
    payment = new_payment(amount=amount)
    assert type(payment.amount) is Decimal
    assert b'"amount":%s,' % sent.encode() in encode(payment)


@given(st.integers(1, 10**15 - 1))
def test_every_number_of_ore_is_accepted(ore: int) -> None:
    """Whole öre up to thirteen digits of kronor are accepted, whatever the current decimal context."""
    amount = Decimal(ore).scaleb(-2)
    with decimal.localcontext(prec=3):
        assert new_payment(amount=amount).amount == amount


@pytest.mark.parametrize(
    "amount",
    [
        0,
        -1,
        0.0,
        -0.01,
        Decimal("-0.00"),
        Decimal("0.001"),
        Decimal("1.005"),
        0.1 + 0.2,
        Decimal("1.000000000000000000000000000000000000001"),
        Decimal("1E+13"),
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        True,
        "100.00",
        None,
        1 + 0j,
    ],
)
def test_other_amounts_are_rejected(amount: Any) -> None:
    """Zero, negative amounts, fractions of an öre, more than thirteen digits and other types raise."""
    with pytest.raises(ConfigurationError, match=r"^amount must "):
        new_payment(amount=amount)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"case": None}, "exactly one of case and invoice_number"),
        ({"invoice_number": "INV-1"}, "exactly one of case and invoice_number"),
        ({"case": 5}, "^case must be 24 hexadecimal digits"),
        ({"case": "INV-1"}, "^case must be 24 hexadecimal digits"),
        ({"creditor": "Example AB"}, "^creditor must be 24 hexadecimal digits"),
        ({"creditor": None}, "^creditor must be 24 hexadecimal digits"),
        ({"case": None, "invoice_number": ""}, "^invoice_number must be a text"),
        ({"case": None, "invoice_number": 4711}, "^invoice_number must be a text"),
        ({"creditor_payment_reference": "  "}, "^creditor_payment_reference must be a text"),
        ({"creditor_payment_reference": None}, "^creditor_payment_reference must be a text"),
        ({"creditor_payment_reference": " A"}, "^creditor_payment_reference must have no blanks around it"),
        ({"creditor_payment_reference": "A\n"}, "^creditor_payment_reference must have no blanks around it"),
        (
            {"creditor_payment_reference": "A\x00B"},
            "^creditor_payment_reference must have .* only printable characters",
        ),
        ({"creditor_payment_reference": "A" * 256}, "^creditor_payment_reference must have .* at most 255"),
        ({"case": None, "invoice_number": "A "}, "^invoice_number must have no blanks around it"),
        ({"creditor_payment_reference": "a" * 24}, "^creditor_payment_reference looks like an id or a date"),
        ({"creditor_payment_reference": "Fri, 13 Jun 2025 08:00:00 GMT"}, "^creditor_payment_reference looks like"),
        ({"creditor_payment_reference": "fri, 13 jun 2025 08:00:00 gmt"}, "^creditor_payment_reference looks like"),
        ({"creditor_payment_reference": "Fri,  3 Jun 2025 8:00:00 GMT"}, "^creditor_payment_reference looks like"),
        ({"creditor_payment_reference": "Fri,3 Jun 2025 08:00:00  GMT"}, "^creditor_payment_reference looks like"),
        ({"bank_transaction_date": datetime(2025, 7, 4)}, "^bank_transaction_date: .*time zone"),  # noqa: DTZ001
        ({"bank_transaction_date": date(2025, 7, 4)}, "^bank_transaction_date must be a datetime"),
        ({"bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT"}, "^bank_transaction_date must be a datetime"),
        ({"bank_transaction_date": BOOKED.replace(microsecond=1)}, "^bank_transaction_date: .*whole seconds"),
        ({"client_registration_date": datetime(2025, 7, 4)}, "^client_registration_date: "),  # noqa: DTZ001
        ({"creditor_payment_reference": "A\u030aterba\u0308ring nr 1"}, "NFC.* write it as 'Återbäring nr 1'"),
        ({"case": None, "invoice_number": "\u212b-1"}, "NFC.* write it as 'Å-1'"),
        ({"creditor_payment_reference": "1,23457E+15"}, "^creditor_payment_reference looks like what a spreadsheet"),
        ({"creditor_payment_reference": "1.23457E+15"}, "^creditor_payment_reference looks like what a spreadsheet"),
        ({"creditor_payment_reference": "12E5"}, "^creditor_payment_reference looks like what a spreadsheet"),
        ({"case": None, "invoice_number": "1,5E\u221205"}, "^invoice_number looks like what a spreadsheet"),
        ({"case": None, "invoice_number": "1e-05"}, "^invoice_number looks like what a spreadsheet"),
        ({"case": None, "invoice_number": "########"}, "^invoice_number looks like what a spreadsheet"),
        ({"case": None, "invoice_number": "#VÄRDEFEL!"}, "^invoice_number looks like what a spreadsheet"),
        ({"case": None, "invoice_number": "#DIV/0!"}, "^invoice_number looks like what a spreadsheet"),
        ({"currency": "EUR"}, "^currency must be 'SEK'"),
        ({"origin": "portal"}, "^origin must be 'creditor_system'"),
    ],
)
def test_values_that_the_api_would_reject_or_misread_are_rejected(fields: dict[str, Any], message: str) -> None:
    """Each error names the field, before anything is sent."""
    with pytest.raises(ConfigurationError, match=message):
        new_payment(**fields)


@pytest.mark.parametrize("name", ["file_import_report", "status"])
def test_fields_that_the_api_sets_are_not_accepted(name: str) -> None:
    """Read-only properties are not arguments."""
    with pytest.raises(TypeError):
        new_payment(**{name: CASE})


def test_no_error_quotes_a_value() -> None:
    """An error names the field and not its value."""
    for fields in ({"creditor": "CANARY"}, {"case": "CANARY"}, {"currency": "CANARY"}, {"amount": Decimal("-4711.42")}):
        with pytest.raises(ConfigurationError) as caught:
            new_payment(**fields)
        assert "CANARY" not in repr(caught.value)
        assert "4711" not in repr(caught.value)


def test_a_copy_is_checked_too() -> None:
    """A payment changed by `replace` is checked like any other; copies and pickles are equal."""
    payment = new_payment()
    assert copy.deepcopy(payment) == pickle.loads(pickle.dumps(payment)) == payment  # noqa: S301 - our own
    with pytest.raises(ConfigurationError, match="amount"):
        msgspec.structs.replace(payment, amount=0)


@pytest.mark.parametrize(
    "text", ["Återbäring nr 1", "E5", "1E", "12E5-A", "1E5F", "#1", "#A-1", "1,5", "REF E+15", "0307613e-0000"]
)
def test_references_that_people_write_are_accepted(text: str) -> None:
    """Only a text that is a number in exponent form as a whole, or an error value, is a spreadsheet's display."""
    assert new_payment(creditor_payment_reference=text).creditor_payment_reference == text
    assert new_payment(case=None, invoice_number=text).invoice_number == text
