"""The client: constructs, opens and closes everything; no other module constructs parts of it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from amili_async._wire.announcer import Announcer, check_observers
from amili_async._wire.api_code import ApiCodeExchange
from amili_async._wire.checks import check_count, check_implements, check_seconds
from amili_async._wire.clock import Clock, SystemClock
from amili_async._wire.context import ClientContext, check_page_size
from amili_async._wire.frames import hide_variables, hide_variables_of_methods
from amili_async._wire.network import Network
from amili_async._wire.pipeline import Pipeline
from amili_async._wire.protocol import Request, Response, check_base_url
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.retry import Retrier
from amili_async._wire.session import Session
from amili_async._wire.shared_token import SharedTokenSource
from amili_async._wire.tasks import Cancellable, cancel_all
from amili_async._wire.token_provider import TokenProvider, check_source
from amili_async.auth import ApiCodeCredentials, AuthTokenProvider, TokenSource, TokenStore
from amili_async.cases import Cases
from amili_async.conditions import Where
from amili_async.creditors import Creditors
from amili_async.environment import SANDBOX_URL, ClientOptions, read_options
from amili_async.errors import ConfigurationError
from amili_async.events import Observer
from amili_async.locales import Locales
from amili_async.models import PayoutSpecification
from amili_async.payments import CreditorPayments
from amili_async.policies import RateLimit, RateLimiter, RetryPolicy
from amili_async.reconciliation.comparison import Reconciliation
from amili_async.reconciliation.run import Reconciler
from amili_async.resources import Payouts, Resource, open_resource
from amili_async.version import VERSION

if TYPE_CHECKING:
    from ssl import SSLContext

    import aiohttp

T = TypeVar("T")

PATHS = {
    "payouts": "finance--payouts",
    "payout_specifications": "finance--payout-specifications",
    "creditor_payments": "creditor--payments",
    "creditors": "creditors",
    "cases": "cases",
}
"""The API's path of each resource."""


