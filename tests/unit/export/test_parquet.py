"""What a Parquet file holds when it is read, and what cannot be written to one."""

import io
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pyarrow import compute
from pyarrow import parquet as pq

from amili_async import CreditorPayment, Payout, PayoutSpecification, PayoutSummary
from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export import export, fields_of
from amili_async.export.formats import encode_records, format_for
from amili_async.export.formats.parquet import ROW_GROUP
from amili_async.export.spool import Frame
from tests.support import export_records
from tests.support.export_records import AWKWARD, PAYOUT, UNDOCUMENTED, make_line

PATH = Path("a.parquet")
LINE = replace(export_records.LINE, vat_amount=Decimal("-123456789012345678.123456"))
MONEY = ("amount", "vat_amount", "total_amount")


def write(*batches: Sequence[Any], fields: Sequence[str] | None = None, record: Any = None) -> Any:
    """Write these batches and read the file as a table."""
    file_format = format_for(PATH, fields, record or type(batches[0][0]))
    frames = [encode_records(file_format, batch, path=PATH) for batch in batches]
    file = io.BytesIO()
    assert file_format.write(file, lambda: iter(frames)) == sum(map(len, batches))
    return pq.read_table(io.BytesIO(file.getvalue()))


def test_a_record_is_read_as_it_was_written() -> None:
    """Decimals and instants are equal, lists and objects nested, absent and null are null."""
    moment = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    (row,) = write([replace(LINE, updated=moment)]).to_pylist()
    assert row["_updated"] == moment
    assert [row[name] for name in MONEY] == [getattr(LINE, name) for name in MONEY]
    assert row["_created"] == LINE.created
    assert row["_created"].utcoffset() == timedelta(0)
    assert row["creditor_name"] == AWKWARD
    assert row["invoice_numbers"] == ["INV-1", "INV-2,B"]
    assert dict(row["references"]) == {"case": "6774858016253c18251af7f4"}
    assert (row["currency"], row["article"]) == (None, None)


def test_a_summary_is_nested() -> None:
    """Each article has its sums, exactly; a payout without summary has none."""
    other = replace(PAYOUT, summary={"cost": PayoutSummary(vat_amount=Decimal("0.5")), "interest": PayoutSummary()})
    rows = write([PAYOUT, replace(PAYOUT, summary=None)], [other, replace(PAYOUT, summary={})]).to_pylist()
    nothing = {"count": None, "amount": None, "vat_amount": None, "total_amount": None}
    assert [row["summary"] and dict(row["summary"]) for row in rows] == [
        {"capital": nothing | {"count": 7, "amount": Decimal("72055.99")}},
        None,
        {"cost": nothing | {"vat_amount": Decimal("0.5")}, "interest": nothing},
        [],
    ]
    assert (rows[0]["ready_for_payout"], rows[0]["finance_period_day"]) == (True, 2)


def test_a_reference_that_is_not_text_is_json() -> None:
    """Every value in references is kept."""
    line = replace(LINE, references={"case": "x", "other": {"amount": Decimal("1.50")}, "none": None})
    (row,) = write([line]).to_pylist()
    assert dict(row["references"]) == {"case": "x", "other": '{"amount":1.50}', "none": None}


def test_a_file_with_summaries_can_be_merged(tmp_path: Path) -> None:
    """Nested columns are unchanged after they were read, merged and written again."""
    file_format, path = format_for(PATH, None, Payout), tmp_path / "a.parquet"
    payouts = [replace(PAYOUT, id=f"{place:024x}", summary=PAYOUT.summary if place % 2 else None) for place in range(9)]
    with path.open("wb") as file:
        file_format.write(file, lambda: iter([Frame(5, file_format.encode(payouts[::2]))]))
    merged = io.BytesIO()
    frame = Frame(4, file_format.encode(payouts[1::2]))
    assert file_format.write(merged, lambda: file_format.merge(path, iter([frame]), frozenset())) == 9
    assert pq.read_table(merged).equals(write(payouts))


