"""httpx and pydantic v2 with the same types: all pages in one `asyncio.gather`, as in many tutorials."""

import asyncio

from benchmarks.contenders.httpx_pydantic_streamed import fetch_page, open_client
from benchmarks.workload.pydantic_models import PydanticPage

LABEL = "httpx + pydantic v2, same types, gathered"


async def fetch_all(url: str) -> int:
    """Keep every page, and visit every record."""
    async with open_client() as client:
        first = PydanticPage.model_validate_json(await fetch_page(client, url, 1))

        async def fetch(number: int) -> PydanticPage:
            return PydanticPage.model_validate_json(await fetch_page(client, url, number))

        rest = await asyncio.gather(*(fetch(number) for number in range(2, -(-first.meta.total // 100) + 1)))
    return sum(item.total_amount is not None for listing in (first, *rest) for item in listing.items)
