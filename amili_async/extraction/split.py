"""The requests of an extraction in parts, besides those of its parts: where to cut it, and the count at the end."""

from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

from msgspec.structs import asdict, replace

from amili_async._paging.partition import HIGHEST_ID, LOWEST_ID, Span, id_below
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._paging.scan_checks import ScanChecks
from amili_async._paging.scan_page import ScanStats
from amili_async._wire.checks import check_count
from amili_async._wire.listing import Listing
from amili_async.conditions import Where, filter_document
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.extraction.checkpoint import Checkpoint, Manifest, check_same_extraction, make_manifest
from amili_async.extraction.parts import Part, Split
from amili_async.extraction.source import BOUND_LAG, Since, Source, build_source, initial_checkpoint, last_id


async def make_split(keys: Listing[Any], where: Where, *, parts: int, since: Since = None) -> Split:
    """Freeze the bound, count the rows up to it, and cut them at equal ranks: *parts* + 1 requests."""
    count = check_count(parts, "parts")
    source, start = _open(keys, where, since)
    page, bound = await source.fetch_start()
    stats = ScanStats()
    checks = _make_checks(source, bound, stats)
    page = checks.receive(page, (LOWEST_ID, HIGHEST_ID))
    if page.total == 0:
        stats.count_before = 0
    else:
        checks.open(page, _up_to(bound), source.fetch_first_page, filters_ids=since is not None)
        await checks.count(at_end=False)
    if stats.count_before is None:
        raise UnreadableResponse(
            f"{keys.label}: the response has no total (_meta.total), without which an extraction cannot be split: use "
            "extract()",
            request=keys.label,
        )
    ids = await _find_ids(source, checks, _up_to(bound), _ranks(stats.count_before, count, keys.context.page_size))
    first, last = _up_to(bound)
    edges = [first, *sorted({id_below(each) for each in ids}), last]
    begin = partial(Part, resource=start.resource, fingerprint=start.fingerprint, bound=bound, since=start.since)
    return Split(
        resource=start.resource,
        fingerprint=start.fingerprint,
        parts=tuple(begin(index=index, range=span) for index, span in enumerate(pairwise(edges))),
        count_before=stats.count_before,
        count_past_bound=stats.count_past_bound or 0,
        requests=stats.requests,
    )


async def conclude_split(
    keys: Listing[Any],
    split: Split,
    manifests: Iterable[Manifest],
    where: Where,
    *,
    since: Since = None,
) -> Manifest:
    """The manifest of the whole; the rows are counted once more, unless parts are missing."""
    source, start = _open(keys, where, since)
    check_same_extraction(split, (Split,), resource=keys.path, fingerprint=start.fingerprint, what="the split")
    if split.since != start.since:
        raise ConfigurationError("the split was made with another since=: give the same one")
    found = split.find_manifests(manifests)
    merged, missing = split.merge(found), [part.index for part in split.parts if part.index not in found]
    if not missing:
        stats = ScanStats(**{name: getattr(merged, name) for name in ScanStats.__struct_fields__})
        await _make_checks(source, split.bound, stats).count_after(merged.distinct)
        merged = replace(merged, **asdict(stats))
    return make_manifest(merged, filter=source.filter, missing_parts=missing)


def _open(keys: Listing[Any], where: Where, since: Since) -> tuple[Source[Any], Checkpoint]:
    document = filter_document(where)
    start = initial_checkpoint(keys.path, document, since=since)
    return build_source(keys, document, projection=("_id",), since=since, parts=None), start


def _up_to(bound: datetime) -> Span:
    return LOWEST_ID, last_id(bound)


def _make_checks(source: Source[Any], bound: datetime, stats: ScanStats) -> ScanChecks[Any]:
    size = source.listing.context.page_size
    return ScanChecks(source.fetch, whole=_up_to(bound), started=bound + BOUND_LAG, page_size=size, stats=stats)


def _ranks(rows: int, parts: int, page_size: int) -> list[int]:
    """How many rows lie before each part but the first: whole pages, so that only the last part has a short one."""
    step = page_size if rows >= parts * page_size else 1
    return sorted({round(rows * index / parts / step) * step for index in range(1, parts)} - {0, rows})


async def _find_ids(source: Source[Any], checks: ScanChecks[Any], whole: Span, ranks: list[int]) -> list[str]:
    """The ids of the rows of these ranks, without those that do not exist because rows were deleted."""

    async def find(number: int) -> list[str]:
        # As for a count: pages of one row, of which only the identity is fetched.
        page = await source.fetch((whole,), page=ranks[number - 1] + 1, is_count=True)
        return [key.id for key in checks.receive(page, whole).keys[:1]]

    window = PrefetchWindow(find, concurrency=source.concurrency)
    window.pages_ahead = window.last_page = len(ranks)
    ids: list[str] = []
    async with aclosing(window):
        while (found := await window.take()) is not None:
            ids += found
    return ids
