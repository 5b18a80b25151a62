"""The package up to one of its layers: each layer does everything below it, plus one more thing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from amili_async import AmiliClient
from amili_async._paging.offset import PAGES_AHEAD_PER_REQUEST
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.calls import Call
from amili_async._wire.protocol import Response, list_request
from amili_async._wire.tasks import Redacted
from amili_async.events import Event
from amili_async.policies import Priority
from amili_async.query import build_query
from benchmarks.contenders import aiohttp_bytes, ours_bytes
from benchmarks.contenders.ours_bytes import NEVER_WAITS, ignore
from benchmarks.workload.server import PATH

LABEL = "amili_async, up to a layer"
CONCURRENCY = 10
Fetch = Callable[[int], Coroutine[Any, Any, Response]]

LAYERS = (
    "bare aiohttp",
    "one attempt: send and read",
    "ordered prefetch",
    "retry",
    "token",
    "rate limiter",
    "events",
    "pagination: pages, drift, closing",
    "decoding",
    "iterating over records",
)


async def fetch_all(url: str, *, layer: str, pages: int) -> int:
    """Fetch *pages* pages through all layers up to *layer*; returns the number of pages."""
    number = LAYERS.index(layer)
    if layer == "bare aiohttp":
        return await aiohttp_bytes.fetch_all(url)
    if layer.startswith("pagination"):
        return await ours_bytes.fetch_all(url)
    rate_limit = NEVER_WAITS if number >= LAYERS.index("rate limiter") else None
    observers: list[Callable[[Event], object]] = [ignore] if number >= LAYERS.index("events") else []
    async with AmiliClient(url, auth="token", rate_limit=rate_limit, observers=observers) as amili:
        if layer == "decoding":
            return len([len(page.items) async for page in amili.payout_specifications.stream().pages()])
        if layer == "iterating over records":
            records = 0
            async for _ in amili.payout_specifications.stream():
                records += 1
            return records // 100
        fetch = _choose_fetch(amili, layer)
        await (_fetch_unordered(fetch, pages) if layer.startswith("one attempt") else _fetch_ordered(fetch, pages))
    return pages


def _choose_fetch(amili: AmiliClient, layer: str) -> Fetch:
    query = build_query()
    session, retrier = amili._core.session, amili._pipeline._retrier

    async def send(number: int) -> Response:
        request = list_request(PATH, query, page=number, max_results=100, priority=Priority.BULK)
        return await session.send(request, Redacted("token"), Call(set()), amili._pipeline._options)

    async def send_with_retry(number: int) -> Response:
        call = Call(set())
        return await retrier.run(
            lambda: send(number), request=f"GET /{PATH}", is_repeatable=True, on_retry=call.on_retry
        )

    async def call(number: int) -> Response:
        request = list_request(PATH, query, page=number, max_results=100, priority=Priority.BULK)
        return await amili._call(request)

    return {LAYERS[1]: send, LAYERS[2]: send, "retry": send_with_retry}.get(layer, call)


async def _fetch_unordered(fetch: Fetch, pages: int) -> None:
    numbers = iter(range(1, pages + 1))

    async def work() -> None:
        for number in numbers:
            await fetch(number)

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def _fetch_ordered(fetch: Fetch, pages: int) -> None:
    window = PrefetchWindow(fetch, concurrency=CONCURRENCY)
    window.pages_ahead, window.last_page = CONCURRENCY * PAGES_AHEAD_PER_REQUEST, pages
    while await window.take() is not None:
        pass
    await window.aclose()
