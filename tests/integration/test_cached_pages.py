"""No row is missing, and none is gone, because a shared cache answered with a page that it had stored."""

from collections.abc import Awaitable, Callable

import pytest

from amili_async import AmiliClient
from amili_async.errors import ExtractionInterrupted, UnreadableResponse
from amili_async.extraction import Verdict
from amili_async.sandbox import Fault
from tests.support.rows import SPECIFICATIONS, fill, make_id, spread_evenly
from tests.support.starting import Connect, StartSandbox

ROWS = 250


async def extract(amili: AmiliClient) -> list[str]:
    extraction = amili.payout_specifications.extract()
    ids = [record.id async for record in extraction]
    assert extraction.manifest.verdict is Verdict.COMPLETE
    return ids


async def extract_into_a_dict(amili: AmiliClient) -> list[str]:
    return [record["_id"] async for record in amili.payout_specifications.extract(into=dict)]


async def sweep(amili: AmiliClient) -> list[str]:
    every = spread_evenly(ROWS)
    # The id that is missing from the list is looked up as well.
    return sorted(set(every) - await amili.payout_specifications.sweep([*every, make_id(int(every[0][:8], 16), 7)]))


REQUESTS = [(extract, 4), (extract_into_a_dict, 4), (sweep, 5)]
CASES = [pytest.param(read, after, id=f"{read.__name__}-{after}") for read, count in REQUESTS for after in range(count)]


@pytest.mark.parametrize(("read", "after"), CASES)
async def test_each_cached_page_is_requested_again(
    read: Callable[[AmiliClient], Awaitable[list[str]]], after: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Whichever response has an age, count and look-up included, one further request replaces it."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(ROWS))
    amili = await connect(sandbox)
    sandbox.fail(Fault(headers={"Age": "30"}), times=1, after=after, method="GET", path=f"/{SPECIFICATIONS}")
    assert sorted(await read(amili)) == ids


@pytest.mark.parametrize(("read", "after"), CASES)
async def test_a_cache_that_answers_twice_is_an_error(
    read: Callable[[AmiliClient], Awaitable[list[str]]], after: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A cache that ignores `no-cache` is named, whichever request it answers."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(ROWS))
    amili = await connect(sandbox)
    sandbox.fail(Fault(headers={"Age": "30"}), times=None, after=after, method="GET", path=f"/{SPECIFICATIONS}")
    with pytest.raises((UnreadableResponse, ExtractionInterrupted)) as caught:
        await read(amili)
    assert "answered from a cache" in str(caught.value.__cause__ or caught.value)


async def test_pages_and_streams_may_be_as_old_as_a_cache_allows(start_sandbox: StartSandbox, connect: Connect) -> None:
    """They prove nothing about rows that are missing, so they are requested once."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(ROWS))
    amili = await connect(sandbox)
    sandbox.fail(Fault(headers={"Age": "30"}), times=None, method="GET", path=f"/{SPECIFICATIONS}")
    assert [record.id async for record in amili.payout_specifications.stream()] == ids
    assert (await amili.payout_specifications.page()).total == ROWS
