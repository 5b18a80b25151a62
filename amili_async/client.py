"""The client: constructs, opens and closes everything; no other module constructs parts of it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from amili_async._wire.announcer import Announcer, check_observers
from amili_async._wire.api_code import ApiCodeExchange
from amili_async._wire.checks import check_count, check_implements, check_seconds
from amili_async._wire.clock import Clock, SystemClock
from amili_async._wire.context import ClientContext, check_page_size
from amili_async._wire.pipeline import Pipeline
from amili_async._wire.protocol import Request, Response, check_base_url
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.retry import Retrier
from amili_async._wire.session import Session
from amili_async._wire.tasks import Cancellable, Redacted, cancel_all
from amili_async._wire.token_provider import TokenProvider, check_source
from amili_async.auth import ApiCodeCredentials, AuthTokenProvider, TokenSource
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError
from amili_async.events import Observer
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
"""Amili's own sandbox, the only host that the API's documentation names."""

PATHS = {
    "payouts": "finance--payouts",
    "payout_specifications": "finance--payout-specifications",
    "creditor_payments": "creditor--payments",
}
"""The API's path of each resource."""


class AmiliClient:
    """The API, as seen by all code of one event loop, which shares one client.

    Use it as `async with AmiliClient(…) as amili:`, or call `await open()` and `await aclose()`, in one place, and pass
    the open client on. It can be created outside an event loop, and opened again after it was closed.

    *auth* is an access token, `ApiCodeCredentials`, or an async function that returns a token. *page_size* (records)
    and *concurrency* (requests in flight per stream) are defaults that each call can override. *rate_limit* is a
    `RateLimit`, `None` for no limit, or your own `RateLimiter`; *retry* the `RetryPolicy`. *timeout* is the seconds for
    one attempt, sending and reading included. A *session* is borrowed and never closed. Each of *observers* is called
    with each event. Raises `ConfigurationError` for options that cannot work.
    """

    payouts: Payouts
    """`finance--payouts`."""
    payout_specifications: Resource[PayoutSpecification]
    """`finance--payout-specifications`."""
    creditor_payments: CreditorPayments
    """`creditor--payments`."""
    auth: AuthTokenProvider
    """Returns the access token: `await client.auth.get_valid_token()`."""

    _loop: asyncio.AbstractEventLoop | None = None
    _is_closing = False

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
        _clock: Clock | None = None,
    ) -> None:
        _check_options(rate_limit=rate_limit, retry=retry, timeout=timeout, observers=observers)
        clock, announce = _clock or SystemClock(), Announcer(observers)
        self._base_url = check_base_url(base_url)
        self._running: set[Cancellable] = set()
        self._session = Session(self._base_url, timeout=timeout, session=session, user_agent=f"amili-async/{VERSION}")
        limiter = self._rate_limiter = _make_rate_limiter(rate_limit, clock=clock, announce=announce)
        self._owns_limiter = limiter is not rate_limit
        max_wait = rate_limit.max_wait if isinstance(rate_limit, RateLimit) else None
        retrier = Retrier(retry, clock=clock, announce=announce, max_pause=max_wait)
        self._pipeline = Pipeline(self._session, self._running, limiter, retrier, clock=clock, announce=announce)
        if isinstance(auth, ApiCodeCredentials):  # the requests of an exchange have timeouts of their own
            auth, timeout = ApiCodeExchange(auth, send=self._pipeline.call_with, clock=clock), inf
        source = check_source(auth, timeout)
        self.auth = self._tokens = TokenProvider(source, clock=clock, announce=announce, check_open=self._check_open)
        context = self._context = ClientContext(
            call=self._call,
            announce=announce,
            running=self._running,
            page_size=check_page_size(page_size),
            concurrency=check_count(concurrency, "concurrency"),
            clock=clock,
            forecast=self._forecast,
        )
        self.payout_specifications = Resource(PATHS["payout_specifications"], PayoutSpecification, context)
        self.payouts = Payouts(PATHS["payouts"], context, self.payout_specifications)
        self.creditor_payments = CreditorPayments(PATHS["creditor_payments"], context)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> "AmiliClient":
        """A client from `AMILI_BASE_URL`, and `AMILI_TOKEN` or `AMILI_API_CODE` with `AMILI_PRIVATE_KEY_FILE`.

        *overrides* are arguments of `AmiliClient` and take precedence. `ConfigurationError` names a missing variable.
        """
        settings, environ = Redacted(os.environ if environ is None else environ), None
        options: dict[str, Any] = {"base_url": settings.content.get("AMILI_BASE_URL") or SANDBOX_URL}
        if "auth" not in overrides:
            options["auth"] = _auth_from(settings)
        return cls(**(options | overrides))

    def __repr__(self) -> str:
        return f"AmiliClient({self._base_url!r}, {'open' if self._loop else 'closed'})"

    async def open(self) -> "AmiliClient":
        """Get ready to send; nothing is sent yet. Opening an open client does nothing."""
        loop = asyncio.get_running_loop()
        if self._is_closing:
            raise ConfigurationError("the client is closing: open it again after aclose() has returned")
        if self._loop is None:
            self._session.open()
            self._loop = loop
        self._check_open()
        return self

    async def aclose(self) -> None:
        """Cancel all running streams and extractions, and close the connections. Closing twice does nothing.

        Each call in flight raises `ClientClosed` at once, whatever it waits for.
        """
        if self._loop is None:
            return
        self._check_open()
        self._loop = None
        self._is_closing = True
        try:
            await cancel_all((*self._running, self._tokens))
        finally:
            if self._owns_limiter and isinstance(self._rate_limiter, SlidingWindowLimiter):
                self._rate_limiter.close()
            try:
                await self._session.aclose()
            finally:
                self._is_closing = False

    async def __aenter__(self) -> "AmiliClient":
        if self._loop is not None:
            raise ConfigurationError(
                "the client is open already: the end of a second `async with` would close it for the first; to share "
                "it, open it once, where the program starts, and pass it on"
            )
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _call(self, request: Request) -> Coroutine[Any, Any, Response]:
        self._check_open()
        return self._pipeline.call(request, self._tokens)

    def _forecast(self, requests: int) -> float | None:
        """Seconds until the last of so many requests can be sent; `None` with a rate limiter of the caller's own."""
        return self._rate_limiter.forecast(requests) if isinstance(self._rate_limiter, SlidingWindowLimiter) else None

    def reconcile(self, where: Where = None) -> AsyncGenerator[Reconciliation, None]:
        """Compare payouts with their specifications: one `Reconciliation` each, in the order of their ids.

        Counts and sums per article are compared with the payout's `summary`, the sums of all with its totals, each
        specification's `amount + vat_amount` with its `total_amount`, and its creditor, currency and category with
        the payout's, all exactly. Differences are fetched again five seconds later before they are reported, since
        payouts and specifications are neither read nor booked at one moment; a payout that differs in another way each
        time, because it is being booked on, is `unsettled`: compare it again later. *where* selects payouts. Without
        it, specifications that name a payout which does not exist are found too, as a `Reconciliation` without one.

        Cost: one request per hundred payouts and one per hundred specifications; memory holds the sums of some two
        hundred payouts, and no specifications. Raises `UnreadableResponse` if the server ignores the filters.
        """
        payouts, specifications = self.payouts, self.payout_specifications
        run = Reconciler(where, payouts=payouts, specifications=specifications, context=self._context)
        return run.reconciliations()

    def _check_open(self) -> None:
        if self._loop is None:
            raise ConfigurationError(
                "the client is not open: use `async with AmiliClient(…)`, or `await client.open()`"
            )
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("the client was opened in another event loop: create one client per event loop")


