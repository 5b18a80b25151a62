"""Dates, money, open vocabularies, ids, and fields without a value."""

import ast
import calendar
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

import amili_async
from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Response
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.models import (
    Article,
    CaseState,
    CreditorPayment,
    FinanceCategory,
    PaymentStatus,
    Payout,
    PayoutSpecification,
    encode,
    format_date,
    parse_date,
)
from amili_async.models.fields import check_id, is_object_id
from amili_async.models.record_type import record_type_of
from amili_async.models.timestamps import MAX_CACHED_TIMESTAMPS, _timestamps

FRIDAY = datetime(2025, 6, 13, 8, 0, 0, tzinfo=UTC)
FRIDAY_TEXT = "Fri, 13 Jun 2025 08:00:00 GMT"
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
FORM = re.compile(r"[A-Z][a-z]{2}, (\d\d) (" + "|".join(MONTHS) + r") (\d{1,4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)

seconds = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))


def expected_instant(text: str) -> datetime | None:
    """The instant that a text denotes, computed in another way than by the package."""
    found = FORM.fullmatch(text)
    if found is None:
        return None
    day, month, year = int(found[1]), MONTHS.index(found[2]) + 1, int(found[3])
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    if year < 1 or not 1 <= day <= calendar.monthrange(year, month)[1] or hour > 23 or minute > 59 or second > 59:
        return None
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def read(record: Any, **fields: Any) -> Any:
    """A record with these fields, decoded from the API's JSON."""
    body = msgspec.json.encode({"_id": "507f1f77bcf86cd799439099", **fields})
    return RecordDecoder(record_type_of(record)).read_record(
        Response(status=200, headers={}, body=body), request="GET /x"
    )


def read_json(record: Any, fields: str) -> Any:
    """The same from JSON text, for numbers whose digits matter."""
    body = b'{"_id": "507f1f77bcf86cd799439099", %s}' % fields.encode()
    return RecordDecoder(record_type_of(record)).read_record(
        Response(status=200, headers={}, body=body), request="GET /x"
    )


# Dates


@given(seconds)
@example(datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
@example(datetime(2024, 2, 29, tzinfo=UTC))
def test_a_date_survives_writing_and_reading(moment: datetime) -> None:
    """Every second of the years 1 to 9999 is parsed to the same aware instant in UTC."""
    read_back = parse_date(format_date(moment))
    assert read_back == moment
    assert read_back.tzinfo is UTC


@given(seconds)
def test_dates_agree_with_the_standard_library(moment: datetime) -> None:
    """The text equals what `email.utils` writes for an HTTP date, and `email.utils` parses it to the same instant."""
    text = format_date(moment)
    assert text == format_datetime(moment, usegmt=True)
    if moment.year >= 1000:  # below, email.utils guesses a century
        assert parsedate_to_datetime(text) == moment


@st.composite
def mutated_dates(draw: st.DrawFn) -> str:
    """A valid date with a few characters changed, repeated or removed."""
    text = list(format_date(draw(seconds)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text) - 1))
        text[at] = draw(st.sampled_from(["", text[at] * 2, *"0123456789 ,:GMTJFabenr+-\n٣é"]))
    return "".join(text)


@given(mutated_dates())
@example("Mon, 01 Jan 1 00:00:00 GMT")
@example("Sat, 01 Jan 0 00:00:00 GMT")
@example("Thu, 31 Jun 2025 00:00:00 GMT")
@example("Fri, 29 Feb 2025 00:00:00 GMT")
@example("Fri, 13 Jun 0000 08:00:00 GMT")
@example("Fri, 13 Jun 2025 24:00:00 GMT")
@example("Fri, 13 Jun 2025 08:00:60 GMT")
@example("Fri, 00 Jun 2025 08:00:00 GMT")
@example("Fri, 13 Jun 2025 08:00:00 GMT\n")
@example("Fri, 13 Jun 2025 08:00:00 UTC")
@example("Fri, 13 Jun 2025 08:00:00 +0000")
@example("Fri, 13 jun 2025 08:00:00 GMT")
@example("Fri, 13 Maj 2025 08:00:00 GMT")
@example("Friday, 13-Jun-25 08:00:00 GMT")
@example("Fri, 1٣ Jun 2025 08:00:00 GMT")
def test_parsing_agrees_with_the_calendar(text: str) -> None:
    """A text is parsed exactly if it has the form and the date exists, and then to that instant."""
    expected = expected_instant(text)
    if expected is not None:
        assert parse_date(text) == expected
        return
    with pytest.raises(ValueError, match="Expected an RFC 1123 date"):
        parse_date(text)


