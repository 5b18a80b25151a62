"""The payments of a CSV file, and everything that is wrong with it."""

import csv
import errno
import io
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from unicodedata import normalize
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from amili_async import NewCreditorPayment
from amili_async.cli.payment_csv import (
    CASE_OR_INVOICE,
    PAYMENT_COLUMNS,
    find_creditor_numbers,
    parse_payment,
    parse_payments,
)
from amili_async.cli.payment_input import read_input
from amili_async.errors import ConfigurationError
from amili_async.models import format_date
from tests.support.payments import CASE, CREDITOR

GOOD = {
    "creditor": CREDITOR,
    "case": CASE,
    "amount": "100.50",
    "bank_transaction_date": "2025-07-04",
    "creditor_payment_reference": "PAY-1",
}
HEADER = ",".join(GOOD)
LINE = ",".join(GOOD.values())


def write(*rows: dict[str, str], delimiter: str = ",", end: str = "\n") -> bytes:
    """A file of *rows* under the names of the first."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def faults_of(*lines: str) -> tuple[str, ...]:
    read = parse_payments("\n".join(lines).encode())
    assert (not read.rows) or (not read.faults)
    return read.faults


def fault_of(**changes: str) -> str:
    """The only fault of a valid payment with *changes*."""
    (fault,) = faults_of_payment(**changes).values()
    return fault


def faults_of_payment(**changes: str) -> dict[str, str]:
    read = parse_payment(GOOD | changes)
    assert isinstance(read, dict), read
    return read


MOMENTS = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2025, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=0))
IDS = st.integers(0, 16**24 - 1).map("{:024x}".format)
TEXTS = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=30).map(
    lambda text: normalize("NFC", f"P{text}P")
)


@st.composite
def payments(draw: st.DrawFn) -> NewCreditorPayment:
    which: dict[str, Any] = draw(
        st.one_of(IDS.map(lambda digits: {"case": digits}), TEXTS.map(lambda text: {"invoice_number": text}))
    )
    if draw(st.booleans()):
        which["client_registration_date"] = draw(MOMENTS)
    return NewCreditorPayment(
        creditor=draw(IDS),
        amount=draw(st.integers(1, 10**15 - 1).map(lambda ore: Decimal(ore).scaleb(-2))),
        bank_transaction_date=draw(MOMENTS),
        creditor_payment_reference=draw(TEXTS),
        **which,
    )


def as_cell(value: Any, form: int) -> str:
    """A value as a cell; a date in one of its forms."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        shifted = value.astimezone(timezone(timedelta(hours=-5, minutes=30))) if form == 0 else value
        return format_date(value) if form == 1 else shifted.isoformat(sep=" " if form == 2 else "T")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


