"""The sandbox agrees with Eve: equal requests to it and to a real Eve 2.3 over equal rows get equal answers.

By default a representative sample is compared, each operator and feature at least once. Under the marker `exhaustive`
every query is compared, on each resource. `tests/support/eve_pair.py` lists what is left out, and why.

Invariant: the pair of servers that receives POSTs is not the pair whose lists are compared, because Eve and the sandbox
make different ids and dates for a new payment.
"""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio

from tests.support.eve_pair import PAYMENTS, PAYOUTS, ROWS, Pair, difference, open_pair
from tests.support.eve_queries import (
    BODIES,
    BODIES_IN_SAMPLE,
    EVERY_QUERY,
    FILTERS,
    NOT_JSON_WHERES,
    SAMPLE,
    Body,
    Query,
    filter_features,
    listing,
)

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(eve|mongomock|flask|werkzeug|ast)"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[Pair]:
    """A pair whose rows no test changes, so that its tests run in any order."""
    async with open_pair() as pair:
        yield pair


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair_for_posts() -> AsyncIterator[Pair]:
    """A pair that receives POSTs, and whose lists are not compared."""
    async with open_pair() as pair:
        yield pair


async def differences(pair: Pair, queries: Iterable[Query]) -> list[str]:
    """The queries whose answers differ, each with its first difference."""
    found = []
    for method, path in queries:
        difference_found = difference(*await pair.send(method, path))
        if difference_found:
            found.append(f"{method} {unquote(path)}: {difference_found}")
    return found


@pytest.mark.parametrize("group", SAMPLE)
async def test_a_sample_of_the_queries_agrees_with_eve(pair: Pair, group: str) -> None:
    """Status, items, their order, `_meta`, `X-Total-Count`, `ETag` and `Last-Modified` agree, or the error does."""
    assert await differences(pair, SAMPLE[group]) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", EVERY_QUERY)
async def test_every_query_agrees_with_eve(pair: Pair, group: str) -> None:
    """Status, items, their order, `_meta`, `X-Total-Count`, `ETag` and `Last-Modified` agree, or the error does."""
    assert await differences(pair, EVERY_QUERY[group]) == []


async def test_a_filter_that_is_not_json_is_a_bad_request_in_both(pair: Pair) -> None:
    """Eve answers with 400 as well, except to a Python comparison, which the sandbox does not implement."""
    offenders = []
    for text in NOT_JSON_WHERES:
        (status, _, body), theirs = await pair.send(*listing(PAYOUTS, ("where", text)))
        if not status == theirs.status_code == 400 or b"The sandbox does not implement" not in body:
            offenders.append((text, status, theirs.status_code))
    assert offenders == []


def verdict(status: int, body: bytes) -> Any:
    """What must agree of the answer to a POST: the status, and for each document its status and invalid fields."""
    if status == 500:
        return status
    content = json.loads(body)
    documents = content.get("_items", [content])
    return status, [(each["_status"], sorted(each.get("_issues", ()))) for each in documents]


async def post_differences(pair: Pair, bodies: Iterable[Body]) -> list[str]:
    """The bodies whose POST gets another verdict from the sandbox than from Eve."""
    found = []
    for body, kind in bodies:
        (status, _, content), theirs = await pair.send(
            "POST", f"/{PAYMENTS}", data=body, headers={"Content-Type": kind}
        )
        ours, wanted = verdict(status, content), verdict(theirs.status_code, theirs.data)
        if ours != wanted:
            found.append(f"{kind} {body!r}: {ours}, Eve {wanted}")
    return found


@pytest.mark.parametrize("group", BODIES_IN_SAMPLE)
async def test_a_sample_of_the_posts_agrees_with_eve(pair_for_posts: Pair, group: str) -> None:
    """Status and invalid fields agree, for valid and invalid payments."""
    assert await post_differences(pair_for_posts, BODIES_IN_SAMPLE[group]) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", BODIES)
async def test_every_post_agrees_with_eve(pair_for_posts: Pair, group: str) -> None:
    """Status and invalid fields agree, for valid and invalid payments."""
    assert await post_differences(pair_for_posts, BODIES[group]) == []


async def test_the_comparison_is_large_enough() -> None:
    """Every operator and resource is in the sample, and the whole compares several hundred queries and POSTs."""
    operators = {operator for _, where in FILTERS for operator, _ in filter_features(where) if operator[0] == "$"}
    sampled_filters = unquote(str(SAMPLE["filters"]))
    assert [operator for operator in operators if f'"{operator}"' not in sampled_filters] == []
    assert len(operators) > 15
    assert {resource for resource in ROWS if f"/{resource}?" in str(SAMPLE)} == set(ROWS)
    assert sum(map(len, EVERY_QUERY.values())) > 700
    assert sum(map(len, BODIES.values())) > 70