@pytest.mark.parametrize("weekday", ["Mon", "Tue", "Sun", "Xyz"])
def test_a_wrong_weekday_is_accepted_and_corrected(weekday: str) -> None:
    """The weekday is not checked, since the API's own examples have wrong ones; a formatted date has the right one."""
    moment = parse_date(f"{weekday}, 13 Jun 2025 08:00:00 GMT")
    assert moment == FRIDAY
    assert format_date(moment) == FRIDAY_TEXT


@pytest.mark.parametrize("year", [1, 9, 10, 99, 100, 999, 1000])
def test_a_year_is_read_as_eve_writes_it(year: int) -> None:
    """Eve writes years with `strftime`, which does not pad those below 1000 with zeros."""
    payout = read(Payout, payout_date=f"Mon, 01 Jan {year} 00:00:00 GMT")
    assert payout.payout_date == datetime(year, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("2025-06-13T08:00:00Z", "such as Fri, 13 Jun 2025 08:00:00 GMT"),
        ("Fri, 13 Jun 12025 08:00:00 GMT", "such as Fri, 13 Jun 2025 08:00:00 GMT"),
        ("Fri, 13 Maj 2025 08:00:00 GMT", "with an English month"),
        ("Fri, 31 Jun 2025 08:00:00 GMT", "that exists in the calendar of the years 1 to 9999"),
        ("Sat, 01 Jan 0 08:00:00 GMT", "that exists in the calendar of the years 1 to 9999"),
        ("Fri, 13 Jun 2025 24:00:00 GMT", "with a time of day from 00:00:00 to 23:59:59"),
        ("Fri, 13 Jun 2025 08:00:60 GMT", "with a time of day from 00:00:00 to 23:59:59"),
        ("Fri, 13 Jun 2025 08:00:00 CEST", "in GMT"),
        ("Fri, 13 Jun 2025 08:00:00 +0000", "in GMT"),
    ],
)
def test_the_reason_names_the_fault_of_a_date(text: str, fault: str) -> None:
    """The error of a page has the reason, and the place of the date in the JSON."""
    with pytest.raises(UnreadableResponse, match=re.escape(f"Expected an RFC 1123 date {fault}")):
        read(Payout, payout_date=text)


@pytest.mark.parametrize("text", ["CANARY", "Fri, 13 Can 2025 08:00:00 GMT", "Fri, 31 Jun 2025 08:00:00 GMT"])
def test_an_invalid_date_is_not_quoted(text: str) -> None:
    """Neither the error nor its cause contains the text."""
    with pytest.raises(ValueError, match="RFC 1123") as caught:
        parse_date(text)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert not set(re.findall(r"CANARY|Can|31", text)) & set(re.findall(r"\w+", str(caught.value)))


def test_the_locale_has_no_effect() -> None:
    """The package calls no function that depends on the process's locale."""
    package = Path(amili_async.__file__).parent
    called = {
        node.attr: path
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert "fromisoformat" in called
    assert {"strftime", "strptime", "setlocale", "ctime", "asctime"} & called.keys() == set()


def test_a_day_is_its_midnight_in_utc() -> None:
    """A `date` is formatted as the first instant of the day in UTC."""
    assert format_date(date(2025, 6, 1)) == "Sun, 01 Jun 2025 00:00:00 GMT"


@given(seconds, st.integers(-14 * 60, 14 * 60))
def test_other_time_zones_are_converted(moment: datetime, offset: int) -> None:
    """A datetime of any zone is formatted as its instant in GMT; one outside the years 1 to 9999 raises."""
    local = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    try:
        utc = local.astimezone(UTC)
    except OverflowError:
        with pytest.raises(ConfigurationError, match="years 1 to 9999"):
            format_date(local)
    else:
        assert parse_date(format_date(local)) == utc


def test_a_naive_datetime_is_rejected() -> None:
    """A datetime without a time zone raises, since it denotes no instant."""
    with pytest.raises(ConfigurationError, match="without a time zone is ambiguous"):
        format_date(datetime(2025, 6, 13, 8))  # noqa: DTZ001 - the naive one is the point


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(seconds=1, microseconds=500))])
def test_a_fraction_of_a_second_is_rejected(zone: timezone) -> None:
    """Microseconds of the datetime itself or of its zone's offset raise."""
    fraction = 1 if zone is UTC else 0
    with pytest.raises(ConfigurationError, match="whole seconds"):
        format_date(datetime(2025, 6, 13, 8, 0, 0, fraction, tzinfo=zone))


