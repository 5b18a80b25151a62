"""A registry of payments that answers requests without a socket, and what tests pay into it."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from amili_async import NewCreditorPayment
from amili_async._wire.context import ClientContext
from amili_async._wire.protocol import Request, Response
from amili_async.events import Announcer, Event
from amili_async.models import CreditorPayment, format_date
from amili_async.payments.create import PaymentCreator
from amili_async.payments.lookup import PaymentLookup
from amili_async.resources import Resource
from tests.support.clocks import HastyClock

PATH = "creditor--payments"
POST = f"POST /{PATH}"
CREDITOR = "674dbeb208847b9501cc9138"
CASE = "68678eda88b9226bb78d7169"
BOOKED = datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC)


def make_payment(**changes: Any) -> NewCreditorPayment:
    """A good payment with some of its fields replaced."""
    fields: dict[str, Any] = {
        "creditor": CREDITOR,
        "case": CASE,
        "amount": Decimal("100.50"),
        "bank_transaction_date": BOOKED,
        "creditor_payment_reference": "PAY-REF-001",
    }
    return NewCreditorPayment(**(fields | changes))


def make_row(made: datetime = BOOKED, /, **changes: Any) -> dict[str, Any]:
    """The row that the API would show for that payment."""
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
    """Answers each POST by *on_post*, and each list by *rows*."""

    def __init__(self) -> None:
        self.clock = HastyClock()
        self.events: list[Event] = []
        self.posts = 0
        self.looks = 0
        self.rows: list[dict[str, Any]] = []
        self.on_post: Callable[[], dict[str, Any]] = dict
        self.on_look: Callable[[], None] = lambda: None
        self.offset = 0.0
        self.gate: asyncio.Event | None = None
        connection = ClientContext(
            call=self._call,
            announce=Announcer([self.events.append]),
            running=set(),
            page_size=100,
            concurrency=4,
            clock=self.clock,
            forecast=lambda requests: None,
        )
        self.connection = connection
        self.search = PaymentLookup(Resource(PATH, CreditorPayment, connection), connection)
        self.registrar = PaymentCreator(PATH, connection, self.search)

    def now(self) -> datetime:
        """The registry's own time, which may be another than the client's."""
        return datetime.fromtimestamp(int(self.clock.wall() + self.offset), UTC)

    async def _call(self, request: Request) -> Response:
        if self.gate is not None:
            await self.gate.wait()
        if request.method == "POST":
            self.posts += 1
            return self.answer(self.on_post(), status=201)
        self.looks += 1
        self.on_look()
        return self.answer({"_items": self.rows, "_meta": {"total": len(self.rows), "max_results": 100}})

    def answer(self, body: dict[str, Any], *, status: int = 200) -> Response:
        headers = {"Date": format_date(self.now())}
        return Response(status=status, headers=headers, body=json.dumps(body).encode())
