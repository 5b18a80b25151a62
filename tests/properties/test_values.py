"""Dates and money, there and back, over everything that they can be."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amili_async import NewCreditorPayment
from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Response
from amili_async.models import PayoutSpecification, encode, format_date, parse_date
from amili_async.models.record_type import record_type_of

ID = "507f1f77bcf86cd799439099"
SPECIFICATIONS = RecordDecoder(record_type_of(PayoutSpecification))

offsets = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
seconds = st.tuples(st.integers(0, int((LAST - FIRST).total_seconds())), offsets).map(
    lambda each: in_zone(FIRST + timedelta(seconds=each[0]), each[1])
)
amounts = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


def in_zone(moment: datetime, zone: timezone) -> datetime:
    """The same instant as somebody else writes it, where their calendar has it."""
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


@settings(max_examples=500, deadline=None)
@given(seconds)
@example(FIRST)
@example(LAST)
@example(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC))
def test_a_date_goes_both_ways(moment: datetime) -> None:
    """Written as the standard library writes it, and read back to the same instant, in a record too."""
    text = format_date(moment)
    assert text == format_datetime(moment.astimezone(UTC), usegmt=True)
    assert parse_date(text) == moment
    record = read_one(booking_date=msgspec.json.encode(text))
    assert record.booking_date == moment
    assert parse_date(text).tzinfo is UTC
    assert msgspec.json.decode(encode(record))["booking_date"] == text


@settings(max_examples=500, deadline=None)
@given(amounts)
@example("1064")
@example("1064.0")
@example("-0")
@example("1E-400")
def test_an_amount_is_exact_to_the_digit(text: str) -> None:
    """What stands in the JSON is what the record holds, digits and all, and what is written again."""
    amount = read_one(amount=text.encode()).amount
    assert isinstance(amount, Decimal)
    assert is_same(amount, Decimal(text))
    written = encode(read_one(amount=text.encode()))
    again = msgspec.json.decode(written, type=dict[str, msgspec.Raw])["amount"]
    assert is_same(Decimal(bytes(again).decode()), Decimal(text))


def is_same(amount: Decimal, other: Decimal) -> bool:
    """Whether two are equal and have the same digits; the sign of a zero is not one."""
    return amount == other and amount.as_tuple()[1:] == other.as_tuple()[1:]


@settings(max_examples=300, deadline=None)
@given(st.decimals(min_value=Decimal("0.01"), max_value=10**9, places=2))
def test_a_payment_is_sent_with_its_very_amount(amount: Decimal) -> None:
    """The body holds a number, and its digits are those of the caller."""
    fields: dict[str, Any] = {"creditor": ID, "case": ID, "bank_transaction_date": datetime(2025, 7, 4, tzinfo=UTC)}
    body = encode(NewCreditorPayment(**fields, amount=amount))
    assert Decimal(bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["amount"]).decode()) == amount
