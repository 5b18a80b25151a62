"""What a shared rate limiter knows of all processes."""

from msgspec import Struct


class RateLimiterStatus(Struct, frozen=True, kw_only=True):
    """All processes that share a rate limiter, at one moment."""

    used: int
    """Requests of the last minute, those in flight included."""
    in_flight: int
    """Permits that are held."""
    waiting: int
    """Calls that wait for a permit."""
    processes: int
    """Processes that wait, hold a permit, or did so in the last seconds."""
    closed_for: float
    """Seconds: until the end of a pause of all requests; 0 without one."""
    paced: bool
    """Whether requests are evenly spaced, as they are for an hour after a 429."""
