r"""The format `.csv`: one record per row under a header of field names; RFC 4180 quoting, each row ends in `\n`.

Money keeps the exact digits with which it came, dates are ISO 8601 in UTC (`2025-06-13T08:00:00Z`), names are the API's
own, and the encoding is UTF-8.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, BinaryIO

import msgspec

from amili_async.errors import ConfigurationError
from amili_async.export.columns import fields_of
from amili_async.export.formats.merge import Frames, Row, frames_of, merge_rows, write_frames
from amili_async.export.formats.ndjson import encoder
from amili_async.export.records import to_columns
from amili_async.export.spool import Frame

_NESTED = frozenset({dict, list, tuple})


class Csv:
    """Absent and `null` are both empty, truth is `true` or `false`, nested values are JSON.

    Text is written as it is, also where a spreadsheet would take it for a formula (`=…`): the file is for programs, and
    says what the API said. Without *fields* the columns are those of the record type.
    """

    def __init__(self, fields: Sequence[str] | None = None, record: type[Any] | None = None) -> None:
        self._fields = tuple(fields) if fields is not None else fields_of(record) if record is not None else ()

    def encode(self, records: Sequence[Any]) -> bytes:
        if not records:
            return b""
        columns = [_write_column(column) for column in to_columns(records, self._fields)]
        if len(columns) == 1:  # an empty line would be no row at all to most readers
            columns[0] = [cell or '""' for cell in columns[0]]
        rows = map(",".join, zip(*columns, strict=True))
        return ("\n".join(rows) + "\n").encode()

    def write(self, file: BinaryIO, frames: Frames) -> int:
        if self._fields:
            file.write(self._header)
        return write_frames(file, frames())

    def merge(self, path: Path, frames: Iterator[Frame], gone: frozenset[str]) -> Iterator[Frame]:
        new = (row for frame in frames for row in self._read_rows(frame.payload.splitlines(keepends=True)))
        with path.open("rb") as file:
            file.seek(len(self._header))
            yield from frames_of(merge_rows(self._read_rows(file), new, gone=gone))

    def read_ids(self, path: Path) -> Iterator[str]:
        with path.open("rb") as file:
            file.seek(len(self._header))
            for id, _ in self._read_rows(file):  # noqa: A001 - that is its name
                yield id

    def check(self, path: Path) -> None:
        if "_id" not in self._fields:
            raise ConfigurationError(f"{path} cannot be brought up to date: it has no column _id")
        with path.open("rb") as file:
            if file.read(len(self._header)) != self._header:
                raise ConfigurationError(f"{path} cannot be brought up to date: it has other columns")

    @property
    def _header(self) -> bytes:
        return (",".join(self._fields) + "\n").encode()

    def _read_rows(self, lines: Iterable[bytes]) -> Iterator[Row]:
        column = self._fields.index("_id")
        for row in _join_lines(lines):
            cells = row.split(b",", column + 1)
            if b'"' in row and any(b'"' in cell for cell in cells[: column + 1]):
                (texts,) = csv.reader([row.decode()], strict=True)
                yield texts[column], row
            else:
                yield cells[column].rstrip(b"\n").decode(), row


def _join_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Rows out of lines: a line end within quotes ends no row, and a row has its quotes in pairs."""
    parts: list[bytes] = []
    is_open = False
    for line in lines:
        parts.append(line)
        is_open ^= line.count(b'"') % 2 == 1
        if not is_open and line.endswith(b"\n"):
            yield parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()


def _write_column(values: Sequence[Any]) -> list[str]:
    """The cells of a column, quoted where they must be; a column mostly holds one type, and most hold text."""
    if isinstance(next(filter(None, values), ""), str):
        with suppress(TypeError):  # the first one is text, but another is not
            return _quote_all(["" if value is None else value for value in values])
    types = set(map(type, values)) - {NoneType}
    if types == {datetime}:
        return list(map(_write_date, values))
    if types == {Decimal}:
        return ["" if value is None else str(value) for value in values]
    if types <= _NESTED:
        lines = encoder.encode_lines(values).decode().split("\n")
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
        return encoder.encode(value).decode()
    return str(value)


@lru_cache(maxsize=4096)  # the rows of a page share few dates
def _write_date(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _quote_all(cells: list[str]) -> list[str]:
    if not _needs_quotes("\0".join(cells)):
        return cells
    return ['"' + cell.replace('"', '""') + '"' if _needs_quotes(cell) else cell for cell in cells]


def _needs_quotes(text: str) -> bool:
    return '"' in text or "," in text or "\n" in text or "\r" in text
