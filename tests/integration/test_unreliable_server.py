"""A stream through a server that fails often is whole, and one that changes its page size never passes for whole."""

from random import Random
from typing import Any

import pytest

from amili_async import RetryPolicy
from amili_async.errors import UnreadableResponse
from amili_async.sandbox import Fault
from tests.support.rows import SPECIFICATIONS
from tests.support.starting import Connect, StartSandbox

HALF = Fault(status=200, body='{"_items": [{"_id": "507f1f77bcf86cd79943')
HTML = Fault(status=200, body="<html><body>Gateway</body></html>")
BUSY = Fault(status=503, headers={"Retry-After": "0"})


@pytest.mark.parametrize("first", range(10))
async def test_one_get_in_ten_that_fails_costs_no_row(
    first: int, start_sandbox: StartSandbox, connect: Connect, clock: Any
) -> None:
    """Half a JSON document, HTML and a 503 with `Retry-After: 0` are attempts that failed, not answers."""
    sandbox = await start_sandbox(specifications=5000)
    amili = await connect(sandbox, retry=RetryPolicy(attempts=10))
    random, passed = Random(first), first
    for number in range(20):
        # Planned faults count the requests that no fault before them applied to: about nine pass, and the next one
        # fails. With exactly nine, ten requests in flight can let every attempt of one of them be the tenth; five
        # attempts can fail by chance.
        sandbox.fail((HALF, HTML, BUSY)[number % 3], path=f"/{SPECIFICATIONS}", after=passed)
        passed += random.randint(5, 13)
    ids = [record.id async for record in amili.payout_specifications.stream()]
    assert ids == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    assert sum(request.path == f"/{SPECIFICATIONS}" for request in sandbox.requests) >= 55


@pytest.mark.parametrize("size", [50, 7])
async def test_a_server_that_changes_its_page_size_is_an_error(
    size: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """1,000 rows of which 850 are distinct are not delivered as a whole list."""
    sandbox = await start_sandbox(specifications=1000)
    amili = await connect(sandbox)
    sandbox.override(
        query=lambda received: (
            {**received.query, "max_results": str(size)} if int(received.query.get("page", 1)) >= 4 else received.query
        )
    )
    with pytest.raises(UnreadableResponse, match=f"page 4 has the page size {size}, "):
        await amili.payout_specifications.stream().collect()


@pytest.mark.parametrize("sort", ["_id", "-_id", "amount", "-booking_date,article"])
async def test_a_page_answered_with_another_is_drift(sort: str, start_sandbox: StartSandbox, connect: Connect) -> None:
    """Page 5 with the rows of page 2 makes the sum right and the stream drifted, whatever it is sorted by."""
    sandbox = await start_sandbox(specifications=1000)
    amili = await connect(sandbox)
    sandbox.override(
        query=lambda received: {**received.query, "page": "2"} if received.query.get("page") == "5" else received.query,
        page=lambda received, page: {**page, "_meta": {**page["_meta"], "page": int(received.query["page"])}},
    )
    stream = amili.payout_specifications.stream(sort=sort)
    assert len(await stream.collect()) == 1000
    assert stream.drifted
