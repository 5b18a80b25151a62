"""Asking the API which payments it has registered, by their references.

The law: a filter that the server does not honour is an error, never "there is none".
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing, suppress

from amili_async._paging.onward import OnwardWalk, not_honoured
from amili_async._wire.protocol import list_request, server_time
from amili_async._wire.reading import reader_of
from amili_async.connection import Connection
from amili_async.errors import ConfigurationError
from amili_async.filters import Condition
from amili_async.models import CreditorPayment, NewCreditorPayment
from amili_async.models.shape import Shape
from amili_async.payments.matching import find_differences, was_made_since
from amili_async.query import build_query, field
from amili_async.resources import Resource

_SHAPE = Shape[CreditorPayment](record=CreditorPayment, wire=CreditorPayment, projection=None)


FIRST_PAUSE = 0.25
"""Seconds between the first two looks; each further pause is twice as long."""
LONGEST_PAUSE = 4.0
"""Seconds between two looks at most."""
PATIENCE = 30.0
"""Seconds for which a payment is looked for, unless a call says otherwise."""

Rows = Sequence[CreditorPayment]


class Search:
    """Finds registered payments."""

    def __init__(self, payments: Resource[CreditorPayment], connection: Connection) -> None:
        self._payments = payments
        self._connection = connection

    async def look_for(self, look: Callable[[], Awaitable[Rows]], *, patience: float) -> tuple[Rows, int]:
        """Look until something is found, patience is over, or nothing can be sent any more.

        Returns what was found, and how often it was looked. A look that fails has found nothing.
        """
        clock = self._connection.clock
        began, pause, looks = clock.now(), FIRST_PAUSE, 0
        found: Rows = ()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not found and clock.now() - began < patience:
                    if looks:
                        await clock.sleep(pause)
                        pause = min(2 * pause, LONGEST_PAUSE)
                    looks += 1
                    try:
                        found = await look()
                    except ConfigurationError:
                        break  # the client was closed
                    except Exception:  # noqa: BLE001, S112 - whatever hinders a look, the outcome stays as unknown as it was
                        continue
        return found, looks

    async def shows(self, payment: NewCreditorPayment, payment_id: str) -> bool:
        """Whether a payment that was just registered is found by its reference, in a row that is like it."""

        async def look() -> Rows:
            rows = await self.find_all([payment])
            return [row for row in rows if row.id == payment_id and not find_differences(row, payment)]

        found, _ = await self.look_for(look, patience=PATIENCE)
        return bool(found)

    async def find_recent(self, payment: NewCreditorPayment, *, started: float, known: Collection[str]) -> Rows:
        """The payments like this one that were registered since *started* (by our clock), without the *known* ids.

        One request, for the newest hundred with its creditor and reference. How long ago the try began is taken from
        the time on the answer: a clock of ours that is wrong does no harm.
        """
        asked = build_query(_has_reference_of([payment]) & (field("creditor") == payment.creditor), sort="-_id")
        request = list_request(self._payments.path, asked)
        response = await self._connection.call(request)
        clock = self._connection.clock
        page = reader_of(_SHAPE).read_page(response, request=request.label, number=1)
        earliest = server_time(response, default=clock.wall()) - (clock.now() - started)
        return tuple(
            row
            for row in page.items
            if not find_differences(row, payment) and was_made_since(row, earliest) and row.id not in known
        )

    async def find_all(self, payments: Sequence[NewCreditorPayment]) -> list[CreditorPayment]:
        """Every registered payment that has the reference of one of these, whoever its creditor is."""
        asked = {payment.creditor_payment_reference for payment in payments}
        walk = OnwardWalk(self._payments.path, _SHAPE, _has_reference_of(payments), self._connection.call)
        found: list[CreditorPayment] = []
        async with aclosing(walk.records()) as rows:
            async for row in rows:
                if row.creditor_payment_reference not in asked:
                    raise not_honoured(self._payments.path)
                found.append(row)
        return found


def _has_reference_of(payments: Sequence[NewCreditorPayment]) -> Condition:
    return field("creditor_payment_reference").is_in([payment.creditor_payment_reference for payment in payments])