@pytest.mark.parametrize(
    "amounts",
    [["1064.0", "1"], ["1E+3", "-0.10"], ["0.125"], ["1.50000"], ["0.30000000000000004"], ["999999999999999999"], []],
)
def test_the_schema_does_not_depend_on_the_rows(amounts: list[str]) -> None:
    """Money is `decimal128(24, 6)` in every file, nested money too, so that files can be read together."""
    payouts = [
        replace(PAYOUT, amount=Decimal(amount), summary={"cost": PayoutSummary(amount=Decimal(amount))})
        for amount in amounts
    ]
    lines = [replace(LINE, amount=Decimal(amount)) for amount in amounts]
    tables: list[tuple[Any, list[Any]]] = [(Payout, payouts), (PayoutSpecification, lines)]
    for record, records in tables:
        table = write(records, record=record)
        assert table.schema.equals(write(record=record).schema)
        assert {str(table.schema.field(name).type) for name in MONEY} == {"decimal128(24, 6)"}
    assert str(write(payouts, record=Payout).schema.field("summary").type).count("decimal128(24, 6)") == 3


def test_two_columns_of_money_can_be_added() -> None:
    """The type leaves readers, which have 38 digits at most, room for sums, differences and products with a rate."""
    table = write([replace(LINE, vat_amount=Decimal("-999999999999999999.999999"))])
    total = compute.add(compute.subtract(table["amount"], table["vat_amount"]), table["total_amount"])
    assert total.to_pylist() == [LINE.amount + Decimal("999999999999999999.999999") + LINE.total_amount]  # type: ignore[operator]
    assert compute.multiply(table["amount"], Decimal("0.25")).to_pylist() == [LINE.amount * Decimal("0.25")]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("-0.000000000000085265128291212022304534912109375", "0"),
        ("0.30000000000000004", "0.3"),
        ("1E-45", "0"),
        ("-5E-324", "0"),
        ("7E-5000", "0"),
        ("0.0000005", "0"),
        ("0.0000015", "0.000002"),
        ("-1.0000025", "-1.000002"),
        ("1." + "0" * 3000 + "1", "1"),
    ],
)
def test_an_amount_with_more_than_six_decimals_is_rounded_and_counted(amount: str, written: str) -> None:
    """The noise of floats is rounded half to even, also in a summary, and other amounts are not counted."""
    article = PayoutSummary(amount=Decimal(amount), vat_amount=Decimal("1.500000000"))
    payout = replace(PAYOUT, amount=Decimal(amount), vat_amount=Decimal("2.00"), summary={"cost": article})
    file_format = format_for(PATH, None, Payout)
    frame = encode_records(file_format, [PAYOUT, payout], path=PATH)
    assert (frame.rounded, encode_records(file_format, [PAYOUT], path=PATH).rounded) == (2, 0)
    _, row = write([PAYOUT, payout]).to_pylist()
    assert (row["amount"], row["vat_amount"]) == (Decimal(written), Decimal(2))
    assert [dict(row["summary"])["cost"][name] for name in MONEY[:2]] == [Decimal(written), Decimal("1.5")]


def test_amounts_in_unusual_forms_are_exact() -> None:
    """Whatever the form of a number, it and those beside it, in its column or another, are exact."""
    columns = {
        "amount": ["1E+3", "-0.0", "1." + "0" * 40, "999999999999999999", None],
        "vat_amount": ["0E-45", "1E-6", "-1.50", None, "123456789012345678.123456"],
        "total_amount": [None, "0E+30", "1064.0", "1E+17", "-999999999999999999.999999"],
    }
    values = {name: [text and Decimal(text) for text in texts] for name, texts in columns.items()}
    table = write([replace(make_line(place), **{name: values[name][place] for name in values}) for place in range(5)])
    assert {name: table[name].to_pylist() for name in values} == values


def test_no_byte_depends_on_the_frames_in_which_the_rows_arrived() -> None:
    """Several row groups are the same from large frames and from small ones."""
    lines = [replace(make_line(place), amount=Decimal(place)) for place in range(ROW_GROUP + 2)]
    files = []
    for size in (ROW_GROUP + 2, 999):
        file_format, file = format_for(PATH, None, PayoutSpecification), io.BytesIO()
        batches = [lines[start : start + size] for start in range(0, len(lines), size)]
        frames = [Frame(len(batch), file_format.encode(batch)) for batch in batches]
        assert file_format.write(file, lambda frames=frames: iter(frames)) == len(lines)  # type: ignore[misc]
        files.append(file.getvalue())
    assert files[0] == files[1]
    with pq.ParquetFile(io.BytesIO(files[0])) as written:
        assert written.num_row_groups == 2
        assert written.read(["amount"])["amount"].to_pylist() == [line.amount for line in lines]


