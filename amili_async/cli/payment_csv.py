"""Which payments a csv file holds, and all that is wrong with it.

The law: nothing is guessed. A fault is told by its line and field, never by the value, and where there is one the file
has no payments to send.
"""

import csv
import io
import re
import sys
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from amili_async.cli.values import show_text
from amili_async.errors import ConfigurationError
from amili_async.models import NewCreditorPayment, parse_date

COLUMNS = (
    *("creditor", "case", "invoice_number", "amount", "bank_transaction_date", "creditor_payment_reference"),
    *("client_registration_date", "currency", "origin"),
)
"""The API's names of what a payment can say."""
_NEEDED = ("creditor", "amount", "bank_transaction_date")
_REFERENCE = "creditor_payment_reference"
_EITHER = ("case", "invoice_number")
EITHER = " or ".join(_EITHER)
"""Under which name the fault stands that a payment has both of them, or neither."""
_DELIMITERS = ",;\t"
_LONGEST_NAME = 40
_AMOUNT = re.compile(r"[0-9]+(\.[0-9]{1,2})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(rf"{_DAY.pattern}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.0+)?)?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)")
_SAMPLE: Mapping[str, Any] = {
    "creditor": "0" * 24,
    "amount": Decimal(1),
    "bank_transaction_date": datetime(2025, 7, 4, tzinfo=UTC),
    _REFERENCE: "one",
}


class PaymentRow(Struct, frozen=True, gc=False, kw_only=True):
    """One payment that is to be registered."""

    line: int | None = None
    """The line of the file on which it begins; `None` where it came from options."""
    payment: NewCreditorPayment
    """What is to be registered."""


class PaymentFile(Struct, frozen=True, kw_only=True):
    """What was read."""

    rows: tuple[PaymentRow, ...] = ()
    """The payments, in their order; none where there are faults."""
    faults: tuple[str, ...] = ()
    """All that is wrong, each with its line."""


def read_bytes(name: str) -> bytes:
    """The file of that name, or standard input for `-`."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        what = "standard input" if name == "-" else name
        raise ConfigurationError(f"{what} cannot be read: {error.strerror or type(error).__name__}") from None


def read_payments(content: bytes) -> PaymentFile:
    """Read a whole file, on after each fault that leaves the next line readable."""
    try:
        text = content.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n?|\n", error.object[: error.start])) + 1
        return PaymentFile(faults=(f"line {line}: the file is not in UTF-8; save it as that",))
    rows: list[PaymentRow] = []
    faults: list[str] = []
    try:
        for found in _read_rows(_split(text)):
            if isinstance(found, PaymentRow):
                rows.append(found)
            else:
                faults.append(found)
    except ConfigurationError as error:
        faults.append(str(error))
    return PaymentFile(faults=tuple(faults)) if faults else PaymentFile(rows=tuple(rows))


def read_payment(cells: Mapping[str, str]) -> NewCreditorPayment | dict[str, str]:
    """The payment that texts under the API's names make, an empty one being none; or the fault of each field."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, cell in cells.items():
        if cell:
            try:
                values[name] = _read_cell(name, cell)
            except ConfigurationError as error:
                faults[name] = str(error)
    for name in _NEEDED:
        if not cells.get(name):
            faults[name] = f"{name} is missing"
    if not cells.get(_REFERENCE):
        faults[_REFERENCE] = f"{_REFERENCE} is missing: by it a second run knows what is registered already"
    if sum(bool(cells.get(name)) for name in _EITHER) != 1:
        faults[EITHER] = "a payment needs exactly one of case and invoice_number"
    return faults or NewCreditorPayment(**values)


