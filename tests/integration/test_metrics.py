"""Metrics of calls to a server: which there are, and that their series are few."""

from collections.abc import Iterator

import pytest

from amili_async import AmiliClient, AmiliError, RateLimit
from amili_async.errors import NotFound
from amili_async.observers import MeterCalls
from amili_async.sandbox import Fault, Sandbox
from tests.support.meters import Meters
from tests.support.starting import Connect, StartSandbox


@pytest.fixture
def meters() -> Iterator[Meters]:
    meters = Meters()
    yield meters
    meters.close()


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    return await start_sandbox()


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect, meters: Meters) -> AmiliClient:
    limit = RateLimit(per_minute=90)
    return await connect(sandbox, auth=sandbox.token(), rate_limit=limit, observers=[MeterCalls(meters.meter)])


async def test_each_attempt_is_a_duration(amili: AmiliClient, sandbox: Sandbox, meters: Meters) -> None:
    """In seconds, in the buckets and with the attributes of the semantic conventions."""
    sandbox.fail(Fault.unavailable())
    await amili.payouts.page()
    with pytest.raises(AmiliError):
        await amili.payouts.get("0" * 24)
    points = meters.collect()["http.client.request.duration"]
    port = int(sandbox.url.rpartition(":")[2])
    of_all = {"http.request.method": "GET", "server.address": "127.0.0.1", "server.port": port}
    of_list = of_all | {"url.template": "/finance--payouts"}
    of_one = of_all | {"url.template": "/finance--payouts/{id}"}
    assert [dict(point.attributes) for point in points] == [
        of_list | {"http.response.status_code": 503, "error.type": "503"},
        of_list | {"http.response.status_code": 200},
        of_one | {"http.response.status_code": 404, "error.type": "404"},
    ]
    assert [point.count for point in points] == [1, 1, 1]
    assert points[0].explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


async def test_an_attempt_without_a_response_has_its_error(
    amili: AmiliClient, sandbox: Sandbox, meters: Meters
) -> None:
    """And no status."""
    sandbox.fail(Fault(reset="before"))
    await amili.payouts.page()
    failed, _ = meters.collect()["http.client.request.duration"]
    assert failed.attributes["error.type"] == "ConnectionFailed"
    assert "http.response.status_code" not in failed.attributes


async def test_permits_pages_and_retries_are_counted(amili: AmiliClient, sandbox: Sandbox, meters: Meters) -> None:
    """Waits by priority, what is left of the minute, pages by resource, and retries by their reason."""
    sandbox.fail(Fault.unavailable())
    await amili.payouts.page()
    pages = [page async for page in amili.payout_specifications.stream().pages()]
    found = meters.collect()
    waits = {point.attributes["amili.priority"]: point.count for point in found["amili.rate_limit.wait"]}
    assert waits == {"single": 2, "bulk": len(pages)}
    (remaining,) = found["amili.rate_limit.remaining"]
    assert remaining.value == 90 - 2 - len(pages)
    (counted,) = found["amili.pages"]
    assert (counted.attributes["amili.resource"], counted.value) == ("finance--payout-specifications", len(pages))
    (retries,) = found["amili.retries"]
    assert (retries.attributes["error.type"], retries.value) == ("ServerFault", 1)


async def test_ids_make_no_series(amili: AmiliClient, sandbox: Sandbox, meters: Meters) -> None:
    """Whatever record is read, and whatever of it."""
    for row in sandbox.rows("finance--payouts"):
        await amili.payouts.get(row["_id"])
        with pytest.raises(NotFound):
            await amili.resource(f"finance--payouts/{row['_id']}/lines", dict).page()
    routes = {point.attributes["url.template"] for point in meters.collect()["http.client.request.duration"]}
    assert routes == {"/finance--payouts/{id}", "/finance--payouts/{id}/lines"}