@given(
    given=st.lists(payments(), min_size=1, max_size=6, unique_by=lambda each: each.creditor_payment_reference),
    names=st.permutations(PAYMENT_COLUMNS),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    form=st.integers(0, 2),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_written_payments_are_read(
    given: list[NewCreditorPayment], names: list[str], delimiter: str, end: str, form: int, mark: bytes
) -> None:
    """Every payment, with its line, for any order of columns, delimiter and line end."""
    rows = [{name: as_cell(getattr(each, name), form) for name in names} for each in given]
    read = parse_payments(mark + write(*rows, delimiter=delimiter, end=end), any_date=True)
    assert read.faults == ()
    assert [row.payment for row in read.rows] == given
    assert [row.line for row in read.rows] == list(range(2, len(given) + 2))


@given(content=st.binary(max_size=300) | st.text(",;\n\r\"'aé1 .\0").map(lambda text: f"{HEADER}\n{text}".encode()))
def test_any_file_is_read_or_rejected(content: bytes) -> None:
    """Any bytes yield rows or faults, and every fault has its line."""
    read = parse_payments(content)
    assert not (read.rows and read.faults)
    assert all(re.match(r"line \d+: ", fault) for fault in read.faults)


def test_optional_columns_may_be_left_out() -> None:
    """Currency and origin have defaults, and one of case and invoice_number is enough."""
    (row,) = parse_payments(write(GOOD)).rows
    assert (row.line, row.payment.case, row.payment.invoice_number) == (2, CASE, None)
    assert (row.payment.currency, row.payment.origin) == ("SEK", "creditor_system")
    assert row.payment.client_registration_date is None
    by_invoice = {name: cell for name, cell in GOOD.items() if name != "case"} | {"invoice_number": "INV 1"}
    (row,) = parse_payments(write(by_invoice)).rows
    assert row.payment.invoice_number == "INV 1"


def test_an_account_is_read_where_a_file_has_one() -> None:
    """It is an id, and no column that is required."""
    (row,) = parse_payments(write(GOOD | {"account": CASE.upper()})).rows
    assert row.payment.account == CASE
    assert fault_of(account="me").startswith("account must be 24 hexadecimal digits")


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        ("creditor;amount\n2000037;1\n556012-1234;1\n2000037;2\n", ("2000037", "556012-1234")),
        ("amount, Creditor \n1,5560121234\n1\n1,674dbeb208847b9501cc9138\n1,Bygg AB\n", ("5560121234",)),
        ("amount\n2000037\n", ()),
        ("", ()),
        ('creditor\n"2000037', ()),
    ],
)
def test_the_numbers_of_creditors_are_found(content: str, numbers: tuple[str, ...]) -> None:
    """Each once, whatever the form of the file; none in a file that cannot be parsed."""
    assert find_creditor_numbers(content.encode()) == numbers
    assert find_creditor_numbers(b"creditor\n2000037\n\xff") == ()


def test_a_number_is_replaced_by_the_one_id_that_has_it() -> None:
    """With no id, or several, it is a fault; without any known numbers a number is no id."""
    for creditors, fault in (
        ({"2000037": [CASE]}, None),
        ({"2000037": ()}, "no creditor has this number"),
        ({"2000037": [CASE, CREDITOR]}, "2 creditors have this number"),
        ({}, "creditor must be 24 hexadecimal digits"),
    ):
        parsed = parse_payment(GOOD | {"creditor": "2000037"}, creditors=creditors)
        if fault is None:
            assert isinstance(parsed, NewCreditorPayment)
            assert parsed.creditor == CASE
        else:
            assert isinstance(parsed, dict)
            assert parsed["creditor"].startswith(fault)


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    """Blank lines and empty rows are skipped but counted, and a cell may span lines."""
    second = LINE.replace("PAY-1", '"PAY\n2"')
    third, fourth = LINE.replace("100.50", "1,50"), LINE.replace("100.50", "0").replace("PAY-1", "PAY-3")
    faults = faults_of("", HEADER, "", LINE, "   ", ",,,,", second, third, "", fourth, "")
    assert [fault.partition(":")[0] for fault in faults] == ["line 7", "line 9", "line 11"]
    read = parse_payments("\r\n".join(["", HEADER, "", LINE, ",,,,", "", LINE.replace("PAY-1", "PAY-2"), ""]).encode())
    assert [row.line for row in read.rows] == [4, 7]


def test_an_empty_file_is_rejected() -> None:
    """It names no columns, so it may be the wrong file."""
    for content in (b"", b"\xef\xbb\xbf", b"\n\n", b" ; ;\r\n"):
        assert parse_payments(content).faults == (
            f"line 1: the first line must name the columns as the API does: {', '.join(PAYMENT_COLUMNS)}",
        )


def test_a_file_without_payments_is_no_fault() -> None:
    """A header alone is an empty list of payments."""
    read = parse_payments(f"{HEADER}\n\n".encode())
    assert (read.rows, read.faults) == ((), ())