def test_the_cache_of_timestamps_is_bounded() -> None:
    """Of any number of timestamps only so many are kept, and each is parsed to its instant."""
    moments = [FRIDAY + timedelta(seconds=second) for second in range(3 * MAX_CACHED_TIMESTAMPS)]
    assert [parse_date(format_date(moment)) for moment in moments] == moments
    assert len(_timestamps) <= MAX_CACHED_TIMESTAMPS
    assert parse_date(format_date(moments[-1])) is parse_date(format_date(moments[-1]))


@pytest.mark.parametrize("json", ["5", "true", "1.5", "[]", "{}", '"2025-06-13T08:00:00Z"', '""'])
def test_an_invalid_date_names_its_place(json: str) -> None:
    """The error for a date field with any other value names the field and the record."""
    with pytest.raises(UnreadableResponse) as caught:
        read_json(Payout, f'"payout_date": {json}')
    assert caught.value.location == "$.payout_date"
    assert caught.value.record_id == "507f1f77bcf86cd799439099"


def test_dates_are_plain_datetimes() -> None:
    """The type of a date is exactly `datetime`: other libraries treat subclasses differently."""
    moment = read(Payout, payout_date=FRIDAY_TEXT).payout_date
    assert type(moment) is datetime
    assert moment == FRIDAY


# Money


@pytest.mark.parametrize(
    "digits",
    ["1064", "1064.0", "0.1", "0.10", "-12.50", "0", "-0.0", "1E+2", "12345678901234567890.12", "0.000001"],
)
def test_money_is_exact(digits: str) -> None:
    """An amount keeps the digits of the JSON, as a number and as the text of a Decimal128."""
    for json in (digits, f'"{digits}"'):
        payout = read_json(Payout, f'"amount": {json}')
        assert type(payout.amount) is Decimal
        assert str(payout.amount) == digits
        assert encode(payout) == b'{"_id":"507f1f77bcf86cd799439099","amount":%s}' % digits.encode()


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_any_amount_survives(amount: Decimal) -> None:
    """Any decimal number of the server is encoded with the same digits."""
    body = encode(read_json(Payout, f'"amount": {amount}'))
    assert str(read_json(Payout, body.decode()[1:-1].split(",", 1)[1]).amount) == str(amount)


@pytest.mark.parametrize("json", ["true", "[]", "{}", '""', '"twelve"', '"1,50"'])
def test_an_invalid_amount_names_its_place(json: str) -> None:
    """Money that is not a number is an error with its place in the JSON."""
    with pytest.raises(UnreadableResponse) as caught:
        read_json(Payout, f'"amount": {json}')
    assert caught.value.location == "$.amount"


# Absent, null, value


@pytest.mark.parametrize("name", [name for name in Payout.__struct_encode_fields__ if name != "_id"])
def test_absent_and_null_are_both_none(name: str) -> None:
    """A field that is `null` and one that is absent are `None` alike, and JSON leaves both out."""
    attribute = dict(zip(Payout.__struct_encode_fields__, Payout.__struct_fields__, strict=True))[name]
    null, absent = read(Payout, **{name: None}), read(Payout)
    assert getattr(null, attribute) is None
    assert null == absent
    assert msgspec.json.decode(encode(null)) == {"_id": null.id}


def test_a_dict_keeps_absent_and_null_apart() -> None:
    """A record read into a `dict` is written back with each `null` that the API sent."""
    assert msgspec.json.decode(encode(read(dict, amount=None))) == {"_id": "507f1f77bcf86cd799439099", "amount": None}


