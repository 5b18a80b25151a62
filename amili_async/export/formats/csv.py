r"""The format `.csv`: one record per row under a header of field names; RFC 4180 quoting, each row ends in `\n`.

Money keeps the digits that the API sent, dates are ISO 8601 in UTC (`2025-06-13T08:00:00Z`), names are the API's, and
the encoding is UTF-8.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any

import msgspec

from amili_async.export.columns import fields_of
from amili_async.export.formats.compression import open_decompressed
from amili_async.export.formats.merge import OTHER_COLUMNS, WITHOUT_ID, TextFormat, TextRow
from amili_async.export.records import encode_lines, to_columns
from amili_async.models.json import encode_json

_NESTED = frozenset({dict, list, tuple})


class Csv(TextFormat):
    """Absent and `null` are both empty, booleans are `true` or `false`, nested values are JSON.

    Text is written unchanged, also where a spreadsheet would read it as a formula (`=…`): the file is for programs, and
    holds what the API sent. Without *fields* the columns are those of the record type.
    """

    def __init__(self, fields: Sequence[str] | None = None, record: type[Any] | None = None) -> None:
        self._fields = tuple(fields) if fields is not None else fields_of(record) if record is not None else ()

    @property
    def header(self) -> bytes:
        return (",".join(self._fields) + "\n").encode() if self._fields else b""

    def encode(self, records: Sequence[Any]) -> bytes:
        if not records:
            return b""
        columns = [_write_column(column) for column in to_columns(records, self._fields)]
        if len(columns) == 1:
            # A row of one empty cell would be an empty line, which csv.DictReader and pandas skip.
            columns[0] = [cell or '""' for cell in columns[0]]
        rows = map(",".join, zip(*columns, strict=True))
        return ("\n".join(rows) + "\n").encode()

    def read_rows(self, lines: Iterable[bytes]) -> Iterator[TextRow]:
        column = self._fields.index("_id")
        for row in _join_lines(lines):
            # Splitting costs a fraction of csv.reader, and is exact unless a cell up to `_id` is quoted.
            cells = row.split(b",", column + 1)
            if b'"' in row and any(b'"' in cell for cell in cells[: column + 1]):
                (texts,) = csv.reader([row.decode()], strict=True)
                yield texts[column], row
            else:
                yield cells[column].rstrip(b"\n").decode(), row

    def find_mismatch(self, path: Path) -> str | None:
        if "_id" not in self._fields:
            return WITHOUT_ID
        with suppress(ValueError), open_decompressed(path, self.compression) as file:
            return None if file.read(len(self.header)) == self.header else OTHER_COLUMNS
        return OTHER_COLUMNS


def _join_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    r"""Join lines into rows: a row ends at the first `\n` before which its quotes are balanced.

    Lines of a payload also end at a `\r`, since `bytes.splitlines` knows it; lines of a file only end at a `\n`.
    """
    parts: list[bytes] = []
    is_quoted = False
    for line in lines:
        parts.append(line)
        # A quote within a cell is written twice, so the parity alone shows whether the cell is still open.
        is_quoted ^= line.count(b'"') % 2 == 1
        if not is_quoted and line.endswith(b"\n"):
            yield parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()


@lru_cache(maxsize=4096)
def _write_date(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _write_column(values: Sequence[Any]) -> list[str]:
    """The cells of a column, quoted where needed.

    A column is written by its type: almost all columns have only one, and an export that writes cell by cell takes
    half as much CPU again.
    """
    if isinstance(next(filter(None, values), ""), str):
        with suppress(TypeError):  # the first value is text, but another one is not
            return _quote_all(["" if value is None else value for value in values])
    types = set(map(type, values)) - {NoneType}
    if types == {datetime}:
        return list(map(_write_date, values))
    if types == {Decimal}:
        return ["" if value is None else str(value) for value in values]
    if types <= _NESTED:
        # JSON has no line end within a value, so each line is one; the text after the last line end is left over.
        lines = encode_lines(values).decode().split("\n")
        return _quote_all(["" if value is None else line for value, line in zip(values, lines, strict=False)])
    return _quote_all([_write_cell(value) for value in values])


def _write_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _write_date(value)
    if isinstance(value, (*_NESTED, msgspec.Struct)):
        return encode_json(value)
    return str(value)


def _quote_all(cells: list[str]) -> list[str]:
    # Most columns need no quotes, and one search through all of them costs less than one for each cell. The separator
    # also makes `join` raise the TypeError that `_write_column` waits for where a value is no text.
    if not _needs_quotes("\0".join(cells)):
        return cells
    return ['"' + cell.replace('"', '""') + '"' if _needs_quotes(cell) else cell for cell in cells]


def _needs_quotes(text: str) -> bool:
    # Not csv.writer: up to Python 3.12 it leaves a "\r" unquoted when its lineterminator is "\n", and csv.reader then
    # takes it for the end of the row. With "\r\n", cut off again for each row, an export takes 1.4 times the CPU.
    return '"' in text or "," in text or "\n" in text or "\r" in text
