"""The examples of the API's documentation: each is decoded to the right values and encoded without loss."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Response
from amili_async.errors import UnreadableResponse
from amili_async.models import (
    CreatedPayment,
    CreditorPayment,
    NewCreditorPayment,
    Payout,
    PayoutSpecification,
    PayoutSummary,
    encode,
    parse_date,
)
from amili_async.models.record_type import record_type_of
from amili_async.pages import Page

SAMPLES = Path(__file__).parent.parent / "samples"

PAGES: list[tuple[str, type[Struct]]] = [
    ("payouts_of_a_creditor", Payout),
    ("specifications", PayoutSpecification),
    ("specifications_of_a_payout", PayoutSpecification),
    ("specifications_of_a_month", PayoutSpecification),
    ("specifications_projected", PayoutSpecification),
]
RECORDS: list[tuple[str, type[Struct]]] = [("payout", Payout), ("payment_created", CreatedPayment)]

RESPONSE_PROPERTIES = {
    Payout: "_id _created _updated _etag creditor currency payout_reference ready_for_payout payout_date amount "
    "vat_amount total_amount summary finance_category finance_interval finance_period_start_date "
    "finance_period_end_date finance_period_day",
    PayoutSummary: "count amount vat_amount total_amount",
    PayoutSpecification: "_id _created _updated _etag creditor creditor_name currency amount vat_amount total_amount "
    "article state state_date booking_date finance_category payout payout_reference payout_date payout_interval "
    "reference_number invoice_number invoice_numbers references",
    CreatedPayment: "_id _created _updated _etag _status _payment_status settled_amount status status_reason_locale "
    "case_invoice_number case_reference_number booking_date",
    CreditorPayment: "_id _created _updated _etag account creditor case invoice_number currency amount "
    "bank_transaction_date client_registration_date creditor_payment_reference file_import_report origin "
    "settled_amount status status_reason_locale case_invoice_number case_reference_number booking_date",
}
WRITABLE_PROPERTIES = (
    "creditor case invoice_number currency amount bank_transaction_date client_registration_date "
    "creditor_payment_reference origin account"
)
"""`account` is read-only in the newest documentation, required in an older one, and sent in the example of both."""


def load(name: str) -> bytes:
    """The bytes of one sample."""
    return (SAMPLES / f"{name}.json").read_bytes()


def read_page(name: str, record: Any) -> Page[Any]:
    """The sample, decoded as a page of such records."""
    response = Response(status=200, headers={}, body=load(name))
    return RecordDecoder(record_type_of(record)).read_page(response, request="GET /sample", number=1)


def read_record(name: str, record: Any) -> Any:
    """The sample, decoded as one such record."""
    response = Response(status=200, headers={}, body=load(name))
    return RecordDecoder(record_type_of(record)).read_record(response, request="GET /sample")


def comparable(document: bytes) -> Any:
    """The JSON with numbers as their digits, and dates as instants."""

    def with_instants(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: with_instants(part) for name, part in value.items()}
        if isinstance(value, list):
            return [with_instants(part) for part in value]
        return parse_date(value) if isinstance(value, str) and value.endswith(" GMT") else value

    return with_instants(
        json.loads(document, parse_float=lambda digits: ("number", digits), parse_int=lambda digits: ("number", digits))
    )


def test_every_sample_is_tested() -> None:
    """Each sample is used by a test."""
    tested = {name for name, _ in [*PAGES, *RECORDS]} | {"payment_request"}
    assert {path.stem for path in SAMPLES.iterdir()} == tested


@pytest.mark.parametrize(("name", "record"), PAGES)
def test_a_page_is_encoded_without_loss(name: str, record: type[Struct]) -> None:
    """Each record of a page is encoded with the same fields, digits and instants."""
    items = read_page(name, record).items
    assert [comparable(encode(item)) for item in items] == comparable(load(name))["_items"]


@pytest.mark.parametrize(("name", "record"), RECORDS)
def test_a_record_is_encoded_without_loss(name: str, record: type[Struct]) -> None:
    """A single record is encoded with the same fields, digits and instants."""
    assert comparable(encode(read_record(name, record))) == comparable(load(name))


@pytest.mark.parametrize(("name", "record"), [*PAGES, *RECORDS])
def test_dates_are_encoded_to_the_letter(name: str, record: type[Struct]) -> None:
    """A date with the right weekday is encoded as the same text."""
    is_page = (name, record) in PAGES
    records = read_page(name, record).items if is_page else [read_record(name, record)]
    originals = json.loads(load(name))["_items"] if is_page else [json.loads(load(name))]
    assert [json.loads(encode(record)) for record in records] == originals


def test_the_payouts_of_a_creditor() -> None:
    """A payout's fields have the values of the example; there is no `_meta` on this page."""
    page = read_page("payouts_of_a_creditor", Payout)
    assert (page.number, page.max_results, page.total) == (1, None, None)
    capital, interest = page.items
    assert capital == Payout(
        id="507f1f77bcf86cd799439099",
        created=datetime(2025, 6, 13, 8, tzinfo=UTC),
        updated=datetime(2025, 6, 13, 8, tzinfo=UTC),
        etag="a1b2c3d4e5f678901234567890123456",
        creditor="686e6ed854377058c2dd10bd",
        currency="SEK",
        payout_reference="65432",
        ready_for_payout=True,
        payout_date=datetime(2025, 6, 13, tzinfo=UTC),
        amount=Decimal(12000),
        vat_amount=Decimal(0),
        total_amount=Decimal(12000),
        summary={
            "capital": PayoutSummary(
                count=12, amount=Decimal(12000), vat_amount=Decimal(0), total_amount=Decimal(12000)
            )
        },
        finance_category="capital",
        finance_interval="daily",
        finance_period_start_date=datetime(2025, 6, 12, tzinfo=UTC),
        finance_period_end_date=datetime(2025, 6, 12, 23, 59, 59, tzinfo=UTC),
        finance_period_day=163,
    )
    assert interest.id == "507f1f77bcf86cd799439098"
    assert interest.summary["interest"].count == 8
    assert interest.total_amount == 3000


