"""What the responses show of the server: its clock, and the rate limit that it reports."""

from collections.abc import Mapping, Sequence

from amili_async._wire.api_code import CLOCK_DIFFERENCE
from amili_async._wire.protocol import Response, read_quota
from amili_async.auth import ApiCodeCredentials
from amili_async.cli.diagnosis.check import Check, failed, passed, skipped, warned
from amili_async.policies import RateLimit

STRICTEST_LIFETIME = 600.0
"""Seconds: the lifetime of a JWT that the API's guide recommends; a server may reject a longer one."""
_SET_CLOCK = "set this machine's clock, and let it follow a time server (NTP)"


def judge_clock(differences: Sequence[float], *, signs: bool, was_rejected: bool) -> Check:
    """How this machine's clock compares with the server's.

    *signs* is whether the credentials are a key, whose JWT is dated by our clock; *was_rejected* whether the API
    rejected a JWT dated so, and accepted one by its own clock.
    """
    if not differences:
        return skipped("clock", "no response stated the server's time")
    ahead = min(differences, key=abs)  # each includes the time that the response took
    if abs(ahead) < CLOCK_DIFFERENCE:
        return passed("clock", f"agrees with the server's to {CLOCK_DIFFERENCE:.0f} s")
    message = f"this machine's clock is {abs(ahead):.0f} s {'behind' if ahead > 0 else 'ahead of'} the server's"
    lifetime = ApiCodeCredentials.JWT_LIFETIME
    if signs and (was_rejected or ahead >= lifetime):
        return failed("clock", f"{message}: a JWT that it dates is rejected", _SET_CLOCK)
    if signs and lifetime - ahead > STRICTEST_LIFETIME:
        message += ": a server that is strict about the ten minutes of a JWT rejects what it dates"
    return warned("clock", message, _SET_CLOCK)


def judge_rate_limit(
    responses: Sequence[Response], limit: RateLimit, *, redis_error: str | None = None, now: float
) -> Check:
    """Which rate limit the server reports, and whether the client's settings keep within it."""
    if redis_error is not None:
        message = f"Redis cannot be used ({redis_error}), so this process does not share the limit with others"
        return failed("rate_limit", message, "check AMILI_REDIS_URL, and that its server runs")
    if not responses:
        return skipped("rate_limit", "no response of the API")
    kept = f"{limit.per_minute} a minute and {limit.per_second} a second"
    named = sorted(
        {name for each in responses for name in each.headers if "ratelimit" in name.lower().replace("-", "")}
    )
    quota = next(filter(None, (read_quota(each, now=now) for each in reversed(responses))), None)
    if quota is None and not named:
        return passed("rate_limit", f"no X-RateLimit-* headers are sent: the client keeps to {kept}")
    if quota is None:
        shown = ", ".join(name[:64] for name in named[:4])
        advice = "set AMILI_RATE_PER_MINUTE and AMILI_RATE_PER_SECOND by the API's documentation"
        return warned("rate_limit", f"the client cannot read what is sent ({shown}), and keeps to {kept}", advice)
    reported = {"limit": quota.limit, "remaining": quota.remaining, "reset in": f"{quota.reset_in:.0f} s"}
    message = f"the server reports {_join(reported)}; the client keeps to {kept}"
    if quota.limit is not None and limit.per_second < quota.limit < limit.per_minute:
        advice = f"set AMILI_RATE_PER_MINUTE={quota.limit}, if that limit is one of a minute"
        return warned("rate_limit", message, advice)
    return passed("rate_limit", message)


def _join(reported: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in reported.items() if value is not None)