@pytest.mark.parametrize(
    ("header", "faults"),
    [
        (LINE, [f"the first line must name the columns as the API does: {', '.join(PAYMENT_COLUMNS)}"]),
        (HEADER.replace("amount", "Amounts"), ["unknown column 'Amounts' (column 3)", "column 'amount' is missing"]),
        (HEADER.replace(",case", ",,case"), ["unknown column '' (column 2)"]),
        (HEADER + ",amount", ["column 'amount' appears 2 times"]),
        (HEADER.replace("case,", ""), ["column 'case' or 'invoice_number' is missing"]),
        (
            "case,currency",
            [
                f"column '{name}' is missing"
                for name in ("creditor", "amount", "bank_transaction_date", "creditor_payment_reference")
            ],
        ),
        (HEADER + ',"\x1b[31m\u202e"', [r"unknown column '\x1b[31m\u202e' (column 6)"]),
        (HEADER + "," + "x" * 1000, [f"unknown column '{'x' * 40}' (column 6)"]),
        (HEADER.replace(",", "|"), ["the first line must name the columns"]),
    ],
)
def test_a_wrong_header_is_rejected(header: str, faults: list[str]) -> None:
    """With all its faults and none of the rows below, whose cells cannot be assigned."""
    found = faults_of("", header, LINE, "x")
    assert len(found) == len(faults)
    for fault, beginning in zip(found, faults, strict=True):
        assert fault.startswith(f"line 2: {beginning}")


def test_the_header_determines_the_delimiter() -> None:
    """Other delimiters are part of a cell, and names may be quoted or surrounded by blanks."""
    for delimiter in (",", ";", "\t"):
        for form in ('"{}"', '" {} "', " {} "):
            header = delimiter.join(map(form.format, GOOD))
            line = delimiter.join([*list(GOOD.values())[:-1], '"P,A;Y"'])
            (row,) = parse_payments(f"{header}\n{line}".encode()).rows
            assert row.payment.creditor_payment_reference == "P,A;Y"


def test_a_row_with_another_number_of_cells_is_rejected() -> None:
    """Its cells may be in the wrong columns."""
    for line, count in ((f"{LINE},x", 6), (f"{LINE},,x", 7), (LINE.rpartition(",")[0], 4), ("x", 1)):
        assert faults_of(HEADER, LINE, line) == (f"line 3: {count} cell{'s' * (count > 1)}, but the header has 5",)


@pytest.mark.parametrize("broken", ['"PAY', 'x,"a"b', f'"{"x" * 140_000}"'])
def test_a_broken_cell_ends_the_parsing(broken: str) -> None:
    """Its fault has the line on which it begins and follows those of earlier lines."""
    first, second = faults_of(HEADER, "x", LINE, broken, LINE, "y")
    assert first.startswith("line 2: 1 cell, but the header has 5")
    assert re.match("line 4: a quoted cell is not closed, .* cell is too long; later lines were not checked$", second)


def test_another_encoding_than_utf8_is_rejected() -> None:
    """With the line of the first invalid byte."""
    for content, line in (
        (f"{HEADER}\n{LINE}\nb\xe5t".encode("latin-1"), 3),
        (f"{HEADER}\r\n{LINE}\r\nb\xe5t".encode("latin-1"), 3),
        (f"{HEADER}\r{LINE}\rb\xe5t".encode("latin-1"), 3),
        (HEADER.encode("utf-16"), 1),
        (b"\xef\xbb\xbf\n\xff", 2),
    ):
        assert parse_payments(content).faults == (f"line {line}: the file is not encoded in UTF-8; save it as UTF-8",)


def test_an_amount_is_not_guessed() -> None:
    """Only digits, with a point and one or two decimals, are an amount; the fault does not quote the cell."""
    for amount in (
        *("1 234,50", "1,234.50", "1e3", "1,5", "1.234,50", "1.005", "100.500", "1.", ".5", "+1", "-1", "0x1", "NaN"),
        *("1_0", "100 kr", "1\u00a0234", "١٢", "\uff11"),
    ):
        fault = fault_of(amount=amount)
        assert fault.startswith("amount must be digits with at most two decimals after a point, such as 1234.50")
        assert fault == fault_of(amount="hemlig")


def test_an_amount_keeps_its_digits() -> None:
    """None is added or dropped."""
    for amount in ("100.50", "1234", "0.01", "7.5"):
        parsed = parse_payment(GOOD | {"amount": amount})
        assert isinstance(parsed, NewCreditorPayment)
        assert str(parsed.amount) == amount


