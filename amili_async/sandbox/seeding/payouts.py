"""The payouts as rows, with the sums over their specifications, exact to the öre."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ..dates import write_date
from .plans import PayoutPlan, as_number
from .specifications import Booking


def make_payouts(plans: list[PayoutPlan], bookings: list[Booking]) -> list[dict[str, Any]]:
    """One row per plan, in stored order."""
    by_plan: dict[str, list[Booking]] = defaultdict(list)
    for booking in bookings:
        if booking.plan:
            by_plan[booking.plan.id].append(booking)
    rows = [_make_row(number, plan, by_plan[plan.id]) for number, plan in enumerate(plans)]
    # Every fourth pair is stored in the opposite order of creation: stored order is not sorted by `_id`.
    for early in range(2, len(rows) - 1, 8):
        rows[early], rows[early + 1] = rows[early + 1], rows[early]
    return rows


def _make_row(number: int, plan: PayoutPlan, bookings: list[Booking]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "_id": plan.id,
        "_created": write_date(plan.created),
        "_updated": write_date(plan.created),
        "_etag": plan.etag,
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
        "finance_period_end_date": write_date(plan.end),
        **_count_period(plan),
    }
    if number % 9 == 4:
        row["payout_reference"] = None
    if number % 11 == 6:
        row["exported"] = True  # an undocumented field, as the API has them
    return row


def _count_period(plan: PayoutPlan) -> dict[str, int]:
    if plan.interval == "weekly":
        return {"finance_period_week": plan.start.isocalendar().week}
    return {"finance_period_day": plan.start.timetuple().tm_yday}


def _summarise(bookings: list[Booking]) -> dict[str, Any]:
    by_article: dict[str, list[Booking]] = defaultdict(list)
    for booking in bookings:
        by_article[booking.article].append(booking)
    return {article: {"count": len(own), **_sum_up(own, whole_as_int=False)} for article, own in by_article.items()}


def _sum_up(bookings: Iterable[Booking], *, whole_as_int: bool) -> dict[str, Any]:
    amount = sum(booking.amount for booking in bookings)
    vat = sum(booking.vat for booking in bookings)
    return {
        "amount": as_number(amount, whole_as_int=whole_as_int),
        "vat_amount": as_number(vat, whole_as_int=False),
        "total_amount": as_number(amount + vat, whole_as_int=False),
    }
