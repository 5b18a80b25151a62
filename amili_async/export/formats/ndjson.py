"""The format `.ndjson`, `.jsonl`: one API document per line.

Money keeps the exact digits with which it came, dates are ISO 8601 in UTC (`2025-06-13T08:00:00Z`), names are the API's
own, and the encoding is UTF-8.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from amili_async.errors import ConfigurationError
from amili_async.export.formats.merge import Frames, Row, frames_of, merge_rows, write_frames
from amili_async.export.records import as_document
from amili_async.export.spool import Frame

encoder = msgspec.json.Encoder(decimal_format="number")
"""A `Decimal` is a number with all its digits, a `datetime` ISO 8601."""


class _Identified(msgspec.Struct):
    id: str = msgspec.field(name="_id")


_id_decoder = msgspec.json.Decoder(_Identified)


class Ndjson:
    """A typed record is written without the fields that are `None`; a dict with all it has, `null` included.

    *fields* limits what is written, by the part of each name before the first dot.
    """

    def __init__(self, fields: Sequence[str] | None = None, record: type[Any] | None = None) -> None:  # noqa: ARG002
        self._names = None if fields is None else tuple(dict.fromkeys(name.split(".")[0] for name in fields))

    def encode(self, records: Sequence[Any]) -> bytes:
        if self._names is not None:
            records = [_choose(as_document(record), self._names) for record in records]
        elif records and not isinstance(records[0], msgspec.Struct):
            records = [as_document(record) for record in records]
        return encoder.encode_lines(records)

    def write(self, file: BinaryIO, frames: Frames) -> int:
        return write_frames(file, frames())

    def merge(self, path: Path, frames: Iterator[Frame], gone: frozenset[str]) -> Iterator[Frame]:
        new = (row for frame in frames for row in _read_rows(frame.payload.splitlines(keepends=True)))
        with path.open("rb") as file:
            yield from frames_of(merge_rows(_read_rows(file), new, gone=gone))

    def read_ids(self, path: Path) -> Iterator[str]:
        with path.open("rb") as file:
            for id, _ in _read_rows(file):  # noqa: A001 - that is its name
                yield id

    def check(self, path: Path) -> None:
        with path.open("rb") as file, suppress(msgspec.MsgspecError, ValueError):
            next(_read_rows(file), None)
            return
        raise ConfigurationError(f"{path} cannot be brought up to date: its rows have no _id")


def _read_rows(lines: Any) -> Iterator[Row]:
    for line in lines:
        yield _id_decoder.decode(line).id, line


def _choose(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}
