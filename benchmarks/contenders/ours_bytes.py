"""All that the package does for a page except decoding: rate limiter, token, retry, observer, order, drift checks.

An undecoded page is represented by one record whose id is the page number.
"""

from typing import Any
from unittest.mock import patch

from amili_async import AmiliClient, Page, RateLimit
from amili_async._wire.decoding import RecordDecoder
from amili_async.events import Event
from amili_async.models import PayoutSpecification

LABEL = "amili_async, nothing decoded"
NEVER_WAITS = RateLimit(per_minute=10**6, per_second=10**5)
"""A rate limiter that counts every request and delays none."""


async def fetch_all(url: str) -> int:
    """Read every page; returns the number of pages."""
    total: int | None = None
    decode = RecordDecoder.read_page

    def read_nothing(decoder: RecordDecoder[Any], response: Any, *, number: int, **options: Any) -> Page[Any]:
        nonlocal total
        if total is None:
            total = -(-(decode(decoder, response, number=number, **options).total or 0) // 100)
        # One record per page and a matching total, so that the pager sees neither drift nor an early end.
        return Page(items=(PayoutSpecification(id=f"{number:024x}"),), number=number, max_results=1, total=total)

    with patch.object(RecordDecoder, "read_page", read_nothing):
        async with AmiliClient(url, auth="token", rate_limit=NEVER_WAITS, observers=[ignore]) as amili:
            return len([page.number async for page in amili.payout_specifications.stream().pages()])


def ignore(_event: Event) -> None:
    """An observer without effect: what remains is the cost of creating events."""
