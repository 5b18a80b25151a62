"""Dates and amounts survive encoding and decoding, over their whole range."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from amili_async import NewCreditorPayment
from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Response
from amili_async.models import PayoutSpecification, encode, format_date, parse_date
from amili_async.models.record_type import record_type_of
from tests.support.exhaustive import examples

ID = "507f1f77bcf86cd799439099"
SPECIFICATIONS = RecordDecoder(record_type_of(PayoutSpecification))

offsets = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
seconds = st.tuples(st.integers(0, int((LAST - FIRST).total_seconds())), offsets).map(
    lambda each: in_zone(FIRST + timedelta(seconds=each[0]), each[1])
)
amounts = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


def in_zone(moment: datetime, zone: timezone) -> datetime:
    """The same instant in another zone, where the calendar has it."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


def read_one(**fields: bytes) -> PayoutSpecification:
    """A specification with these fields, read from a page."""
    members = b"".join(b',"%s":%s' % (name.encode(), value) for name, value in fields.items())
    body = b'{"_items":[{"_id":"%s"%s}]}' % (ID.encode(), members)
    record: PayoutSpecification = SPECIFICATIONS.read_page(
        Response(status=200, headers={}, body=body), request="GET /x", number=1
    ).items[0]
    return record


@examples(500)
@given(seconds)
@example(FIRST)
@example(LAST)
@example(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC))
def test_a_date_round_trips(moment: datetime) -> None:
    """A date is written as the standard library writes it, and read back to the same instant, in a record too."""
    text = format_date(moment)
    assert text == format_datetime(moment.astimezone(UTC), usegmt=True)
    assert parse_date(text) == moment
    record = read_one(booking_date=msgspec.json.encode(text))
    assert record.booking_date == moment
    assert parse_date(text).tzinfo is UTC
    assert msgspec.json.decode(encode(record))["booking_date"] == text


@examples(500)
@given(amounts)
@example("1064")
@example("1064.0")
@example("-0")
@example("1E-400")
def test_an_amount_is_exact_to_the_digit(text: str) -> None:
    """The record holds the amount of the JSON, with all its digits, and writes it again."""
    amount = read_one(amount=text.encode()).amount
    assert isinstance(amount, Decimal)
    assert is_same(amount, Decimal(text))
    written = encode(read_one(amount=text.encode()))
    again = msgspec.json.decode(written, type=dict[str, msgspec.Raw])["amount"]
    assert is_same(Decimal(bytes(again).decode()), Decimal(text))


def is_same(amount: Decimal, other: Decimal) -> bool:
    """Whether two amounts are equal and have the same digits; the sign of a zero does not count."""
    return amount == other and amount.as_tuple()[1:] == other.as_tuple()[1:]


@examples(300)
@given(st.decimals(min_value=Decimal("0.01"), max_value=10**9, places=2))
def test_a_payment_is_sent_with_its_exact_amount(amount: Decimal) -> None:
    """The body contains a number with the digits of the caller."""
    fields: dict[str, Any] = {"creditor": ID, "case": ID, "bank_transaction_date": datetime(2025, 7, 4, tzinfo=UTC)}
    body = encode(NewCreditorPayment(**fields, amount=amount))
    assert Decimal(bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["amount"]).decode()) == amount