def _check_options(*, rate_limit: object, retry: object, timeout: float, observers: object) -> None:
    check_seconds(timeout, "timeout", is_positive=True)
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError("retry must be a RetryPolicy; RetryPolicy(attempts=1) never retries")
    check_observers(observers)
    if rate_limit is not None and not isinstance(rate_limit, RateLimit):
        check_implements(rate_limit, RateLimiter, "rate_limit: a RateLimit or None, or your own rate limiter, which")


def _make_rate_limiter(rate_limit: RateLimit | RateLimiter | None, *, clock: Clock, announce: Announcer) -> RateLimiter:
    if rate_limit is None or isinstance(rate_limit, RateLimit):
        return SlidingWindowLimiter(rate_limit, clock=clock, announce=announce)
    return rate_limit


def _auth_from(settings: Redacted[Mapping[str, str]]) -> str | ApiCodeCredentials:
    # No variable holds a value of them: reports of errors show the variables of each frame.
    names = ("AMILI_TOKEN", "AMILI_API_CODE", "AMILI_PRIVATE_KEY_FILE")
    has_token, has_code, has_file = (bool(settings.content.get(name)) for name in names)
    if has_token and has_code:
        raise ConfigurationError("AMILI_TOKEN and AMILI_API_CODE are both set: unset one of them")
    if has_token:
        return settings.content["AMILI_TOKEN"]
    if not has_code or not has_file:
        missing = "AMILI_PRIVATE_KEY_FILE" if has_code else "AMILI_API_CODE" if has_file else "AMILI_TOKEN"
        raise ConfigurationError(
            f"{missing} is not set: set AMILI_TOKEN, or both AMILI_API_CODE and AMILI_PRIVATE_KEY_FILE"
        )
    try:
        private_key = Redacted(Path(settings.content["AMILI_PRIVATE_KEY_FILE"]).read_bytes())
    except OSError as error:  # its text holds the path, which may be the key itself, set by mistake
        reason = error.strerror
    except ValueError:
        reason = "not a valid path"
    else:
        return ApiCodeCredentials(settings.content["AMILI_API_CODE"], private_key.content)
    raise ConfigurationError(f"AMILI_PRIVATE_KEY_FILE cannot be read: {reason}; it must be the path of the key file")
