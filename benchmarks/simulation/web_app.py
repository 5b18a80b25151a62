"""A web app and a bulk job that send with one API key, in virtual time: real clients, and a model of the API."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import nullcontext
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from amili_async import AmiliClient, RateLimit
from amili_async._wire.protocol import Request, Response
from amili_async._wire.tasks import RunningCall
from amili_async.errors import AmiliError, RateLimited
from benchmarks.simulation.client import MEAN_JITTER, MIN_DELAY
from benchmarks.simulation.servers import ServerModel
from tests.support import internals
from tests.support.clocks import JumpingLoop

MAX_WAIT = 2.0
"""Seconds that a web call may wait for the rate limit."""
LATEST = MAX_WAIT + 0.3
"""Seconds within which a web call that waited no longer is answered, the way through the network included."""
PAGE_SIZE = 1

Clients = tuple[AmiliClient, AmiliClient]
"""That of the web app, and that of the bulk job."""


def share_one_client(reserve: int) -> Clients:
    """One client, with a view for each of the two."""
    amili = AmiliClient(auth="token", rate_limit=RateLimit(reserve=reserve), page_size=PAGE_SIZE)
    return amili.with_options(max_wait=MAX_WAIT, timeout=5.0), amili


def make_two_clients(limit: RateLimit) -> Clients:
    """Two clients that know nothing of each other, each with this limit."""
    web = AmiliClient(auth="token", rate_limit=limit, page_size=PAGE_SIZE, max_wait=MAX_WAIT, timeout=5.0)
    return web, AmiliClient(auth="token", rate_limit=limit, page_size=PAGE_SIZE)


class WebRun(Struct, kw_only=True):
    """What happened to the web calls and to the bulk job."""

    rate_limited: int = 0
    """Number of 429 responses."""
    answered: list[float] = []
    """Seconds that each answered web call took."""
    failed: list[float] = []
    """Seconds after which each web call that found no permit failed."""
    requests: int = 0
    """Requests of web calls that the API accepted."""
    pages: int = 0
    """Requests of the bulk job that it accepted."""
    bulk_error: str = ""
    """What ended the bulk job too early, if anything did."""

    @property
    def late(self) -> int:
        """How many web calls took longer than they may."""
        late = [seconds for seconds in self.answered if seconds > LATEST]
        return len(late) + sum(seconds > MAX_WAIT + 0.001 for seconds in self.failed)

    @property
    def bulk_share(self) -> float:
        """The bulk job's part of the accepted requests."""
        return self.pages / max(1, self.pages + self.requests)


def play(server: ServerModel, clients: Clients, *, pauses: Iterable[float], seed: int = 0) -> WebRun:
    """Run the bulk job from the first web call to the last; *pauses* are the seconds before each."""
    scene = _Scene(server, clients, random.Random(seed))
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(scene.play(pauses))
    return scene.run


class _Scene:
    def __init__(self, server: ServerModel, clients: Clients, rng: random.Random) -> None:
        self._server, self._rng = server, rng
        self._web, self._bulk = clients
        self.run = WebRun()

    async def play(self, pauses: Iterable[float]) -> None:
        for client in (self._web, self._bulk):
            internals.replace_send(client, self._send)
        is_view = self._web.rate_limiter is self._bulk.rate_limiter  # which is open while its client is
        async with self._bulk, nullcontext() if is_view else self._web:
            job = asyncio.create_task(self._read_all())
            async with asyncio.TaskGroup() as calls:
                for pause in pauses:
                    await asyncio.sleep(pause)
                    calls.create_task(self._call())
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    async def _read_all(self) -> None:
        """The bulk job, which waits for as long as it takes."""
        try:
            async for _ in self._bulk.payout_specifications.stream().pages():
                pass
        except AmiliError as error:
            self.run.bulk_error = type(error).__name__

    async def _call(self) -> None:
        """One web call."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._web.payouts.page()
        except RateLimited:
            self.run.failed.append(loop.time() - began)
        else:
            self.run.answered.append(loop.time() - began)

    async def _send(self, request: Request, _credential: object, call: RunningCall, _options: object) -> Response:
        """The API, which answers after some 60 ms, with a 429 if it does not accept the request."""
        call.was_sent = True
        await self._delay()
        answer = self._server.receive(asyncio.get_running_loop().time())
        await self._delay()
        if answer.is_rate_limited:
            self.run.rate_limited += 1
            return Response(status=429, headers={"Retry-After": f"{answer.retry_after:.0f}"}, body=b"{}")
        if "specifications" in request.target:
            self.run.pages += 1
        else:
            self.run.requests += 1
        return Response(status=200, headers={}, body=_make_page(request.target))

    async def _delay(self) -> None:
        """Wait for one way through the network."""
        await asyncio.sleep(MIN_DELAY + self._rng.expovariate(1 / MEAN_JITTER))


def _make_page(target: str) -> bytes:
    """A page of an endless list."""
    number = int(parse_qs(urlsplit(target).query)["page"][0])
    meta = {"page": number, "max_results": PAGE_SIZE, "total": 10**6}
    return msgspec.json.encode({"_items": [{"_id": f"{number:024x}"}], "_meta": meta})