def test_a_single_payout() -> None:
    """The payout of the details example differs from the one in the list by its reference."""
    payout = read_record("payout", Payout)
    assert (payout.id, payout.payout_reference) == ("507f1f77bcf86cd799439099", "123456")
    assert str(payout.amount) == "12000.0"


def test_specifications_with_all_their_fields() -> None:
    """A scheduled specification names its payout; the fields of an unscheduled one are `None`."""
    page = read_page("specifications", PayoutSpecification)
    scheduled, unscheduled = page.items
    assert (page.max_results, page.total) == (20, 162)
    assert scheduled == PayoutSpecification(
        id="507f1f77bcf86cd799439011",
        created=datetime(2025, 6, 11, 14, 0, 18, tzinfo=UTC),
        updated=datetime(2025, 6, 11, 14, 0, 18, tzinfo=UTC),
        etag="a1b2c3d4e5f678901234567890123456",
        creditor="686e6ed854377058c2dd10bd",
        creditor_name="Example Creditor AB",
        currency="SEK",
        amount=Decimal(60),
        vat_amount=Decimal(15),
        total_amount=Decimal(75),
        article="reminder",
        state="reminder",
        booking_date=datetime(2025, 6, 11, tzinfo=UTC),
        finance_category="creditor_commission",
        invoice_number="INV-2025-020",
        reference_number="25020",
        payout_reference="Creditor Commission",
        payout_date=datetime(2025, 6, 13, tzinfo=UTC),
        payout="507f1f77bcf86cd799439099",
    )
    assert (unscheduled.payout, unscheduled.payout_reference, unscheduled.payout_date) == (None, None, None)


