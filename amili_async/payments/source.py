"""The payments of a list, in batches that one request can look up."""

from collections.abc import Iterable
from urllib.parse import quote

from msgspec import Struct

from amili_async._wire.frames import hide_own_frames
from amili_async.models import NewCreditorPayment
from amili_async.models.json import encode_json
from amili_async.payments.create import check_payment

MAX_REFERENCES_PER_LOOKUP = 99
"""One less than a page holds: with unique references, one page that is not full has all rows."""
MAX_LOOKUP_BYTES = 6000
"""Bytes of percent-encoded references in one request line; gateways reject lines of some 8,000."""


class ListedPayment(Struct, frozen=True, gc=False):
    """One payment of the list."""

    payment: NewCreditorPayment
    """The very object that was given."""
    is_repeated: bool
    """Whether an earlier payment of the list has the same creditor and reference."""


class PaymentSource:
    """Takes payments from an iterable as they are needed."""

    def __init__(self, payments: Iterable[NewCreditorPayment]) -> None:
        self._payments = iter(payments)
        self._held_back: NewCreditorPayment | None = None
        self._references: set[tuple[str, str]] = set()
        self.end: Exception | None = None
        """Why there are no more: `StopIteration`, or an error of the iterable or of an item of it."""

    def take_batch(self) -> list[ListedPayment]:
        """The next payments of the list, as many as one request can look up."""
        batch: list[ListedPayment] = []
        room = MAX_LOOKUP_BYTES
        while len(batch) < MAX_REFERENCES_PER_LOOKUP and (payment := self._held_back or self._take_next()) is not None:
            self._held_back = None
            # Three more bytes for the comma, which is percent-encoded too.
            room -= len(quote(encode_json(payment.creditor_payment_reference))) + 3
            if room < 0 and batch:
                self._held_back = payment
                break
            key = (payment.creditor, payment.creditor_payment_reference)
            batch.append(ListedPayment(payment, key in self._references))
            self._references.add(key)
        return batch

    def _take_next(self) -> NewCreditorPayment | None:
        try:
            payment = next(self._payments)
            check_payment(payment)
        except Exception as error:  # noqa: BLE001 - raised by the run once the payments before it are settled
            self.end = hide_own_frames(error)
            return None
        return payment
