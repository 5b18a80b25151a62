"""The client: all that a caller can ask of the API, and the options with which it is asked."""

import os
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from amili_async._wire.announcer import Announcer, check_observers
from amili_async._wire.base_url import check_base_url
from amili_async._wire.checks import check_count, check_flag, check_headers, check_seconds
from amili_async._wire.clock import Clock, SystemClock
from amili_async._wire.context import ClientContext, check_page_size
from amili_async._wire.core import ClientCore, check_retry
from amili_async._wire.frames import hide_variables, hide_variables_of_methods
from amili_async._wire.listing import PATHS
from amili_async._wire.network import Network
from amili_async._wire.protocol import Request, Response
from amili_async._wire.session import AttemptOptions
from amili_async._wire.tasks import not_picklable
from amili_async.auth import ApiCodeCredentials, AuthTokenProvider, TokenSource, TokenStore
from amili_async.cases import Cases
from amili_async.conditions import Where
from amili_async.creditors import Creditors
from amili_async.environment import SANDBOX_URL, CallOptions, ClientOptions, read_options
from amili_async.errors import ConfigurationError
from amili_async.events import Observer
from amili_async.locales import Locales
from amili_async.models import PayoutSpecification
from amili_async.payments import CreditorPayments
from amili_async.payments.create import PaymentMemory
from amili_async.payouts import Payouts
from amili_async.policies import RateLimit, RateLimiter, RetryPolicy
from amili_async.reconciliation.comparison import Reconciliation
from amili_async.resources import Resource, open_resource

if TYPE_CHECKING:
    from ssl import SSLContext

    import aiohttp

T = TypeVar("T")