def test_a_repr_leaves_out_what_is_none() -> None:
    """`repr` and rich show the fields that have a value, of a nested struct too."""
    payout = read(Payout, total_amount=1.5, summary={"capital": {"count": 1}})
    shown = (
        "Payout(id='507f1f77bcf86cd799439099', total_amount=Decimal('1.5'), "
        "summary={'capital': PayoutSummary(count=1)})"
    )
    assert repr(payout) == shown
    assert pretty_repr(payout, max_width=200) == shown


@pytest.mark.parametrize("text", ["1E100000000", "-1E-100000000", "0E-100000000", "1E999999999999999999"])
def test_an_absurd_exponent_is_written_as_it_is_read(text: str) -> None:
    """Neither `repr` nor rich nor JSON writes its digits out; it can be compared and hashed."""
    payment = read_json(CreditorPayment, f'"amount": {text}')
    for shown in (repr(payment), pretty_repr(payment, max_width=200), encode(payment).decode()):
        assert len(shown) < 120
    assert payment == read_json(CreditorPayment, f'"amount": {text}')
    assert hash(payment) == hash(read_json(CreditorPayment, f'"amount": {text}'))
    assert payment.amount != Decimal("100.50")


@pytest.mark.parametrize("text", ["1E9999999999999999999", "1E-9999999999999999999"])
def test_an_exponent_that_no_decimal_has_is_unreadable(text: str) -> None:
    """The error is that of a value that cannot be read, with its place."""
    with pytest.raises(UnreadableResponse) as caught:
        read_json(CreditorPayment, f'"amount": {text}')
    assert caught.value.location == "$.amount"


# Open vocabularies


@pytest.mark.parametrize(
    ("record", "name", "known"),
    [
        (Payout, "finance_category", FinanceCategory.CREDITOR_OUTLAY),
        (PayoutSpecification, "article", Article.VERDICT_FEE),
        (PayoutSpecification, "state", CaseState.DEBT_SURVEILLANCE),
        (CreditorPayment, "status", PaymentStatus.WARNING),
    ],
)
def test_vocabularies_are_open(record: Any, name: str, known: str) -> None:
    """A known value equals its enum member; a new value is read unchanged."""
    assert getattr(read(record, **{name: str(known)}), name) == known
    assert getattr(read(record, **{name: "brand_new"}), name) == "brand_new"


@pytest.mark.parametrize(
    ("vocabulary", "values"),
    [
        (FinanceCategory, "capital interest creditor_commission creditor_outlay amili_commission"),
        (
            Article,
            "capital interest reminder cost debt_collection invoice_fee late_payment_fee verdict_fee enforcement",
        ),
        (CaseState, "invoice initializing reminder debt_collection enforcement debt_surveillance"),
        (PaymentStatus, "completed warning error"),
    ],
)
def test_the_known_values(vocabulary: Any, values: str) -> None:
    """The enums have the values that the API documents."""
    assert [str(value) for value in vocabulary] == values.split()


def test_unknown_fields_are_tolerated() -> None:
    """An undocumented field of any type is ignored."""
    assert read(Payout, export={"at": [1, None, {"deep": True}]}, currency="SEK").currency == "SEK"


def test_a_dict_has_unknown_fields() -> None:
    """A `dict` has all fields, with exact numbers."""
    document = read_json(dict, '"export": 1, "amount": 0.10')
    assert document == {"_id": "507f1f77bcf86cd799439099", "export": 1, "amount": Decimal("0.10")}
    assert str(document["amount"]) == "0.10"


# Ids


@pytest.mark.parametrize("text", ["507F1F77BCF86CD799439099", "507f1f77bcf86cd799439099"])
def test_ids_are_converted_to_lower_case(text: str) -> None:
    """The API's paths match lower case only."""
    assert is_object_id(text)
    assert check_id(text) == "507f1f77bcf86cd799439099"


@pytest.mark.parametrize(
    "text",
    ["", "507f1f77bcf86cd79943909", "507f1f77bcf86cd799439099\n", "507f1f77bcf86cd79943909g", "../" * 8, None, 5],
)
def test_other_texts_are_rejected_as_ids(text: Any) -> None:
    """Anything but 24 hexadecimal digits raises; the error names what the id was for, and does not quote it."""
    with pytest.raises(
        ConfigurationError, match=r"^payout must be 24 hexadecimal digits, such as '507f1f77bcf86cd7994"
    ):
        check_id(text, what="payout")
