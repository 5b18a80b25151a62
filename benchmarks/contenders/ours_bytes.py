"""All that the package does for a page but to decode it: budget, token, retry, an observer, order, bookkeeping.

A page that is not decoded stands for one record, whose number is its id.
"""

from typing import Any
from unittest.mock import patch

from amili_async import AmiliClient, Page, RateLimit
from amili_async._wire.decoding import RecordDecoder
from amili_async.events import Event
from amili_async.models import PayoutSpecification

LABEL = "amili_async, nothing decoded"
WIDE_ENOUGH = RateLimit(per_minute=10**6, per_second=10**5)
"""A budget that counts every request and holds up none."""


async def fetch_all(url: str) -> int:
    """Read every page; returns how many."""
    total: int | None = None
    decode = RecordDecoder.read_page

    def stand_in(reader: RecordDecoder[Any], response: Any, *, number: int, **options: Any) -> Page[Any]:
        nonlocal total
        if total is None:
            total = -(-(decode(reader, response, number=number, **options).total or 0) // 100)
        return Page(items=(PayoutSpecification(id=f"{number:024x}"),), number=number, max_results=1, total=total)

    with patch.object(RecordDecoder, "read_page", stand_in):
        async with AmiliClient(url, auth="token", rate_limit=WIDE_ENOUGH, observers=[ignore]) as amili:
            return len([page.number async for page in amili.payout_specifications.stream().pages()])


def ignore(_event: Event) -> None:
    """What an observer costs that does nothing: the making of the events."""