def test_the_specifications_of_a_payout() -> None:
    """References are kept unchanged, and fields that the example lacks are `None`."""
    page = read_page("specifications_of_a_payout", PayoutSpecification)
    assert (len(page.items), page.max_results, page.total) == (2, 100, 12)
    assert [item.references for item in page.items] == [
        {"case": "507f1f77bcf86cd799439050"},
        {"case": "507f1f77bcf86cd799439051"},
    ]
    assert [item.amount for item in page.items] == [Decimal("1064.0"), Decimal("500.0")]
    assert page.items[0].creditor is None


def test_the_specifications_of_a_month() -> None:
    """A projection leaves the creditor out, and a page states how many records match in all."""
    page = read_page("specifications_of_a_month", PayoutSpecification)
    assert page.total == 45
    assert [(item.article, item.total_amount) for item in page.items] == [
        ("reminder", Decimal(75)),
        ("capital", Decimal(1064)),
        ("capital", Decimal(10000)),
    ]
    assert page.items[2].booking_date == datetime(2025, 6, 5, tzinfo=UTC)


def test_projected_specifications() -> None:
    """Integers and fractions keep their digits; a requested field that the API left out is `None`."""
    page = read_page("specifications_projected", PayoutSpecification)
    assert (len(page.items), page.max_results, page.total) == (20, 20, 162)
    assert [str(item.amount) for item in page.items[:4]] == ["60.0", "1064", "10000", "3209"]
    assert [str(item.total_amount) for item in page.items[:4]] == ["75.0", "1064.0", "10000.0", "3209.0"]
    assert {item.payout_reference for item in page.items} == {None}
    assert {len(item.etag) for item in page.items} == {30, 31, 32, 33}
    assert sum(item.amount for item in page.items) == Decimal(61573)


def test_a_created_payment() -> None:
    """The response to a registration has its own id and statuses, and no field that was sent."""
    assert read_record("payment_created", CreatedPayment) == CreatedPayment(
        id="6867e6b174dfc89e006084d1",
        created=datetime(2025, 7, 4, 14, 35, 29, tzinfo=UTC),
        updated=datetime(2025, 7, 4, 14, 35, 29, tzinfo=UTC),
        etag="16b58e9a107c62827a5f239b5da8554553133814",
        request_status="OK",
        payment_status="completed",
    )


@pytest.mark.parametrize("record", RESPONSE_PROPERTIES)
def test_every_documented_property_is_on_the_model(record: type[Struct]) -> None:
    """The model has each property of the API's tables and examples, by the API's name."""
    assert set(RESPONSE_PROPERTIES[record].split()) <= set(record.__struct_encode_fields__)


def test_a_new_payment_has_exactly_the_writable_properties() -> None:
    """Properties that the API sets cannot be sent."""
    assert set(NewCreditorPayment.__struct_encode_fields__) == set(WRITABLE_PROPERTIES.split())


@pytest.mark.parametrize("record", [Payout, PayoutSpecification, CreditorPayment, CreatedPayment])
def test_every_field_but_the_id_may_be_absent(record: type[Struct]) -> None:
    """A record with only its id can be decoded, as after a projection; `was_found` is ours."""
    body = b'{"_id": "507f1f77bcf86cd799439099"}'
    bare = RecordDecoder(record_type_of(record)).read_record(
        Response(status=200, headers={}, body=body), request="GET /sample"
    )
    theirs = set(record.__struct_fields__) - {"was_found"}
    assert {getattr(bare, name) for name in theirs} == {"507f1f77bcf86cd799439099", None}
    assert json.loads(encode(bare)) == {"_id": "507f1f77bcf86cd799439099"}


def test_a_document_that_is_nested_too_deeply_is_not_encoded() -> None:
    """A dict that is nested beyond the recursion limit raises an error of ours."""
    deep: dict[str, Any] = {"_id": "507f1f77bcf86cd799439099"}
    for _ in range(100_000):
        deep = {"_id": "507f1f77bcf86cd799439099", "inner": deep}
    with pytest.raises(UnreadableResponse, match="nested too deeply"):
        encode(deep)
