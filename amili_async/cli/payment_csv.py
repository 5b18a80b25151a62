"""The payments of a CSV file, and everything that is wrong with it.

Invariant: nothing is guessed. A fault names its line and field, never the value, and a file with a fault has no
payments to send.
"""

import re
import time
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from amili_async.cli.console import printable
from amili_async.cli.payment_input import split_rows
from amili_async.errors import ConfigurationError
from amili_async.models import NewCreditorPayment, parse_date
from amili_async.payments.create import check_date
from amili_async.readable import show_count

PAYMENT_COLUMNS = (
    *("creditor", "case", "invoice_number", "amount", "bank_transaction_date", "creditor_payment_reference"),
    *("client_registration_date", "currency", "origin", "account"),
)
"""The API's names of a payment's fields."""
_REQUIRED = ("creditor", "amount", "bank_transaction_date")
_REFERENCE = "creditor_payment_reference"
_CASE_OR_INVOICE = ("case", "invoice_number")
CASE_OR_INVOICE = " or ".join(_CASE_OR_INVOICE)
"""The name of the fault that a payment has both of them, or neither."""
_DATES = ("bank_transaction_date", "client_registration_date")
MAX_AHEAD = timedelta(days=7)
MAX_AGE = timedelta(days=3650)
"""How far from now a date may lie without a question: a slip in the year is farther."""
_MAX_NAME_LENGTH = 40
_AMOUNT = re.compile(r"[0-9]+(\.[0-9]{1,2})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(rf"{_DAY.pattern}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.0+)?)?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)")
_NUMBER = re.compile(r"[0-9]{1,12}|[0-9]{6,8}-[0-9]{4}")
_SAMPLE: Mapping[str, Any] = {
    "creditor": "0" * 24,
    "amount": Decimal(1),
    "bank_transaction_date": datetime(2025, 7, 4, tzinfo=UTC),
    _REFERENCE: "one",
}


CreditorIds = Mapping[str, Sequence[str]]
"""The ids of the creditors that have a number, by the number as it is written in a payment."""


class PaymentRow(Struct, frozen=True, gc=False, kw_only=True):
    """One payment to register."""

    line: int | None = None
    """The line of the file on which it begins; `None` for a payment from options."""
    payment: NewCreditorPayment
    """The payment."""


class PaymentFile(Struct, frozen=True, kw_only=True):
    """A parsed file: payments or faults."""

    rows: tuple[PaymentRow, ...] = ()
    """The payments, in the order of the file; none where there are faults."""
    faults: tuple[str, ...] = ()
    """Everything that is wrong, each with its line."""


def find_creditor_numbers(content: bytes) -> tuple[str, ...]:
    """What a file has instead of the ids of creditors; nothing of a file that cannot be parsed."""
    with suppress(UnicodeDecodeError, ConfigurationError):
        lines = split_rows(content.removeprefix(BOM_UTF8).decode(), PAYMENT_COLUMNS)
        names = [name.strip().lower() for name in next(lines, (1, [""]))[1]]
        at = names.index("creditor") if "creditor" in names else len(names)
        return tuple(dict.fromkeys(cells[at] for _, cells in lines if at < len(cells) and is_number(cells[at])))
    return ()


def is_number(text: str) -> bool:
    """Whether a text is a creditor number or an organisation number rather than an id."""
    return _NUMBER.fullmatch(text) is not None


def parse_payments(content: bytes, *, any_date: bool = False, creditors: CreditorIds | None = None) -> PaymentFile:
    """Parse a whole file; a fault ends it only where the next line cannot be found."""
    try:
        text = content.removeprefix(BOM_UTF8).decode()  # Excel begins its UTF-8 files with a byte order mark
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n?|\n", error.object[: error.start])) + 1
        return PaymentFile(faults=(f"line {line}: the file is not encoded in UTF-8; save it as UTF-8",))
    rows: list[PaymentRow] = []
    faults: list[str] = []
    try:
        for found in _parse_rows(split_rows(text, PAYMENT_COLUMNS), creditors or {}, any_date=any_date):
            if isinstance(found, PaymentRow):
                rows.append(found)
            else:
                faults.append(found)
    except ConfigurationError as error:
        faults.append(str(error))
    return PaymentFile(faults=tuple(faults)) if faults else PaymentFile(rows=tuple(rows))


def parse_payment(
    cells: Mapping[str, str], *, any_date: bool = False, creditors: CreditorIds | None = None
) -> NewCreditorPayment | dict[str, str]:
    """The payment of these texts under the API's names, or the fault of each field; an empty text is absent.

    Dates that only a typing error explains are faults unless *any_date*. A creditor may be a number of *creditors*.
    """
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, cell in cells.items():
        if cell:
            with _collecting(faults, name):
                values[name] = _parse_cell(name, cell, creditors or {})
    for name in _REQUIRED:
        if not cells.get(name):
            faults[name] = f"{name} is missing"
    if not cells.get(_REFERENCE):
        faults[_REFERENCE] = f"{_REFERENCE} is missing; a second run finds registered payments by it"
    if sum(bool(cells.get(name)) for name in _CASE_OR_INVOICE) != 1:
        faults[CASE_OR_INVOICE] = "a payment needs exactly one of case and invoice_number"
    payment = None
    with suppress(ConfigurationError):
        payment = None if faults else NewCreditorPayment(**values)
    if payment is None:
        # Each value is validated in a payment without other faults, so that one fault hides no other.
        for name, value in values.items():
            case = {} if name == "invoice_number" else {"case": "0" * 24}
            with _collecting(faults, name):
                NewCreditorPayment(**{**_SAMPLE, **case, name: value})
    for name in values.keys() & set(_DATES) - faults.keys():
        with _collecting(faults, name):
            _check_plausible(name, values[name], any_date=any_date)
    ordered = {name: faults[name] for name in (*filter(cells.get, cells), *faults) if name in faults}
    return ordered or payment or NewCreditorPayment(**values)


