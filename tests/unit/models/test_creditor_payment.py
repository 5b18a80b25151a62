"""What can be registered as a payment, and how it is sent."""

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

SAMPLES = Path(__file__).parent.parent / "samples"
CREDITOR = "674dbeb208847b9501cc9138"
CASE = "68678eda88b9226bb78d7169"
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


def test_the_request_of_the_apis_example() -> None:
    """The example's payment is sent as the example has it, but for the account, which only the API sets."""
    example = json.loads((SAMPLES / "payment_request.json").read_bytes())
    del example["account"]
    sent = encode(new_payment(amount=100.0, creditor_payment_reference="PAY-REF-001"))
    assert json.loads(sent) == example
    assert b'"amount":100.0,' in sent


def test_only_what_was_given_is_sent() -> None:
    """Currency, origin and a reference are always there, what was not given is absent and not null."""
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


def test_a_reference_is_made_where_none_is_given() -> None:
    """Each payment gets its own, which is neither an id nor a date to the API; copies keep it."""
    payments = [new_payment() for _ in range(1000)]
    references = {payment.creditor_payment_reference for payment in payments}
    assert len(references) == 1000
    for reference in references:
        assert re.fullmatch(r"auto-[0-9a-f]{20}", reference)
        field("creditor_payment_reference").is_in([reference])  # what could not be looked up would be refused
    changed = msgspec.structs.replace(payments[0], amount=Decimal(5))
    assert changed.creditor_payment_reference == payments[0].creditor_payment_reference


@pytest.mark.parametrize(
    ("told", "is_completed"),
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
def test_what_is_not_completed_cannot_be_overlooked(told: dict[str, Any], is_completed: bool) -> None:
    """A warning, an error and what is not documented raise an error that carries the payment, and shows no value."""
    created = CreatedPayment(id="0" * 24, status_reason_locale="CANARY", **told)
    assert created.is_completed is is_completed
    if is_completed:
        assert created.raise_for_status() is created
        return
    with pytest.raises(PaymentNotCompleted, match=r"is (warning|error|one that)") as caught:
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


def test_ids_are_lowered() -> None:
    """An id in upper case is sent as the API writes it."""
    payment = new_payment(creditor=CREDITOR.upper(), case=CASE.upper())
    assert (payment.creditor, payment.case) == (CREDITOR, CASE)


class SubclassedFloat(float):
    """As numpy's are: a float that prints in another way."""

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
    """An amount is a JSON number with the digits that it prints as."""
    payment = new_payment(amount=amount)
    assert type(payment.amount) is Decimal
    assert b'"amount":%s,' % sent.encode() in encode(payment)


@given(st.integers(1, 10**15 - 1))
def test_every_number_of_ore_is_accepted(ore: int) -> None:
    """Whole öre from one to thirteen digits of kronor pass, whatever the decimal context of the moment."""
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
def test_other_amounts_are_refused(amount: Any) -> None:
    """Nothing, less than nothing, fractions of an öre, absurd sums and what is no number are refused."""
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
        ({"currency": "EUR"}, "^currency must be 'SEK'"),
        ({"origin": "portal"}, "^origin must be 'creditor_system'"),
    ],
)
def test_what_the_api_would_refuse_or_misread_is_refused(fields: dict[str, Any], message: str) -> None:
    """Each mistake is named by its field before anything is sent."""
    with pytest.raises(ConfigurationError, match=message):
        new_payment(**fields)


@pytest.mark.parametrize("name", ["account", "file_import_report", "status"])
def test_what_the_api_sets_itself_cannot_be_given(name: str) -> None:
    """Read-only properties are no arguments."""
    with pytest.raises(TypeError):
        new_payment(**{name: CASE})


def test_no_refusal_shows_a_value() -> None:
    """An error names the field and not what stood in it."""
    for fields in ({"creditor": "CANARY"}, {"case": "CANARY"}, {"currency": "CANARY"}, {"amount": Decimal("-4711.42")}):
        with pytest.raises(ConfigurationError) as caught:
            new_payment(**fields)
        assert "CANARY" not in repr(caught.value)
        assert "4711" not in repr(caught.value)


def test_a_copy_is_checked_too() -> None:
    """A payment changed by `replace` passes the same checks; copies and pickles are equal."""
    payment = new_payment()
    assert copy.deepcopy(payment) == pickle.loads(pickle.dumps(payment)) == payment  # noqa: S301 - our own
    with pytest.raises(ConfigurationError, match="amount"):
        msgspec.structs.replace(payment, amount=0)
