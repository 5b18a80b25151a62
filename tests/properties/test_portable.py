"""Records that travel: a record that is written in a form is read from it again, to the digit."""

import copy
import json
import pickle
import typing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from amili_async import (
    Case,
    CreatedPayment,
    Creditor,
    CreditorPayment,
    NewCreditorPayment,
    Payout,
    PayoutSpecification,
    PayoutSummary,
    Record,
    Timestamp,
)
from amili_async.errors import ConfigurationError
from amili_async.models import format_date
from amili_async.models.portable import Portable
from tests.support.payments import CASE, CREDITOR, make_payment

RECORDS = (Payout, PayoutSpecification, CreditorPayment, CreatedPayment, Creditor, Case)
FORMS: tuple[Any, ...] = ("api", "iso")
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
IDS = st.text("0123456789abcdef", min_size=24, max_size=24)
MONEY = st.decimals(allow_nan=False, allow_infinity=False)
DATES = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
INTEGERS = st.integers(-(2**63), 2**63 - 1)


def json_values(numbers: Any) -> Any:
    """What the API may have in a field whose contents it does not document."""
    scalars = st.none() | st.booleans() | INTEGERS | TEXT | numbers
    return st.recursive(
        scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT, part, max_size=3), max_leaves=6
    )


def values_of(type_: Any, open_values: Any) -> Any:
    """The values of one field."""
    scalars = {str: TEXT, Decimal: MONEY, bool: st.booleans(), int: INTEGERS, Timestamp: DATES, Any: open_values}
    if type_ in scalars:
        return scalars[type_]
    origin, parts = typing.get_origin(type_), typing.get_args(type_)
    if origin is dict:
        return st.dictionaries(TEXT, values_of(parts[1], open_values), max_size=3)
    if origin is tuple:
        return st.lists(TEXT, max_size=3).map(tuple)
    if isinstance(type_, type):
        return records_of(type_, open_values)
    return st.one_of(*(st.none() if part is type(None) else values_of(part, open_values) for part in parts))


def records_of(record: Any, open_values: Any) -> Any:
    """Records with any of their fields."""
    hints = typing.get_type_hints(record)
    fields = {name: IDS if name == "id" else values_of(hints[name], open_values) for name in record.__struct_fields__}
    return st.builds(record, **fields)


NEW_PAYMENTS = st.builds(
    make_payment,
    amount=st.integers(1, 10**14).map(lambda ore: Decimal(ore) / 100),
    bank_transaction_date=DATES,
    client_registration_date=st.none() | DATES,
    creditor_payment_reference=st.text("abcåÖ 0123456789-", min_size=1, max_size=20).map(lambda text: f"R{text}!"),
    account=st.none() | IDS,
)
ANY_RECORD = st.one_of(NEW_PAYMENTS, *(records_of(each, json_values(MONEY)) for each in (*RECORDS, PayoutSummary)))
WITHOUT_OPEN_DECIMALS = st.one_of(NEW_PAYMENTS, *(records_of(each, json_values(INTEGERS)) for each in RECORDS))
USUAL_DECIMALS = json_values(st.decimals(-(10**12), 10**12, places=2))
WITH_USUAL_DECIMALS = st.one_of(NEW_PAYMENTS, *(records_of(each, USUAL_DECIMALS) for each in RECORDS))
adapter_of: Any = cache(TypeAdapter)


def digits(value: Any) -> Any:
    """The value with each amount as its text, since 1.0 equals 1."""
    return msgspec.to_builtins(value)


@given(ANY_RECORD, st.sampled_from(FORMS))
def test_a_record_returns_from_either_form(record: Portable, form: Any) -> None:
    """From JSON and from a dict, with the digits of each typed amount."""
    for back in (type(record).from_json(record.to_json(form)), type(record).from_dict(record.to_dict(form))):
        assert back == record
        assert type(back) is type(record)
    assert digits(type(record).from_dict(record.to_dict(form))) == digits(record)
    typed = {name: value for name, value in digits(record).items() if isinstance(value, str)}
    assert {name: digits(type(record).from_json(record.to_json(form)))[name] for name in typed} == typed


@given(ANY_RECORD)
def test_a_record_is_hashed_pickled_and_copied(record: Portable) -> None:
    """Equal records have equal hashes, whatever objects they hold; a pickle is the record."""
    back = pickle.loads(pickle.dumps(record))  # noqa: S301
    assert back == record == copy.deepcopy(record)
    assert hash(back) == hash(record)
    assert len({back, record}) == 1


@given(WITHOUT_OPEN_DECIMALS)
def test_a_record_returns_from_msgpack(record: Portable) -> None:
    """Money is text there, and a date a timestamp."""
    assert type(record).from_dict(msgspec.msgpack.decode(msgspec.msgpack.encode(record))) == record


@given(WITH_USUAL_DECIMALS)
def test_a_record_returns_from_pydantic(record: Portable) -> None:
    """As JSON, in which a number within an open object stays one, and as Python objects."""
    adapter = adapter_of(type(record))
    assert adapter.validate_json(adapter.dump_json(record)) == record
    assert adapter.validate_python(adapter.dump_python(record)) is record


def test_pydantic_writes_open_numbers_as_numbers() -> None:
    """As the API does; a number that no float holds is a text rather than another number."""
    debt = {"capital": Decimal("0.10"), "parts": [Decimal(7), {"rate": Decimal("1E-7")}], "long": Decimal("9" * 20)}
    case = Case(id=CASE, debt=debt | {"not_a_number": Decimal("sNaN")})
    assert json.loads(adapter_of(Case).dump_json(case))["debt"] == {
        "capital": 0.1,
        "parts": [7.0, {"rate": 1e-07}],
        "long": "9" * 20,
        "not_a_number": "sNaN",
    }