@pytest.mark.parametrize("name", ["bank_transaction_date", "client_registration_date"])
def test_dates_have_three_forms(name: str) -> None:
    """A day, a time with its zone, or the API's own form."""
    morning = datetime(2025, 7, 4, 8, tzinfo=UTC)
    for text, moment in (
        ("2025-07-04", datetime(2025, 7, 4, tzinfo=UTC)),
        ("2025-07-04T08:00Z", morning),
        ("2025-07-04T08:00:01Z", morning + timedelta(seconds=1)),
        ("2025-07-04 10:00:00+02:00", morning),
        ("2025-07-04T10:00:00+0200", morning),
        ("2025-07-04T10:00:00+02", morning),
        ("2025-07-04T08:00:00.000Z", morning),
        ("2025-07-04T08:00:00.000000000Z", morning),
        ("Fri, 04 Jul 2025 08:00:00 GMT", morning),
    ):
        parsed = parse_payment(GOOD | {name: text})
        assert getattr(parsed, name) == moment
        assert getattr(parsed, name).utcoffset() is not None


@pytest.mark.parametrize("name", ["bank_transaction_date", "client_registration_date"])
def test_a_date_is_not_guessed(name: str) -> None:
    """Other forms, times without a zone, fractions of a second and days that do not exist are faults."""
    for text in (
        *("2025-07-04T08:00:00", "2025-07-04 08:00", "2025-07-04T08:00:00.5Z", "20250704", "2025-W27-5", "2025-07"),
        *("04/07/2025", "4.7.2025", "250704", "2025-02-30", "2025-07-04T25:00Z", "2025-07-04T08:00:00+25:00", "today"),
        *("Fri, 04 Jul 2025 08:00:00", "Fri, 31 Feb 2025 08:00:00 GMT", "1751616000", "2025-07-04T08:00:00Zz"),
    ):
        fault = fault_of(**{name: text})
        assert fault.startswith(f"{name} must be a day such as 2025-07-04, a time in whole seconds with its zone")
        assert fault == fault_of(**{name: "hemlig"})


@pytest.mark.parametrize(
    ("name", "cell", "pattern"),
    [
        ("creditor", "hemlig", "creditor must be 24 hexadecimal digits"),
        ("creditor", "", "creditor is missing"),
        ("case", "hemlig", "case must be 24 hexadecimal digits"),
        ("amount", "", "amount is missing"),
        ("amount", "0.00", "amount must be more than zero"),
        ("amount", "10000000000000", "amount must have at most two decimals and thirteen digits before them"),
        ("bank_transaction_date", "", "bank_transaction_date is missing"),
        ("bank_transaction_date", "0001-01-01T00:00:00+05:00", "bank_transaction_date: the datetime is outside"),
        ("creditor_payment_reference", CASE, "creditor_payment_reference looks like an id or a date"),
        ("creditor_payment_reference", "hemlig\x1b", "creditor_payment_reference must have no blanks"),
        ("creditor_payment_reference", "x" * 256, "creditor_payment_reference must have .* at most 255 characters"),
        ("currency", "EUR", "currency must be 'SEK'"),
        ("origin", "hemlig", "origin must be 'creditor_system'"),
    ],
)
def test_a_cell_that_the_api_would_reject_is_a_fault(name: str, cell: str, pattern: str) -> None:
    """With its field and without its value."""
    fault = fault_of(**{name: cell})
    assert re.match(pattern, fault)
    assert "hemlig" not in fault


def test_blanks_around_a_value_are_a_fault() -> None:
    """They may be a mistake that is invisible; a cell of blanks alone is one, too."""
    for name in (*GOOD, "client_registration_date", "currency", "origin"):
        for blank in (" {}", "{} ", "\u00a0{}", "{}\t", "  "):
            assert fault_of(**{name: blank.format(GOOD.get(name, "SEK"))}) == f"{name} begins or ends with a blank"


