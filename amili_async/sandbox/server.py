"""The sandbox: an Amili API in the process, on a real socket."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache, partial
from random import Random
from typing import Self, TypeAlias

from aiohttp import web
from aiohttp.http import HttpProcessingError

from .bson_values import system_time
from .endpoints import PAYMENTS, Endpoints
from .faults import BeforeRequest, Fault, PageOverride, PlannedFault, QueryOverride
from .http import HttpHandler
from .journal import Journal
from .limits import AMILI_LIMITS, RateWindow, RequestLimiter
from .rows import Document, StoredRow, store_rows
from .seeding import SeedData
from .store import Collection, ObjectIdFactory, RowWriter
from .tokens import TokenIssuer, make_private_key, public_key_of

_Loader: TypeAlias = Callable[[], dict[str, StoredRow]]

_SHUTDOWN_TIMEOUT = 0.1
_MOST_SHARED_ROWS = 20_000
_logger = logging.getLogger("amili_async.sandbox")


def _is_server_fault(record: logging.LogRecord) -> bool:
    # aiohttp logs a traceback for each request that is not HTTP or whose head is too large, and answers it with 400.
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


def _make_loaders(payouts: int, specifications: int, payments: int, seed: int) -> dict[str, _Loader]:
    """What returns the rows of each resource, made once."""
    data = SeedData(payouts=payouts, specifications=specifications, payments=payments, seed=seed)
    parts: dict[str, Callable[[], list[Document]]] = {
        "finance--payouts": data.payouts,
        "finance--payout-specifications": data.specifications,
        PAYMENTS: data.payments,
        "creditors": data.creditors,
        "cases": data.cases,
        "locales": data.locales,
    }
    return {path: cache(partial(_load, make)) for path, make in parts.items()}


def _load(make: Callable[[], list[Document]]) -> dict[str, StoredRow]:
    return store_rows(make())


# A program with many tests starts many sandboxes with the same rows. A stored row never changes, so that they share it.
_share_loaders = lru_cache(maxsize=4)(_make_loaders)


def _collect(*counts_and_seed: int) -> dict[str, Collection]:
    is_small = sum(counts_and_seed[:-1]) <= _MOST_SHARED_ROWS
    loaders = _share_loaders(*counts_and_seed) if is_small else _make_loaders(*counts_and_seed)
    return {path: Collection(load) for path, load in loaders.items()}


class Sandbox(RowWriter):
    """A server with generated payouts, specifications and payments that behaves as the Amili API does.

    The creditors and cases that they refer to are served, too, and the texts of locale keys.

    Use it as `async with Sandbox() as sandbox:`, or `await start()` and `await aclose()`.

    - *payouts*, *specifications*, *payments*: how many rows the first request generates.
    - *seed*: the rows are the same for the same numbers and seed.
    - *host*, *port*: where it listens; port 0 is a free one.
    - *rate_limit*: what Amili documents; None disables it. Every request counts.
    - *rate_limit_headers*: adds `X-RateLimit-*` to every answer and `Retry-After` to a 429. Eve sends none, and its 429
      without headers is the harder case for a client.
    - *count_rejected*: whether a request that the rate limit rejects counts too.
    - *token_lifetime*: seconds.
    - *latency*: real seconds before each answer, as are the delays of faults.
    - *public_key*: PEM that is registered instead of that of a generated key.
    - *clock*: returns epoch seconds; decides expiries, rate windows and the dates of new rows and answers.
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
        clock: Callable[[], float] = system_time,
    ) -> None:
        collections = _collect(payouts, specifications, payments, seed)
        super().__init__(collections, ObjectIdFactory(Random(f"{seed}/new rows")), clock)  # noqa: S311
        self._address = (host, port)
        self._public_key = public_key
        self._runner: web.ServerRunner | None = None
        self.api_code = f"sandbox-{secrets.token_hex(8)}"
        registered = public_key or public_key_of(self.private_key)
        self._tokens = TokenIssuer(api_code=self.api_code, public_key=registered, lifetime=token_lifetime)
        self._http = HttpHandler(
            Endpoints(collections, self._tokens, self._make_id),
            self._tokens,
            RequestLimiter(rate_limit, count_rejected=count_rejected) if rate_limit else None,
            clock=clock,
            latency=latency,
            sends_limits=rate_limit_headers,
        )
        self.requests: Journal = self._http.journal
        """The requests received so far, in order of arrival; its `clear()` starts over."""

    async def start(self) -> None:
        """Open the socket. Does nothing if it is open."""
        if self._runner is not None:
            return
        self._http.closing = asyncio.Event()  # an event belongs to one loop, and each start may run in another
        _logger.addFilter(_is_server_fault)
        # Eve does not decompress the body of a request.
        server = web.Server(self._http.respond, access_log=None, logger=_logger, auto_decompress=False)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()

    async def aclose(self) -> None:
        """Close the socket and every connection at once, open requests included. Rows and tokens are kept."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._http.closing.set()
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash. RuntimeError while the socket is closed."""
        if self._runner is None:
            raise RuntimeError("the sandbox is not started; use `async with` or `await start()`")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @cached_property
    def private_key(self) -> str:
        """The PEM key that signs for `api_code`. LookupError where the caller registered its own public key."""
        if self._public_key is not None:
            raise LookupError("the sandbox has no private key: public_key was given, so its owner signs")
        return make_private_key()

    def token(self) -> str:
        """A new access token, valid for *token_lifetime* seconds."""
        return self._tokens.mint(self._clock())

    def revoke_tokens(self) -> None:
        """Revoke every access token issued so far."""
        self._tokens.revoke_all()

    @property
    def in_flight(self) -> int:
        """The number of open requests."""
        return self._http.in_flight

    @property
    def most_in_flight(self) -> int:
        """The highest number of requests that were open at once."""
        return self._http.most_in_flight

    def fail(
        self, fault: Fault, *, times: int | None = 1, method: str | None = None, path: str | None = None, after: int = 0
    ) -> None:
        """Plan a fault for requests to come.

        - *fault*: what happens to them.
        - *times*: to how many of them; None for all.
        - *method*: only to those, such as `"POST"`.
        - *path*: only to those: a prefix if it begins with a slash, else the name of a resource.
        - *after*: so many that match pass before.

        The first planned fault that matches a request applies; none applies to a request that the rate limit rejects.
        """
        self._http.plan.append(PlannedFault(fault, times, method and method.upper(), path, after))

    def stop_failing(self) -> None:
        """Drop every planned fault."""
        self._http.plan.clear()

    def before_each_request(self, callback: BeforeRequest | None) -> None:
        """Call *callback* with each request right before it is carried out, as if another user changed rows then.

        It may insert, update and delete. None removes it.
        """
        self._http.overrides.before_each_request = callback

    def override(self, *, query: QueryOverride | None = None, page: PageOverride | None = None) -> None:
        """Change how lists are answered, until the next call; without arguments answers are true again.

        *query* returns the query to carry out instead of the one received. *page* gets the request and a page of a
        list as decoded JSON, and returns the page to send instead.
        """
        self._http.overrides.query, self._http.overrides.page = query, page
