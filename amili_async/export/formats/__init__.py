"""The formats, by the suffix of the file's name, and what each must be able to do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from amili_async.errors import ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export.formats.compression import COMPRESSIONS, load_zstandard
from amili_async.export.formats.csv import Csv
from amili_async.export.formats.merge import TextFormat
from amili_async.export.formats.ndjson import Ndjson
from amili_async.export.formats.parquet import Parquet
from amili_async.export.formats.writing import Encoder
from amili_async.export.records import UnencodableValue, as_document
from amili_async.export.spool import Frame, Frames
from amili_async.filters import check_name

__all__ = [
    "FAILURES",
    "FORMATS",
    "Csv",
    "Format",
    "Ndjson",
    "Parquet",
    "check_fields",
    "encode_records",
    "find_unencodable",
    "format_for",
    "suffix_of",
]

FAILURES = (UnencodableValue, TypeError, ValueError, OverflowError, RecursionError, UnreadableResponse)
"""What a format raises for a record that does not fit."""


class Format(Encoder, Protocol):
    """One kind of file, for records of one type."""

    def write(self, file: BinaryIO, frames: Frames) -> int:
        """Write the whole file from its frames; returns the number of rows."""

    def merge(self, path: Path, frames: Iterator[Frame], removed: frozenset[str]) -> Iterator[Frame]:
        """The rows of an older file and of *frames*, both ascending by `_id`, without the *removed* ones.

        Where both have an `_id`, the row of *frames* replaces the older one.
        """

    def read_ids(self, path: Path) -> Iterator[str]:
        """The ids in a file, in its order."""

    def find_mismatch(self, path: Path) -> str | None:
        """Why rows cannot be merged into this file, and what to do; `None` if they can."""


FORMATS: Mapping[str, Callable[[Sequence[str] | None, type[Any] | None], Format]] = {
    ".ndjson": Ndjson,
    ".jsonl": Ndjson,
    ".csv": Csv,
    ".parquet": Parquet,
}
"""Suffix to format; called with the chosen fields and the record type, each `None` if there is none."""


def format_for(path: Path, fields: Sequence[str] | None = None, record: type[Any] | None = None) -> Format:
    """The format that the suffix of *path* names, for *fields* or for all fields of a record type.

    `ConfigurationError` for another suffix, and if the library that the format needs is not installed.
    """
    suffix = suffix_of(path)
    compression = next(filter(suffix.endswith, COMPRESSIONS), "")
    make = FORMATS.get(suffix.removesuffix(compression))
    if make is None:
        *most, last = FORMATS
        raise ConfigurationError(
            f"{path}: the name of the file must end in {', '.join(most)} or {last}, and may add .gz or .zst to text"
        )
    file_format = make(check_fields(fields), record)
    if compression:
        if not isinstance(file_format, TextFormat):
            raise ConfigurationError(f"{path}: Parquet is compressed already: leave out {compression}")
        if compression == ".zst":
            load_zstandard()  # raises if it is missing
        file_format.compression = compression
    return file_format


def suffix_of(path: Path) -> str:
    """The suffixes that name the format and its compression, such as `.csv.gz`."""
    name = path.name.lower()
    compression = next(filter(name.endswith, COMPRESSIONS), "")
    return Path(name.removesuffix(compression)).suffix + compression


def check_fields(fields: Sequence[str] | None) -> tuple[str, ...] | None:
    """The API's names, each once; `None` for no choice, `ConfigurationError` for an empty one or invalid names."""
    if fields is None:
        return None
    # A lone string is a sequence of its letters.
    if not fields or isinstance(fields, str):
        raise ConfigurationError("fields must name at least one field, in a list")
    return tuple(dict.fromkeys(check_name(name) for name in fields))


def encode_records(file_format: Encoder, records: Sequence[Any], *, path: Path | str) -> Frame:
    """The frame of all records, or `ExportFailed` that names the first one that does not fit."""
    before = file_format.rounded
    with suppress(*FAILURES):
        payload = file_format.encode(records)
        return Frame(len(records), payload, file_format.rounded - before)
    # Raised outside the handler, so that no traceback shows the error that may quote the record.
    name, row_id, reason = find_unencodable(file_format.encode, records)
    raise ExportFailed(f"{path}: {name} cannot be written{reason}", path=path, record_id=row_id, can_resume=False)


def find_unencodable(encode: Callable[[Sequence[Any]], object], records: Sequence[Any]) -> tuple[str, str | None, str]:
    """The first record that *encode* rejects: what it is called, its `_id`, and the reason."""
    for record in records:
        try:
            encode((record,))
        except FAILURES as error:
            # The text of all other errors may quote the record.
            reason = f": {error}" if isinstance(error, UnencodableValue) else ""
        else:
            continue
        found = as_document(record).get("_id")
        row_id = found if isinstance(found, str) else None
        return "a record" if row_id is None else f"record {row_id}", row_id, reason
    return "these records", None, " together"
