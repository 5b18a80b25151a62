"""The format `.ndjson`, `.jsonl`: one API document per line.

Money keeps the digits that the API sent, dates are ISO 8601 in UTC (`2025-06-13T08:00:00Z`), names are the API's, and
the encoding is UTF-8.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from amili_async.export.formats.compression import open_decompressed
from amili_async.export.formats.merge import WITHOUT_ID, TextFormat, TextRow
from amili_async.export.records import as_document, encode_lines


class _Identified(msgspec.Struct):
    id: str = msgspec.field(name="_id")


_id_decoder = msgspec.json.Decoder(_Identified)


class Ndjson(TextFormat):
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
        return encode_lines(records)

    def read_rows(self, lines: Iterable[bytes]) -> Iterator[TextRow]:
        # A line is a row: JSON has no line end within a value, since strings escape it.
        for line in lines:
            yield _id_decoder.decode(line).id, line

    def find_mismatch(self, path: Path) -> str | None:
        with suppress(msgspec.MsgspecError, ValueError), open_decompressed(path, self.compression) as file:
            next(self.read_rows(file), None)
            return None
        return WITHOUT_ID


def _choose(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}