def _parse_rows(
    lines: Iterator[tuple[int, list[str]]], creditors: CreditorIds, *, any_date: bool
) -> Iterator[PaymentRow | str]:
    """Each payment, or a fault with its line in front."""
    line, cells = next(lines, (1, []))
    names = [name.lower() if name.lower() in PAYMENT_COLUMNS else name for name in map(str.strip, cells)]
    _drop_empty_end(names, 0)
    faults = tuple(_check_header(names))
    yield from (f"line {line}: {fault}" for fault in faults)
    if faults:
        return
    lines_of: dict[tuple[str, str], int] = {}
    for line, cells in lines:
        _drop_empty_end(cells, len(names))
        if len(cells) != len(names):
            yield f"line {line}: {show_count(len(cells), 'cell')}, but the header has {len(names)}"
            continue
        row = dict(zip(names, cells, strict=True))
        parsed = parse_payment(row, any_date=any_date, creditors=creditors)
        faults = () if isinstance(parsed, NewCreditorPayment) else tuple(parsed.values())
        named = row | {"creditor": "".join(creditors.get(row["creditor"], row["creditor"]))}
        faults += tuple(_check_reference(named, line, lines_of))
        yield from (f"line {line}: {fault}" for fault in faults)
        if isinstance(parsed, NewCreditorPayment):
            yield PaymentRow(line=line, payment=parsed)


def _drop_empty_end(cells: list[str], length: int) -> None:
    """Drop the empty columns that a spreadsheet writes behind the last one, down to *length* cells."""
    while len(cells) > length and not cells[-1].strip():
        cells.pop()


def _check_header(names: Sequence[str]) -> Iterator[str]:
    if not set(names) & set(PAYMENT_COLUMNS):  # the line may be a payment, whose values must not be printed
        yield f"the first line must name the columns as the API does: {', '.join(PAYMENT_COLUMNS)}"
        return
    for number, name in enumerate(names, 1):
        if name not in PAYMENT_COLUMNS:
            yield f"unknown column '{printable(name[:_MAX_NAME_LENGTH])}' (column {number})"
    for name, times in Counter(names).items():
        if name in PAYMENT_COLUMNS and times > 1:
            yield f"column '{name}' appears {times} times"
    for name in (*_REQUIRED, _REFERENCE):
        if name not in names:
            yield f"column '{name}' is missing"
    if not set(names) & set(_CASE_OR_INVOICE):
        yield "column 'case' or 'invoice_number' is missing"


def _check_reference(row: Mapping[str, str], line: int, lines_of: dict[tuple[str, str], int]) -> Iterator[str]:
    key = row["creditor"].lower(), row[_REFERENCE]  # ids may be written in either case
    if row[_REFERENCE] and lines_of.setdefault(key, line) != line:
        yield (
            f"creditor and {_REFERENCE} are the same as on line {lines_of[key]}; a second run finds registered "
            "payments by them"
        )


@contextmanager
def _collecting(faults: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        faults[name] = str(error)


def _parse_cell(name: str, cell: str, creditors: CreditorIds) -> Any:
    if cell != cell.strip():
        raise ConfigurationError(f"{name} begins or ends with a blank")
    if name == "amount":
        return _parse_amount(cell)
    if name == "creditor" and cell in creditors:
        ids = creditors[cell]
        if len(ids) != 1:
            found = f"{len(ids)} creditors have" if ids else "no creditor has"
            raise ConfigurationError(f"{found} this number; give the creditor's id")
        return ids[0]
    return _parse_moment(name, cell) if name in _DATES else cell


def _check_plausible(name: str, moment: datetime, *, any_date: bool) -> None:
    check_date(moment, name, now=time.time())
    if any_date:
        return
    age = datetime.now(UTC) - moment
    if age < -MAX_AHEAD:
        raise ConfigurationError(f"{name} is more than {MAX_AHEAD.days} days ahead; --any-date accepts it")
    if age > MAX_AGE:
        raise ConfigurationError(f"{name} is more than {MAX_AGE.days // 365} years ago; --any-date accepts it")


def _parse_amount(cell: str) -> Decimal:
    if _AMOUNT.fullmatch(cell) is None:
        raise ConfigurationError(
            "amount must be digits with at most two decimals after a point, such as 1234.50, without commas, blanks, "
            "sign or exponent"
        )
    return Decimal(cell)


def _parse_moment(name: str, cell: str) -> datetime:
    with suppress(ValueError):
        if _DAY.fullmatch(cell):
            return datetime.fromisoformat(cell).replace(tzinfo=UTC)
        return datetime.fromisoformat(cell) if _MOMENT.fullmatch(cell) else parse_date(cell)
    raise ConfigurationError(
        f"{name} must be a day such as 2025-07-04, a time in whole seconds with its zone such as 2025-07-04T08:00:00Z, "
        "or the API's own form, such as Fri, 04 Jul 2025 08:00:00 GMT"
    )
