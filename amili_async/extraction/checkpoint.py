"""How far an extraction came, and what it did: as values that outlive the process.

The law: neither holds a filter value, a credential, or anything of a record but ids (hashed where they can be) and the
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

from amili_async.errors import ConfigurationError
from amili_async.models.json import decode_json

VERSION = 1
"""Of both formats; another one is refused."""
_MARK = 16
_ID = re.compile("[0-9a-f]{24}")

_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


class Verdict(StrEnum):
    """Whether an extraction has everything."""

    COMPLETE = "complete"
    """Every row up to the bound, once; the server counted as many before and after, and nothing moved meanwhile."""
    DRIFTED = "drifted"
    """Every row that was there throughout, once; but rows came or went meanwhile, or the server sent some twice."""
    PARTIAL = "partial"
    """Rows are missing: it has not ended, or it has and brought fewer than the server counted, which only another
    extraction can mend."""


class _Progress(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int = VERSION
    """Of the format."""
    resource: str
    """The API's path of the resource."""
    fingerprint: str
    """Stands for resource and filter, without showing the filter's values."""
    bound: datetime | None = None
    """Rows whose ids were made later than this are left for the next time; `None` before the first answer."""
    since: datetime | None = None
    """The bound of the extraction that this one goes on from; `None` where it goes on from none."""
    requests: int = 0
    """Pages and counts that were answered; retries and tokens are not among them."""
    rows: int = 0
    """Records that the consumer took."""
    known: int = 0
    """Rows left out since the extraction before delivered them in this very version."""
    doubled: int = 0
    """Rows dropped since the server sent them twice on one page."""
    has_moved: bool = False
    """Whether the server's counts changed between two pages of a range."""
    before: int | None = None
    """How many rows up to the bound the server counted at the start; `None` where it does not count."""
    newer: int | None = None
    """How many more there were at the start, past the bound."""
    after: int | None = None
    """How many rows up to the bound it counted at the end."""
    sums: dict[str, Decimal | None] = {}
    """For each money column the sum of the records taken; `None` where a value cannot be summed exactly."""
    recent: str = ""
    """A mark for each row changed shortly before the bound, by which the next extraction knows it again."""

    @property
    def distinct(self) -> int:
        """How many different ids were taken."""
        return self.rows + self.known

    @property
    def marks(self) -> frozenset[str]:
        """The marks one by one."""
        return frozenset(self.recent[place : place + _MARK] for place in range(0, len(self.recent), _MARK))

    def to_json(self) -> str:
        """As JSON, to be kept."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; `ConfigurationError` for anything else, another version included."""
        name = cls.__name__.lower()
        versioned = decode_json(text, _Versioned)
        if versioned is not None and versioned.version != VERSION:
            raise ConfigurationError(
                f"this {name} is of version {versioned.version}, and this release reads version {VERSION}: begin anew"
            )
        progress = decode_json(text, cls)
        if progress is None:
            raise ConfigurationError(f"this is not a {name} that amili_async wrote")
        return progress


class Checkpoint(_Progress, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the consumer of an extraction came: `extract(checkpoint=…)` goes on from there."""

    ranges: tuple[tuple[str, str], ...] = ()
    """What is left: pairs of ids, the first excluded, the second included."""
    gaps: tuple[tuple[str, str], ...] = ()
    """Where nothing should be left, but has to be looked once more; pairs likewise."""
    has_ended: bool = False
    """Whether everything was fetched and counted; false as well while some of it is still to be taken."""

    def __post_init__(self) -> None:
        ids = [each for pair in sorted((*self.ranges, *self.gaps)) for each in pair]
        if ids != sorted(ids) or not all(map(_ID.fullmatch, ids)):
            raise ValueError("Expected ranges of ids that ascend")
        if (self.bound is None and ids) or (self.bound is not None and self.bound.tzinfo is None):
            raise ValueError("Expected a bound with a time zone where there are ranges")

    @property
    def is_finished(self) -> bool:
        """Whether everything was taken."""
        return self.has_ended and not (self.ranges or self.gaps)


class Manifest(_Progress, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an extraction did, and whether it has everything; `extract(since=…)` gets what changed after it."""

    filter: str
    """The filter without its values; empty for none."""
    is_finished: bool
    """Whether everything was taken."""
    verdict: Verdict
    """Whether it has everything."""


class _Versioned(Struct):
    version: int


def make_manifest(checkpoint: Checkpoint, *, filter: str) -> Manifest:  # noqa: A002
    """What a checkpoint says of the extraction, with the verdict."""
    fields: dict[str, Any] = {name: getattr(checkpoint, name) for name in _Progress.__struct_fields__}
    return Manifest(**fields, filter=filter, is_finished=checkpoint.is_finished, verdict=verdict_of(checkpoint))


def verdict_of(checkpoint: Checkpoint | Manifest) -> Verdict:
    """The verdict on an extraction."""
    counts = [count for count in (checkpoint.before, checkpoint.after) if count is not None]
    if not checkpoint.is_finished or (counts and checkpoint.distinct < min(counts)):
        return Verdict.PARTIAL
    if checkpoint.doubled or checkpoint.has_moved or any(count != checkpoint.distinct for count in counts):
        return Verdict.DRIFTED
    return Verdict.COMPLETE


def fingerprint(resource: str, document: object) -> str:
    """What stands for a resource and a filter in the API's JSON, whatever the order of its parts."""
    return blake2b(_encoder.encode([resource, document]), digest_size=16).hexdigest()


def version_hash(key: Any) -> str | None:
    """What stands for one version of one row; `None` where nothing tells its versions apart."""
    if not isinstance(key.etag, str):
        return None
    version = f"{key.id} {key.etag} {key.updated}"
    return urlsafe_b64encode(blake2b(version.encode(), digest_size=12).digest()).decode()


def find_recent(keys: Sequence[Any], oldest: datetime) -> list[str]:
    """The marks of the rows that changed at *oldest* or later; a row that does not say when is not found by it."""
    moments = [key.updated for key in keys]
    with suppress(TypeError):  # absent or null somewhere
        if not moments or max(moments) < oldest:
            return []
    marks = [version_hash(key) for key in keys if isinstance(key.updated, datetime) and key.updated >= oldest]
    return [mark for mark in marks if mark is not None]


def check_same(given: Checkpoint | Manifest, *, resource: str, fingerprint: str, what: str) -> None:
    """`ConfigurationError` unless it is one, and belongs to this resource and filter."""
    if not isinstance(given, _Progress):
        raise ConfigurationError(f"the {what} is a {type(given).__name__}: from JSON, it is made by from_json()")
    if given.resource != resource:
        raise ConfigurationError(f"the {what} belongs to {given.resource}, not to {resource}")
    if given.fingerprint != fingerprint:
        raise ConfigurationError(f"the {what} belongs to an extraction with another filter: give the same one again")