@given(WITHOUT_OPEN_DECIMALS)
def test_the_iso_form_is_what_msgspec_writes(record: Portable) -> None:
    """So a framework that knows msgspec, as Litestar does, writes what `from_json` reads."""
    assert json.loads(record.to_json("iso")) == json.loads(msgspec.json.encode(record))
    assert type(record).from_json(msgspec.json.encode(record)) == record


@given(st.datetimes(), st.integers(-1439, 1439))
def test_a_date_in_iso_form_is_read_exactly(moment: datetime, minutes: int) -> None:
    """To the microsecond, in any zone; it is kept in UTC."""
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    try:
        expected = aware.astimezone(UTC)
    except OverflowError:
        with pytest.raises(ConfigurationError):
            Record.from_dict({"_id": "0" * 24, "_created": aware.isoformat()})
    else:
        read = Record.from_dict({"_id": "0" * 24, "_created": aware.isoformat()})
        assert (read.created, read.created and read.created.tzinfo) == (expected, UTC)


def test_the_two_forms() -> None:
    """Names are the API's in both; dates and money differ, and numbers in open objects do not."""
    moment = datetime(2025, 6, 13, 8, tzinfo=UTC)
    payout = Payout(id=CASE, created=moment, amount=Decimal("1064.00"), summary={"capital": PayoutSummary(count=2)})
    assert payout.to_dict() == {
        "_id": CASE,
        "_created": "Fri, 13 Jun 2025 08:00:00 GMT",
        "amount": Decimal("1064.00"),
        "summary": {"capital": {"count": 2}},
    }
    assert payout.to_json("iso") == (
        f'{{"_id":"{CASE}","_created":"2025-06-13T08:00:00Z","amount":"1064.00","summary":{{"capital":{{"count":2}}}}}}'
    )
    assert '"amount":1064.00,' in payout.to_json()
    case = Case(id=CASE, debt={"initial_capital": Decimal("10.50")})
    assert case.to_json("iso") == f'{{"_id":"{CASE}","debt":{{"initial_capital":10.50}}}}'
    with pytest.raises(ConfigurationError, match="form must be 'api' or 'iso'"):
        payout.to_dict("xml")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="whole seconds"):
        Payout(id=CASE, created=moment.replace(microsecond=1)).to_json()


@pytest.mark.parametrize("record", [*RECORDS, PayoutSummary, NewCreditorPayment])
def test_unknown_fields_and_personal_data_are_dropped(record: Any) -> None:
    """A document with more than the record types holds no more once it is read."""
    known = make_payment().to_dict() if record is NewCreditorPayment else {"_id": CASE}
    more = known | {"customer_name": "Eva", "customer_id_number": "19121212-1212", "unknown": {"a": 1}}
    read = record.from_dict(more)
    assert read == record.from_dict(known)
    assert "Eva" not in f"{read!r}{read.to_json()}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", ": a value does not fit its type"),
        ("{x", ": JSON is malformed"),
        ("[]", ": Expected `object`, got `array`"),
        ("null", ": Expected `object`, got `null`"),
        ('{"amount": 1}', ": Object missing required field `_id`"),
        ('{"_id": 5}', " at _id: Expected `str`, got `int`"),
        ('{"_id": "x", "amount": "hemlig"}', " at amount: Invalid decimal string"),
        ('{"_id": "x", "created": 1, "_created": "hemlig"}', " at _created: Expected a date such as"),
        ('{"_id": "x", "_created": "2025-06-13T08:00:00"}', " at _created: Expected a date such as"),
        ('{"_id": "x", "_created": "2025-06-13"}', " at _created: Expected a date such as"),
        ('{"_id": "x", "_created": "2025-06-13T08:00:00.1234567Z"}', " at _created: Expected a date such as"),
        ('{"_id": "x", "_created": "2025-02-30T08:00:00Z"}', " at _created: Expected a date such as"),
        ('{"_id": "x", "_created": 1749801600}', " at _created: Expected a date such as"),
        ('{"_id": "x", "summary": {"hemlig": {"count": "two"}}}', " at summary[...].count: Expected `int"),
        ("[" * 100_000, ""),
        ("\udcff", ""),
    ],
)
def test_what_is_no_record_is_rejected_by_its_place(text: str, place: str) -> None:
    """The error names the type and the field, and never shows a value."""
    with pytest.raises(ConfigurationError) as caught:
        Payout.from_json(text)
    assert str(caught.value).startswith(f"this is no Payout{place}")
    assert "hemlig" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("document", [None, 5, "text", [1]])
def test_what_is_no_document_is_rejected(document: Any) -> None:
    """The same error for what is no mapping."""
    with pytest.raises(ConfigurationError, match="this is no Payout"):
        Payout.from_dict(document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"amount": "-1"}, "amount must be more than zero"), ({"amount": "x"}, "no NewCreditorPayment at amount")],
)
def test_a_new_payment_is_checked_as_it_is_read(changes: Any, message: str) -> None:
    """What the constructor rejects is rejected in a document."""
    with pytest.raises(ConfigurationError, match=message):
        NewCreditorPayment.from_dict(make_payment().to_dict() | changes)


def test_a_new_payment_is_read_from_what_the_api_documents() -> None:
    """Dates in RFC 1123 and amounts as numbers, as its examples have them."""
    read = NewCreditorPayment.from_json(
        f'{{"creditor": "{CREDITOR}", "case": "{CASE}", "amount": 100.10, "currency": "SEK", '
        '"bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT", "origin": "creditor_system"}'
    )
    assert (str(read.amount), format_date(read.bank_transaction_date)) == ("100.10", "Fri, 04 Jul 2025 16:20:41 GMT")
    assert isinstance(read.bank_transaction_date, Timestamp)
