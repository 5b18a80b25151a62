"""The specifications: single bookings, most of them on a payout, with the known oddities of the API."""

from collections import Counter
from datetime import datetime, timedelta
from random import Random
from typing import Any

from msgspec import Struct

from ..dates import write_date
from ..object_ids import ObjectIdFactory, random_id
from .plans import (
    ARTICLES,
    CATEGORIES,
    FIRST_DAY,
    SPAN_DAYS,
    WITH_VAT,
    Creditor,
    PayoutPlan,
    as_number,
    on_day,
    write_day,
)

STATES = ("initializing", "reminder", "debt_collection", "enforcement", "debt_surveillance", "invoice")
_FEES = (6000, 18000, 4800, 34000, 12050)


class Booking(Struct, frozen=True, kw_only=True):
    """One booking before it becomes a row; money in öre."""

    created: datetime
    plan: PayoutPlan | None
    creditor: Creditor
    category: str
    article: str
    amount: int
    vat: int


def make_bookings(count: int, plans: list[PayoutPlan], creditors: list[Creditor], *, random: Random) -> list[Booking]:
    """The bookings in order of creation. Few moments of a day are used, so that many share their second."""
    bookings = [_make_booking(number, plans, creditors, random) for number in range(count)]
    _fill_empty_plans(bookings, plans, creditors, random)
    return sorted(bookings, key=lambda booking: booking.created)


def _fill_empty_plans(
    bookings: list[Booking], plans: list[PayoutPlan], creditors: list[Creditor], random: Random
) -> None:
    """Give each payout that has no booking by chance the first one of a payout that has several."""
    counts = Counter(booking.plan.id for booking in bookings if booking.plan)
    empty = [plan for plan in plans if not counts[plan.id]]
    for number, booking in enumerate(bookings):
        if empty and booking.plan and counts[booking.plan.id] > 1:
            counts[booking.plan.id] -= 1
            bookings[number] = _make_booking(number, [empty.pop()], creditors, random)


def _make_booking(number: int, plans: list[PayoutPlan], creditors: list[Creditor], random: Random) -> Booking:
    # One in fourteen is not scheduled yet: it has no payout, and no field that is copied from one.
    plan = random.choice(plans) if plans and number % 14 != 5 else None
    creditor = plan.creditor if plan else random.choice(creditors)
    category = plan.category if plan else CATEGORIES[number % len(CATEGORIES)]
    start = plan.start + timedelta(days=random.randrange(plan.days)) if plan else on_day(random.randrange(SPAN_DAYS))
    amount = _choose_amount(category, number, random)
    return Booking(
        created=start + timedelta(hours=random.randint(6, 16), minutes=random.choice((0, 30)), seconds=18),
        plan=plan,
        creditor=creditor,
        category=category,
        # An undocumented article: the API adds values to its enumerations.
        article="instalment_plan_fee" if number % 97 == 41 else random.choice(ARTICLES[category]),
        amount=amount,
        vat=amount // 4 if category in WITH_VAT else 0,
    )


def _choose_amount(category: str, number: int, random: Random) -> int:
    """Whole kronor every third time; fees are multiples of four, so that their VAT of a quarter is exact in öre."""
    if category not in ("capital", "interest"):
        return random.choice(_FEES) if number % 3 == 0 else random.randrange(400, 60_000, 4)
    return random.randrange(100, 20_000) * 100 if number % 3 == 0 else random.randrange(100, 1_500_000)


def make_specifications(bookings: list[Booking], *, random: Random) -> list[dict[str, Any]]:
    """The rows, in stored order: mostly that of creation, but some are committed after rows that were created later."""
    ids = ObjectIdFactory(random)
    rows = [_make_row(number, booking, ids, random) for number, booking in enumerate(bookings)]
    for late in range(4, len(rows) - 3, 9):
        rows[late], rows[late + 3] = rows[late + 3], rows[late]
    return rows


def _make_row(number: int, booking: Booking, ids: ObjectIdFactory, random: Random) -> dict[str, Any]:
    whole_as_int = number % 2 == 0  # the API mixes integers and floats: 1064 in one row, 1064.0 in the next
    updated = booking.plan.created if booking.plan else booking.created
    row: dict[str, Any] = {
        "_id": ids.make(booking.created.timestamp()),
        "_created": write_date(booking.created),
        "_updated": write_date(updated),
        "_etag": f"{random.getrandbits(160):040x}",
        "creditor": booking.creditor.id,
        "creditor_name": booking.creditor.name,
        "currency": "SEK",
        "amount": as_number(booking.amount, whole_as_int=whole_as_int),
        "vat_amount": as_number(booking.vat, whole_as_int=number % 5 == 1),
        "total_amount": as_number(booking.amount + booking.vat, whole_as_int=number % 7 == 3),
        "article": booking.article,
        "state": random.choice(STATES),
        "booking_date": write_day(booking.created),
        "finance_category": booking.category,
        **_references(number, booking.created, random),
        **_payout_fields(booking.plan),
    }
    _add_oddities(number, row)
    return row


def _references(number: int, created: datetime, random: Random) -> dict[str, Any]:
    """The source of a booking: one invoice or several, a case and perhaps its later stages."""
    invoice = f"INV-{created.year}-{random.randrange(2_000):04}"
    references = {"case": random_id(random, FIRST_DAY.timestamp())}
    if number % 6 == 1:
        references["debt_collection"] = random_id(random, created.timestamp())
    if number % 12 == 7:
        references["enforcement"] = random_id(random, created.timestamp())
    several = {"invoice_numbers": [invoice, f"{invoice}-B", f"{invoice}-C"][: 2 + number % 2]}
    return {
        **(several if number % 11 == 6 else {"invoice_number": invoice}),
        "reference_number": str(25_000 + random.randrange(2_000)),
        "references": references,
    }


def _payout_fields(plan: PayoutPlan | None) -> dict[str, Any]:
    """The fields that a specification copies from its payout."""
    if plan is None:
        return {}
    dated = {"payout_date": write_date(plan.payout_date)} if plan.payout_date else {}
    return {"payout": plan.id, "payout_reference": plan.reference, "payout_interval": plan.interval, **dated}


def _add_oddities(number: int, row: dict[str, Any]) -> None:
    """Fields that are missing, null, undocumented or of an undocumented value."""
    if number % 3 == 0:
        row["state_date"] = row["booking_date"]
    if number % 13 == 3:
        row["state"] = None
    if number % 29 == 8:
        row["state"] = "instalment_plan"
    if number % 17 == 9:
        row["reference_number"] = None
    if number % 19 == 2:
        del row["creditor_name"]
    if number % 23 == 10:
        row["campaign"] = "sommar-2025"
    if number % 31 == 12:
        del row["references"]
    if number % 37 == 14:
        row.pop("payout_interval", None)
