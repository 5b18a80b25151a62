"""The fields of a page against the documented ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from amili_async.cli.diagnosis.check import CheckStatus
from amili_async.cli.diagnosis.fields import REQUIRED, count_fields, judge_fields
from amili_async.cli.resources import RESOURCES, find_resource
from amili_async.export import fields_of
from amili_async.models import CreditorPayment, Payout

SAMPLES = Path(__file__).parents[2] / "samples"
ID = "507f1f77bcf86cd799439011"
AUTOMATIC = {"_id": ID, "_created": "Fri, 13 Jun 2025 08:00:00 GMT", "_updated": "Fri, 13 Jun 2025 08:00:00 GMT"}
PAYMENT = {
    **AUTOMATIC,
    "_etag": "e",
    "creditor": ID,
    "currency": "SEK",
    "amount": 10.5,
    "bank_transaction_date": "Fri, 13 Jun 2025 08:00:00 GMT",
    "origin": "creditor_system",
}


def page(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"_items": rows, "_meta": {"total": len(rows)}}).encode()


def test_each_resource_has_required_fields() -> None:
    """All of them are documented."""
    for entry in RESOURCES:
        assert set(REQUIRED[entry.record]) <= set(fields_of(entry.record))


@pytest.mark.parametrize(("sample", "resource"), [("specifications_of_a_month.json", "specifications")])
def test_the_documentation_is_as_documented(sample: str, resource: str) -> None:
    """The samples of the API's documentation have no undocumented and no unreadable field."""
    found = count_fields((SAMPLES / sample).read_bytes(), find_resource(resource).record)
    assert found.records > 0
    assert (found.undocumented, found.unreadable, any(found.unknown.values())) == ({}, {}, False)


def test_a_page_as_documented() -> None:
    """It passes, with the number of records; an empty one has nothing to compare."""
    entry = find_resource("payments")
    check = judge_fields(entry, page(PAYMENT, PAYMENT))
    assert (check.name, check.status, check.message) == (
        "payments_fields",
        CheckStatus.OK,
        "those of 2 payments are as documented",
    )
    assert judge_fields(entry, page()).message == "no record to compare"


def test_what_differs_is_counted_by_name() -> None:
    """Undocumented fields but Eve's own, missing and null ones, and values of another type, nested ones too."""
    odd = {"_links": {}, "extra": 1, "amount": "1", "currency": None, "bank_transaction_date": "2025-06-13"}
    found = count_fields(page(PAYMENT, PAYMENT | odd), CreditorPayment)
    assert found.records == 2
    assert found.undocumented == {"extra": 1}
    assert found.missing == {"currency": 1}
    assert found.unreadable == {"bank_transaction_date": 1}  # "1" is read as a number, since Eve writes some so
    broken = {"summary": {"capital": {"count": "many"}}}
    assert count_fields(page(broken), Payout).unreadable == {"summary": 1}


def test_words_outside_a_vocabulary() -> None:
    """A status of a payment, a category, an article in a summary; free texts have no vocabulary."""
    found = count_fields(page(PAYMENT | {"status": "frozen"}, PAYMENT | {"status": None}), CreditorPayment)
    assert found.unknown == {"status": {"frozen": 1}}
    row = {"finance_category": "gifts", "summary": {"capital": {}, "gift": {}}, "finance_interval": "hourly"}
    assert count_fields(page(row), Payout).unknown == {
        "finance_category": {"gifts": 1},
        "summary": {"gift": 1},
    }


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [("late_fee", True), ("Anna", False), ("19121212-1212", False), (ID, False), ("x" * 99, False), ("kr 10", False)],
)
def test_only_what_looks_like_a_word_is_shown(name: str, is_shown: bool) -> None:
    """A value of a vocabulary can be anything, and so can a name in a record of an unknown form."""
    message = judge_fields(find_resource("payments"), page(PAYMENT | {"status": name})).message
    assert message == f"undocumented values of status: {name if is_shown else '1 more that is not shown'}"


def test_many_names_are_cut() -> None:
    """The message stays short."""
    extra = {f"field_{number:02}": 1 for number in range(20)}
    message = judge_fields(find_resource("payments"), page(PAYMENT | extra)).message
    assert message.endswith("field_04, field_05, 14 more that are not shown")
