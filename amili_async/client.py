"""The session manager: opens, wires and closes everything, and is the only place that constructs."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from amili_async._wire.api_code import ApiCodeCredentials
from amili_async._wire.clock import Clock, SystemClock
from amili_async._wire.context import ClientContext, check_count, check_page_size
from amili_async._wire.pipeline import Pipeline
from amili_async._wire.protocol import Request, Response, check_base_url
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.retry import Retrier
from amili_async._wire.session import Session
from amili_async._wire.tasks import Cancellable, cancel_all
from amili_async._wire.token_provider import TokenProvider, TokenSource, check_source
from amili_async.errors import ConfigurationError
from amili_async.events import Announcer, Observer
from amili_async.filters import Where
from amili_async.models import PayoutSpecification
from amili_async.payments import CreditorPayments
from amili_async.policies import RateLimit, RateLimiter, RetryPolicy
from amili_async.reconciliation.comparison import Reconciliation
from amili_async.reconciliation.run import Reconciler
from amili_async.resources import Payouts, Resource
from amili_async.version import VERSION

if TYPE_CHECKING:
    import aiohttp

SANDBOX_URL = "https://api-sandbox.amili.se"
"""Amili's own sandbox, the only host that its documentation names."""

PATHS = {
    "payouts": "finance--payouts",
    "payout_specifications": "finance--payout-specifications",
    "creditor_payments": "creditor--payments",
}
"""The resources, and where the API has them."""


