"""Records that are hard to write to a file, and any number of plain ones."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from amili_async import Payout, PayoutSpecification, PayoutSummary

AWKWARD = 'Åkerströms "Bygg", Örebro\nVåning 2\r\n=1+1; ünïcode\rslut'

LINE = PayoutSpecification(
    id="6774e8021e69178178006e27",
    created=datetime(2025, 6, 13, 8, 0, tzinfo=UTC),
    creditor_name=AWKWARD,
    currency=None,
    amount=Decimal("1064.0"),
    vat_amount=Decimal("12345678901234567890.123456789"),
    total_amount=Decimal("1064"),
    invoice_numbers=("INV-1", "INV-2,B"),
    references={"case": "6774858016253c18251af7f4"},
)

PAYOUT = Payout(
    id="6776478033d4049c0400dd72",
    ready_for_payout=True,
    payout_date=datetime(2025, 1, 2, tzinfo=UTC),
    finance_period_day=2,
    summary={"capital": PayoutSummary(count=7, amount=Decimal("72055.990"))},
)

UNDOCUMENTED = {
    "_id": "6774e8021e69178178006e27",
    "booking_date": "Fri, 13 Jun 2025 08:00:00 GMT",
    "payout_date": "not a date at all",
    "creditor_name": "Fri, 13 Jun 2025 08:00:00 GMT",
    "amount": Decimal("60.50"),
    "state": None,
    "campaign": "sommar-2025",
}


def make_line(place: int, version: int = 0) -> PayoutSpecification:
    """One of many records, each with its own id; another version of it differs in all other fields."""
    seed = place * 7 + version
    return PayoutSpecification(
        id=f"{place:024x}",
        updated=datetime(2025, 6, 13, tzinfo=UTC) + timedelta(seconds=seed),
        creditor_name=AWKWARD if seed % 5 == 0 else None,
        amount=Decimal(seed) / 8,
        article=("capital", "interest", "reminder")[seed % 3],
        invoice_numbers=(f"INV-{seed}",) * (seed % 3),
        references={"case": f"{seed:024x}", "other": {"a": [seed, None]}} if seed % 4 else None,
    )
