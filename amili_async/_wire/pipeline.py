"""One logical call: a token, a permit, an attempt, the response checked for an error, and further attempts if useful.

Invariant: each permit that is acquired is released exactly once, by the response, or unused if nothing was sent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from amili_async._wire.calls import Call, Calls
from amili_async._wire.clock import Clock
from amili_async._wire.protocol import Request, Response, raise_for_error, read_quota
from amili_async._wire.retry import Retrier
from amili_async._wire.session import AttemptOptions, Session
from amili_async._wire.tasks import Redacted
from amili_async._wire.token_provider import CachedToken, TokenProvider
from amili_async.errors import AuthenticationError, BudgetExhausted, RateLimited
from amili_async.policies import RateLimiter

_logger = logging.getLogger("amili_async")

MAX_EXPIRED_TOKENS = 3
"""Tokens that may expire while one request waits for its permit, before it is sent with the latest regardless."""


class Pipeline:
    """Sends the requests of one client, or of a view of it."""

    def __init__(
        self,
        session: Session,
        calls: Calls,
        rate_limiter: RateLimiter,
        retrier: Retrier,
        *,
        options: AttemptOptions,
        max_wait: float | None = None,
        clock: Clock,
    ) -> None:
        self._session = session
        self._calls = calls
        self._rate_limiter = rate_limiter
        self._retrier = retrier
        self._options = options
        self._max_wait = max_wait
        self._clock = clock

    async def call(self, request: Request, tokens: TokenProvider) -> Response:
        """Send with a valid token; after a 401 the token is replaced once, and the request sent once more."""
        is_repeatable = request.method == "GET"

        async def attempt() -> Response:
            token = await self._acquire(call, request, tokens)
            try:
                return await self._attempt(call, request, lambda: token.value)
            except AuthenticationError as error:
                if not (is_repeatable or error.was_not_processed):
                    raise
            # Outside the `except`: the second 401 would otherwise have the first as its context.
            try:
                token = await self._acquire(call, request, tokens, rejected=token)
            except AuthenticationError as error:
                if not error.headers:  # that of a fixed token: the response behind it is the 401
                    error.with_headers(call.response_headers)
                raise
            return await self._attempt(call, request, lambda: token.value)

        label = request.label
        with self._calls.begin(request) as call:
            return await self._retrier.run(attempt, request=label, is_repeatable=is_repeatable, on_retry=call.on_retry)
        raise call.closed()

    async def call_with(self, request: Request, credential: Callable[[], Awaitable[str]]) -> Response:
        """Send with a credential that is not a token, created anew for each attempt: how tokens are fetched."""

        async def attempt() -> Response:
            created = Redacted(await credential())
            await self._wait_for_permit(call, request)
            return await self._attempt(call, request, lambda: created.content)

        with self._calls.begin(request) as call:
            return await self._retrier.run(attempt, request=request.label, is_repeatable=True, on_retry=call.on_retry)
        raise call.closed()

    async def _acquire(
        self, call: Call, request: Request, tokens: TokenProvider, *, rejected: CachedToken | None = None
    ) -> CachedToken:
        """Acquire a permit and return the token to send, which did not expire in the queue."""
        token = await self._wait_for_token(tokens, rejected)
        for _ in range(MAX_EXPIRED_TOKENS):
            await self._wait_for_permit(call, request)
            if tokens.is_current(token):
                return token
            # The fetch needs a permit itself: with one per second it would wait for ever for the one held here.
            self._rate_limiter.release_unused()
            token = await self._wait_for_token(tokens)
        await self._wait_for_permit(call, request)
        return token

    async def _wait_for_token(self, tokens: TokenProvider, rejected: CachedToken | None = None) -> CachedToken:
        if self._max_wait is None:
            return await tokens.get(rejected=rejected)
        # The request for it waits for a permit too, for as long as the client's own options permit.
        try:
            async with asyncio.timeout(self._max_wait + self._options.timeout) as limit:
                return await tokens.get(rejected=rejected)
        except TimeoutError:
            if not limit.expired():
                raise
        raise BudgetExhausted("rate limit: no access token within max_wait and timeout", status=429, attempts=0)

    async def _wait_for_permit(self, call: Call, request: Request) -> None:
        call.on_wait()
        await self._rate_limiter.acquire(request.priority, max_wait=self._max_wait)
        call.on_permit(request.priority, self._rate_limiter)

    async def _attempt(self, call: Call, request: Request, credential: Callable[[], str]) -> Response:
        """Send once with the permit that the caller acquired; the permit is always released."""
        started = self._clock.now()
        call.was_sent = call.was_counted = False
        response: Response | None = None
        try:
            secret = Redacted(credential())
            if request.before_send is not None:
                await request.before_send()
            if call.is_closed:  # a rate limiter, or a store of claims, of the caller's swallowed the cancellation
                raise call.closed()
            call.begin_attempt()
            response = await self._session.send(request, secret, call, self._options)
        except BaseException as error:
            call.end_attempt(error)
            raise
        finally:
            # Also after an exception that is not ours, such as a cancellation: the server may have counted the request.
            self._release(call, response, started)
        call.was_sent = False
        call.end_attempt(response)
        try:
            raise_for_error(request, response, now=self._clock.wall())
        except RateLimited as error:
            error.retry_after = self._rate_limiter.on_rate_limited(error.retry_after)
            raise
        return response

    def _release(self, call: Call, response: Response | None, started: float) -> None:
        try:
            if response is not None:
                self._rate_limiter.on_response(read_quota(response, now=self._clock.wall()))
            elif call.was_sent:
                # A network that is slow, or a proxy, can deliver it later, but not after the attempt would have ended.
                left = started + self._options.timeout - self._clock.now()
                self._rate_limiter.on_no_response(0.0 if call.was_counted else max(0.0, left))
            else:
                self._rate_limiter.release_unused()
        except Exception as error:  # noqa: BLE001 - a fault in a caller's rate limiter must not hide a payment's outcome
            failure = type(error).__name__
            _logger.warning("rate limiter failed with %s", failure, extra={"amili_error": failure})
