"""Whatever a server, a proxy or a broken line makes of an answer, only errors of ours come of it."""

import pytest

from amili_async import ApiCodeCredentials
from amili_async.sandbox import Sandbox
from tests.support.fuzzed_responses import READERS, READS, read_in_every_way
from tests.support.mutations import real_bodies, spoil

CASES = 2_000
"""`python -m benchmarks fuzz` reads many more."""


@pytest.fixture(scope="module")
def credentials() -> ApiCodeCredentials:
    """Those that read a token."""
    sandbox = Sandbox()
    return ApiCodeCredentials(sandbox.api_code, sandbox.private_key)


@pytest.mark.parametrize("part", range(4))
def test_a_spoilt_answer_is_read_or_refused_with_an_error_of_ours(part: int, credentials: ApiCodeCredentials) -> None:
    """Of two thousand answers some are still read, most are refused, and nothing else comes out.

    A page that is still whole is refused by what reads single records and tokens, and by nothing else.
    """
    refusals = [read_in_every_way(spoil(seed), credentials) for seed in range(part, CASES, 4)]
    assert min(refusals) <= len(READERS)
    assert max(refusals) > READS / 2


def test_the_same_seed_makes_the_same_answer() -> None:
    """A case that fails can be looked into by its number, and the cases differ."""
    assert [spoil(seed).body for seed in range(50)] == [spoil(seed).body for seed in range(50)]
    assert len({spoil(seed).body for seed in range(200)} - set(real_bodies())) > 150