def test_a_payment_has_a_case_or_an_invoice_number() -> None:
    """Exactly one of them; the fault has its own name and hides none of theirs."""
    for cells in ({"case": ""}, {"invoice_number": "INV-1"}, {"case": "", "invoice_number": ""}):
        assert faults_of_payment(**cells) == {CASE_OR_INVOICE: "a payment needs exactly one of case and invoice_number"}
    assert list(faults_of_payment(case="x", invoice_number=" y")) == ["case", "invoice_number", CASE_OR_INVOICE]


def test_all_faults_of_all_rows_are_listed() -> None:
    """By line, and within a line by field; one fault does not hide another."""
    faults = faults_of(HEADER, "x,,1e3,today, P", LINE, LINE.replace("100.50", "-"), ",,,,PAY-9")
    assert [fault.split()[1:3] for fault in faults] == [
        *(["2:", "creditor"], ["2:", "amount"], ["2:", "bank_transaction_date"]),
        *(["2:", "creditor_payment_reference"], ["2:", "a"]),
        *(["4:", "amount"], ["4:", "creditor"]),
        *(["5:", "creditor"], ["5:", "amount"], ["5:", "bank_transaction_date"], ["5:", "a"]),
    ]


def test_each_row_needs_a_unique_reference() -> None:
    """A missing or repeated one is a fault with its reason; another creditor may have the same one."""
    missing, other = LINE.replace("PAY-1", ""), LINE.replace(CREDITOR, "a" * 24)
    upper, differing = LINE.replace(CREDITOR, CREDITOR.upper()), LINE.replace("100.50", "7").replace("PAY-1", "pay-1")
    faults = faults_of(HEADER, LINE, missing, other, upper, differing, LINE)
    why = "a second run finds registered payments by"
    assert faults == (
        f"line 3: creditor_payment_reference is missing; {why} it",
        f"line 5: creditor and creditor_payment_reference are the same as on line 2; {why} them",
        f"line 7: creditor and creditor_payment_reference are the same as on line 2; {why} them",
    )
    assert len(parse_payments("\n".join((HEADER, LINE, other, differing)).encode()).rows) == 3


def test_options_need_a_reference_too() -> None:
    """A generated one would differ in a second run."""
    read = parse_payment({name: cell for name, cell in GOOD.items() if name != "creditor_payment_reference"})
    assert isinstance(read, dict)
    assert list(read) == ["creditor_payment_reference"]


def test_the_bytes_of_a_file_are_read(tmp_path: Path) -> None:
    """Unchanged; for a missing file the error has its name and the reason."""
    file = tmp_path / "payments.csv"
    file.write_bytes(b"\xff\r\n")
    assert read_input(str(file)) == b"\xff\r\n"
    with pytest.raises(ConfigurationError, match=r"missing\.csv cannot be read: No such file or directory"):
        read_input(str(tmp_path / "missing.csv"))
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_input(str(tmp_path))


def test_standard_input_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the usual name `-`."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\r\n")))
    assert read_input("-") == b"a\r\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", ",;\t")
def test_a_file_is_read_as_spreadsheets_write_it(delimiter: str, end: str) -> None:
    """With a line `sep=`, empty columns at the right, capitals in the header, and a blank row above it."""
    plain = (HEADER.replace(",", delimiter), LINE.replace(",", delimiter))
    forms = (
        (f"sep={delimiter}", *plain),
        (f"SEP={delimiter}", "", *plain),
        (f'"sep={delimiter}"{4 * delimiter}', *plain),
        tuple(f"{line}{3 * delimiter}" for line in plain),
        (f"{plain[0]}{delimiter}", plain[1], delimiter * 5),
        (plain[0].upper(), plain[1]),
        (plain[0].title().replace(delimiter, f" {delimiter} "), plain[1]),
        (4 * delimiter, *plain),
        ("", " ", *plain),
    )
    for form in forms:
        read = parse_payments(end.join((*form, "")).encode("utf-8-sig"))
        assert read.faults == ()
        (row,) = read.rows
        assert (row.payment, row.line) == (parse_payment(GOOD), 1 + [CREDITOR in line for line in form].index(True))


