"""How far an extraction came, and what it did: values that outlive the process.

Invariant: neither holds a filter value, a credential, or anything of a record but ids (hashed where possible) and the
sums of its money.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self

import msgspec
from msgspec import Struct

from amili_async._wire.frames import hide_variables
from amili_async.errors import ConfigurationError
from amili_async.models.json import decode_versioned

CHECKPOINT_VERSION = 1
"""Of the format of checkpoints and manifests; another one is rejected."""
VERSION_HASH_LENGTH = 12
"""Characters of a version hash: 9 bytes in base64, which needs no padding for a multiple of 3."""
MAX_RECENT_VERSIONS = 4096
"""Version hashes kept, 48 kB. After a batch that changed every row, all rows of the list would be recent."""
_ID = re.compile("[0-9a-f]{24}")

_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


class Verdict(StrEnum):
    """Whether an extraction has everything."""

    COMPLETE = "complete"
    """Every row up to the bound, once; the server counted as many before and after, and nothing changed in between."""
    DRIFTED = "drifted"
    """Every row that was present throughout, once; but rows were inserted or deleted, or the server sent duplicates."""
    PARTIAL = "partial"
    """Rows are missing: the extraction is not finished, or it delivered fewer rows than the server counted, which only
    a new extraction can repair."""


class SavedState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value about one resource and filter that outlives the process as JSON."""

    version: int = CHECKPOINT_VERSION
    """Of the format."""
    resource: str
    """The API's path of the resource."""
    fingerprint: str
    """A hash of resource and filter, which does not show the filter's values."""

    def to_json(self) -> str:
        """As JSON, for `from_json()`."""
        return msgspec.json.encode(self).decode()

    @classmethod
    @hide_variables
    def from_json(cls, text: str | bytes) -> Self:
        """Decode what `to_json()` returned; raises `ConfigurationError` for anything else, other versions included."""
        return decode_versioned(
            text,
            cls,
            version=CHECKPOINT_VERSION,
            name=f"this {cls.__name__.removeprefix('Stream').lower()}",
            what="one written by amili_async",
            remedy="begin anew without it",
        )