@not_picklable
@hide_variables_of_methods
class AmiliClient:
    """The API, as seen by all code of one event loop, which shares one client.

    Use it as `async with AmiliClient(…) as amili:`, or call `await open()` and `await aclose()`, in one place, and pass
    the open client on. It can be created outside an event loop, and opened again after it was closed. Raises
    `ConfigurationError` for options that cannot work.

    - *base_url*: the API's URL; by default that of Amili's own sandbox.
    - *auth*: an access token, `ApiCodeCredentials`, or an async function that returns a token.
    - *tokens*: a `TokenStore`, such as `amili_async.shared.RedisTokens`: processes share what one of them fetches.
    - *page_size*: records per page, 100 at most; a call can have its own.
    - *concurrency*: requests in flight per stream or extraction; a call can have its own.
    - *rate_limit*: a `RateLimit`; `None` for no limit; or a `RateLimiter`, which is borrowed and never closed: one of
      yours, or the `rate_limiter` of another client of the same event loop and key.
    - *max_wait*: seconds that a call may wait for the rate limit; one that would wait longer raises `BudgetExhausted`
      at once.
    - *retry*: the `RetryPolicy`.
    - *timeout*: seconds for one attempt, sending and reading included.
    - *headers*: sent with each request.
    - *session*: yours, which has its own TLS and proxy; it is borrowed and never closed.
    - *ssl*: the context for TLS, for authorities of your own or a client certificate; without it `SSL_CERT_FILE` and
      `SSL_CERT_DIR` name the authorities to trust.
    - *trust_env*: whether these two are read, and `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, which name the proxy; it
      is never used for plain http to this machine.
    - *allow_http*: accepts a *base_url* of plain http in a private network: each device that can read that network's
      traffic then reads the records and the token, with which payments can be registered.
    - *observers*: functions that are called with each event; see `amili_async.observers`.
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

    _clock: Clock = SystemClock()
    _is_view = False
    _owned: AbstractAsyncContextManager[Any] = nullcontext()  # the rate limiter, if no other owns it

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
        headers: Mapping[str, str] | None = None,
        session: "aiohttp.ClientSession | None" = None,
        ssl: "SSLContext | None" = None,
        trust_env: bool = True,
        allow_http: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        check_observers(observers)
        announce = Announcer(observers)
        url = check_base_url(base_url, allow_http=check_flag(allow_http, "allow_http"))
        network = Network(url, session=session, tls=ssl, trust_env=trust_env)
        self._core = ClientCore(
            network, rate_limit, retry_budget=check_retry(retry).retry_budget, clock=self._clock, announce=announce
        )
        self.rate_limiter, self._payment_memory = self._core.rate_limiter, PaymentMemory()
        self._options = CallOptions(
            page_size=page_size,
            concurrency=concurrency,
            max_wait=max_wait,
            retry=retry,
            timeout=timeout,
            headers=headers,
        )
        self._apply(**self._options)
        self.auth = self._tokens = self._core.make_token_provider(
            auth, tokens, pipeline=self._pipeline, timeout=timeout
        )

    def _apply(
        self,
        *,
        page_size: int,
        concurrency: int,
        max_wait: float | None,
        retry: RetryPolicy,
        timeout: float,
        headers: Mapping[str, str] | None,
    ) -> None:
        """Make what depends on the options that a view replaces."""
        core = self._core
        max_wait = None if max_wait is None else check_seconds(max_wait, "max_wait")
        timeout = check_seconds(timeout, "timeout", is_positive=True)
        options = AttemptOptions(timeout=timeout, headers=check_headers({} if headers is None else headers))
        self._pipeline = core.make_pipeline(check_retry(retry), options, max_wait)
        self._context = ClientContext(
            call=self._call,
            announce=core.announce,
            running=core.running,
            page_size=check_page_size(page_size),
            concurrency=check_count(concurrency, "concurrency"),
            clock=core.clock,
            forecast=core.rate_limiter.forecast,
        )
        self._add_resources(self._context)

    def with_options(self, **options: Unpack[CallOptions]) -> "AmiliClient":
        """A view of this client that makes its calls with other options, each of which replaces the client's.

        They are *page_size*, *concurrency*, *max_wait*, *retry*, *timeout* and *headers*, as for `AmiliClient`.

        Client and view share connections, access token, rate limiter, retry budget, observers, and what they know of
        payments that they sent. So a web app's view with a short *max_wait* and the extraction of a view without one
        send within one rate limit. A view costs no request, and cannot be opened or closed: it is open while the client
        is. Each token request has the client's own options.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__, _is_view=True, _options={**self._options, **options})
        view._apply(**view._options)
        return view

    def _add_resources(self, context: ClientContext) -> None:
        self.payout_specifications = Resource(PATHS["payout_specifications"], PayoutSpecification, context)
        self.payouts = Payouts(PATHS["payouts"], context, self.payout_specifications)
        self.creditor_payments = CreditorPayments(PATHS["creditor_payments"], context, self._payment_memory)
        self.creditors = Creditors(PATHS["creditors"], context)
        self.cases = Cases(PATHS["cases"], context)
        self._locales = Locales("locales", context)

    @classmethod
    @hide_variables
    def from_env(cls, environ: Mapping[str, str] | None = None, /, **options: Unpack[ClientOptions]) -> "AmiliClient":
        """A client with the options that environment variables set; *options* take precedence.

        - `AMILI_TOKEN`: an access token; or instead of it
        - `AMILI_API_CODE`: with `AMILI_PRIVATE_KEY_FILE`, or `AMILI_PRIVATE_KEY` (PEM, its line breaks also as
          backslash and n), and `AMILI_PRIVATE_KEY_PASSWORD`.
        - `AMILI_BASE_URL`: by default that of Amili's own sandbox.
        - `AMILI_RATE_PER_MINUTE`, `AMILI_RATE_PER_SECOND`: the requests of *rate_limit*.
        - `AMILI_TIMEOUT`: *timeout*, in seconds.
        - `AMILI_CA_FILE`: certificates of authorities to trust beside those of the system.
        - `AMILI_ALLOW_HTTP`: 1 for *allow_http*.
        - `AMILI_LOG`: `info` or `debug` adds `LogEvents`, and stderr where no handler is configured.
        - `AMILI_REDIS_URL`: by which all processes with the API code share one rate limit and one access token.
        - `AMILI_RATE_LIMITER_NAME`: names the key where each process has a token of its own.

        *environ* is read instead of `os.environ`; the options are those of `AmiliClient`. `ConfigurationError` names a
        variable that is missing or cannot be read; a warning one whose name resembles one of these.
        """
        client = cls(**read_options(os.environ if environ is None else environ, options))
        if "rate_limit" not in options and isinstance(client.rate_limiter, AbstractAsyncContextManager):
            client._owned = client.rate_limiter
        return client

    def __repr__(self) -> str:
        state = f"{'open' if self._core.is_open else 'closed'}{', a view' if self._is_view else ''}"
        return f"AmiliClient({self._core.base_url!r}, {state})"

    async def open(self) -> "AmiliClient":
        """Get ready to send; nothing is sent yet. Opening an open client does nothing."""
        self._check_is_no_view()
        self._core.open()
        await self._owned.__aenter__()
        return self

    async def aclose(self) -> None:
        """Cancel all running streams and extractions, and close the connections. Closing twice does nothing.

        Each call in flight raises `ClientClosed` at once, whatever it waits for.
        """
        self._check_is_no_view()
        try:
            await self._core.aclose()
        finally:
            await self._owned.__aexit__(None, None, None)

    async def __aenter__(self) -> "AmiliClient":
        if self._core.is_open and not self._is_view:
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
        self._core.check_open()
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
        from amili_async.reconciliation.run import Reconciler

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

    def _check_is_no_view(self) -> None:
        if self._is_view:
            raise ConfigurationError(
                "a view of a client cannot be opened or closed: open and close the client whose with_options() made it"
            )


# `unittest.mock.create_autospec` finds only what the class itself has, and takes a class for what its instances have.
for _name, _kind in AmiliClient.__annotations__.items():
    if not _name.startswith("_"):
        setattr(AmiliClient, _name, getattr(_kind, "__origin__", _kind))
