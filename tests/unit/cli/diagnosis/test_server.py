"""The judgements of clock and rate limit."""

import pytest

from amili_async._wire.protocol import Response
from amili_async.cli.diagnosis.check import CheckStatus
from amili_async.cli.diagnosis.server import judge_clock, judge_rate_limit
from amili_async.policies import RateLimit

NOW = 1_750_000_000.0


@pytest.mark.parametrize(
    ("ahead", "signs", "was_rejected", "status"),
    [
        (4.9, True, False, CheckStatus.OK),
        (-4.9, True, True, CheckStatus.OK),
        (5.0, True, False, CheckStatus.WARNING),
        (569.0, True, False, CheckStatus.WARNING),
        (570.0, True, False, CheckStatus.FAILED),
        (570.0, False, False, CheckStatus.WARNING),
        (-29.0, True, False, CheckStatus.WARNING),
        (-5_000.0, True, False, CheckStatus.WARNING),
        (-5_000.0, True, True, CheckStatus.FAILED),
    ],
)
def test_the_clock(ahead: float, signs: bool, was_rejected: bool, status: CheckStatus) -> None:
    """Only a clock whose JWT is or would be rejected fails; a fixed token needs none."""
    check = judge_clock([ahead], signs=signs, was_rejected=was_rejected)
    assert check.status is status
    assert ("is strict about the ten minutes" in check.message) is (signs and ahead < -30 and not was_rejected)


def test_the_clock_needs_a_response() -> None:
    """Without one it is skipped."""
    assert judge_clock([], signs=True, was_rejected=False).status is CheckStatus.SKIPPED


def response(**headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=200, headers=names, body=b"{}")


def test_the_last_response_reports_the_rate_limit() -> None:
    """A limit of a minute below the client's own is a warning that names the variable; one of a second is none."""
    limits = {"X_RateLimit_Remaining": "5", "X_RateLimit_Reset": "30"}
    for reported, status in (("100", CheckStatus.OK), ("60", CheckStatus.WARNING), ("10", CheckStatus.OK)):
        check = judge_rate_limit([response(), response(X_RateLimit_Limit=reported, **limits)], RateLimit(), now=NOW)
        assert (check.status, f"limit {reported}, remaining 5, reset in 30 s" in check.message) == (status, True)
        assert ("AMILI_RATE_PER_MINUTE=60" in check.advice) is (status is CheckStatus.WARNING)
    check = judge_rate_limit([response(**limits)], RateLimit(), now=NOW)
    assert check.message.startswith("the server reports remaining 5, reset in 30 s; ")


def test_headers_that_the_client_cannot_read_are_named() -> None:
    """By name, of a bounded length, without their values."""
    check = judge_rate_limit(
        [response(RateLimit_Policy="hemlig", **{"x-ratelimit-" + "y" * 99: "1"})], RateLimit(), now=NOW
    )
    assert check.status is CheckStatus.WARNING
    assert f"RateLimit-Policy, x-ratelimit-{'y' * 52})" in check.message
    assert "hemlig" not in check.message


def test_redis_outranks_the_headers() -> None:
    """A shared limit that is not shared fails, whatever the server reports."""
    check = judge_rate_limit([response()], RateLimit(), redis_error="ConnectionError", now=NOW)
    assert (check.status, "Redis cannot be used (ConnectionError)" in check.message) == (CheckStatus.FAILED, True)
