"""Records into bytes, one writer per file format.

In both formats money keeps the exact digits with which it came, dates are ISO 8601 in UTC (`2025-06-13T08:00:00Z`),
names are the API's own, and the encoding is UTF-8.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from amili_async.errors import ConfigurationError
from amili_async.export.documents import as_document, pick
from amili_async.filters import check_name

_encoder = msgspec.json.Encoder(decimal_format="number")
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


class Writer(Protocol):
    """What turns records into the bytes of a file."""

    def encode(self, records: Sequence[Any]) -> bytes:
        """The next bytes of the file; the first call, be it with no records, also writes what stands at the top."""


class NdjsonWriter:
    """One API document per line: absent fields are absent, `null` is `null`.

    The records of a dict stream keep fields that nobody documented. *fields* limits what is written, by the part of
    each name before the first dot.
    """

    def __init__(self, fields: Sequence[str] | None = None) -> None:
        self._names = None if fields is None else tuple(dict.fromkeys(name.split(".")[0] for name in fields))

    def encode(self, records: Sequence[Any]) -> bytes:
        if self._names is not None:
            records = [_choose(as_document(record), self._names) for record in records]
        elif records and not isinstance(records[0], msgspec.Struct):
            records = [as_document(record) for record in records]
        return _encoder.encode_lines(records)


class CsvWriter:
    r"""One record per row under a header of field names; RFC 4180 quoting, each row ends in `\n`.

    Absent and `null` are both empty, truth is `true` or `false`, nested values are JSON. Text is written as it is,
    also where a spreadsheet would take it for a formula (`=…`): the file is for programs, and says what the API said.
    """

    def __init__(self, fields: Sequence[str] | None = None) -> None:
        self._fields = None if fields is None else tuple(fields)
        self._has_header = False

    def encode(self, records: Sequence[Any]) -> bytes:
        if self._fields is None and records:
            self._fields = fields_of(type(records[0]))
        if self._fields is None:
            return b""
        rows = [] if self._has_header else [self._fields]
        self._has_header = True
        for record in records:
            document = as_document(record)
            rows.append(tuple(_write_cell(pick(document, name)) for name in self._fields))
        return "".join(map(_write_row, rows)).encode()


WRITERS: Mapping[str, Callable[[Sequence[str] | None], Writer]] = {
    ".ndjson": NdjsonWriter,
    ".jsonl": NdjsonWriter,
    ".csv": CsvWriter,
}
"""File name suffix to what writes such files."""


def writer_for(path: Path, fields: Sequence[str] | None = None) -> Writer:
    """A new writer of the format that the suffix of *path* names; `ConfigurationError` where there is none."""
    make = WRITERS.get(path.suffix.lower())
    if make is None:
        raise ConfigurationError(f"{path}: the name of the file must end in .ndjson, .jsonl or .csv")
    if fields is not None and not fields:
        raise ConfigurationError("fields must name at least one field")
    return make(None if fields is None else tuple(dict.fromkeys(check_name(name) for name in fields)))


def fields_of(record: type[Any]) -> tuple[str, ...]:
    """The API's names of a record type's fields, in the order in which it declares them."""
    if not issubclass(record, msgspec.Struct):
        raise ConfigurationError(
            "a csv of records that are not structs needs fields: a dict does not tell what it lacks"
        )
    return tuple(field.encode_name for field in msgspec.structs.fields(record))


def _choose(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}


def _write_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, (dict, list, tuple)):
        return _encoder.encode(value).decode()
    return str(value)


def _write_row(cells: Sequence[str]) -> str:
    if tuple(cells) == ("",):
        return '""\n'  # an empty line would be no row at all to most readers
    return ",".join(map(_quote, cells)) + "\n"


def _quote(text: str) -> str:
    if _NEEDS_QUOTES.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'
