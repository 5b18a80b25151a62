"""What is durable of an export: its state and its manifest as files, and the journal that couples state and spool.

Invariant: a saved state never covers more than what the spool has on the disk, nor a batch that the extraction's
checkpoint does not cover. The journal notes what is covered before the next batch is appended, because the checkpoint
covers a batch only when the next one is requested.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from amili_async.errors import ConfigurationError
from amili_async.export.files import ExportPaths, open_beside, raising_export_failed, remove, replace_file
from amili_async.export.spool import Frame, Spool
from amili_async.extraction import Checkpoint, Extraction
from amili_async.models.json import decode_versioned

STATE_VERSION = 1
"""Of both files; any other is rejected."""
SAVE_EVERY = 0.25
"""Seconds between two saves, at least: a killed export repeats what it wrote since the last one."""

START_AGAIN = "start again with overwrite (--force)"
RESUME_OR_OVERWRITE = f"continue it with resume (--resume), or {START_AGAIN}"
EXPORT_AGAIN = "export it again with overwrite (--force) instead of since"
NO_CHECKPOINT = Raw(b"null")


class ExportSpec(Struct, frozen=True, kw_only=True):
    """What must not change between an export and the one that resumes it or brings its file up to date."""

    resource: str
    """The API's path of the resource."""
    format: str
    """The suffix of the file, which names its format."""
    fields: tuple[str, ...] | None
    """The chosen fields; `None` for all of the record's."""


class FinishedExport(Struct, frozen=True, kw_only=True):
    """What a finished export did, kept beside its file as `PATH.manifest.json`."""

    version: int = STATE_VERSION
    """Of this document's form."""
    spec: ExportSpec
    """What was exported."""
    rows: int
    """How many records are in the file."""
    size: int
    """Bytes of the file, by which a later change is detected."""
    rounded: int
    """How many amounts were rounded because the format holds fewer decimals: of the changes alone, as the manifest."""
    manifest: Raw
    """The extraction's manifest: of the changes alone, if the file was brought up to date."""


class ExportState(Struct, frozen=True, kw_only=True):
    """The state of an unfinished export, kept as `PATH.checkpoint.json`."""

    version: int = STATE_VERSION
    """Of this document's form."""
    spec: ExportSpec
    """What is being exported."""
    overwrite: bool
    """Whether the target may be replaced."""
    since: bool
    """Whether the target is brought up to date, rather than written whole."""
    sweep: bool = False
    """Whether deleted rows are left out."""
    spool_length: int
    """Bytes of the spool that the checkpoint covers."""
    checkpoint: Raw = NO_CHECKPOINT
    """The extraction's checkpoint; present in every state that was saved."""
    changed: int | None = None
    """How many rows were new or had changed; known once the whole file is on the disk, if it is brought up to date."""
    finished: FinishedExport | None = None
    """Present once the whole file is on the disk, under its own name or still beside the target."""


T = TypeVar("T", ExportState, FinishedExport)


def save(path: Path, document: ExportState | FinishedExport, *, like: Path | None = None) -> None:
    """Replace the file: at any moment it holds the old document or this one. For *like*, see `create_file`."""
    content = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    # A fixed name, so that the next save replaces what a killed one left. The lock of the spool excludes other exports.
    replace_file(path, content, fresh=path.with_name(f"{path.name}.new"), like=like)


def load(path: Path, type_: type[T]) -> T | None:
    """The document that was saved; `None` if there is no file, `ConfigurationError` if it holds something else."""
    try:
        with open_beside(path, os.O_RDONLY) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    what = "the state of an unfinished export" if type_ is ExportState else "the manifest of an export"
    return decode_versioned(content, type_, version=STATE_VERSION, name=f"{path}", what=what, remedy=START_AGAIN)


def check_spec(spec: ExportSpec, before: ExportSpec, *, what: Path | str) -> None:
    """`ConfigurationError` that names the difference, if the requested export is not the one of the file *what*."""
    for name in spec.__struct_fields__:
        values = (getattr(before, name), getattr(spec, name))
        if values[0] != values[1]:
            old, new = ("all" if value is None else value if name != "fields" else ",".join(value) for value in values)
            raise ConfigurationError(
                f"{what} belongs to an export with {name}={old}, not {name}={new}: request the same {name}, or "
                f"{START_AGAIN}"
            )


class Journal:
    """The spool and the state of an export, kept consistent."""

    def __init__(self, paths: ExportPaths, spool: Spool, state: ExportState) -> None:
        self.paths = paths
        self.spool = spool
        self.state = state
        self._covered_length = spool.length
        self._covered_rows = 0
        self._save_at = 0.0

    def cover(self, extraction: Extraction[Any]) -> Checkpoint | None:
        """Note that the extraction's checkpoint covers all that was appended; returns it if it is time to save."""
        self._covered_length, self._covered_rows = self.spool.length, extraction.rows
        return extraction.checkpoint if time.monotonic() >= self._save_at else None

    @property
    def is_ahead(self) -> bool:
        """Whether more is covered than the saved state covers."""
        return self._covered_length > self.state.spool_length

    def append(self, records: Sequence[Any], frame: Frame) -> None:
        """Add the frame of a batch, which waits in memory until it is written."""
        self.spool.append_sorted(records, frame)

    def flush(self) -> None:
        """Write what waits in memory."""
        with raising_export_failed(self.paths.given):
            self.spool.flush()

    def save(self, checkpoint: Checkpoint) -> None:
        """Make what is covered durable."""
        with raising_export_failed(self.paths.given):
            # The rows first: after a power failure between the two, the old state covers a part of the spool.
            self.spool.sync()
            covered = Raw(checkpoint.to_json().encode())
            self._write(replace(self.state, spool_length=self._covered_length, checkpoint=covered))
        self._save_at = time.monotonic() + SAVE_EVERY

    def finish(self, finished: FinishedExport, *, changed: int | None) -> None:
        """Note that the whole file is on the disk."""
        with raising_export_failed(self.paths.given):
            self._write(replace(self.state, finished=finished, changed=changed))

    def suspend(self, extraction: Extraction[Any]) -> None:
        """Keep what is covered of an export that failed, or remove all if nothing is; never raises."""
        # The error that ended the export is raised, not one of these.
        with suppress(Exception):
            # The extraction counts a batch as taken when the next one is requested: what failed may be that request.
            if extraction.rows > self._covered_rows:
                self.cover(extraction)
            self.spool.cut(self._covered_length)
            if self.spool.rows:
                self.save(extraction.checkpoint)
            else:
                self.discard()

    def discard(self) -> None:
        """Remove all that only an unfinished export needs."""
        # In this order: a spool without a state is cleared and begun, but a state without its spool lacks rows.
        remove(self.paths.state, self.paths.whole, *self.paths.copies)
        self.spool.remove()

    def _write(self, state: ExportState) -> None:
        save(self.paths.state, state)
        self.state = state


def release(spool: Spool, paths: ExportPaths) -> None:
    """Close the spool, and remove what cannot be resumed; after the lock was released, nothing is touched."""
    if not spool.is_open:
        return
    with suppress(OSError):  # the error that ended the export is raised, not this one
        if not paths.state.exists():
            remove(paths.whole, *paths.copies)
            spool.remove()
    spool.close()
