"""CSV for a person who opens it in a Swedish spreadsheet by a double click; `--csv` and `.csv` are for programs.

Invariant: a spreadsheet shows each text as it was sent, runs none of them, and reads each amount as that number.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from amili_async.export.formats.writing import TextWriter
from amili_async.export.records import to_columns
from amili_async.models.json import encode_json

_MONTHS = frozenset(["jan", "feb", "mar", "apr", "maj", "may", "jun", "jul", "aug", "sep", "okt", "oct", "nov", "dec"])
_UNITS = frozenset(["e", "kr", "sek", "am", "pm", "fm", "em"])
_TRUTHS = frozenset({"true", "false", "sant", "falskt"})
_MAX_DIGITS = 15  # a spreadsheet's numbers have no more
_MAX_LITERAL = 255  # nor a text within a formula more characters


class ExcelCsv(TextWriter):
    """UTF-8 with a byte order mark, semicolons, decimal commas, and days such as 2025-06-13."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = tuple(fields)

    @property
    def header(self) -> bytes:
        return BOM_UTF8 + _join(map(_guard, self._fields))

    def encode(self, records: Sequence[Any]) -> bytes:
        rows = zip(*to_columns(records, self._fields), strict=True) if records else ()
        return b"".join(_join(map(_write_cell, row)) for row in rows)


def _join(cells: Any) -> bytes:
    quoted = ('"' + cell.replace('"', '""') + '"' if re.search(r'[;"\r\n]', cell) else cell for cell in cells)
    return (";".join(quoted) + "\r\n").encode()


def _write_cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return _write_number(Decimal(value))
        case datetime():
            return value.astimezone(UTC).isoformat(" ", "seconds")[:19].removesuffix(" 00:00:00")
        case dict() | list() | tuple() | msgspec.Struct():
            return _guard(encode_json(value))
    return _guard(str(value))


def _write_number(number: Decimal) -> str:
    if not number.is_finite():
        return _guard(str(number))
    # `adjusted` first: written out, 1E100000000 is 100 MB.
    if not -_MAX_DIGITS <= number.adjusted() < _MAX_DIGITS or len(number.as_tuple().digits) > _MAX_DIGITS:
        return f'="{number}"'.replace(".", ",")
    return f"{number:f}".replace(".", ",")


def _guard(text: str) -> str:
    """Text that a spreadsheet neither runs as a formula nor converts to a number, a date or a truth value."""
    is_signed_number = re.fullmatch(r"[+-]?[\d\s.,]*", text) is not None
    if text.lstrip()[:1] in tuple("=@+-\uff1d\uff20\uff0b\uff0d") and not is_signed_number:
        return f"'{text}"
    words = re.findall(r"[^\W\d_]+", text.lower())
    has_digit = any(map(str.isdecimal, text))
    if text.strip().lower() in _TRUTHS or (has_digit and all(word in _UNITS or word[:3] in _MONTHS for word in words)):
        literal = text.replace('"', '""')
        return f'="{literal}"' if len(literal) <= _MAX_LITERAL else f"'{text}"
    return text
