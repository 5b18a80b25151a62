"""Which ids are gone from a list: those that an extraction of all ids does not deliver, and a look-up does not find."""

from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

from amili_async._paging.keyset import IdLookup
from amili_async._wire.listing import Listing
from amili_async.conditions import Where
from amili_async.errors import ExtractionInterrupted, UnreadableResponse
from amili_async.extraction.checkpoint import Verdict
from amili_async.extraction.extraction import Extraction
from amili_async.extraction.source import last_id
from amili_async.models.fields import check_id


async def find_gone(
    extraction: Extraction[dict[str, Any]], keys: Listing[Any], ids: Iterable[str], where: Where
) -> frozenset[str]:
    """Those of the *ids* that the *extraction*, of the ids of all rows, does not deliver; see `Resource.sweep`."""
    gone = {bytes.fromhex(check_id(each)) for each in ids}  # a third of the memory of the texts
    lookup = IdLookup(keys, where)
    if not gone:
        return frozenset()
    try:
        async with aclosing(extraction.batches()) as batches:
            async for batch in batches:
                gone.difference_update(bytes.fromhex(row["_id"]) for row in batch)
    except ExtractionInterrupted as error:  # a sweep cannot be resumed, so its checkpoint would mislead
        raise (error.__cause__ or error) from None
    bound = extraction.checkpoint.bound
    if extraction.manifest.verdict is Verdict.PARTIAL:
        raise UnreadableResponse(
            f"{keys.label} returned fewer rows than the server counted, so missing ids need not be gone",
            request=keys.label,
        )
    missing = sorted(each.hex() for each in gone if bound is not None and each.hex() <= last_id(bound))
    return frozenset(missing) - await lookup.find(missing)
