"""How far the deliveries of a stream were finished: a value that outlives the process.

Invariant: only an order that is total and never changes has one, so that all rows behind a position are those that were
not finished. That is the order of `_id`; it holds no filter value, and nothing of a record but its id.
"""

from typing import Any, Self

from msgspec.structs import replace

from amili_async._paging.offset import reader_of
from amili_async._wire.listing import Listing
from amili_async.conditions import Condition, Where, field, filter_document
from amili_async.errors import ConfigurationError
from amili_async.extraction.checkpoint import SavedState, check_same_extraction, fingerprint

NOT_RESUMABLE = (
    "only a stream that is sorted by _id or -_id, of records that have an _id, can be resumed from a checkpoint; in "
    "any other order a row that changes can be left out"
)


class StreamCheckpoint(SavedState, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position in a stream that is sorted by `_id` or `-_id`; `stream(checkpoint=…)` continues after it."""

    sort: str
    """The order of the stream."""
    last_id: str | None = None
    """The `_id` of the last record before which all are done; `None` at the beginning."""
    rows: int = 0
    """How many records are done, those before an earlier checkpoint included."""

    def after(self, last_id: str | None, rows: int) -> Self | None:
        """The position so many rows further; `None` if the id of the last one is not known."""
        return None if last_id is None else replace(self, last_id=last_id, rows=self.rows + rows)

    def rest_of(self, where: Where) -> Where:
        """The filter, limited to what follows the position."""
        if self.last_id is None:
            return where
        follows = field("_id") < self.last_id if self.sort == "-_id" else field("_id") > self.last_id
        return follows if where is None else follows & Condition(filter_document(where))


def position_of(
    listing: Listing[Any], where: Where, *, sort: str, checkpoint: StreamCheckpoint | None
) -> StreamCheckpoint | None:
    """Where a stream begins: at *checkpoint*, if it belongs to it; `None` where there are no checkpoints."""
    record: Any = listing.record_type.record
    if sort not in ("_id", "-_id") or reader_of(record, "_id") is None:
        if checkpoint is not None:
            raise ConfigurationError(f"checkpoint= cannot be used here: {NOT_RESUMABLE}")
        return None
    mark = fingerprint(listing.path, filter_document(where))
    if checkpoint is None:
        return StreamCheckpoint(resource=listing.path, fingerprint=mark, sort=sort)
    path, what = listing.path, "checkpoint="
    check_same_extraction(checkpoint, (StreamCheckpoint,), resource=path, fingerprint=mark, what=what)
    if checkpoint.sort != sort:
        raise ConfigurationError(f"{what} belongs to a stream sorted by {checkpoint.sort}: give the same sort")
    return checkpoint
