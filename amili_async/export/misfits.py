"""A record that cannot be put into a file: which one it is, and which field of it, but never the value."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from amili_async.errors import ExportFailed, UnreadableResponse
from amili_async.export.documents import id_of


class Misfit(Exception):
    """A format cannot hold the value of a field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")


_FAILURES = (Misfit, TypeError, ValueError, OverflowError, RecursionError, UnreadableResponse)


class Encodes(Protocol):
    """What turns records into bytes; `Misfit`, `TypeError` or `ValueError` where it cannot."""

    def encode(self, records: Sequence[Any]) -> bytes: ...


def encode(format: Encodes, records: Sequence[Any], *, path: Path) -> bytes:  # noqa: A002 - that is what it is
    """The bytes of all records, or `ExportFailed` that names the first one that does not fit."""
    with suppress(*_FAILURES):
        return format.encode(records)
    for record in records:
        _check_alone(format, record, path)
    raise ExportFailed(f"{path}: these records cannot be put into it together", path=path)


def _check_alone(format: Encodes, record: Any, path: Path) -> None:  # noqa: A002 - as above
    try:
        format.encode((record,))
    except _FAILURES as error:
        reason = f": {error}" if isinstance(error, Misfit) else ""  # all others may quote the record
    else:
        return
    id = id_of(record)  # noqa: A001 - that is its name
    named = "a record" if id is None else f"record {id}"
    raise ExportFailed(f"{path}: {named} cannot be put into it{reason}", path=path, record_id=id)
