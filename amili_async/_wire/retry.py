"""Whether, when and how often a failed call is tried again; the only file that knows tenacity.

The law: the error says whether another try makes sense (`transient`), and a request that is not safe to repeat is
repeated only where the server certainly did nothing (`was_not_processed`). The first try costs nothing: tenacity is
entered only after it failed.
"""

import math
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from amili_async._wire.clock import Clock
from amili_async.errors import AmiliError, ApiError, ConnectionFailed, RateLimited
from amili_async.events import Announcer, RetryScheduled
from amili_async.policies import RetryPolicy

T = TypeVar("T")


class Retrier:
    """Runs calls under one policy and keeps the reserve of retries that they share."""

    def __init__(
        self, policy: RetryPolicy, *, clock: Clock, announce: Announcer, max_pause: float | None = None
    ) -> None:
        self._policy = policy
        self._max_pause = math.inf if max_pause is None else max_pause
        self._clock = clock
        self._announce = announce
        self._retry_budget = float(policy.retry_budget)

    async def run(self, attempt: Callable[[int], Awaitable[T]], *, request: str, is_repeatable: bool) -> T:
        """Await *attempt(1)*, and after a failure that allows it further ones; raises the last error."""
        try:
            result = await attempt(1)
        except AmiliError as error:
            if not _allows_another(error, request, is_repeatable=is_repeatable):
                raise
            failed = error
        else:
            self._retry_budget = min(self._retry_budget + 0.5, self._policy.retry_budget)
            return result
        return await self._run_again(attempt, failed, request=request, is_repeatable=is_repeatable)

    async def _run_again(
        self,
        attempt: Callable[[int], Awaitable[T]],
        failed: AmiliError,
        *,
        request: str,
        is_repeatable: bool,
    ) -> T:
        pending: list[AmiliError] = [failed]
        started = self._clock.now()

        async def try_again() -> T:
            if pending:  # what the first try raised, so that tenacity counts and judges it like the others
                raise pending.pop()
            return await attempt(retrying.statistics["attempt_number"])

        def announce(state: RetryCallState) -> None:
            self._spend(state)
            error = type(_error_of(state)).__name__
            wait = state.upcoming_sleep
            self._announce(RetryScheduled(request=request, attempt=state.attempt_number, wait=wait, error=error))

        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            wait=self._choose_wait,
            stop=lambda state: self._is_enough(state, started),
            retry=retry_if_exception(lambda error: _allows_another(error, request, is_repeatable=is_repeatable)),
            before_sleep=announce,
            reraise=True,
        )
        try:
            return await retrying(try_again)
        except (ApiError, ConnectionFailed) as error:
            error.attempts = max(error.attempts, retrying.statistics["attempt_number"])
            raise

    def _choose_wait(self, state: RetryCallState) -> float:
        asked = _asked_wait(state)
        if asked is not None:
            return asked
        longest = min(self._policy.max_wait, self._policy.base * 2 ** (state.attempt_number - 1))
        return random.uniform(0, longest)  # noqa: S311 - spreads the load, guards nothing

    def _is_enough(self, state: RetryCallState, started: float) -> bool:
        wait = state.upcoming_sleep
        return (
            state.attempt_number >= self._policy.attempts
            or (_asked_wait(state) or 0.0) > self._policy.max_retry_after
            or (isinstance(_error_of(state), RateLimited) and wait > self._max_pause)
            or self._clock.now() - started + wait > self._policy.max_elapsed
            or (self._costs(state) and self._retry_budget < 1)
        )

    def _costs(self, state: RetryCallState) -> bool:
        """Whether this retry is taken from the reserve: one that the server itself timed is not."""
        return not isinstance(_error_of(state), RateLimited)

    def _spend(self, state: RetryCallState) -> None:
        if self._costs(state):
            self._retry_budget -= 1


def _allows_another(error: BaseException, request: str, *, is_repeatable: bool) -> bool:
    """Whether to try again; a failure of another request, which was to bring a token, had its own tries."""
    if not isinstance(error, AmiliError) or error.request not in {"", request}:
        return False
    return error.transient and (is_repeatable or error.was_not_processed)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _asked_wait(state: RetryCallState) -> float | None:
    """What the server asked for, where it did."""
    error = _error_of(state)
    return error.retry_after if isinstance(error, ApiError) else None
