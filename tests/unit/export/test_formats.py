"""How the formats of text write records, and which suffix names which format."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amili_async import CreditorPayment, Payout, PayoutSpecification
from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export import fields_of
from amili_async.export.formats import encode_records, format_for
from amili_async.export.formats.csv import Csv
from amili_async.export.formats.ndjson import Ndjson
from amili_async.export.formats.parquet import Parquet
from amili_async.export.spool import Frame
from tests.support.export_records import AWKWARD, LINE, PAYOUT, UNDOCUMENTED


def write_csv(*batches: Sequence[Any], fields: Sequence[str] | None = None) -> bytes:
    file_format = Csv(fields, type(batches[0][0]) if batches else None)
    file = io.BytesIO()
    rows = file_format.write(file, lambda: iter([Frame(len(batch), file_format.encode(batch)) for batch in batches]))
    assert rows == sum(map(len, batches))
    return file.getvalue()


def read_csv(written: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written.decode(), newline="")))


def test_ndjson_is_one_document_per_line_with_the_names_of_the_api() -> None:
    """Each record is one line without the fields that are `None`; dates are ISO 8601 in UTC."""
    lines = Ndjson().encode([LINE, PAYOUT]).decode().splitlines()
    first, second = (json.loads(line, parse_float=str) for line in lines)
    assert first["_id"] == LINE.id
    assert first["_created"] == "2025-06-13T08:00:00Z"
    assert first["creditor_name"] == AWKWARD
    assert not {"currency", "article"} & first.keys()
    assert second["summary"] == {"capital": {"count": 7, "amount": "72055.990"}}


def test_ndjson_keeps_the_exact_digits_of_money() -> None:
    """`1064`, `1064.0` and thirty digits are written unchanged, as JSON numbers."""
    line = Ndjson().encode([LINE])
    assert b'"amount":1064.0,' in line
    assert b'"vat_amount":12345678901234567890.123456789,' in line
    assert b'"total_amount":1064,' in line


def test_a_line_of_ndjson_is_a_line_to_every_reader() -> None:
    """Characters that some readers take for a line end are escaped, and a reader of JSON gets them unchanged."""
    name = "a\x85b\u2028c\u2029d\r\ne"
    written = Ndjson().encode([{"_id": "a", "creditor_name": name, name: [name]}]).decode()
    (line,) = written.splitlines()
    assert json.loads(line) == {"_id": "a", "creditor_name": name, name: [name]}


class Unset(msgspec.Struct):
    """A caller's struct that keeps absent and `null` apart."""

    article: str | msgspec.UnsetType | None = msgspec.UNSET
    amount: Decimal | None = None


def test_a_callers_struct_is_written_by_its_own_rules() -> None:
    """In NDJSON `UNSET` is left out and `None` is null; in CSV both are empty."""
    records = [Unset(article=None, amount=Decimal(1)), Unset(article="cost"), Unset()]
    lines = b'{"article":null,"amount":1}\n{"article":"cost","amount":null}\n{"amount":null}\n'
    assert Ndjson().encode(records) == lines
    assert Csv(record=Unset).encode(records) == b",1\ncost,\n,\n"


def test_ndjson_of_a_dict_keeps_undocumented_fields_and_nulls() -> None:
    """An unknown field survives, and so does a null; only documented dates that are dates are rewritten."""
    document = json.loads(Ndjson().encode([UNDOCUMENTED]), parse_float=str)
    assert document == UNDOCUMENTED | {"booking_date": "2025-06-13T08:00:00Z", "amount": "60.50"}


@pytest.mark.parametrize("record", [LINE, UNDOCUMENTED])
def test_ndjson_of_chosen_fields_holds_only_these(record: Any) -> None:
    """A dotted name keeps the object that contains it; a chosen field that is absent stays absent."""
    document = json.loads(Ndjson(("amount", "references.case", "_id", "article")).encode([record]))
    assert list(document) == (["amount", "references", "_id"] if record is LINE else ["amount", "_id"])


def test_a_reader_gets_from_csv_what_was_written() -> None:
    """Quotes, commas, line ends and å ä ö are exact when Python's own reader reads them."""
    (row,) = read_csv(write_csv([LINE]))
    assert row["creditor_name"] == AWKWARD
    assert Decimal(row["vat_amount"]) == LINE.vat_amount
    assert (row["amount"], row["total_amount"]) == ("1064.0", "1064")
    assert row["_created"] == "2025-06-13T08:00:00Z"
    assert json.loads(row["invoice_numbers"]) == ["INV-1", "INV-2,B"]
    assert (row["currency"], row["article"]) == ("", "")