class _Progress(SavedState, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bound: datetime | None = None
    """Rows whose ids were made later than this are left for the next extraction; `None` before the first response."""
    since: datetime | None = None
    """The bound of the earlier extraction (`since=`); `None` without one."""
    part: tuple[str, str] | None = None
    """The ids of the part that is extracted, the first excluded, the second included; `None` for the whole list."""
    requests: int = 0
    """Pages and counts that were answered; retries and token requests are not counted."""
    rows: int = 0
    """Records that the consumer has taken, which may still be unprocessed."""
    already_delivered: int = 0
    """Rows left out because the earlier extraction (`since=`) delivered them in the very same version."""
    duplicates: int = 0
    """Rows left out because the server sent them twice on one page."""
    changed_during_scan: bool = False
    """Whether the server's counts changed between two pages of a range."""
    count_before: int | None = None
    """How many rows up to the bound the server counted at the start; `None` if it does not count."""
    count_past_bound: int | None = None
    """How many more rows there were at the start, past the bound."""
    count_after: int | None = None
    """How many rows up to the bound the server counted at the end."""
    inserted_during_scan: int = 0
    """How many of those were created since the start, so that they may be missing; counted only if some are."""
    sums: dict[str, Decimal | None] = {}
    """For each money column the sum of the records taken; `None` if a value cannot be summed exactly."""
    recent_versions: str = ""
    """Hashes of the versions (`_id`, `_etag`, `_updated`) of the rows that changed shortly before the bound, joined.

    The next extraction (`since=`) recognises by them what was delivered already. At most 4,096 are kept; rows beyond
    them are delivered again, which is the safe side: a filter of fixed size would take changed rows for delivered ones.
    """

    def _repr_html_(self) -> str:
        from amili_async.notebooks import html_fields, named_values

        verdict = f": {self.verdict}" if isinstance(self, Manifest) else ""
        hidden = {"recent_versions": len(self.version_hashes), "version": None, "resource": None, "fingerprint": None}
        return html_fields(f"{type(self).__name__} of {self.resource}{verdict}", {**named_values(self), **hidden})

    @property
    def distinct(self) -> int:
        """How many different ids were taken or left out as already delivered."""
        return self.rows + self.already_delivered

    @property
    def version_hashes(self) -> frozenset[str]:
        """The hashes in `recent_versions`, one by one."""
        hashes, length = self.recent_versions, VERSION_HASH_LENGTH
        return frozenset(hashes[place : place + length] for place in range(0, len(hashes), length))


class Checkpoint(_Progress, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the consumer of an extraction came; `extract(checkpoint=…)` resumes from there.

    It covers what was taken from the iteration, processed or not: save it only when all of that is processed.
    """

    ranges: tuple[tuple[str, str], ...] = ()
    """What is left: pairs of ids, the first excluded, the second included."""
    gaps: tuple[tuple[str, str], ...] = ()
    """Ranges that should be empty but have to be rechecked: pairs likewise."""
    has_ended: bool = False
    """Whether everything was fetched and counted; false too while some of it is still to be taken."""

    def __post_init__(self) -> None:
        # Ranges that overlap would deliver rows twice; ids that are no ids would go into a filter unchecked.
        ids = [each for pair in sorted((*self.ranges, *self.gaps)) for each in pair]
        first, last = self.part or ("0" * 24, "f" * 24)
        edges = [first, *ids, last]
        if edges != sorted(edges) or not all(map(_ID.fullmatch, edges)):
            raise ValueError("ranges and gaps must be pairs of ids of the part that ascend and do not overlap")
        if (self.bound is None and ids) or (self.bound is not None and self.bound.tzinfo is None):
            raise ValueError("ranges and gaps need a bound, and the bound needs a time zone")

    @property
    def is_finished(self) -> bool:
        """Whether the consumer has taken everything."""
        return self.has_ended and not (self.ranges or self.gaps)


class Manifest(_Progress, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an extraction did, and whether it has everything; `extract(since=…)` delivers what changed after it."""

    filter: str
    """The filter without its values; empty for none."""
    is_finished: bool
    """Whether the consumer has taken everything."""
    verdict: Verdict
    """Whether the extraction has everything."""
    missing_parts: tuple[int, ...] = ()
    """The indexes of the parts of a split that are not finished or lack rows."""


def make_manifest(checkpoint: Checkpoint, *, filter: str, missing_parts: Sequence[int] = ()) -> Manifest:  # noqa: A002
    """The manifest of an extraction, by its checkpoint, with the verdict."""
    fields: dict[str, Any] = {name: getattr(checkpoint, name) for name in _Progress.__struct_fields__}
    fields |= {"filter": filter, "is_finished": checkpoint.is_finished, "missing_parts": tuple(missing_parts)}
    return Manifest(**fields, verdict=verdict_of(checkpoint))


def verdict_of(checkpoint: Checkpoint | Manifest) -> Verdict:
    """The verdict on an extraction, by its own counts and the server's."""
    counts = [count for count in (checkpoint.count_before, checkpoint.count_after) if count is not None]
    # The lower of the two: rows that were inserted or deleted in between may rightly be missing.
    existed = min(counts, default=0)
    if checkpoint.count_after is not None:
        existed = min(existed, checkpoint.count_after - checkpoint.inserted_during_scan)
    if not checkpoint.is_finished or checkpoint.distinct < existed:
        return Verdict.PARTIAL
    has_changed = checkpoint.changed_during_scan or any(count != checkpoint.distinct for count in counts)
    return Verdict.DRIFTED if checkpoint.duplicates or has_changed else Verdict.COMPLETE


def fingerprint(resource: str, document: object) -> str:
    """A hash of a resource and a filter in the API's JSON, independent of the order of its keys."""
    return blake2b(_encoder.encode([resource, document]), digest_size=16).hexdigest()


def version_hash(key: Any) -> str | None:
    """A hash of one version of one row; `None` if the row has no `_etag` to distinguish its versions."""
    if not isinstance(key.etag, str):
        return None
    version = f"{key.id} {key.etag} {key.updated}"
    return urlsafe_b64encode(blake2b(version.encode(), digest_size=9).digest()).decode()


def recent_version_hashes(keys: Sequence[Any], oldest: datetime) -> list[str]:
    """The version hashes of the rows that changed at *oldest* or later; rows without a date are left out."""
    moments = [key.updated for key in keys]
    with suppress(TypeError):  # a date is missing: compare one by one
        if not moments or max(moments) < oldest:
            return []
    hashes = [version_hash(key) for key in keys if isinstance(key.updated, datetime) and key.updated >= oldest]
    return [each for each in hashes if each is not None]


def check_same_extraction(
    given: SavedState, kinds: tuple[type[SavedState], ...], *, resource: str, fingerprint: str, what: str
) -> None:
    """Raise `ConfigurationError` unless *given* is of one of the *kinds*, and of this resource and filter."""
    if not isinstance(given, kinds):
        raise ConfigurationError(f"{what} is a {type(given).__name__}: decode its JSON with from_json()")
    if given.resource != resource:
        raise ConfigurationError(f"{what} belongs to {given.resource}, not to {resource}")
    if given.fingerprint != fingerprint:
        raise ConfigurationError(f"{what} belongs to another filter: give the same one")
