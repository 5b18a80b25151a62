"""The spool and the state of an export that can be resumed.

The law: the state never covers more than what is on the disk in the spool, and never a batch of which the extraction's
checkpoint does not know. It is noted what is covered before the next batch is appended, since the checkpoint covers a
batch only when the next one is asked for.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Raw
from msgspec.structs import replace

from amili_async.export.beside import Places, failing, remove
from amili_async.export.formats import Format
from amili_async.export.misfits import encode
from amili_async.export.spool import Spool
from amili_async.export.state import State, Summary, save
from amili_async.extraction import Checkpoint

SAVE_EVERY = 0.25
"""Seconds between two savings, at least: a killed export repeats what came since."""


class Covered(Protocol):
    """What an extraction tells of itself."""

    @property
    def checkpoint(self) -> Checkpoint: ...
    @property
    def rows(self) -> int: ...


class Ledger:
    """What has been written, and how much of it is covered."""

    def __init__(self, places: Places, spool: Spool, state: State) -> None:
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

    def finish(self, summary: Summary, *, changed: int | None) -> None:
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

    def _write(self, state: State) -> None:
        save(self.places.state, state)
        self.state = state


def let_go(spool: Spool, places: Places) -> None:
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