def test_csv_writes_nested_values_as_json_and_booleans_as_words() -> None:
    """A summary is JSON with its exact digits, a boolean `true`."""
    (row,) = read_csv(write_csv([PAYOUT]))
    assert row["summary"] == '{"capital":{"count":7,"amount":72055.990}}'
    assert (row["ready_for_payout"], row["finance_period_day"]) == ("true", "2")


@pytest.mark.parametrize("record", [Payout, PayoutSpecification, CreditorPayment])
def test_the_header_has_every_field_in_declared_order(record: Any) -> None:
    """The header is written without any record, too, and has the API's names: `_id`, not `id`."""
    file = io.BytesIO()
    assert Csv(record=record).write(file, lambda: iter(())) == 0
    header = file.getvalue().decode()
    assert header.splitlines() == [",".join(fields_of(record))]
    assert header.startswith("_id,_created,_updated,_etag,")


def test_csv_of_chosen_fields_has_these_columns_in_this_order() -> None:
    """A dotted field is found within its object, an absent one is empty, and records of several types are written."""
    fields = ("references.case", "campaign", "amount")
    expected = ["references.case,campaign,amount", "6774858016253c18251af7f4,,1064.0", ",sommar-2025,60.50"]
    assert write_csv([LINE], [UNDOCUMENTED], fields=fields).decode().splitlines() == expected
    assert write_csv([LINE, UNDOCUMENTED], fields=fields).decode().splitlines() == expected


def test_a_row_of_one_empty_cell_is_still_a_row() -> None:
    """Readers skip empty lines, so the only cell of a row is quoted if it is empty."""
    assert len(read_csv(write_csv([LINE, LINE], fields=("article",)))) == 2


def test_a_column_of_csv_may_begin_with_text_and_hold_other_types() -> None:
    """Each of the other values is written by its own type."""
    values = ["text", Decimal("1.50"), True, None, datetime(2025, 6, 13, 8, tzinfo=UTC), {"a": 1}, "a,b", ""]
    written = write_csv(
        [{"_id": str(place), "campaign": value} for place, value in enumerate(values)], fields=("campaign", "_id")
    )
    cells = [row["campaign"] for row in read_csv(written)]
    assert cells == ["text", "1.50", "true", "", "2025-06-13T08:00:00Z", '{"a":1}', "a,b", ""]


def test_csv_of_dicts_requires_fields() -> None:
    """A header made from the first dict could lack the columns of later ones."""
    with pytest.raises(ConfigurationError, match="requires fields"):
        Csv(record=dict)


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.csv.bz2", "rows.gz", "."])
def test_an_unknown_suffix_is_rejected_with_the_known_ones(name: str) -> None:
    """The error names the suffixes of all formats."""
    with pytest.raises(ConfigurationError, match=r"\.ndjson, \.jsonl, \.csv or \.parquet"):
        format_for(Path(name))


def test_the_suffix_chooses_the_format() -> None:
    """Capitals in the suffix do not matter, and NDJSON has two suffixes."""
    assert isinstance(format_for(Path("a.CSV")), Csv)
    assert isinstance(format_for(Path("a.Parquet")), Parquet)
    assert isinstance(format_for(Path("a.ndjson")), Ndjson)
    assert isinstance(format_for(Path("a.jsonl")), Ndjson)


@pytest.mark.parametrize("fields", [(), ("",), ("a b",), "amount"])
def test_invalid_fields_are_rejected(fields: tuple[str, ...]) -> None:
    """No field at all, a name that the API cannot have, or a string that would be read letter by letter."""
    with pytest.raises(ConfigurationError):
        format_for(Path("a.csv"), fields)


@pytest.mark.parametrize(
    "file_format",
    [Ndjson(), Csv(("_id", "inner"), dict), Parquet(("_id", "inner"), dict)],
    ids=["ndjson", "csv", "parquet"],
)
def test_a_record_that_is_nested_too_deeply_is_named(file_format: Any) -> None:
    """The error names the record that cannot be written, not the ones beside it."""
    deep: dict[str, Any] = {"_id": LINE.id, "inner": 1}
    for _ in range(100_000):
        deep = {"_id": LINE.id, "inner": deep}
    with pytest.raises(ExportFailed) as caught:
        encode_records(file_format, [UNDOCUMENTED, deep], path=Path("rows"))
    assert caught.value.record_id == LINE.id
