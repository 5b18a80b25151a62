"""One client for a web app and a bulk job: both send within one rate limit, and neither stops the other.

Three minutes of virtual time, without sockets: the session is replaced by a server that rejects what exceeds a window.
"""

import asyncio
import random
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from amili_async import AmiliClient, RateLimit
from amili_async._wire.protocol import Request, Response
from amili_async._wire.tasks import RunningCall
from amili_async.errors import BudgetExhausted
from tests.support import internals
from tests.support.clocks import JumpingLoop

WINDOWS = ((10, 1.0), (100, 60.0))
MINUTES = 3
MAX_WAIT = 2.0
PAGE_SIZE = 10


class StrictApi:
    """Answers each request after some 50 ms, with a 429 if it exceeds a window."""

    def __init__(self) -> None:
        self.dice = random.Random(7)
        self.seen: list[float] = []
        self.rejected = 0

    async def send(self, request: Request, _credential: object, call: RunningCall, _options: object) -> Response:
        call.was_sent = True
        await asyncio.sleep(0.02 + self.dice.expovariate(100))
        now = asyncio.get_running_loop().time()
        is_admitted = all(sum(at > now - period for at in self.seen) < limit for limit, period in WINDOWS)
        self.rejected += not is_admitted
        if is_admitted:
            self.seen.append(now)
        await asyncio.sleep(0.02 + self.dice.expovariate(100))
        body = msgspec.json.encode(self.make_page(request.target))
        return Response(status=200 if is_admitted else 429, headers={}, body=body)

    def make_page(self, target: str) -> dict[str, object]:
        """A page of an endless list."""
        number = int(parse_qs(urlsplit(target).query)["page"][0])
        first = (number - 1) * PAGE_SIZE
        items = [{"_id": f"{row:024x}"} for row in range(first, first + PAGE_SIZE)]
        return {"_items": items, "_meta": {"page": number, "max_results": PAGE_SIZE, "total": 10**6}}


class Scene:
    """A bulk job and web calls on views of one client."""

    def __init__(self, reserve: int) -> None:
        self.api = StrictApi()
        limit = RateLimit(reserve=reserve)
        self.amili = AmiliClient(auth="token", rate_limit=limit, page_size=PAGE_SIZE)
        self.web = self.amili.with_options(max_wait=MAX_WAIT, timeout=5.0)
        self.pages = 0
        self.answered: list[float] = []
        """Seconds that each answered web call took."""
        self.failed: list[float] = []
        """Seconds until each of the others failed."""

    async def extract(self) -> None:
        """The bulk job, which waits for as long as it takes."""
        async for _ in self.amili.payouts.stream().pages():
            self.pages += 1

    async def call(self) -> None:
        """One web call."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self.web.payouts.page()
        except BudgetExhausted:
            self.failed.append(loop.time() - began)
        else:
            self.answered.append(loop.time() - began)

    async def play(self, calls_per_minute: int) -> None:
        """All of it; the bulk job runs until the end, or raises here."""
        internals.replace_send(self.amili, self.api.send)
        async with self.amili:
            job = asyncio.create_task(self.extract())
            async with asyncio.TaskGroup() as calls:
                for _ in range(MINUTES * calls_per_minute):
                    await asyncio.sleep(60 / calls_per_minute)
                    calls.create_task(self.call())
            assert not job.done()
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)


@pytest.mark.parametrize(
    ("reserve", "calls_per_minute", "answered", "pages_per_minute"),
    [(10, 6, 1.0, 85), (10, 20, 0.85, 75), (20, 20, 1.0, 65), (0, 20, 0.1, 90), (0, 600, 0.1, 10), (10, 600, 0.1, 10)],
)
def test_web_calls_and_a_bulk_job_share_one_client(
    reserve: int, calls_per_minute: int, answered: float, pages_per_minute: int
) -> None:
    """No 429, no error in the bulk job; each web call waits for two seconds at most, or fails within them.

    With a reserve as large as what the web app sends in a minute, all its calls are answered at once. With single calls
    at the full rate, the bulk job gets one permit in ten.
    """
    scene = Scene(reserve)
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(scene.play(calls_per_minute))
    assert scene.api.rejected == 0
    assert len(scene.answered) + len(scene.failed) == MINUTES * calls_per_minute
    assert len(scene.answered) >= answered * MINUTES * calls_per_minute
    assert max(scene.answered, default=0.0) <= MAX_WAIT + 0.3
    assert max(scene.failed, default=0.0) <= MAX_WAIT + 0.001
    if reserve > calls_per_minute:
        assert max(scene.answered) <= 0.2
    assert scene.pages >= pages_per_minute * MINUTES
