"""An extraction in parts that run anywhere: how it is split, and what its parts did together.

Invariant: the ranges of the parts of a split partition all ids up to its bound. Neither holds a filter value or a
credential.
"""

from collections.abc import Iterable
from datetime import datetime

from amili_async._paging.partition import LOWEST_ID
from amili_async.errors import ConfigurationError
from amili_async.extraction.checkpoint import (
    MAX_RECENT_VERSIONS,
    Checkpoint,
    Manifest,
    SavedState,
    Verdict,
    check_same_extraction,
    verdict_of,
)
from amili_async.extraction.sums import total_sums


class Part(SavedState, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One range of ids of a split; `extract(where, part=…)` delivers its records, in any process."""

    index: int
    """Its place in the split, from 0."""
    bound: datetime
    """Rows whose ids were made later than this are left for the next extraction."""
    since: datetime | None = None
    """The bound of the earlier extraction (`since=`); `None` without one."""
    range: tuple[str, str]
    """Its ids: the first excluded, the second included."""

    def __post_init__(self) -> None:
        self.start()  # rejects ids that are no ids

    def start(self, *, recent_versions: str = "") -> Checkpoint:
        """A checkpoint that covers nothing of it."""
        return Checkpoint(
            resource=self.resource,
            fingerprint=self.fingerprint,
            bound=self.bound,
            since=self.since,
            part=self.range,
            ranges=(self.range,),
            recent_versions=recent_versions,
        )


class Split(SavedState, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An extraction cut into parts with about as many rows each; `conclude()` makes one manifest of theirs."""

    parts: tuple[Part, ...]
    """In the order of their ids; all with the same bound."""
    count_before: int
    """How many rows up to the bound the server counted."""
    count_past_bound: int
    """How many more rows there were, past the bound."""
    requests: int
    """Pages and counts that were answered."""

    def __post_init__(self) -> None:
        pairs = [part.range for part in self.parts]
        # A damaged split would lose rows, and no manifest would show it.
        if not self.parts or [first for first, _ in pairs] != [LOWEST_ID, *(last for _, last in pairs[:-1])]:
            raise ValueError("the ranges of the parts must follow each other")

    @property
    def bound(self) -> datetime:
        """Rows whose ids were made later than this are left for the next extraction."""
        return self.parts[0].bound

    @property
    def since(self) -> datetime | None:
        """The bound of the earlier extraction (`since=`); `None` without one."""
        return self.parts[0].since

    def find_manifests(self, manifests: Iterable[Manifest]) -> dict[int, Manifest]:
        """For the index of each part the first of its manifests whose verdict is not partial.

        Raises `ConfigurationError` for a manifest that belongs to no part of this split.
        """
        indexes = {part.range: part.index for part in self.parts}
        found: dict[int, Manifest] = {}
        for given in manifests:
            check_same_extraction(
                given, (Manifest,), resource=self.resource, fingerprint=self.fingerprint, what="a manifest"
            )
            index = None if given.part is None else indexes.get(given.part)
            if index is None or (given.bound, given.since) != (self.bound, self.since):
                raise ConfigurationError("a manifest belongs to no part of this split: its range or its bound differs")
            if verdict_of(given) is not Verdict.PARTIAL:
                found.setdefault(index, given)
        return found

    def merge(self, found: dict[int, Manifest]) -> Checkpoint:
        """What the parts did together; the ranges that are left are those of the parts without a manifest."""
        done = [found[index] for index in sorted(found)]
        hashes = frozenset[str]().union(*(each.version_hashes for each in done))
        return Checkpoint(
            resource=self.resource,
            fingerprint=self.fingerprint,
            bound=self.bound,
            since=self.since,
            requests=self.requests + sum(each.requests for each in done),
            rows=sum(each.rows for each in done),
            already_delivered=sum(each.already_delivered for each in done),
            duplicates=sum(each.duplicates for each in done),
            changed_during_scan=any(verdict_of(each) is Verdict.DRIFTED for each in done),
            count_before=self.count_before,
            count_past_bound=self.count_past_bound,
            sums=total_sums(each.sums for each in done),
            # Rows beyond the limit are delivered again by the next extraction, whichever they are.
            recent_versions="".join(sorted(hashes)[:MAX_RECENT_VERSIONS]),
            ranges=tuple(part.range for part in self.parts if part.index not in found),
            has_ended=len(found) == len(self.parts),
        )
