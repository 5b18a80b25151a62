"""The rows of payouts, specifications and payments, with the known oddities of the API."""

from collections import defaultdict
from datetime import datetime, timedelta
from random import Random
from typing import Any

from ..bson_values import write_date
from ..store import ObjectIdFactory
from .plans import FIRST_DAY, SPAN_DAYS, Booking, Payee, PayoutPlan, as_number, on_day, random_etag, random_id

STATES = ("initializing", "reminder", "debt_collection", "enforcement", "debt_surveillance", "invoice")


def automatic_fields(row_id: str, etag: str, created: datetime, updated: datetime) -> dict[str, Any]:
    """The fields that Eve adds to every document."""
    return {"_id": row_id, "_created": write_date(created), "_updated": write_date(updated), "_etag": etag}


def _write_day(moment: datetime) -> str:
    """The date of the midnight before a moment."""
    return write_date(moment.replace(hour=0, minute=0, second=0))


def make_payouts(plans: list[PayoutPlan], bookings: list[Booking]) -> list[dict[str, Any]]:
    """One row per plan, in stored order."""
    by_plan: dict[str, list[Booking]] = defaultdict(list)
    for booking in bookings:
        if booking.plan:
            by_plan[booking.plan.id].append(booking)
    rows = [_make_payout(number, plan, by_plan[plan.id]) for number, plan in enumerate(plans)]
    # Every fourth pair is stored in the opposite order of creation: stored order is not sorted by `_id`.
    for early in range(2, len(rows) - 1, 8):
        rows[early], rows[early + 1] = rows[early + 1], rows[early]
    return rows


def _make_payout(number: int, plan: PayoutPlan, bookings: list[Booking]) -> dict[str, Any]:
    is_weekly = plan.interval == "weekly"
    week_or_day = plan.start.isocalendar().week if is_weekly else plan.start.timetuple().tm_yday
    row: dict[str, Any] = {
        **automatic_fields(plan.id, plan.etag, plan.created, plan.created),
        "creditor": plan.creditor.id,
        "currency": "SEK",
        "payout_reference": plan.reference,
        "ready_for_payout": plan.payout_date is not None,
        **({"payout_date": write_date(plan.payout_date)} if plan.payout_date else {}),
        **_sum_up(bookings, whole_as_int=number % 4 == 1),
        "summary": _summarise(bookings),
        "finance_category": plan.category,
        "finance_interval": plan.interval,
        "finance_period_start_date": write_date(plan.start),
        "finance_period_end_date": write_date(plan.start + timedelta(days=plan.days, seconds=-1)),
        "finance_period_week" if is_weekly else "finance_period_day": week_or_day,
    }
    if number % 9 == 4:
        row["payout_reference"] = None
    if number % 11 == 6:
        row["exported"] = True  # an undocumented field, as the API has them
    return row


def _summarise(bookings: list[Booking]) -> dict[str, Any]:
    by_article: dict[str, list[Booking]] = defaultdict(list)
    for booking in bookings:
        by_article[booking.article].append(booking)
    return {article: {"count": len(own), **_sum_up(own)} for article, own in by_article.items()}


def _sum_up(bookings: list[Booking], *, whole_as_int: bool = False) -> dict[str, Any]:
    amount, vat = sum(booking.amount for booking in bookings), sum(booking.vat for booking in bookings)
    amounts = {"amount": as_number(amount, whole_as_int=whole_as_int), "vat_amount": as_number(vat)}
    return {**amounts, "total_amount": as_number(amount + vat)}


def make_specifications(bookings: list[Booking], *, random: Random) -> list[dict[str, Any]]:
    """The rows, in stored order: mostly that of creation, but some are committed after rows that were created later."""
    ids = ObjectIdFactory(random)
    rows = [_make_specification(number, booking, ids, random) for number, booking in enumerate(bookings)]
    for late in range(4, len(rows) - 3, 9):
        rows[late], rows[late + 3] = rows[late + 3], rows[late]
    return rows


def _make_specification(number: int, booking: Booking, ids: ObjectIdFactory, random: Random) -> dict[str, Any]:
    row_id, updated = ids.make(booking.created.timestamp()), booking.plan.created if booking.plan else booking.created
    row: dict[str, Any] = {
        **automatic_fields(row_id, random_etag(random), booking.created, updated),
        "creditor": booking.creditor.id,
        "creditor_name": booking.creditor.name,
        "currency": "SEK",
        # The API mixes integers and floats: 1064 in one row, 1064.0 in the next.
        "amount": as_number(booking.amount, whole_as_int=number % 2 == 0),
        "vat_amount": as_number(booking.vat, whole_as_int=number % 5 == 1),
        "total_amount": as_number(booking.amount + booking.vat, whole_as_int=number % 7 == 3),
        "article": booking.article,
        "state": random.choice(STATES),
        "booking_date": _write_day(booking.created),
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


def make_payments(count: int, creditors: list[Payee], *, random: Random) -> list[dict[str, Any]]:
    """The rows, in order of creation."""
    ids = ObjectIdFactory(random)
    return [_make_payment(number, count, creditors, ids, random) for number in range(count)]


def _make_payment(
    number: int, count: int, creditors: list[Payee], ids: ObjectIdFactory, random: Random
) -> dict[str, Any]:
    # Pairs share their second of creation, so that `_created` alone does not order them.
    created = on_day((number // 2) * 2 * SPAN_DAYS // count) + timedelta(hours=14, seconds=29)
    ore = random.randrange(100, 20_000) * 100 if number % 3 == 0 else random.randrange(100, 900_000)
    case = {"case": random_id(random, FIRST_DAY.timestamp())}
    invoice = f"INV-2025-{random.randrange(2_000):04}"
    return {
        **automatic_fields(ids.make(created.timestamp()), random_etag(random), created, created),
        "account": random_id(random, FIRST_DAY.timestamp()),
        "creditor": random.choice(creditors).id,
        **(case if number % 3 else {"invoice_number": invoice}),
        "currency": "SEK",
        "amount": as_number(ore, whole_as_int=number % 2 == 0),
        "bank_transaction_date": write_date(created - timedelta(hours=random.randint(1, 90))),
        "client_registration_date": write_date(created),
        **({"creditor_payment_reference": f"PAY-REF-{number:03}"} if number % 4 else {}),
        "origin": "creditor_system",
        **_payment_outcome(number, ore),
        "case_invoice_number": invoice,
        "case_reference_number": None if number % 7 == 5 else str(25_000 + random.randrange(2_000)),
        **({} if number % 8 == 6 else {"booking_date": _write_day(created)}),
    }


def _payment_outcome(number: int, ore: int) -> dict[str, Any]:
    """One in eight could not be settled, one in eight only in part."""
    if number % 8 == 6:
        return {"status": "error", "status_reason_locale": "creditor_payment.case_closed"}
    if number % 8 == 3:
        settled = as_number(ore - ore // 3)
        return {"settled_amount": settled, "status": "warning", "status_reason_locale": "creditor_payment.overpaid"}
    return {"settled_amount": as_number(ore), "status": "completed"}
