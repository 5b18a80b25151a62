"""Whether, when and how often a failed call is attempted again; the only file that imports tenacity.

Invariant: the error decides whether another attempt makes sense (`transient`), and a request that is not safe to repeat
is repeated only if the server certainly did not process it (`was_not_processed`). The first attempt costs nothing:
tenacity is entered only after it failed.
"""

import math
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from amili_async._wire.clock import Clock
from amili_async.errors import AmiliError, ApiError, ConnectionFailed, RateLimited
from amili_async.policies import RetryPolicy

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
OnRetry: TypeAlias = Callable[[str, float], None]
"""Gets the name of the error class, and the seconds until the next attempt."""

REFUND_PER_SUCCESS = 0.5
"""Retries that a success restores, so that at most every third request of a struggling server is a retry."""


def load_tenacity() -> None:
    """Import tenacity, which loads tornado where that is installed: too much for the import of this package."""
    import tenacity  # noqa: F401


class RetryBudget:
    """Retries in hand, for all calls of a client."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.left = float(size)

    def refund(self) -> None:
        """Restore some after a success."""
        self.left = min(self.left + REFUND_PER_SUCCESS, self._size)


class Retrier:
    """Runs calls under one policy, with the retry budget that all calls of their client share."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        clock: Clock,
        max_pause: float | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self._policy, self._clock = policy, clock
        self._max_pause = math.inf if max_pause is None else max_pause
        self._budget = budget or RetryBudget(policy.retry_budget)

    async def run(
        self, attempt: Callable[[], Awaitable[T]], *, request: str, is_repeatable: bool, on_retry: OnRetry
    ) -> T:
        """Await *attempt()*, and after a failure that permits it further ones; raises the last error.

        *on_retry* is called before each wait for another attempt.
        """
        try:
            result = await attempt()
        except AmiliError as error:
            if not _permits_another(error, request, is_repeatable=is_repeatable):
                raise
            failed = error
        else:
            self._budget.refund()
            return result
        # Outside the `except`: the first error would otherwise be the context of every later one.
        return await self._retry(attempt, failed, request=request, is_repeatable=is_repeatable, on_retry=on_retry)

    async def _retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        failed: AmiliError,
        *,
        request: str,
        is_repeatable: bool,
        on_retry: OnRetry,
    ) -> T:
        from tenacity import AsyncRetrying, retry_if_exception

        pending: list[AmiliError] = [failed]
        started = self._clock.now()

        async def attempt_again() -> T:
            if pending:  # the first attempt's error, so that tenacity counts it and waits after it as after any other
                raise pending.pop()
            return await attempt()

        def before_sleep(state: "RetryCallState") -> None:
            if self._is_charged(state):
                self._budget.left -= 1
            on_retry(type(_error_of(state)).__name__, state.upcoming_sleep)

        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            wait=self._choose_wait,
            # Not tenacity's `stop_after_delay`: it reads `time.monotonic`, which no test can advance.
            stop=lambda state: self._is_exhausted(state, started),
            # Not tenacity's default, which retries on any Exception.
            retry=retry_if_exception(lambda error: _permits_another(error, request, is_repeatable=is_repeatable)),
            before_sleep=before_sleep,
            reraise=True,  # our error instead of tenacity's RetryError
        )
        try:
            return await retrying(attempt_again)
        except (ApiError, ConnectionFailed) as error:
            # A token request inside the call has attempts of its own, which may be more.
            error.attempts = max(error.attempts, retrying.statistics["attempt_number"])
            raise

    def _choose_wait(self, state: "RetryCallState") -> float:
        # The exponent is capped, since a float holds no 2 ** 1024.
        longest = min(self._policy.max_wait, self._policy.base * 2 ** min(state.attempt_number - 1, 64))
        # Full jitter: clients that failed at the same moment must not return at the same moment.
        backoff = random.uniform(0, longest)  # noqa: S311 - spreads the load, guards nothing
        # `Retry-After: 0` or a past date would otherwise use up all attempts within milliseconds.
        return max(_demanded_wait(state), backoff)

    def _is_exhausted(self, state: "RetryCallState", started: float) -> bool:
        wait = state.upcoming_sleep
        return (
            state.attempt_number >= self._policy.attempts
            or _demanded_wait(state) > self._policy.max_retry_after
            or (isinstance(_error_of(state), RateLimited) and wait > self._max_pause)
            or self._clock.now() - started + wait > self._policy.max_elapsed
            or (self._is_charged(state) and self._budget.left < 1)
        )

    def _is_charged(self, state: "RetryCallState") -> bool:
        """Whether this retry uses the retry budget: after a 429 it does not, since the server itself timed it."""
        return not isinstance(_error_of(state), RateLimited)


def _permits_another(error: BaseException, request: str, *, is_repeatable: bool) -> bool:
    # An error of another request is that of the token request inside this call: it had its own attempts, and to retry
    # it here too would multiply them.
    if not isinstance(error, AmiliError) or error.request not in {"", request}:
        return False
    return error.transient and (is_repeatable or error.was_not_processed)


def _error_of(state: "RetryCallState") -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _demanded_wait(state: "RetryCallState") -> float:
    """Seconds that the server demanded; 0 if it demanded none."""
    error = _error_of(state)
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
