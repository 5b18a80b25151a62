"""An iteration that a cancellation cut off never looks as if the list were complete."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from amili_async import AmiliClient, Delivery
from amili_async.errors import ClientClosed
from tests.support import internals
from tests.support.clocks import settle
from tests.support.starting import Connect, StartSandbox

ITERATIONS: dict[str, Callable[[AmiliClient], AsyncGenerator[Any, None]]] = {
    "stream": lambda amili: aiter(amili.payouts.stream(page_size=10)),
    "pages": lambda amili: amili.payouts.stream(page_size=10).pages(),
    "extract": lambda amili: aiter(amili.payouts.extract()),
    "batches": lambda amili: amili.payouts.extract().batches(),
    "deliveries": lambda amili: amili.payouts.extract().deliveries(),
    "deliveries of a stream": lambda amili: amili.payouts.stream(page_size=10).deliveries(),
    "reconcile": lambda amili: amili.reconcile(),
}


def finished(item: Any) -> Any:
    """The item; a delivery is done."""
    if isinstance(item, Delivery):
        item.done()
    return item


async def wait_for(released: asyncio.Event) -> None:
    await released.wait()


@pytest.mark.parametrize("name", ITERATIONS)
async def test_a_loop_that_continues_after_a_timeout_does_not_see_the_end_of_the_list(
    name: str, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """After a cancelled `anext()` each further one raises `ClientClosed`; only a complete iteration ends."""
    sandbox = await start_sandbox(payouts=500, specifications=500)
    released = asyncio.Event()
    released.set()
    internals.hold_responses(sandbox, lambda: wait_for(released))
    amili = await connect(sandbox, page_size=20)
    whole = [finished(item) async for item in ITERATIONS[name](amili)]
    iteration = ITERATIONS[name](amili)
    taken = [await anext(iteration)]
    released.clear()
    while len(taken) <= len(whole):
        asked = asyncio.ensure_future(anext(iteration))
        await settle(100)
        if not asked.done():
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            break
        taken.append(asked.result())
    assert len(taken) < len(whole)
    released.set()
    for _ in range(2):
        with pytest.raises(ClientClosed, match="cut off by CancelledError"):
            await anext(iteration)


async def test_an_extraction_that_was_cut_off_continues_in_another_iteration(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A timeout costs an extraction nothing: the next loop over it delivers what is left."""
    sandbox = await start_sandbox(payouts=120)
    released = asyncio.Event()
    released.set()
    internals.hold_responses(sandbox, lambda: wait_for(released))
    amili = await connect(sandbox, page_size=20)
    extraction = amili.payouts.extract()
    iteration = aiter(extraction)
    taken = [(await anext(iteration)).id]
    released.clear()
    while True:
        asked = asyncio.ensure_future(anext(iteration))
        await settle(100)
        if not asked.done():
            break
        taken.append(asked.result().id)
    asked.cancel()
    await asyncio.wait((asked,))
    released.set()
    taken += [record.id async for record in extraction]
    assert sorted(taken) == sorted(row["_id"] for row in sandbox.rows("finance--payouts"))
    assert extraction.manifest.verdict == "complete"
