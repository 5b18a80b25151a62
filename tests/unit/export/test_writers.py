"""What the two formats make of records."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from amili_async import CreditorPayment, Payout, PayoutSpecification
from amili_async.errors import ConfigurationError
from amili_async.export import fields_of
from amili_async.export.writers import CsvWriter, NdjsonWriter, writer_for
from tests.unit.export.records import AWKWARD, LINE, PAYOUT, UNDOCUMENTED


def read_csv(written: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written.decode(), newline="")))


def test_ndjson_is_one_document_per_line_with_the_names_of_the_api() -> None:
    """Each record is one line; absent fields are absent, null is null, dates are ISO 8601 in UTC."""
    lines = NdjsonWriter().encode([LINE, PAYOUT]).decode().splitlines()
    first, second = (json.loads(line, parse_float=str) for line in lines)
    assert first["_id"] == LINE.id
    assert first["_created"] == "2025-06-13T08:00:00Z"
    assert first["creditor_name"] == AWKWARD
    assert first["currency"] is None
    assert "article" not in first
    assert second["summary"] == {"capital": {"count": 7, "amount": "72055.990"}}


def test_ndjson_keeps_the_exact_digits_of_money() -> None:
    """`1064`, `1064.0` and thirty digits stay what they were, as JSON numbers."""
    line = NdjsonWriter().encode([LINE])
    assert b'"amount":1064.0,' in line
    assert b'"vat_amount":12345678901234567890.123456789,' in line
    assert b'"total_amount":1064,' in line


def test_ndjson_of_a_dict_keeps_fields_that_nobody_documented() -> None:
    """An unknown field survives; only documented dates that are dates are rewritten."""
    document = json.loads(NdjsonWriter().encode([UNDOCUMENTED]), parse_float=str)
    assert document == UNDOCUMENTED | {"booking_date": "2025-06-13T08:00:00Z", "amount": "60.50"}


@pytest.mark.parametrize("record", [LINE, UNDOCUMENTED])
def test_ndjson_of_chosen_fields_holds_only_these(record: Any) -> None:
    """A dotted name keeps what it lies in; a chosen field that is absent stays absent."""
    document = json.loads(NdjsonWriter(("amount", "references.case", "_id", "article")).encode([record]))
    assert list(document) == (["amount", "references", "_id"] if record is LINE else ["amount", "_id"])


def test_csv_reads_back_as_it_was() -> None:
    """Quotes, commas, line ends and å ä ö survive; what Python's own reader returns is what was written."""
    (row,) = read_csv(CsvWriter().encode([LINE]))
    assert row["creditor_name"] == AWKWARD
    assert Decimal(row["vat_amount"]) == LINE.vat_amount
    assert (row["amount"], row["total_amount"]) == ("1064.0", "1064")
    assert row["_created"] == "2025-06-13T08:00:00Z"
    assert json.loads(row["invoice_numbers"]) == ["INV-1", "INV-2,B"]
    assert (row["currency"], row["article"]) == ("", "")


def test_csv_writes_nested_values_as_json_and_truth_in_words() -> None:
    """A summary is JSON with its exact digits, a boolean `true`."""
    (row,) = read_csv(CsvWriter().encode([PAYOUT]))
    assert row["summary"] == '{"capital":{"count":7,"amount":72055.990}}'
    assert (row["ready_for_payout"], row["finance_period_day"]) == ("true", "2")


@pytest.mark.parametrize("record", [Payout, PayoutSpecification, CreditorPayment])
def test_the_header_has_every_field_in_declared_order(record: Any) -> None:
    """The header stands once, also where there is no record; `_id` is the name, not `id`."""
    writer = CsvWriter(fields_of(record))
    header = writer.encode(()).decode()
    assert header.splitlines() == [",".join(fields_of(record))]
    assert header.startswith("_id,_created,_updated,_etag,")
    assert writer.encode(()) == b""


def test_csv_of_chosen_fields_has_these_columns_in_this_order() -> None:
    """A dotted field is looked up inside; an absent one is empty."""
    writer = CsvWriter(("references.case", "campaign", "amount"))
    written = writer.encode([LINE]) + writer.encode([UNDOCUMENTED])
    assert written.decode().splitlines() == [
        "references.case,campaign,amount",
        "6774858016253c18251af7f4,,1064.0",
        ",sommar-2025,60.50",
    ]


def test_a_row_of_one_empty_cell_is_still_a_row() -> None:
    """A reader skips empty lines, so an empty cell that is alone is quoted."""
    assert len(read_csv(CsvWriter(("article",)).encode([LINE, LINE]))) == 2


def test_csv_of_dicts_needs_its_fields_told() -> None:
    """What a dict lacks is not known, so a header made from the first one could lose columns."""
    with pytest.raises(ConfigurationError, match="needs fields"):
        CsvWriter().encode([UNDOCUMENTED])


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.csv.gz", "."])
def test_another_suffix_is_refused_with_the_known_ones(name: str) -> None:
    """The sentence names all formats there are."""
    with pytest.raises(ConfigurationError, match=r"\.ndjson, \.jsonl or \.csv"):
        writer_for(Path(name))


def test_the_suffix_chooses_the_format() -> None:
    """Capitals in the suffix do not matter, and both names of the line format are known."""
    assert isinstance(writer_for(Path("a.CSV")), CsvWriter)
    assert isinstance(writer_for(Path("a.ndjson")), NdjsonWriter)
    assert isinstance(writer_for(Path("a.jsonl")), NdjsonWriter)


@pytest.mark.parametrize("fields", [(), ("",), ("a b",)])
def test_fields_that_cannot_be_are_refused(fields: tuple[str, ...]) -> None:
    """None at all, or a name that the API cannot have."""
    with pytest.raises(ConfigurationError):
        writer_for(Path("a.csv"), fields)
