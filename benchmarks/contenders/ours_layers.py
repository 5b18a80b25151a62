"""The package up to one of its layers: each rung does all that those below it do, and one thing more."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from amili_async import AmiliClient
from amili_async._paging.offset import PAGES_AHEAD_PER_REQUEST
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.protocol import Response, list_request
from amili_async.events import Event
from amili_async.policies import Priority
from amili_async.query import build_query
from benchmarks.contenders import aiohttp_bytes, ours_bytes
from benchmarks.contenders.ours_bytes import WIDE_ENOUGH, ignore
from benchmarks.serving import PATH

LABEL = "amili_async, up to a layer"
WIDTH = 10
Fetch = Callable[[int], Coroutine[Any, Any, Response]]

RUNGS = (
    "aiohttp alone",
    "one try: sending and reading",
    "order",
    "retry",
    "token",
    "budget",
    "events",
    "walk: pages, drift, closing",
    "decoding",
    "record by record",
)


async def fetch_all(url: str, *, rung: str, pages: int) -> int:
    """Bring so many pages; returns how many."""
    number = RUNGS.index(rung)
    if rung == "aiohttp alone":
        return await aiohttp_bytes.fetch_all(url)
    if rung.startswith("walk"):
        return await ours_bytes.fetch_all(url)
    budget = WIDE_ENOUGH if number >= RUNGS.index("budget") else None
    observers: list[Callable[[Event], object]] = [ignore] if number >= RUNGS.index("events") else []
    async with AmiliClient(url, auth="token", rate_limit=budget, observers=observers) as amili:
        if rung == "decoding":
            return len([len(page.items) async for page in amili.payout_specifications.stream().pages()])
        if rung == "record by record":
            records = 0
            async for _ in amili.payout_specifications.stream():
                records += 1
            return records // 100
        fetch = _choose_fetch(amili, rung)
        await (_work(fetch, pages) if rung.startswith("one try") else _keep_order(fetch, pages))
    return pages


def _choose_fetch(amili: AmiliClient, rung: str) -> Fetch:
    query = build_query()
    session, retrier = amili._session, amili._pipeline._retrier

    async def send(number: int) -> Response:
        request = list_request(PATH, query, page=number, max_results=100, priority=Priority.BULK)
        return await session.send(request, "token")

    async def send_again(number: int) -> Response:
        return await retrier.run(lambda _: send(number), request=f"GET /{PATH}", is_repeatable=True)

    async def call(number: int) -> Response:
        request = list_request(PATH, query, page=number, max_results=100, priority=Priority.BULK)
        return await amili._call(request)

    return {RUNGS[1]: send, "order": send, "retry": send_again}.get(rung, call)


async def _work(fetch: Fetch, pages: int) -> None:
    numbers = iter(range(1, pages + 1))

    async def work() -> None:
        for number in numbers:
            await fetch(number)

    await asyncio.gather(*(work() for _ in range(WIDTH)))


async def _keep_order(fetch: Fetch, pages: int) -> None:
    window = PrefetchWindow(fetch, concurrency=WIDTH)
    window.pages_ahead, window.last_page = WIDTH * PAGES_AHEAD_PER_REQUEST, pages
    while await window.take() is not None:
        pass
    await window.aclose()