def _read_rows(lines: Iterator[tuple[int, list[str]]]) -> Iterator[PaymentRow | str]:
    """Each payment, or what is wrong, with the line in front of it."""
    line, cells = next(lines, (1, []))
    names = [name.strip() for name in cells]
    faults = tuple(_check_header(names))
    yield from (f"line {line}: {fault}" for fault in faults)
    if faults:
        return
    taken: dict[tuple[str, str], int] = {}
    for line, cells in lines:
        if len(cells) != len(names):
            yield f"line {line}: it has {len(cells)} cells, but the header has {len(names)}"
            continue
        row = dict(zip(names, cells, strict=True))
        read = read_payment(row)
        faults = () if isinstance(read, NewCreditorPayment) else tuple(read.values())
        faults += tuple(_check_reference(row, line, taken))
        yield from (f"line {line}: {fault}" for fault in faults)
        if isinstance(read, NewCreditorPayment):
            yield PaymentRow(line=line, payment=read)


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with the number of the line on which they begin."""
    lines = io.StringIO(text, newline="")
    delimiter = _choose_delimiter(next(filter(str.strip, lines), ""))
    lines.seek(0)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error:
        raise ConfigurationError(
            f"line {begins}: a quotation mark that opens a cell is not closed, or more than a delimiter follows the "
            "one that closes it, or a cell is too long; what comes after was not looked at"
        ) from None


def _choose_delimiter(header: str) -> str:
    """The one that parts the most known names."""
    return max(_DELIMITERS, key=lambda delimiter: len(set(COLUMNS) & set(_part(header, delimiter))))


def _part(header: str, delimiter: str) -> list[str]:
    return [name.strip().strip('"').strip() for name in header.split(delimiter)]


def _check_header(names: Sequence[str]) -> Iterator[str]:
    if not set(names) & set(COLUMNS):  # it may be a payment, of which nothing is shown
        yield f"the first line must name the columns as the API does: {', '.join(COLUMNS)}"
        return
    for number, name in enumerate(names, 1):
        if name not in COLUMNS:
            yield f"column {number} ({show_text(name[:_LONGEST_NAME])}) is none that a payment has"
    for name, times in Counter(names).items():
        if name in COLUMNS and times > 1:
            yield f"the column {name} stands there {times} times"
    for name in (*_NEEDED, _REFERENCE):
        if name not in names:
            yield f"the column {name} is missing"
    if not set(names) & set(_EITHER):
        yield f"the column {EITHER} is missing"


def _check_reference(row: Mapping[str, str], line: int, taken: dict[tuple[str, str], int]) -> Iterator[str]:
    key = row["creditor"].lower(), row[_REFERENCE]
    if row[_REFERENCE] and taken.setdefault(key, line) != line:
        yield (
            f"creditor and {_REFERENCE} are those of line {taken[key]}: by them a second run knows what is registered "
            "already"
        )


def _read_cell(name: str, cell: str) -> Any:
    """The value, checked in a payment that has no other fault: all faults are wanted, not the first one."""
    if cell != cell.strip():
        raise ConfigurationError(f"{name} has blanks around it")
    value = _READERS[name](name, cell) if name in _READERS else cell
    case = {} if name == "invoice_number" else {"case": "0" * 24}
    NewCreditorPayment(**{**_SAMPLE, **case, name: value})
    return value


def _read_amount(name: str, cell: str) -> Decimal:
    if _AMOUNT.fullmatch(cell) is None:
        raise ConfigurationError(
            f"{name} must be digits, with a point before one or two decimals if there are any, such as 1234.50: "
            "no comma, no blank, no sign and no exponent"
        )
    return Decimal(cell)


def _read_moment(name: str, cell: str) -> datetime:
    with suppress(ValueError):
        if _DAY.fullmatch(cell):
            return datetime.fromisoformat(cell).replace(tzinfo=UTC)
        return datetime.fromisoformat(cell) if _MOMENT.fullmatch(cell) else parse_date(cell)
    raise ConfigurationError(
        f"{name} must be a day such as 2025-07-04, a time in whole seconds with its zone such as 2025-07-04T08:00:00Z, "
        "or what the API itself writes, such as Fri, 04 Jul 2025 08:00:00 GMT"
    )


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "amount": _read_amount,
    "bank_transaction_date": _read_moment,
    "client_registration_date": _read_moment,
}