class AmiliClient:
    """One connection to the API, to be shared by everything in an event loop.

    Use it as `async with AmiliClient(…) as amili:`, or call `await open()` and `await aclose()`; it can be made
    anywhere, and opened again after it was closed.

    *auth* is an access token, `ApiCodeCredentials`, or an async function that returns a token. *page_size* and
    *concurrency* (requests in flight per stream) are defaults that each call can change. *rate_limit* is the budget
    (`None` for none, or your own `RateLimiter`), *retry* the patience, *timeout* the seconds for one try, sending
    and reading included. A *session* that is given is borrowed and not closed. Each of *observers* is called with
    each event. Raises `ConfigurationError` for anything that cannot work.
    """

    payouts: Payouts
    """`finance--payouts`."""
    payout_specifications: Resource[PayoutSpecification]
    """`finance--payout-specifications`."""
    creditor_payments: CreditorPayments
    """`creditor--payments`."""
    auth: TokenProvider
    """Hands out the access token: `await client.auth.get_valid_token()`."""

    def __init__(
        self,
        base_url: str = SANDBOX_URL,
        *,
        auth: str | ApiCodeCredentials | TokenSource,
        page_size: int = 100,
        concurrency: int = 10,
        rate_limit: RateLimit | RateLimiter | None = RateLimit(),
        retry: RetryPolicy = RetryPolicy(),
        timeout: float = 30.0,
        session: "aiohttp.ClientSession | None" = None,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
    ) -> None:
        if not timeout > 0:
            raise ConfigurationError("timeout must be more than zero seconds")
        if not isinstance(retry, RetryPolicy):
            raise ConfigurationError("retry must be a RetryPolicy; RetryPolicy(attempts=1) tries once")
        if isinstance(rate_limit, type) or not all(callable(observer) for observer in _listed(observers)):
            raise ConfigurationError("rate_limit must be a RateLimit or None, and observers a list of callables")
        clock = clock or SystemClock()
        announce = Announcer(observers)
        self._base_url = check_base_url(base_url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing = False
        self._running: set[Cancellable] = set()
        self._session = Session(self._base_url, timeout=timeout, session=session, user_agent=f"amili-async/{VERSION}")
        max_wait = rate_limit.max_wait if isinstance(rate_limit, RateLimit) else None
        self._rate_limiter: RateLimiter
        if rate_limit is None or isinstance(rate_limit, RateLimit):
            self._rate_limiter = SlidingWindowLimiter(rate_limit, clock=clock, announce=announce)
        else:
            self._rate_limiter = rate_limit
        self._pipeline = Pipeline(
            self._session,
            budget=self._rate_limiter,
            retrier=Retrier(retry, clock=clock, announce=announce, max_pause=max_wait),
            clock=clock,
            announce=announce,
        )
        source: Any = auth
        if isinstance(auth, ApiCodeCredentials):
            source = partial(auth.exchange, self._pipeline.call_with, clock)
        self.auth = TokenProvider(check_source(source), clock=clock, announce=announce, check_open=self._check_loop)
        connection = self._connection = ClientContext(
            call=self._call,
            announce=announce,
            running=self._running,
            page_size=check_page_size(page_size),
            concurrency=check_count(concurrency, "concurrency"),
            clock=clock,
            forecast=self._forecast,
        )
        self.payout_specifications = Resource(PATHS["payout_specifications"], PayoutSpecification, connection)
        self.payouts = Payouts(PATHS["payouts"], connection, self.payout_specifications)
        self.creditor_payments = CreditorPayments(PATHS["creditor_payments"], connection)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> "AmiliClient":
        """A client from `AMILI_BASE_URL`, and `AMILI_TOKEN` or `AMILI_API_CODE` with `AMILI_PRIVATE_KEY_FILE`.

        *overrides* are arguments of `AmiliClient`, which win. `ConfigurationError` names the variable that is missing.
        """
        environ = os.environ if environ is None else environ
        options: dict[str, Any] = {}
        if environ.get("AMILI_BASE_URL"):
            options["base_url"] = environ["AMILI_BASE_URL"]
        if "auth" not in overrides:
            options["auth"] = _auth_from(environ)
        return cls(**(options | overrides))

    def __repr__(self) -> str:
        return f"AmiliClient({self._base_url!r}, {'open' if self._loop else 'closed'})"

    async def open(self) -> "AmiliClient":
        """Get ready to send; nothing is sent yet. Opening an open client does nothing."""
        loop = asyncio.get_running_loop()
        if self._is_closing:
            raise ConfigurationError("the client is being closed: open it again when that is done")
        if self._loop is None:
            self._session.open()
            self._loop = loop
        self._check_loop()
        return self

    async def aclose(self) -> None:
        """End all that is under way, streams too, and close the connections. Closing twice does nothing.

        A call that waits for its next try sends nothing more: it ends with an error when the wait is over.
        """
        if self._loop is None:
            return
        self._check_loop()
        self._loop = None
        self._is_closing = True
        try:
            self._rate_limiter.close()
            await cancel_all((*self._running, self.auth))
        finally:
            try:
                await self._session.aclose()
            finally:
                self._is_closing = False

    async def __aenter__(self) -> "AmiliClient":
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _call(self, request: Request) -> Response:
        self._check_loop()
        return await self._pipeline.call(request, self.auth)

    def _forecast(self, requests: int) -> float | None:
        """Seconds until the last of so many requests can be sent; a budget of the caller's own need not know."""
        return self._rate_limiter.forecast(requests) if isinstance(self._rate_limiter, SlidingWindowLimiter) else None

    def reconcile(self, where: Where = None) -> AsyncGenerator[Reconciliation, None]:
        """Compare payouts with their specifications: one `Reconciliation` each, in the order of their ids.

        Counts and sums per article are held against the payout's `summary`, the sums of all against its totals, each
        specification's `amount + vat_amount` against its `total_amount`, and its creditor, currency and category
        against the payout's, all exactly. What differs is fetched again five seconds later before it is told, since
        payouts and specifications are neither read nor booked in one moment. *where* chooses the payouts. Without it,
        specifications that name a payout which does not exist are found too, as a `Reconciliation` without a payout.

        It costs a request for a hundred payouts and one for a hundred specifications; memory holds the sums of some
        two hundred payouts, and no specifications. `UnreadableResponse` where the server does not honour the filters,
        or a payout differs in another way each time that it is looked at.
        """
        return Reconciler(
            where, payouts=self.payouts, specifications=self.payout_specifications, connection=self._connection
        ).reconciliations()

    def _check_loop(self) -> None:
        if self._loop is None:
            raise ConfigurationError(
                "the client is not open: use `async with AmiliClient(…)`, or `await client.open()`"
            )
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(
                "the client was opened in another event loop: close it there, or make one client for each loop"
            )


def _listed(observers: object) -> Sequence[object]:
    if not isinstance(observers, Sequence):
        raise ConfigurationError("observers must be a list of callables, even where it is one")
    return observers


def _auth_from(environ: Mapping[str, str]) -> str | ApiCodeCredentials:
    token, api_code = environ.get("AMILI_TOKEN"), environ.get("AMILI_API_CODE")
    if token and api_code:
        raise ConfigurationError("AMILI_TOKEN and AMILI_API_CODE are both set: only one of them can be meant")
    if token:
        return token
    key_file = environ.get("AMILI_PRIVATE_KEY_FILE")
    if not api_code or not key_file:
        missing = "AMILI_PRIVATE_KEY_FILE" if api_code else "AMILI_API_CODE" if key_file else "AMILI_TOKEN"
        raise ConfigurationError(
            f"{missing} is not set: set AMILI_TOKEN, or both AMILI_API_CODE and AMILI_PRIVATE_KEY_FILE"
        )
    try:
        private_key = Path(key_file).read_bytes()
    except OSError as error:  # it holds the name, which may be the key itself
        reason = error.strerror
    except ValueError:
        reason = "no file can have this name"
    else:
        return ApiCodeCredentials(api_code, private_key)
    raise ConfigurationError(f"AMILI_PRIVATE_KEY_FILE cannot be read: {reason}; it must be the name of the key's file")
