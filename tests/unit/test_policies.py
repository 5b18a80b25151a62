"""Rate limit and retry policy: which numbers they accept."""

from itertools import product
from math import inf, nan
from typing import Any

import pytest

from amili_async.errors import ConfigurationError
from amili_async.policies import RateLimit, RetryPolicy

COUNTS = [
    (RateLimit, "per_minute"),
    (RateLimit, "per_second"),
    (RetryPolicy, "attempts"),
    (RetryPolicy, "retry_budget"),
    (RateLimit, "reserve"),
]
TIMES = [(RetryPolicy, "base"), (RetryPolicy, "max_wait")]
LIMITS = [(RateLimit, "max_pause"), (RetryPolicy, "max_retry_after"), (RetryPolicy, "max_elapsed")]
NO_NUMBERS = [nan, -1, -inf, True, "1", {}, 1j, [1]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(COUNTS, [*NO_NUMBERS, inf, 10.0, 10**400, None]),
        *product(COUNTS[:3], [0]),
        *product(TIMES, [*NO_NUMBERS, inf, 10**400]),
        *product(LIMITS, [*NO_NUMBERS, 10**400, None]),
        *product(TIMES, [None]),
    ],
    ids=str,
)
def test_an_impossible_number_raises(field: tuple[Any, str], value: Any) -> None:
    """The error names the field; counts are whole, and what a timer must hold is finite."""
    policy, name = field
    with pytest.raises(ConfigurationError, match=rf"^{policy.__name__}: {name}.* must be a"):
        policy(**{name: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [*product(LIMITS, [inf, 0, 0.0, 5]), *product(TIMES, [0, 0.5]), *product(COUNTS[:4], [1, 10**6]), (COUNTS[4], 99)],
    ids=str,
)
def test_a_possible_number_is_kept(field: tuple[Any, str], value: Any) -> None:
    """Infinity where it means that there is no limit."""
    policy, name = field
    assert getattr(policy(**{name: value}), name) == value
