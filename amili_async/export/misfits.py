"""A record that cannot be put into a file: which one it is, and which field of it, but never the value."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export.documents import id_of


class Misfit(Exception):
    """A format cannot hold the value of a field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")


class Encodes(Protocol):
    """What turns records into bytes; `Misfit`, `TypeError` or `ValueError` where it cannot."""

    def encode(self, records: Sequence[Any]) -> bytes: ...


def encode(format: Encodes, records: Sequence[Any], *, path: Path) -> bytes:  # noqa: A002 - that is what it is
    """The bytes of all records, or `ExportFailed` that names the first one that does not fit."""
    try:
        return format.encode(records)
    except (Misfit, TypeError, ValueError, OverflowError):
        for record in records:
            _check_alone(format, record, path)
        raise


def _check_alone(format: Encodes, record: Any, path: Path) -> None:  # noqa: A002 - as above
    try:
        format.encode((record,))
    except ConfigurationError:
        raise
    except (Misfit, TypeError, ValueError, OverflowError) as error:
        id = id_of(record)  # noqa: A001 - that is its name
        named = "a record" if id is None else f"record {id}"
        reason = f": {error}" if isinstance(error, Misfit) else ""
        raise ExportFailed(f"{path}: {named} cannot be put into it{reason}", path=path, record_id=id) from None
