"""The payments that creditors registered: completed, completed with a warning, or in error."""

from datetime import timedelta
from random import Random
from typing import Any

from ..bson_values import write_date
from ..store import ObjectIdFactory
from .plans import FIRST_DAY, SPAN_DAYS, Creditor, as_number, on_day, random_etag, random_id, write_day


def make_payments(count: int, creditors: list[Creditor], *, random: Random) -> list[dict[str, Any]]:
    """The rows, in order of creation."""
    ids = ObjectIdFactory(random)
    return [_make_row(number, count, creditors, ids, random) for number in range(count)]


def _make_row(
    number: int, count: int, creditors: list[Creditor], ids: ObjectIdFactory, random: Random
) -> dict[str, Any]:
    # Pairs share their second of creation, so that `_created` alone does not order them.
    created = on_day((number // 2) * 2 * SPAN_DAYS // count) + timedelta(hours=14, seconds=29)
    ore = random.randrange(100, 20_000) * 100 if number % 3 == 0 else random.randrange(100, 900_000)
    case = {"case": random_id(random, FIRST_DAY.timestamp())}
    invoice = f"INV-2025-{random.randrange(2_000):04}"
    return {
        "_id": ids.make(created.timestamp()),
        "_created": write_date(created),
        "_updated": write_date(created),
        "_etag": random_etag(random),
        "account": random_id(random, FIRST_DAY.timestamp()),
        "creditor": random.choice(creditors).id,
        **(case if number % 3 else {"invoice_number": invoice}),
        "currency": "SEK",
        "amount": as_number(ore, whole_as_int=number % 2 == 0),
        "bank_transaction_date": write_date(created - timedelta(hours=random.randint(1, 90))),
        "client_registration_date": write_date(created),
        **({"creditor_payment_reference": f"PAY-REF-{number:03}"} if number % 4 else {}),
        "origin": "creditor_system",
        **_outcome(number, ore),
        "case_invoice_number": invoice,
        "case_reference_number": None if number % 7 == 5 else str(25_000 + random.randrange(2_000)),
        **({} if number % 8 == 6 else {"booking_date": write_day(created)}),
    }


def _outcome(number: int, ore: int) -> dict[str, Any]:
    """One in eight could not be settled, one in eight only in part."""
    if number % 8 == 6:
        return {"status": "error", "status_reason_locale": "creditor_payment.case_closed"}
    if number % 8 == 3:
        settled = as_number(ore - ore // 3)
        return {"settled_amount": settled, "status": "warning", "status_reason_locale": "creditor_payment.overpaid"}
    return {"settled_amount": as_number(ore), "status": "completed"}
