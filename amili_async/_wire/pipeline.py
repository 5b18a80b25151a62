"""What one logical call goes through: a token, its turn in the budget, a try, a verdict, perhaps another try."""

import logging
from collections.abc import Callable

from amili_async._wire.clock import Clock
from amili_async._wire.protocol import Request, Response, raise_for_error, read_quota
from amili_async._wire.retry import Retrier
from amili_async._wire.session import Session
from amili_async._wire.token_provider import CachedToken, TokenProvider
from amili_async.errors import AmiliError, AuthenticationError, ConfigurationError, ConnectionFailed, RateLimited
from amili_async.events import Announcer, AttemptFinished
from amili_async.policies import RateLimiter

_logger = logging.getLogger("amili_async")

TOKENS_PER_TURN = 3
"""Tokens that may end while a request waits for its turn, before it goes out with the latest all the same."""


class Pipeline:
    """Carries requests of one client to the server."""

    def __init__(
        self, session: Session, *, budget: RateLimiter, retrier: Retrier, clock: Clock, announce: Announcer
    ) -> None:
        self._session = session
        self._rate_limiter = budget
        self._retrier = retrier
        self._clock = clock
        self._announce = announce

    async def call(self, request: Request, keeper: TokenProvider) -> Response:
        """Send with a valid token; a token that is rejected is replaced once, and the request sent once more."""
        opening = self._session.opening
        is_repeatable = request.method == "GET"

        async def attempt(number: int) -> Response:
            token = await self._take_turn(request, keeper, await keeper.token())
            try:
                return await self._try(request, lambda: token.value, number, opening)
            except AuthenticationError as error:
                if not (is_repeatable or error.was_not_processed):
                    raise
            token = await self._take_turn(request, keeper, await keeper.token(rejected=token))
            return await self._try(request, lambda: token.value, number, opening)

        return await self._retrier.run(attempt, request=request.label, is_repeatable=is_repeatable)

    async def call_with(self, request: Request, credential: Callable[[], str]) -> Response:
        """Send with a credential that is no token, made anew for each try: this is how tokens are fetched."""
        opening = self._session.opening

        async def attempt(number: int) -> Response:
            await self._rate_limiter.acquire(request.priority)
            return await self._try(request, credential, number, opening)

        return await self._retrier.run(attempt, request=request.label, is_repeatable=True)

    async def _take_turn(self, request: Request, keeper: TokenProvider, token: CachedToken) -> CachedToken:
        """Wait for a turn and return the token to send: the wait may have outlived the one that it began with.

        No turn is held while a token is fetched: the fetch needs a turn itself.
        """
        for _ in range(TOKENS_PER_TURN):
            await self._rate_limiter.acquire(request.priority)
            if keeper.is_current(token):
                return token
            self._rate_limiter.release_unused()
            token = await keeper.token()
        await self._rate_limiter.acquire(request.priority)
        return token

    async def _try(self, request: Request, credential: Callable[[], str], number: int, opening: object) -> Response:
        """One try, for which the budget has given a turn; the turn is always returned."""
        started = self._clock.now()
        was_sent = False
        response: Response | None = None
        try:
            if self._session.opening is not opening:
                raise ConfigurationError(f"{request.label} was not sent: the client was closed meanwhile")
            secret = credential()
            was_sent = True
            response = await self._session.send(request, secret)
        except AmiliError as error:
            was_sent &= not (isinstance(error, ConnectionFailed) and not error.was_sent)
            self._tell(request, started, number, error=error)
            raise
        finally:
            self._return_turn(response, was_sent=was_sent)
        self._tell(request, started, number, response=response)
        try:
            raise_for_error(request, response, now=self._clock.wall())
        except RateLimited as error:
            error.retry_after = self._rate_limiter.on_rate_limited(error.retry_after)
            raise
        return response

    def _return_turn(self, response: Response | None, *, was_sent: bool) -> None:
        """Hand the turn back; a budget of the caller's that fails here must not hide what became of a payment."""
        try:
            if was_sent:
                self._rate_limiter.on_response(
                    None if response is None else read_quota(response, now=self._clock.wall())
                )
            else:
                self._rate_limiter.release_unused()
        except Exception as error:  # noqa: BLE001 - as above
            _logger.warning("the request budget failed with %s", type(error).__name__)

    def _tell(
        self,
        request: Request,
        started: float,
        number: int,
        *,
        response: Response | None = None,
        error: AmiliError | None = None,
    ) -> None:
        if self._announce:
            self._announce(
                AttemptFinished(
                    request=request.label,
                    status=None if response is None else response.status,
                    error=None if error is None else type(error).__name__,
                    attempt=number,
                    seconds=self._clock.now() - started,
                    size=0 if response is None else len(response.body),
                )
            )
