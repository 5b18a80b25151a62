"""The spool and the state of an export that can be resumed.

The law: the state never covers more than what is on the disk in the spool, and never a batch of which the extraction's
checkpoint does not know. It is noted what is covered before the next batch is appended, since the checkpoint covers a
batch only when the next one is asked for.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from amili_async.errors import ConfigurationError
from amili_async.export.files import ExportPaths, failing, remove, replace_file
from amili_async.export.formats import Format
from amili_async.export.records import encode
from amili_async.export.spool import Spool
from amili_async.extraction import Checkpoint
from amili_async.models.json import decode_json

VERSION = 1
"""Of both files; another one is refused."""

_ANEW = "begin anew with overwrite (--force)"
AGAIN = f"go on with resume (--resume), or {_ANEW}"


NOTHING = Raw(b"null")
"""Stands for no checkpoint."""


class ExportSpec(Struct, frozen=True, kw_only=True):
    """What must be the same for an export to go on, or for a file to be brought up to date."""

    resource: str
    """The API's path of it."""
    format: str
    """The suffix of the file, which stands for its format."""
    fields: tuple[str, ...] | None
    """The fields that were chosen; `None` for all of the record's."""


class FinishedExport(Struct, frozen=True, kw_only=True):
    """What a finished export says of itself."""

    version: int = VERSION
    """Of this form."""
    plan: ExportSpec
    """What was exported."""
    rows: int
    """How many records are in the file."""
    size: int
    """The bytes of the file, by which a change is noticed."""
    manifest: Raw
    """The extraction's manifest: where the file was brought up to date, of the changes alone."""


class ExportState(Struct, frozen=True, kw_only=True):
    """Where an unfinished export stands."""

    version: int = VERSION
    """Of this form."""
    plan: ExportSpec
    """What is being exported."""
    overwrite: bool
    """Whether the target may be replaced."""
    since: bool
    """Whether the target is brought up to date, rather than made."""
    sweep: bool = False
    """Whether rows that are gone are left out."""
    length: int
    """How many bytes of the spool the checkpoint covers."""
    checkpoint: Raw = NOTHING
    """The extraction's checkpoint; there in every state that was saved."""
    changed: int | None = None
    """How many rows were new or had changed; told once the whole file is there, where it is brought up to date."""
    finished: FinishedExport | None = None
    """What is to be said of the file: there once it is whole and on the disk, be it under its name or beside it."""


T = TypeVar("T", ExportState, FinishedExport)


class _Versioned(Struct):
    version: int


def save(path: Path, state: ExportState | FinishedExport) -> None:
    """Replace the file, so that it is the old one or this one at any moment."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")


def load(path: Path, form: type[T]) -> T | None:
    """What was written down; `None` where nothing is, `ConfigurationError` where it is something else."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    versioned = decode_json(content, _Versioned)
    if versioned is not None and versioned.version != VERSION:
        raise ConfigurationError(f"{path} was written by another version of amili-async: {_ANEW}")
    written = decode_json(content, form)
    if written is None:
        what = "state of an unfinished export" if form is ExportState else "summary of an export"
        raise ConfigurationError(f"{path} is not the {what}: {_ANEW}")
    return written


def check_same(plan: ExportSpec, before: ExportSpec, *, what: Path) -> None:
    """`ConfigurationError` says in what the export that is asked for differs from the one that *what* tells of."""
    for name in plan.__struct_fields__:
        if getattr(plan, name) != getattr(before, name):
            raise ConfigurationError(
                f"{what} is of another export: {name} was {_show(getattr(before, name))}, "
                f"and is {_show(getattr(plan, name))} now"
            )


def _show(value: str | tuple[str, ...] | None) -> str:
    return "not chosen" if value is None else value if isinstance(value, str) else ",".join(value)


SAVE_EVERY = 0.25
"""Seconds between two savings, at least: a killed export repeats what came since."""


class Covered(Protocol):
    """What an extraction tells of itself."""

    @property
    def checkpoint(self) -> Checkpoint: ...
    @property
    def rows(self) -> int: ...


class Journal:
    """What has been written, and how much of it is covered."""

    def __init__(self, places: ExportPaths, spool: Spool, state: ExportState) -> None:
        self.places = places
        self.spool = spool
        self.state = state
        self._length = spool.length
        self._taken = 0
        self._save_at = 0.0

    def cover(self, extraction: Covered) -> Checkpoint | None:
        """Note that the extraction's checkpoint covers all that was appended; returns it where it is time to save."""
        self._length, self._taken = self.spool.length, extraction.rows
        return extraction.checkpoint if time.monotonic() >= self._save_at else None

    @property
    def is_ahead(self) -> bool:
        """Whether more is covered than was saved."""
        return self._length > self.state.length

    def append(self, form: Format, records: Sequence[Any]) -> None:
        """Add a batch, which waits in memory until it is written."""
        self.spool.append(_key_of(records[0]), len(records), encode(form, records, path=self.places.named))

    def flush(self) -> None:
        """Write what waits in memory."""
        with failing(self.places.named):
            self.spool.flush()

    def save(self, checkpoint: Checkpoint) -> None:
        """See to it that what is covered would outlive this process."""
        with failing(self.places.named):
            self.spool.sync()
            self._write(replace(self.state, length=self._length, checkpoint=Raw(checkpoint.to_json().encode())))
        self._save_at = time.monotonic() + SAVE_EVERY

    def finish(self, summary: FinishedExport, *, changed: int | None) -> None:
        """Note that the whole file is on the disk."""
        with failing(self.places.named):
            self._write(replace(self.state, finished=summary, changed=changed))

    def leave(self, extraction: Covered) -> None:
        """End early: keep what is covered, or nothing where there is nothing to keep; never fails."""
        with suppress(Exception):
            if extraction.rows > self._taken:  # one more batch was asked for since
                self.cover(extraction)
            self.spool.cut(self._length)
            if self.spool.rows:
                self.save(extraction.checkpoint)
            else:
                self.discard()

    def discard(self) -> None:
        """Remove both."""
        remove(self.places.state)
        self.spool.remove()

    def _write(self, state: ExportState) -> None:
        save(self.places.state, state)
        self.state = state


def release(spool: Spool, places: ExportPaths) -> None:
    """Leave what can be resumed, and nothing else; what is no longer ours is left alone."""
    if not spool.is_open:
        return
    with suppress(OSError):  # what went wrong first is what is told
        if not places.state.exists():
            remove(places.whole)
            spool.remove()
    spool.close()


def _key_of(record: Any) -> bytes:
    return bytes.fromhex(record["_id"] if isinstance(record, dict) else record.id)