def test_a_declared_delimiter_is_used() -> None:
    """Also one that no header would reveal; what else begins with `sep=` is no declaration."""
    content = "\n".join(("sep=|", HEADER.replace(",", "|"), LINE.replace(",", "|")))
    assert [row.line for row in parse_payments(content.encode()).rows] == [3]
    assert parse_payments(f"sep=a\n{HEADER}\n{LINE}".encode()).faults


def test_a_filled_cell_beyond_the_header_stays_a_fault() -> None:
    """Only empty cells are dropped, and a capital in a value is kept."""
    assert faults_of(f"{HEADER},,", f"{LINE},,x") == ("line 2: 7 cells, but the header has 5",)
    assert faults_of(f"{HEADER},Amount", f"{LINE},1") == ("line 1: column 'amount' appears 2 times",)


@pytest.mark.parametrize("name", ["bank_transaction_date", "client_registration_date"])
def test_a_date_that_only_a_slip_explains_is_a_fault(name: str) -> None:
    """More than a week ahead or ten years ago, unless any date is accepted; today and last year are plausible."""
    now = datetime.now(UTC).replace(microsecond=0)
    for moment, fault in (
        (now, None),
        (now + timedelta(days=6), None),
        (now - timedelta(days=400), None),
        (now + timedelta(days=8), f"{name} is more than 7 days ahead; --any-date accepts it"),
        (now - timedelta(days=3651), f"{name} is more than 10 years ago; --any-date accepts it"),
    ):
        for cell in (moment.isoformat(), format_date(moment)):
            cells = GOOD | {name: cell}
            parsed = parse_payment(cells)
            assert (parsed if fault else isinstance(parsed, NewCreditorPayment)) == ({name: fault} if fault else True)
            assert isinstance(parse_payment(cells, any_date=True), NewCreditorPayment)


@pytest.mark.parametrize("name", ["bank_transaction_date", "client_registration_date"])
def test_a_date_that_cannot_be_registered_is_a_fault_with_any_date_too(name: str) -> None:
    """The library rejects it, so that no advice is to accept it."""
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=400)
    for cell in ("0025-07-04", "1989-12-31", later.isoformat()):
        for any_date in (False, True):
            parsed = parse_payment(GOOD | {name: cell}, any_date=any_date)
            assert isinstance(parsed, dict)
            assert parsed[name].startswith(f"{name} is before 1990, or more than a year ahead of this machine's clock")


def measure(work: Callable[[], object]) -> float:
    """Seconds of this thread, the fewest of five runs."""
    seconds = []
    for _ in range(5):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return min(seconds)


def test_a_large_file_is_parsed_in_time() -> None:
    """Its payments are validated once, not once for each of five cells: it costs less than seven validations."""
    content = "\n".join([HEADER, *(LINE.replace("PAY-1", f"PAY-{number}") for number in range(2_000))]).encode()
    payments = [row.payment for row in parse_payments(content).rows]
    fields = {name: value for name, value in asdict(payments[0]).items() if value is not None}
    once = measure(lambda: [NewCreditorPayment(**fields) for _ in payments])
    assert len(payments) == 2_000
    assert measure(lambda: parse_payments(content)) < 7 * once


def test_a_lock_is_missing_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is read, and stderr has the reason: a file system or a system without locks."""
    file = tmp_path / "payments.csv"
    file.write_bytes(b"x")
    for number in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EBADF):
        with monkeypatch.context() as patched, ExitStack() as held:
            patched.setattr("fcntl.flock", Mock(side_effect=OSError(number, os.strerror(number))))
            assert read_input(str(file), held=held) == b"x"
        assert f"cannot be locked ({os.strerror(number)}): make sure" in capsys.readouterr().err
    with monkeypatch.context() as patched, ExitStack() as held:
        patched.setitem(sys.modules, "fcntl", None)
        assert read_input(str(file), held=held) == b"x"
    assert "cannot be locked (this system has no such locks)" in capsys.readouterr().err
