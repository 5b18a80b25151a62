"""What this process itself sends: when it could send on by the whole limit, for forecasts, and when by its share."""

from math import ceil, inf

from amili_async._wire.sliding_window import RequestSchedule
from amili_async.policies import Quota, RateLimit


class OwnUse:
    """Both schedules know of each permit all along, so that the share knows what was used when it takes over."""

    def __init__(self, limit: RateLimit, share: RateLimit | None) -> None:
        self._limit, self._share = limit, share
        self._whole = RequestSchedule(limit)
        self._part = None if share is None else RequestSchedule(share)
        self._schedules = [schedule for schedule in (self._whole, self._part) if schedule is not None]

    @property
    def has_share(self) -> bool:
        """Whether this process may send while Redis cannot be reached."""
        return self._share is not None

    def forecast(self, requests: int, now: float) -> float:
        """Seconds until the last of so many requests of a stream may be sent, if no other process sends any."""
        return self._whole.forecast(requests, now)

    def wait(self, now: float, *, keeps_reserve: bool) -> float:
        """Seconds until the share permits the next request; infinite if a response decides that."""
        wait = None if self._part is None else self._part.wait(now, keeps_reserve=keeps_reserve)
        return inf if wait is None else wait

    def take_over(self, used: int, at: float, now: float) -> None:
        """Redis cannot be reached: of the share only as much is left as was left of the limit when it last could.

        Others may have used more than their shares: *used* requests of all processes, *at* that time.
        """
        if self._share is None or self._part is None:
            return
        used_up = ceil(self._share.per_minute * used / self._limit.per_minute)
        for _ in range(used_up - self._share.per_minute + (self._part.remaining(now) or 0)):
            self._part.on_sent(now)
            self._part.on_response(None, at)

    def on_sent(self, now: float) -> None:
        """A call gets its permit."""
        for schedule in self._schedules:
            schedule.on_sent(now)

    def on_unused(self) -> None:
        """A permit was not used."""
        for schedule in self._schedules:
            schedule.on_unused()

    def on_response(self, quota: Quota | None, now: float) -> None:
        """A response arrived."""
        for schedule in self._schedules:
            schedule.on_response(quota, now)
            schedule.wait(now)  # drops what is older than a minute

    def on_no_response(self, counted_by: float) -> None:
        """No response will arrive, and the server counts the request by then, if it ever does."""
        for schedule in self._schedules:
            schedule.on_no_response(counted_by)

    def on_rate_limited(self, seconds: float | None, now: float) -> None:
        """A 429 arrived."""
        for schedule in self._schedules:
            schedule.on_rate_limited(seconds, now)
