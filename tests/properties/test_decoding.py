"""A response that a server, a proxy or a broken connection corrupts raises only errors of the package."""

import pytest

from amili_async import ApiCodeCredentials
from amili_async.sandbox import Sandbox
from tests.support.corrupted_responses import corrupt, real_bodies
from tests.support.exhaustive import IN_TENTHS
from tests.support.response_readers import READERS, READS, read_in_every_way

CASES = 200
"""In each tenth; `python3 -m tests.soak fuzz` reads many more."""


@pytest.fixture(scope="module")
def credentials() -> ApiCodeCredentials:
    """The function that reads a token response."""
    sandbox = Sandbox()
    return ApiCodeCredentials(sandbox.api_code, sandbox.private_key)


@IN_TENTHS
def test_a_corrupted_response_is_read_or_raises_an_error_of_the_package(
    tenth: int, credentials: ApiCodeCredentials
) -> None:
    """Some corrupted responses are still read, most raise an error of the package, and none raises any other.

    A page that is still whole raises only where a single record or a token is read.
    """
    errors = [read_in_every_way(corrupt(seed), credentials) for seed in range(CASES * tenth, CASES * (tenth + 1))]
    assert min(errors) <= len(READERS)
    assert max(errors) > READS / 2


def test_the_same_seed_makes_the_same_response() -> None:
    """A failing case can be repeated by its number, and the cases differ."""
    assert [corrupt(seed).body for seed in range(50)] == [corrupt(seed).body for seed in range(50)]
    assert len({corrupt(seed).body for seed in range(200)} - set(real_bodies())) > 150
