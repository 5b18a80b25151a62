"""httpx and pydantic v2 with the same types, ten requests in flight, pages in order."""

import asyncio
from collections import deque

import httpx

from benchmarks.workload.pydantic_models import PydanticPage
from benchmarks.workload.server import PATH

LABEL = "httpx + pydantic v2, same types, streamed"
CONCURRENCY = 10


async def fetch_all(url: str) -> int:
    """Visit every record."""
    visited = 0
    async with open_client() as client:
        first = PydanticPage.model_validate_json(await fetch_page(client, url, 1))
        for item in first.items:
            visited += item.total_amount is not None
        numbers = iter(range(2, -(-first.meta.total // 100) + 1))
        in_flight: deque[asyncio.Task[bytes]] = deque()

        def top_up() -> None:
            while len(in_flight) < CONCURRENCY and (number := next(numbers, None)) is not None:
                in_flight.append(asyncio.create_task(fetch_page(client, url, number)))

        top_up()
        while in_flight:
            body = await in_flight.popleft()
            top_up()  # before decoding, so that the next page arrives during it
            for item in PydanticPage.model_validate_json(body).items:
                visited += item.total_amount is not None
    return visited


def open_client() -> httpx.AsyncClient:
    """A client with at most ten connections."""
    return httpx.AsyncClient(
        headers={"X-API-Key": "token"}, limits=httpx.Limits(max_connections=CONCURRENCY), timeout=60
    )


async def fetch_page(client: httpx.AsyncClient, url: str, number: int) -> bytes:
    """The body of a page."""
    response = await client.get(f"{url}/{PATH}", params={"page": number, "max_results": 100, "sort": "_id"})
    response.raise_for_status()
    return response.content
