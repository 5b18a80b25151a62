"""The sandbox itself: an Amili in the process, on a real socket. It imports nothing of ours outside this folder."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from random import Random
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from .endpoints import PAYMENTS, Endpoints
from .faults import FalsePage, FalseQuery, Fault, Meanwhile
from .http import HttpHandler
from .journal import Journal
from .limits import AMILI_LIMITS, Budget, RateWindow
from .object_ids import ObjectIdFactory
from .seeding import SeedData
from .store import Collection, Writer
from .tokens import TokenIssuer, make_private_key, public_half

_SHUTDOWN = 0.1


class Sandbox:
    """A server with made-up payouts, specifications and payments that behaves as Amili's does.

    `async with`, or `await start()` and `await aclose()`. Rows are made when the first request needs them, the same
    for the same numbers and *seed*. *clock* gives epoch seconds and rules expiries, rate windows and the dates of new
    rows and of answers; *latency* and the delays of faults are real seconds. *rate_limit* is what Amili documents
    unless it is given, and None switches it off; every request counts, refused ones only if *count_rejected*.
    *rate_limit_headers* adds `X-RateLimit-*` to every answer and `Retry-After` to a 429: off, as in Eve, whose bare 429
    is the harder case for a client. *public_key* (PEM) is registered in place of that of a key made here.
    """

    def __init__(
        self,
        *,
        payouts: int = 50,
        specifications: int = 5_000,
        payments: int = 40,
        seed: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
        rate_limit: Sequence[RateWindow] | None = AMILI_LIMITS,
        rate_limit_headers: bool = False,
        count_rejected: bool = False,
        token_lifetime: float = 600.0,
        latency: float = 0.0,
        public_key: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        books = SeedData(payouts=payouts, specifications=specifications, payments=payments, seed=seed)
        self._collections = {
            "finance--payouts": Collection(books.payouts),
            "finance--payout-specifications": Collection(books.specifications),
            PAYMENTS: Collection(books.payments),
        }
        self._address = (host, port)
        self._public_key = public_key
        self._clock = clock
        self._runner: web.ServerRunner | None = None
        self.api_code = f"sandbox-{secrets.token_hex(8)}"
        self._office = TokenIssuer(
            api_code=self.api_code, public_key=public_key or public_half(self.private_key), lifetime=token_lifetime
        )
        self._writer = Writer(self._collections, ObjectIdFactory(Random(f"{seed}/new rows")), clock)  # noqa: S311
        self._http = HttpHandler(
            Endpoints(self._collections, self._office, make_id=self._writer.make_id),
            self._office,
            Budget(rate_limit, counts_refused=count_rejected) if rate_limit else None,
            clock=clock,
            latency=latency,
            shows_limits=rate_limit_headers,
        )

    async def start(self) -> None:
        """Open the socket. Does nothing if it is open."""
        if self._runner is not None:
            return
        self._http.closing = asyncio.Event()  # each start may be in a loop of its own
        server = web.Server(self._http.respond, access_log=None)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()

    async def aclose(self) -> None:
        """Close the socket and every connection at once, also those of requests that wait. Rows and tokens stay."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._http.closing.set()
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end. RuntimeError while it does not."""
        if self._runner is None:
            raise RuntimeError("the sandbox has not been started")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @cached_property
    def private_key(self) -> str:
        """The PEM key that signs for `api_code`. LookupError where the caller has registered a key of its own."""
        if self._public_key is not None:
            raise LookupError("a public key was given, so its private half is not known here")
        return make_private_key()

    def token(self) -> str:
        """A new access token, good for *token_lifetime* seconds."""
        return self._office.mint(self._clock())

    def revoke_tokens(self) -> None:
        """Every access token given out so far stops working."""
        self._office.revoke_all()

    @property
    def requests(self) -> Journal:
        """What was asked so far, in order of arrival; call its `clear()` to begin anew."""
        return self._http.journal

    @property
    def in_flight(self) -> int:
        """How many requests are open now."""
        return self._http.open

    @property
    def most_in_flight(self) -> int:
        """The highest number of requests that were ever open at once."""
        return self._http.most_open

    def fail(
        self, fault: Fault, *, times: int | None = 1, method: str | None = None, path: str | None = None, after: int = 0
    ) -> None:
        """Plan a fault for the next *times* requests (None: for all to come), once *after* of its kind have passed.

        *path* is a prefix if it begins with a slash, else the name of a resource. A request meets the first fault
        planned that concerns it; one that the rate limit refuses meets none.
        """
        self._http.plan.add(fault, times=times, method=method, path=path, after=after)

    def stop_failing(self) -> None:
        """Forget every fault that is still planned."""
        self._http.plan.clear()

    def before_each_request(self, callback: Meanwhile | None) -> None:
        """Call *callback* with each request right before it is carried out: what it does, somebody else did meanwhile.

        It may insert, update and delete. None takes it away.
        """
        self._http.interference.meanwhile = callback

    def override(self, *, query: FalseQuery | None = None, page: FalsePage | None = None) -> None:
        """Make the server lie, until this is called again; with nothing it is honest.

        *query* gives the query that is carried out in place of the one received. *page* is called with the request
        and a page of a list as decoded JSON, and gives the one that is sent instead.
        """
        self._http.interference.query, self._http.interference.page = query, page

    def rows(self, resource: str) -> list[dict[str, Any]]:
        """Copies of all rows as the API shows them, in stored order; numbers are int or Decimal."""
        return self._writer.rows(resource)

    def insert(self, resource: str, document: dict[str, Any]) -> str:
        """Store a row behind all others and return its id. Automatic fields that are not given are made."""
        return self._writer.insert(resource, document)

    def update(self, resource: str, row_id: str, changes: dict[str, Any]) -> None:
        """Change fields of a row, which keeps its place, and its `_updated` and `_etag`. KeyError if there is none."""
        self._writer.update(resource, row_id, changes)

    def delete(self, resource: str, row_id: str) -> None:
        """Take a row out. KeyError if there is none."""
        self._writer.delete(resource, row_id)
