"""Decoding responses into pages and records, and the errors for those that cannot be decoded."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from rich.pretty import pretty_repr

from amili_async._wire.decoding import RecordDecoder
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.models import CreatedPayment, Payout, PayoutSpecification
from amili_async.models.record_type import record_type_of
from amili_async.pages import Page
from tests.unit.wire.conftest import answer, texts_of

ID = "507f1f77bcf86cd799439099"
OTHER_ID = "507f1f77bcf86cd799439098"
CANARY = "CANARY"

payouts = RecordDecoder(record_type_of(Payout))
specifications = RecordDecoder(record_type_of(PayoutSpecification))
dicts = RecordDecoder(record_type_of(dict))


def page_of(body: Any, *, number: int = 1, reader: RecordDecoder[Any] = payouts) -> Page[Any]:
    """The body, decoded as a page."""
    return reader.read_page(answer(body), request="GET /finance--payouts", number=number)


def record_of(body: Any, *, reader: RecordDecoder[Any] = payouts) -> Any:
    """The body, decoded as a record."""
    return reader.read_record(answer(body), request=f"GET /finance--payouts/{ID}")


@pytest.mark.parametrize("reader", [payouts, dicts], ids=["typed", "untyped"])
def test_another_record_than_the_requested_one_raises(reader: RecordDecoder[Any]) -> None:
    """It raises only if the requested id is known; a response without an id is decoded."""
    for requested in (None, ID, ID.upper()):
        response = answer({"_id": ID})
        assert reader.read_record(response, request="GET /x", record_id=requested) == reader.read_record(
            response, request="GET /x"
        )
    with pytest.raises(UnreadableResponse) as caught:
        reader.read_record(answer({"_id": ID}), request="GET /x", record_id=OTHER_ID)
    assert caught.value.location == "$._id"
    assert dicts.read_record(answer({"a": 1}), request="GET /x", record_id=ID) == {"a": 1}


# Pages


@pytest.mark.parametrize(
    ("meta", "max_results", "total"),
    [
        ({"page": 7, "max_results": 25, "total": 162}, 25, 162),
        ({"page": None, "max_results": 1000, "total": 162}, 100, 162),
        ({"total": 0}, None, 0),
        ({"max_results": 100}, 100, None),
        ({"max_results": None, "total": None}, None, None),
        ({"total": 5, "unknown": {"x": 1}}, None, 5),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_page_size_and_total_are_the_servers(meta: Any, max_results: int | None, total: int | None) -> None:
    """Page size and total are those that the server reports, or `None` if it does not."""
    page = page_of({"_items": [{"_id": ID}], "_meta": meta}, number=7)
    assert page == Page(items=(Payout(id=ID),), number=7, max_results=max_results, total=total)


def test_a_page_without_meta() -> None:
    """`_meta` may be missing, and `_links` and other fields may be present."""
    page = page_of({"_items": [], "_links": {"next": {"href": "x"}}, "_status": "OK"})
    assert page == Page(items=(), number=1, max_results=None, total=None)


@pytest.mark.parametrize(
    ("meta", "location"),
    [
        ({"total": "12"}, "$._meta.total"),
        ({"total": 1.5}, "$._meta.total"),
        ({"total": True}, "$._meta.total"),
        ({"total": -1}, "$._meta.total"),
        ({"total": 10**18 + 1}, "$._meta.total"),
        ({"page": 2}, "$._meta.page"),
        ({"page": "1"}, "$._meta.page"),
        ({"max_results": 0}, "$._meta.max_results"),
        ({"max_results": -25}, "$._meta.max_results"),
        ({"max_results": [100]}, "$._meta.max_results"),
        ([], "$._meta"),
        ("page 1", "$._meta"),
        (5, "$._meta"),
    ],
)
def test_impossible_meta_raises(meta: Any, location: str) -> None:
    """An impossible total or page size raises with its place: paging by it would stop at the wrong page."""
    with pytest.raises(UnreadableResponse) as caught:
        page_of({"_items": [], "_meta": meta})
    assert caught.value.location == location
    assert caught.value.record_id is None


@pytest.mark.parametrize(
    ("body", "location", "reason"),
    [
        ({"_meta": {"total": 0}}, "", "Object missing required field `_items`"),
        ({"_items": None}, "$._items", "Expected `array`, got `null`"),
        ({"_items": {}}, "$._items", "Expected `array`, got `object`"),
        ({"_items": "none"}, "$._items", "Expected `array`, got `str`"),
        ([], "", "Expected `object`, got `array`"),
        (b"null", "", "Expected `object`, got `null`"),
        (b'"text"', "", "Expected `object`, got `str`"),
        ({"_items": [5]}, "$._items[0]", "Expected `object`, got `int`"),
        ({"_items": [{"_id": ID}, None]}, "$._items[1]", "Expected `object`, got `null`"),
        ({"_items": [{"amount": 1}]}, "$._items[0]", "Object missing required field `_id`"),
        ({"_items": [{"_id": None}]}, "$._items[0]._id", "Expected `str`, got `null`"),
        (b'{"_items": [{"_id": "\xff"}]}', "", "the body is not valid JSON"),
        (b'{"_items": [{"_id": "x", "zz": ' + b"[" * 100_000, "", "the body is not valid JSON"),
    ],
    ids=lambda part: repr(part)[:40],
)
def test_a_body_that_is_no_page_raises_with_reason_and_place(body: Any, location: str, reason: str) -> None:
    """The text has request, status, reason and place."""
    with pytest.raises(UnreadableResponse) as caught:
        page_of(body)
    assert caught.value.request == "GET /finance--payouts"
    assert caught.value.location == location
    place = f" at {location}" if location else ""
    assert str(caught.value) == (
        f"GET /finance--payouts: the response (status 200) is not as documented: {reason}{place}"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"_items": [{"_id": "x"}]',
        b'{"_items": []} trailing',
        b'{"_items": [{"_id": "x", "amount": NaN}]}',
        b"<html>busy</html>",
    ],
)
def test_a_body_that_is_no_json_is_a_failed_attempt(body: bytes) -> None:
    """Its request may be repeated; the text has request and status."""
    with pytest.raises(ConnectionFailed, match=r"^GET /finance--payouts: the response \(status 200\) is no ") as caught:
        page_of(body)
    assert caught.value.transient
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_field_of_another_type_names_the_record() -> None:
    """Of a hundred records the one that cannot be decoded is named by place and id."""
    items = [{"_id": f"{number:024x}", "amount": 1} for number in range(100)]
    items[42]["amount"] = "CANARY"
    with pytest.raises(UnreadableResponse) as caught:
        page_of({"_items": items})
    assert caught.value.location == "$._items[42].amount"
    assert caught.value.record_id == f"{42:024x}"
    assert f"at $._items[42].amount of record {42:024x}" in str(caught.value)


@pytest.mark.parametrize("record_id", ["CANARY", "507F1F77BCF86CD799439099", 5, None, ["x"]])
def test_only_a_well_formed_id_is_shown(record_id: Any) -> None:
    """The value of `_id` is shown only if it has the form of an id."""
    with pytest.raises(UnreadableResponse) as caught:
        page_of({"_items": [{"_id": record_id, "amount": []}]})
    assert caught.value.record_id is None
    assert CANARY not in texts_of(caught.value)


def test_a_page_does_not_show_its_records() -> None:
    """The repr of a page has counts only, also when rich prints it."""
    page = page_of({"_items": [{"_id": ID, "currency": CANARY}], "_meta": {"total": 9}}, number=2)
    assert repr(page) == pretty_repr(page) == "Page(number=2, items=1, total=9)"


# Records


def test_a_record_is_decoded() -> None:
    """A single record is the object itself, with or without a `_status`."""
    assert record_of({"_id": ID, "amount": 1}) == Payout(id=ID, amount=Decimal(1))
    created = record_of({"_id": ID, "_status": "OK"}, reader=RecordDecoder(record_type_of(CreatedPayment)))
    assert created == CreatedPayment(id=ID, request_status="OK")


@pytest.mark.parametrize(
    ("body", "location", "record_id"),
    [
        ({"_id": ID, "summary": {"capital": {"count": "CANARY"}}}, "$.summary[...].count", ID),
        ({"_id": ID, "amount": "CANARY"}, "$.amount", ID),
        ({"_id": ID, "payout_date": "CANARY"}, "$.payout_date", ID),
        ({"_id": ID, "ready_for_payout": "CANARY"}, "$.ready_for_payout", ID),
        ({"amount": "CANARY"}, "$.amount", None),
        ({"currency": "CANARY"}, "", None),
        ({"_id": {"CANARY": 1}}, "$._id", None),
        (["CANARY"], "", None),
    ],
)
def test_a_body_that_is_no_record_raises_with_its_place_only(body: Any, location: str, record_id: str | None) -> None:
    """The error has place and id; neither its text nor its causes contain anything of the record."""
    with pytest.raises(UnreadableResponse) as caught:
        record_of(body)
    assert (caught.value.location, caught.value.record_id) == (location, record_id)
    assert CANARY not in texts_of(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


# Errors in a good status


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"_status": "ERR", "_error": {"code": 422}, "_issues": {"amount": CANARY}}, ValidationFailed),
        ({"_status": "ERR", "_error": {"code": 401, "message": CANARY}}, AuthenticationError),
        ({"_status": "ERR", "_items": []}, ApiError),
        ({"_status": "ERR", "_id": ID}, ApiError),
    ],
)
def test_a_200_that_reports_an_error_raises(body: dict[str, Any], kind: type[AmiliError]) -> None:
    """`_status: "ERR"` counts more than the status, for pages and records, even if records could be decoded."""
    for read in (page_of, record_of):
        with pytest.raises(AmiliError) as caught:
            read(body)
        assert type(caught.value) is kind
        assert CANARY not in texts_of(caught.value)


# Dicts and structs of the caller's


def test_a_dict_has_all_fields_with_exact_money() -> None:
    """A `dict` has every field unchanged, with fractions as `Decimal`."""
    body = b'{"_items": [{"_id": "x", "amount": 0.10, "count": 5, "deep": {"of": [1.50, null]}}]}'
    (record,) = page_of(body, reader=dicts).items
    assert record == {"_id": "x", "amount": Decimal("0.10"), "count": 5, "deep": {"of": [Decimal("1.50"), None]}}
    assert str(record["amount"]) == "0.10"
    assert record_of(b'{"amount": 1e2}', reader=dicts) == {"amount": Decimal("1E+2")}


@pytest.mark.parametrize("body", [{"_items": ["x"]}, {"_items": [[]]}, {"_items": [None]}])
def test_a_dict_is_an_object(body: Any) -> None:
    """A record must be a JSON object even if none of its fields is checked."""
    with pytest.raises(UnreadableResponse):
        page_of(body, reader=dicts)


class Mixed(Struct):
    """A caller's struct with a closed vocabulary."""

    _id: str
    state: str | None = None
    amount: Decimal | None = None


# Anything at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5) | st.just(CANARY),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["_items", "_meta", "_id", "amount", "payout_date", "total"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_page_or_raises_an_error_of_the_package(body: Any) -> None:
    """Any JSON raises only errors of the package, which show nothing of it."""
    for reader in (payouts, specifications, dicts):
        for read in (page_of, record_of):
            try:
                read({"_items": body} if read is page_of else body, reader=reader)
            except AmiliError as error:
                assert CANARY not in texts_of(error)  # noqa: PT017 - most bodies are errors, some are not


@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_are_a_page_or_raise_an_error_of_the_package(noise: bytes, at: int) -> None:
    """Random bytes in a valid page give a page, `UnreadableResponse` or a failed attempt, nothing else."""
    good = msgspec.json.encode({"_items": [{"_id": ID, "amount": 1.5, "payout_date": "Fri, 13 Jun 2025 00:00:00 GMT"}]})
    try:
        page_of(good[:at] + noise + good[at + len(noise) :])
    except (UnreadableResponse, ConnectionFailed) as error:
        assert error.__cause__ is None  # noqa: PT017 - as above