@hide_variables_of_methods
class AmiliClient:
    """The API, as seen by all code of one event loop, which shares one client.

    Use it as `async with AmiliClient(…) as amili:`, or call `await open()` and `await aclose()`, in one place, and pass
    the open client on. It can be created outside an event loop, and opened again after it was closed.

    *auth* is an access token, `ApiCodeCredentials`, or an async function that returns a token; *tokens* a `TokenStore`
    by which processes share what one of them fetches, such as `amili_async.shared.RedisTokens`. *page_size* (records)
    and *concurrency* (requests in flight per stream) are defaults that each call can override. *rate_limit* is a
    `RateLimit`, `None` for no limit, or a `RateLimiter`: your own, or the `rate_limiter` of another client of the same
    event loop and key. A call that would wait longer than *max_wait* seconds for the rate limit raises
    `BudgetExhausted` at once. *retry* is the `RetryPolicy`. *timeout* is the seconds for one attempt, sending and
    reading included. A *session*, and a `RateLimiter`, is borrowed and never closed. Each of *observers* is called with
    each event. Raises `ConfigurationError` for options that cannot work.

    *ssl* is the context for TLS, for authorities of your own or a client certificate; without it `SSL_CERT_FILE` and
    `SSL_CERT_DIR` name the authorities to trust. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name the proxy, which is
    never used for plain http to this machine. With *trust_env* false none of these variables is read. A *session* has
    its own TLS and proxy.
    *allow_http* accepts a *base_url* of plain http in a private network: each device that can read that network's
    traffic then reads the records and the token, with which payments can be registered.
    """

    payouts: Payouts
    """`finance--payouts`."""
    payout_specifications: Resource[PayoutSpecification]
    """`finance--payout-specifications`."""
    creditor_payments: CreditorPayments
    """`creditor--payments`."""
    creditors: Creditors
    """`creditors`."""
    cases: Cases
    """`cases`, without the debtors."""
    auth: AuthTokenProvider
    """Returns the access token: `await client.auth.get_valid_token()`."""
    rate_limiter: RateLimiter
    """What decides when a request is sent: shows `remaining`, `resets_at`, `waiting` and `in_flight`, and may be the
    `rate_limit` of other clients that send with the same key in this event loop."""

    _loop: asyncio.AbstractEventLoop | None = None
    _is_closing = False
    _owned: AbstractAsyncContextManager[Any] | None = None  # a rate limiter that only this client knows

    def __init__(
        self,
        base_url: str = SANDBOX_URL,
        *,
        auth: str | ApiCodeCredentials | TokenSource,
        tokens: TokenStore | None = None,
        page_size: int = 100,
        concurrency: int = 10,
        rate_limit: RateLimit | RateLimiter | None = RateLimit(),
        max_wait: float | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeout: float = 30.0,
        session: "aiohttp.ClientSession | None" = None,
        ssl: "SSLContext | None" = None,
        trust_env: bool = True,
        allow_http: bool = False,
        observers: Sequence[Observer] = (),
        _clock: Clock | None = None,
    ) -> None:
        _check_options(rate_limit=rate_limit, max_wait=max_wait, retry=retry, timeout=timeout, observers=observers)
        clock, announce = _clock or SystemClock(), Announcer(observers)
        self._announce = announce
        self._base_url = check_base_url(base_url, allow_http=allow_http)
        self._running: set[Cancellable] = set()
        network = Network(self._base_url, session=session, tls=ssl, trust_env=trust_env)
        self._session = Session(network, timeout=timeout, user_agent=f"amili-async/{VERSION}")
        if rate_limit is None or isinstance(rate_limit, RateLimit):
            rate_limit = SlidingWindowLimiter(rate_limit, clock=clock)
        limiter = self.rate_limiter = rate_limit
        retrier = Retrier(retry, clock=clock, announce=announce, max_pause=max_wait)
        self._pipeline = Pipeline(
            self._session, self._running, limiter, retrier, max_wait=max_wait, clock=clock, announce=announce
        )
        self.auth = self._tokens = self._make_token_provider(auth, tokens, timeout, clock)
        self._context = self._make_context(check_page_size(page_size), check_count(concurrency, "concurrency"), clock)
        self._add_resources(self._context)

    def _make_context(self, page_size: int, concurrency: int, clock: Clock) -> ClientContext:
        return ClientContext(
            call=self._call,
            announce=self._announce,
            running=self._running,
            page_size=page_size,
            concurrency=concurrency,
            clock=clock,
            forecast=self.rate_limiter.forecast,
            base_url=self._base_url,
        )

    def _make_token_provider(
        self, auth: str | ApiCodeCredentials | TokenSource, tokens: TokenStore | None, timeout: float, clock: Clock
    ) -> TokenProvider:
        if isinstance(auth, ApiCodeCredentials):  # the requests of an exchange have timeouts of their own
            auth, timeout = ApiCodeExchange(auth, send=self._pipeline.call_with, clock=clock), inf
        source = check_source(auth, timeout)
        if tokens is not None:
            check_implements(tokens, TokenStore, "tokens: None, or a store of tokens, which")
            if isinstance(source, str):
                raise ConfigurationError("tokens: a fixed access token needs no store; auth must fetch tokens")
            source = SharedTokenSource(source, tokens, clock=clock, announce=self._announce)
        return TokenProvider(source, clock=clock, announce=self._announce, check_open=self._check_open)

    def _add_resources(self, context: ClientContext) -> None:
        self.payout_specifications = Resource(PATHS["payout_specifications"], PayoutSpecification, context)
        self.payouts = Payouts(PATHS["payouts"], context, self.payout_specifications)
        self.creditor_payments = CreditorPayments(PATHS["creditor_payments"], context)
        self.creditors = Creditors(PATHS["creditors"], context)
        self.cases = Cases(PATHS["cases"], context)
        self._locales = Locales("locales", context)

    @classmethod
    @hide_variables
    def from_env(cls, environ: Mapping[str, str] | None = None, /, **options: Unpack[ClientOptions]) -> "AmiliClient":
        """A client with the options that environment variables set: the README's table describes them.

        `AMILI_TOKEN`, or `AMILI_API_CODE` with `AMILI_PRIVATE_KEY_FILE` or `AMILI_PRIVATE_KEY` (PEM, its line breaks
        also as backslash and n) and `AMILI_PRIVATE_KEY_PASSWORD`; `AMILI_BASE_URL`; `AMILI_RATE_PER_MINUTE` and
        `AMILI_RATE_PER_SECOND`; `AMILI_TIMEOUT` in seconds; `AMILI_CA_FILE`, certificates of authorities to trust
        beside those of the system; `AMILI_ALLOW_HTTP`, 1 for *allow_http*; `AMILI_REDIS_URL`, by which all processes
        with the API code share one rate limit and one access token, and `AMILI_RATE_LIMITER_NAME`, which names the key
        where there is no `AMILI_API_CODE`. *options* are those of `AmiliClient`, and take precedence.
        `ConfigurationError` names a variable that is missing or cannot be read; a warning one whose name resembles one
        of these.
        """
        client = cls(**read_options(os.environ if environ is None else environ, options))
        if "rate_limit" not in options and isinstance(client.rate_limiter, AbstractAsyncContextManager):
            client._owned = client.rate_limiter
        return client

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
            if self._announce:
                self.rate_limiter.add_observer(self._announce)
            if self._owned is not None:
                await self._owned.__aenter__()
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
            self.rate_limiter.remove_observer(self._announce)
            try:
                await self._session.aclose()
                if self._owned is not None:
                    await self._owned.__aexit__(None, None, None)
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

    def resource(self, path: str, record_type: type[T]) -> Resource[T]:
        """Any other resource of the API by its *path*, such as `client.resource("invoices", Invoice)`.

        *record_type* is a `msgspec.Struct` type of yours, whose fields are then the projection, or `dict`.
        """
        return open_resource(path, record_type, self._context)

    async def explain(self, key: str, *, language: str = "sv") -> str:
        """The text of a locale key in a language, or the key itself; see `CreatedPayment.explain()`."""
        return await self._locales.explain(key, language=language)

    def _check_open(self) -> None:
        if self._loop is None:
            raise ConfigurationError(
                "the client is not open: use `async with AmiliClient(…)`, or `await client.open()`"
            )
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("the client was opened in another event loop: create one client per event loop")


def _check_options(
    *, rate_limit: object, max_wait: float | None, retry: object, timeout: float, observers: object
) -> None:
    check_seconds(timeout, "timeout", is_positive=True)
    if max_wait is not None:
        check_seconds(max_wait, "max_wait")
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError("retry must be a RetryPolicy; RetryPolicy(attempts=1) never retries")
    check_observers(observers)
    if rate_limit is not None and not isinstance(rate_limit, RateLimit):
        check_implements(rate_limit, RateLimiter, "rate_limit: a RateLimit or None, or your own rate limiter, which")
