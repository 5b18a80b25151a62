"""A registry of payments that responds without a socket."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from amili_async import PaymentOutcome
from amili_async._wire.announcer import Announcer
from amili_async._wire.protocol import Request, Response
from amili_async.events import Event
from amili_async.models import format_date
from amili_async.payments import Claims
from amili_async.payments.batch import BatchRegistration
from amili_async.payments.create import PaymentCreator
from amili_async.payments.lookup import PaymentLookup
from tests.support.clocks import HastyClock, MovedClock
from tests.support.contexts import make_context
from tests.support.payments import BOOKED, CASE, CREDITOR, PAYMENTS

POST = f"POST /{PAYMENTS}"


def make_row(made: datetime = BOOKED, /, **changes: Any) -> dict[str, Any]:
    """The row of the list for that payment."""
    row = {
        "_id": f"{int(made.timestamp()):08x}{1:016x}",
        "_created": format_date(made),
        "creditor": CREDITOR,
        "case": CASE,
        "amount": 100.5,
        "bank_transaction_date": format_date(BOOKED),
        "creditor_payment_reference": "PAY-REF-001",
        "status": "completed",
        **changes,
    }
    return {name: value for name, value in row.items() if value is not None}


class Registry:
    """Answers each POST with the result of *on_post*, and each list with *rows*."""

    def __init__(self, clock: MovedClock | None = None) -> None:
        self.clock = clock or HastyClock()
        self.events: list[Event] = []
        self.posts = 0
        self.lookups = 0
        self.rows: list[dict[str, Any]] = []
        self.on_post: Callable[[], dict[str, Any]] = dict
        self.on_lookup: Callable[[], None] = lambda: None
        self.offset = 0.0
        self.gate: asyncio.Event | None = None
        self.context = make_context(self.call, announce=Announcer([self.events.append]), clock=self.clock)
        self.lookup = PaymentLookup(PAYMENTS, self.context)
        self.creator = PaymentCreator(PAYMENTS, self.context, self.lookup)

    def now(self) -> datetime:
        """The time of the registry's clock, which may differ from the client's."""
        return datetime.fromtimestamp(int(self.clock.wall() + self.offset), UTC)

    def make_id(self, number: int = 1) -> str:
        """An id that the registry makes at this moment."""
        return f"{int(self.now().timestamp()):08x}{number:016x}"

    async def call(self, request: Request) -> Response:
        if request.before_send is not None:
            await request.before_send()
        if self.gate is not None:
            await self.gate.wait()
        if request.method == "POST":
            self.posts += 1
            return self.answer(self.on_post(), status=201)
        self.lookups += 1
        self.on_lookup()
        return self.answer({"_items": self.rows, "_meta": {"total": len(self.rows), "max_results": 100}})

    def answer(self, body: dict[str, Any], *, status: int = 200) -> Response:
        headers = {"Date": format_date(self.now())}
        return Response(status=status, headers=headers, body=json.dumps(body).encode())


class KeepingRegistry(Registry):
    """A registry that keeps posted payments, and finds them by the filter."""

    def __init__(self, clock: MovedClock | None = None) -> None:
        super().__init__(clock)
        self.longest = 0
        self.on_send: Callable[[], object] = lambda: None
        self.failures: dict[str, Exception] = {}
        self.shows_rows = True
        self.is_honest = True

    async def call(self, request: Request) -> Response:
        self.longest = max(self.longest, len(request.target))
        if request.before_send is not None:
            await request.before_send()
        if request.method == "POST":
            self.on_send()
            if self.gate is not None:
                await self.gate.wait()
            return self._store(json.loads(request.body or b""))
        self.lookups += 1
        self.on_lookup()
        query = parse_qs(urlsplit(request.target).query)
        wanted = json.loads(query["where"][0])["creditor_payment_reference"]["$in"]
        rows = [row for row in self.rows if row["creditor_payment_reference"] in wanted] if self.shows_rows else []
        rows = rows if self.is_honest else self.rows
        return self.answer({"_items": rows, "_meta": {"total": len(rows), "max_results": 100}})

    def _store(self, posted: Mapping[str, Any]) -> Response:
        self.posts += 1
        reference = posted["creditor_payment_reference"]
        if reference in self.failures:
            raise self.failures[reference]
        row = {"_id": self.make_id(len(self.rows)), "_created": format_date(self.now()), **posted}
        self.rows.append(row)
        return self.answer({"_id": row["_id"], "_status": "OK"}, status=201)

    def run(
        self, payments: Any, *, width: int = 4, lookup_timeout: float = 1.0, claims: Claims | None = None
    ) -> BatchRegistration:
        return BatchRegistration(
            payments,
            creator=self.creator,
            lookup=self.lookup,
            context=self.context,
            width=width,
            lookup_timeout=lookup_timeout,
            claims=claims,
        )

    async def collect(self, payments: Any, **options: Any) -> list[PaymentOutcome]:
        return [outcome async for outcome in self.run(payments, **options).outcomes()]

    async def take_all(self, payments: Any) -> tuple[list[PaymentOutcome], Exception | None]:
        """The outcomes, and the error raised after them."""
        stream, outcomes = self.run(payments).outcomes(), []
        try:
            while True:
                outcomes.append(await anext(stream))
        except StopAsyncIteration:
            return outcomes, None
        except Exception as error:  # noqa: BLE001 - the test asserts it
            return outcomes, error
