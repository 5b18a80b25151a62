"""A sandbox in another process that fails a fifth of all requests and never lets a row rest.

It knows the truth: which rows stay throughout, and which payments were registered.
"""

import asyncio
import multiprocessing
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from multiprocessing.connection import Connection
from random import Random
from typing import Any

from msgspec import Struct

from amili_async.sandbox import Fault, Sandbox
from amili_async.sandbox.answers import html_page

SPECIFICATIONS = "finance--payout-specifications"
PAYOUTS = "finance--payouts"
PAYMENTS = "creditor--payments"
RESTLESS = "soak"
"""The article of all rows that are inserted and deleted."""
TIMEOUT = 2.0
"""Seconds for which the client waits for a response."""
_LONGEST = TIMEOUT + 0.5
_SETTLED = 1.0
"""Seconds after which no payment is in flight: the longest delay is shorter."""
_BARE_EVERY = 40_000
"""Requests between two 429s without headers, each of which pauses the whole client for a minute."""
_GATEWAY = html_page(504, "Gateway Time-out", "The upstream server is timing out.")
_RARE: tuple[tuple[int, Fault], ...] = (
    (500, Fault(revoke=True)),
    (1000, Fault(delay=_LONGEST)),
    (2000, Fault.too_many_requests(retry_after=1)),
    (3000, Fault(status=429, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"})),
    (_BARE_EVERY, Fault.too_many_requests()),
)
"""Faults that disturb every call, each once in so many requests."""


class Start(Struct, frozen=True):
    """What the client has to know of the server."""

    url: str
    """Where the sandbox listens."""
    api_code: str
    """The API code that the key belongs to."""
    private_key: str
    """The PEM key that signs token requests."""
    amounts: dict[str, Decimal | int | None]
    """The amount of each specification that stays, by its id."""
    payouts: list[str]
    """The ids of the payouts that stay."""

    def __repr__(self) -> str:
        return f"Start({self.url})"


class Server:
    """The server in another process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.start: Start = pipe.recv()

    async def list_payments(self, *, forget: bool) -> dict[str, list[str]]:
        """The ids of the registered payments by reference, once none is in flight; *forget* removes them."""
        return await asyncio.to_thread(self._query, forget)

    def _query(self, forget: bool) -> dict[str, list[str]]:
        self._pipe.send(forget)
        payments: dict[str, list[str]] = self._pipe.recv()
        return payments


@contextmanager
def serve_unsteadily(*, payouts: int = 40, specifications: int = 1500) -> Iterator[Server]:
    """A server with so many rows that stay, and others that are inserted and deleted."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, payouts, specifications), daemon=True)
    process.start()
    try:
        yield Server(ours)
    finally:
        ours.send(None)
        process.join()


def _serve(pipe: Connection, payouts: int, specifications: int) -> None:
    async def run() -> None:
        sandbox = Sandbox(
            payouts=payouts, specifications=specifications, payments=0, rate_limit=None, token_lifetime=1.0
        )
        async with sandbox:
            rows = sandbox.rows(SPECIFICATIONS)
            amounts = {row["_id"]: row.get("amount") for row in rows}
            lasting = [row["_id"] for row in sandbox.rows(PAYOUTS)]
            pipe.send(Start(sandbox.url, sandbox.api_code, sandbox.private_key, amounts, lasting))
            unrest = [
                asyncio.create_task(_plan_faults(sandbox, Random())),
                asyncio.create_task(_Unrest(sandbox, Random(), tuple(amounts)).run()),
            ]
            while (forget := await asyncio.to_thread(pipe.recv)) is not None:
                await asyncio.sleep(_SETTLED)
                pipe.send(_list_payments(sandbox, forget=forget))
            for task in unrest:
                task.cancel()
            await asyncio.gather(*unrest, return_exceptions=True)

    asyncio.run(run())


def _list_payments(sandbox: Sandbox, *, forget: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in sandbox.rows(PAYMENTS):
        found.setdefault(row["creditor_payment_reference"], []).append(row["_id"])
        if forget:
            sandbox.delete(PAYMENTS, row["_id"])
    return found


async def _plan_faults(sandbox: Sandbox, random: Random) -> None:
    """Keep twenty faults planned for each hundred requests, and some more for payments alone."""
    seen = planned = posted = planned_posts = 0
    while True:
        seen += len(sandbox.requests)
        posted += sum(request.method == "POST" for request in sandbox.requests)
        sandbox.requests.clear()
        while planned < seen + 300:
            for fault in _choose_twenty(random):
                sandbox.fail(fault, after=random.randrange(100))
            planned += 100
            for every, fault in _RARE:
                if planned % every == 0:
                    sandbox.fail(fault, after=random.randrange(100))
        while planned_posts < posted + 20:
            sandbox.fail(Fault.server_error(carried_out=True), method="POST", after=random.randrange(20))
            sandbox.fail(Fault(reset="after"), method="POST", after=random.randrange(20))
            planned_posts += 20
        await asyncio.sleep(0.02)


def _choose_twenty(random: Random) -> list[Fault]:
    return [
        *(Fault(reset="before") for _ in range(3)),
        *(Fault(reset="after") for _ in range(3)),
        *(Fault(cut=random.randrange(200)) for _ in range(4)),
        *(Fault.server_error(carried_out=carried_out) for carried_out in (True, False)),
        *(Fault.unavailable() for _ in range(2)),
        *(Fault(status=504, body=_GATEWAY, carried_out=carried_out) for carried_out in (True, False)),
        *(Fault(delay=random.uniform(0.05, 0.4)) for _ in range(4)),
    ]


class _Unrest:
    """Inserts, changes and deletes rows; those that stay change too, but for their ids and amounts."""

    def __init__(self, sandbox: Sandbox, random: Random, lasting: tuple[str, ...]) -> None:
        self._sandbox = sandbox
        self._random = random
        self._lasting = lasting
        self._rows: list[str] = []
        self._payouts: deque[tuple[str, list[str]]] = deque()

    async def run(self) -> None:
        """Change rows until cancelled."""
        while True:
            for _ in range(100):
                self._change_a_row()
                await asyncio.sleep(0.025)
            self._change_a_payout()

    def _change_a_row(self) -> None:
        random, sandbox = self._random, self._sandbox
        if random.random() < (0.6 if len(self._rows) < 150 else 0.3):
            self._rows.append(sandbox.insert(SPECIFICATIONS, self._make_row()))
        elif self._rows and random.random() < 0.7:
            place = random.randrange(len(self._rows))
            self._rows[place], self._rows[-1] = self._rows[-1], self._rows[place]
            sandbox.delete(SPECIFICATIONS, self._rows.pop())
        else:
            sandbox.update(SPECIFICATIONS, random.choice(self._lasting), {"state_date": None})

    def _change_a_payout(self) -> None:
        """A payout is inserted or deleted together with all of its specifications."""
        sandbox = self._sandbox
        if len(self._payouts) > self._random.randrange(4):
            payout_id, row_ids = self._payouts.popleft()
            sandbox.delete(PAYOUTS, payout_id)
            for row_id in row_ids:
                sandbox.delete(SPECIFICATIONS, row_id)
            return
        rows = [self._make_row() for _ in range(3)]
        sums = {name: sum(row[name] for row in rows) for name in ("amount", "vat_amount", "total_amount")}
        payout_id = sandbox.insert(PAYOUTS, {**sums, "summary": {RESTLESS: {"count": len(rows), **sums}}})
        self._payouts.append(
            (payout_id, [sandbox.insert(SPECIFICATIONS, {**row, "payout": payout_id}) for row in rows])
        )

    def _make_row(self) -> dict[str, Any]:
        amount = Decimal(self._random.randrange(1, 10**7)) / 100
        return {"article": RESTLESS, "amount": amount, "vat_amount": 0, "total_amount": amount}