def test_categories_are_dictionaries() -> None:
    """A column of a few texts stores each once; other columns are plain text."""
    table = write([make_line(place) for place in range(9)])
    assert str(table.schema.field("article").type) == "dictionary<values=string, indices=int32, ordered=0>"
    assert table["article"].to_pylist() == ["capital", "interest", "reminder"] * 3
    assert str(table.schema.field("_id").type) == "string"


@pytest.mark.parametrize("record", [Payout, PayoutSpecification, CreditorPayment])
def test_a_file_without_records_has_all_columns(record: Any) -> None:
    """The types of its columns are those of a file with rows."""
    empty = write(record=record)
    assert empty.schema.names == list(fields_of(record))
    assert empty.num_rows == 0
    assert empty.schema == write([record(id="6774e8021e69178178006e27")]).schema


def test_chosen_fields_of_dicts_are_columns() -> None:
    """Documented ones have their types, dotted ones too; any other is text, or JSON of another value."""
    record = {
        "_id": "a",
        "amount": 7,
        "booking_date": "Fri, 13 Jun 2025 08:00:00 GMT",
        "campaign": {"a": Decimal("1.0")},
    }
    fields = ("_id", "amount", "booking_date", "campaign", "references.case")
    rows = write([record, record | {"campaign": "sommar", "references": {"case": "x"}}], fields=fields).to_pylist()
    moment = datetime(2025, 6, 13, 8, tzinfo=UTC)
    assert [list(row.values()) for row in rows] == [
        ["a", Decimal(7), moment, '{"a":1.0}', None],
        ["a", Decimal(7), moment, "sommar", "x"],
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", Decimal("1E+18")),
        ("amount", Decimal("999999999999999999.9999995")),
        ("amount", Decimal("1E+999999")),
        ("amount", Decimal("NaN")),
        ("amount", Decimal("sNaN")),
        ("amount", Decimal("-Infinity")),
        ("booking_date", datetime(2025, 1, 1)),  # noqa: DTZ001 - that is what is wrong with it
        ("invoice_numbers", 5),
        ("references", "text"),
        ("references", [("pair", "of texts")]),
    ],
)
def test_a_value_that_does_not_fit_is_named(field: str, value: Any) -> None:
    """The error has the file, the record and the field, but not the value."""
    wrong = replace(make_line(3), **{field: value})
    with pytest.raises(ExportFailed) as caught:
        write([make_line(1), make_line(2), wrong, make_line(4)])
    assert str(caught.value).startswith(f"a.parquet: record {wrong.id} cannot be written: {field} ")
    assert str(value) not in str(caught.value)
    assert (caught.value.record_id, caught.value.path) == (wrong.id, PATH)


@pytest.mark.parametrize("field", ["finance_period_day", "summary"])
def test_a_fraction_does_not_become_an_integer(field: str) -> None:
    """A count with a fraction is rejected where Arrow would drop the fraction."""
    value = {"cost": {"count": 1.5}} if field == "summary" else 1.5
    with pytest.raises(ExportFailed, match=f"record {LINE.id} cannot be written: {field} "):
        write([{"_id": LINE.id, field: value}], fields=("_id", field))


def test_a_documented_field_of_another_type_is_named() -> None:
    """A dict may hold anything: text in the place of a date does not become null."""
    with pytest.raises(ExportFailed, match=r"record 6774e8021e69178178006e27 .*: payout_date is not a date"):
        write([UNDOCUMENTED], fields=("_id", "payout_date"))


async def no_lines() -> AsyncIterator[PayoutSpecification]:
    return
    yield LINE


async def test_a_file_without_fields_and_records_has_no_columns(tmp_path: Path) -> None:
    """Without fields and without a record the columns are unknown, and the file is still valid."""
    assert (await export(no_lines(), tmp_path / "a.parquet")).rows == 0
    assert pq.read_table(tmp_path / "a.parquet").num_columns == 0


def test_pyarrow_is_imported_only_for_parquet() -> None:
    """Neither importing the package nor writing text imports it."""
    program = (
        "import sys; from pathlib import Path; from amili_async import Payout; "
        "from amili_async.export.formats import format_for; "
        "format_for(Path('a.csv'), None, Payout).encode([Payout(id='a')]); print('pyarrow' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


def test_without_pyarrow_the_error_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds the command that installs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'amili-async\[parquet\]'"):
        format_for(PATH)
