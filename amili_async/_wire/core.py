"""What a client and its views share, and the only place that opens and closes it.

Invariant: an open client belongs to one event loop; of a closed one no task, call or connection is left.
"""

import asyncio
import os
from math import inf

from amili_async._wire.announcer import Announcer
from amili_async._wire.calls import Calls
from amili_async._wire.checks import check_implements
from amili_async._wire.clock import Clock
from amili_async._wire.network import Network
from amili_async._wire.pipeline import Pipeline
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.retry import Retrier, RetryBudget, load_tenacity
from amili_async._wire.session import AttemptOptions, Session
from amili_async._wire.tasks import Cancellable, cancel_all
from amili_async._wire.token_provider import TokenProvider, check_source
from amili_async.auth import ApiCodeCredentials, TokenSource, TokenStore
from amili_async.errors import ConfigurationError
from amili_async.policies import RateLimit, RateLimiter, RetryPolicy


class ClientCore:
    """Connections, rate limiter, retry budget, observers, and all that runs."""

    def __init__(
        self,
        network: Network,
        rate_limit: RateLimit | RateLimiter | None,
        *,
        retry_budget: int,
        clock: Clock,
        announce: Announcer,
    ) -> None:
        self.base_url = network.base_url
        self.rate_limiter = _make_rate_limiter(rate_limit, clock)
        self.clock, self.announce = clock, announce
        self.running: set[Cancellable] = set()
        """The calls, streams and extractions that run."""
        self.session = Session(network)
        self._calls = Calls(self.running, base_url=network.base_url, announce=announce, clock=clock)
        self._retry_budget = RetryBudget(retry_budget)
        self._tokens: TokenProvider | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._is_closing = False

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._loop is not None

    def make_pipeline(self, retry: RetryPolicy, options: AttemptOptions, max_wait: float | None) -> Pipeline:
        """What sends requests with these options."""
        retrier = Retrier(retry, clock=self.clock, max_pause=max_wait, budget=self._retry_budget)
        return Pipeline(
            self.session,
            self._calls,
            self.rate_limiter,
            retrier,
            options=options,
            max_wait=max_wait,
            clock=self.clock,
        )

    def make_token_provider(
        self,
        auth: str | ApiCodeCredentials | TokenSource,
        tokens: TokenStore | None,
        *,
        pipeline: Pipeline,
        timeout: float,
    ) -> TokenProvider:
        """What returns one access token for all calls; its requests are sent with the options of *pipeline*."""
        clock, announce = self.clock, self.announce
        if isinstance(auth, ApiCodeCredentials):  # the requests of an exchange have timeouts of their own
            from amili_async._wire.api_code import ApiCodeExchange

            auth, timeout = ApiCodeExchange(auth, send=pipeline.call_with, clock=clock), inf
        source = check_source(auth, timeout)
        if tokens is not None:
            check_implements(tokens, TokenStore, "tokens: None, or a store of tokens, which")
            if isinstance(source, str):
                raise ConfigurationError("tokens: a fixed access token needs no store; auth must fetch tokens")
            from amili_async._wire.shared_token import SharedTokenSource

            source = SharedTokenSource(source, tokens, clock=clock, announce=announce)
        self._tokens = TokenProvider(source, clock=clock, announce=announce, check_open=self.check_open)
        return self._tokens

    def open(self) -> None:
        """Get ready to send; opening an open one does nothing."""
        loop = asyncio.get_running_loop()
        if self._is_closing:
            raise ConfigurationError("the client is closing: open it again after aclose() has returned")
        if self._loop is None:
            _load_what_failures_need()
            self.session.open()
            self._loop, self._process = loop, os.getpid()
            if self.announce:
                self.rate_limiter.add_observer(self.announce)
        self.check_open()

    async def aclose(self) -> None:
        """Cancel all that runs, and close the connections; closing twice does nothing."""
        if self._loop is None:
            return
        self.check_open()
        self._loop = None
        self._is_closing = True
        try:
            await cancel_all((*self.running, *([self._tokens] if self._tokens is not None else ())))
        finally:
            self.rate_limiter.remove_observer(self.announce)
            try:
                await self.session.aclose()
            finally:
                self._is_closing = False

    def check_open(self) -> None:
        """`ConfigurationError` unless it was opened in the running event loop."""
        if self._loop is None:
            raise ConfigurationError(
                "the client is not open: use `async with AmiliClient(…)`, or `await client.open()`"
            )
        # First: a child that was forked within a coroutine has no running loop.
        if os.getpid() != self._process:
            raise ConfigurationError("the client was opened in the process that forked this one: open one per process")
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("the client was opened in another event loop: create one client per event loop")


def _load_what_failures_need() -> None:
    """Import what failed calls need, before any does: where the process has no file left to open, no import works."""
    import html  # noqa: F401

    load_tenacity()


def check_retry(retry: object) -> RetryPolicy:
    """Return the policy; raises `ConfigurationError` for anything else."""
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError("retry must be a RetryPolicy; RetryPolicy(attempts=1) never retries")
    return retry


def _make_rate_limiter(rate_limit: RateLimit | RateLimiter | None, clock: Clock) -> RateLimiter:
    if rate_limit is None or isinstance(rate_limit, RateLimit):
        return SlidingWindowLimiter(rate_limit, clock=clock)
    check_implements(rate_limit, RateLimiter, "rate_limit: a RateLimit or None, or your own rate limiter, which")
    return rate_limit
