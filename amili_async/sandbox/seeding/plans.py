"""Which payouts there are: whose, of what category, over which period. Their amounts follow from the specifications."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import msgspec

from ..dates import write_date
from ..object_ids import random_id

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
SPAN_DAYS = 180
NAMES = (
    "Åkerströms Bygg AB",
    "Läkargruppen i Örebro AB",
    "Norrsken Energi AB",
    "Example Creditor AB",
    "Vårdhuset Ängen AB",
)


class Creditor(msgspec.Struct, frozen=True):
    """One who is paid."""

    id: str
    name: str


def make_creditors(random: Random) -> list[Creditor]:
    """The creditors of one sandbox."""
    return [Creditor(random_id(random, BEGINNING.timestamp() - 10_000 * n), name) for n, name in enumerate(NAMES, 1)]


def as_number(ore: int, *, whole_as_int: bool) -> int | Decimal:
    """An amount in kronor with a float's digits: 60.5 and 1064.0, or the integer 1064, as the API mixes them."""
    if whole_as_int and ore % 100 == 0:
        return ore // 100
    digits = f"{ore // 100}.{ore % 100:02}"
    return Decimal(digits[:-1] if ore % 10 == 0 else digits)


def on_day(number: int) -> datetime:
    """Midnight of a day, counted from the beginning."""
    return BEGINNING + timedelta(days=number)


def write_day(moment: datetime) -> str:
    """The date of the midnight before a moment."""
    return write_date(moment.replace(hour=0, minute=0, second=0))


ARTICLES: Mapping[str, tuple[str, ...]] = {
    "capital": ("capital",),
    "interest": ("interest",),
    "creditor_commission": ("reminder", "debt_collection"),
    "creditor_outlay": ("reminder", "invoice_fee", "late_payment_fee", "verdict_fee", "enforcement"),
    "amili_commission": ("cost", "debt_collection"),
}
WITH_VAT = frozenset({"creditor_commission", "amili_commission"})
CATEGORIES = tuple(ARTICLES)


class PayoutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a payout before anything is booked on it."""

    id: str
    etag: str
    creditor: Creditor
    category: str
    interval: str
    reference: str
    start: datetime
    created: datetime
    payout_date: datetime | None

    @property
    def days(self) -> int:
        """How many days its period has."""
        return 7 if self.interval == "weekly" else 1

    @property
    def end(self) -> datetime:
        """The last second of its period."""
        return self.start + timedelta(days=self.days, seconds=-1)


def plan_payouts(count: int, creditors: list[Creditor], *, random: Random) -> list[PayoutPlan]:
    """The payouts in the order in which they are created; several are, in the same second of the same morning."""
    drafts = [_draft(number, count, creditors, random) for number in range(count)]
    fixed, first = random.getrandbits(40), random.getrandbits(16)
    drafts.sort(key=lambda draft: draft.created)
    return [
        PayoutPlan(
            id=f"{int(draft.created.timestamp()):08x}{fixed:010x}{first + number:06x}",
            etag=f"{random.getrandbits(160):040x}",
            creditor=draft.creditor,
            category=draft.category,
            interval=draft.interval,
            reference=draft.reference,
            start=draft.start,
            created=draft.created,
            payout_date=draft.payout_date,
        )
        for number, draft in enumerate(drafts)
    ]


def _draft(number: int, count: int, creditors: list[Creditor], random: Random) -> PayoutPlan:
    start = on_day(number // 2 * 2 * SPAN_DAYS // count)
    interval = "weekly" if number % 5 == 3 else "daily"
    morning = start + timedelta(days=7 if interval == "weekly" else 1, hours=8)
    category = CATEGORIES[number % len(CATEGORIES)]
    waits = number % 10 == 9  # one in ten has not been given a date of payment yet
    return PayoutPlan(
        id="",
        etag="",
        creditor=random.choice(creditors),
        category=category,
        interval=interval,
        reference=category.replace("_", " ").title() if number % 7 == 2 else str(random.randint(10_000, 999_999)),
        start=start,
        created=morning,
        payout_date=None if waits else morning.replace(hour=0),
    )
