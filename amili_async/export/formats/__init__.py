"""The formats, by the suffix of the file's name, and what each must be able to do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from amili_async.errors import ConfigurationError
from amili_async.export.formats.csv import Csv
from amili_async.export.formats.merge import Frames
from amili_async.export.formats.ndjson import Ndjson
from amili_async.export.formats.parquet import Parquet
from amili_async.export.spool import Frame
from amili_async.filters import check_name


class Format(Protocol):
    """One kind of file, for records of one type."""

    def encode(self, records: Sequence[Any]) -> bytes:
        """The payload of a frame of these records; an error of any kind where one of them does not fit."""

    def write(self, file: BinaryIO, frames: Frames) -> int:
        """The whole file out of its frames; returns the number of rows."""

    def merge(self, path: Path, frames: Iterator[Frame], gone: frozenset[str]) -> Iterator[Frame]:
        """The rows of an older file and of *frames*, both ascending by id, without those that are gone.

        Where both have an id, the row of *frames* counts.
        """

    def read_ids(self, path: Path) -> Iterator[str]:
        """The ids in a file, in its order."""

    def check(self, path: Path) -> None:
        """`ConfigurationError` where rows cannot be merged into this file."""


FORMATS: Mapping[str, Callable[[Sequence[str] | None, type[Any] | None], Format]] = {
    ".ndjson": Ndjson,
    ".jsonl": Ndjson,
    ".csv": Csv,
    ".parquet": Parquet,
}
"""Suffix to format; given the chosen fields and the record type, each `None` where there is none."""


def format_for(path: Path, fields: Sequence[str] | None = None, record: type[Any] | None = None) -> Format:
    """The format that the suffix of *path* names, for *fields* or for all fields of a record type.

    `ConfigurationError` for another suffix, and where the format needs a library that is not there.
    """
    make = FORMATS.get(suffix_of(path))
    if make is None:
        *most, last = FORMATS
        raise ConfigurationError(f"{path}: the name of the file must end in {', '.join(most)} or {last}")
    return make(check_fields(fields), record)


def suffix_of(path: Path) -> str:
    """The suffix that stands for the format."""
    return path.suffix.lower()


def check_fields(fields: Sequence[str] | None) -> tuple[str, ...] | None:
    """The API's names, each once; `None` for no choice, `ConfigurationError` for an empty one or for no names."""
    if fields is None:
        return None
    if not fields or isinstance(fields, str):
        raise ConfigurationError("fields must name at least one field, in a list")
    return tuple(dict.fromkeys(check_name(name) for name in fields))
