"""The creditors, and the payouts before their amounts: whose, of what category, over which period."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from ..dates import write_date
from ..object_ids import random_id

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
SPAN_DAYS = 180
NAMES = (
    "Åkerströms Bygg AB",
    "Läkargruppen i Örebro AB",
    "Norrsken Energi AB",
    "Example Creditor AB",
    "Vårdhuset Ängen AB",
)
ARTICLES: Mapping[str, tuple[str, ...]] = {
    "capital": ("capital",),
    "interest": ("interest",),
    "creditor_commission": ("reminder", "debt_collection"),
    "creditor_outlay": ("reminder", "invoice_fee", "late_payment_fee", "verdict_fee", "enforcement"),
    "amili_commission": ("cost", "debt_collection"),
}
WITH_VAT = frozenset({"creditor_commission", "amili_commission"})
CATEGORIES = tuple(ARTICLES)


class Creditor(Struct, frozen=True):
    """A receiver of payouts."""

    id: str
    name: str


class PayoutPlan(Struct, frozen=True, kw_only=True):
    """A payout before anything is booked on it."""

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
        """The length of its period."""
        return 7 if self.interval == "weekly" else 1

    @property
    def end(self) -> datetime:
        """The last second of its period."""
        return self.start + timedelta(days=self.days, seconds=-1)


def make_creditors(random: Random) -> list[Creditor]:
    """The creditors of one sandbox."""
    return [Creditor(random_id(random, FIRST_DAY.timestamp() - 10_000 * n), name) for n, name in enumerate(NAMES, 1)]


def plan_payouts(count: int, creditors: list[Creditor], *, random: Random) -> list[PayoutPlan]:
    """The payouts in order of creation; several share the same second, as a nightly batch makes them."""
    drafts = [_draft(number, count, creditors, random) for number in range(count)]
    fixed, first = random.getrandbits(40), random.getrandbits(16)
    drafts.sort(key=lambda draft: draft.created)
    return [
        replace(
            draft,
            id=f"{int(draft.created.timestamp()):08x}{fixed:010x}{first + number:06x}",
            etag=f"{random.getrandbits(160):040x}",
        )
        for number, draft in enumerate(drafts)
    ]


def _draft(number: int, count: int, creditors: list[Creditor], random: Random) -> PayoutPlan:
    start = on_day(number // 2 * 2 * SPAN_DAYS // count)
    interval = "weekly" if number % 5 == 3 else "daily"
    morning = start + timedelta(days=7 if interval == "weekly" else 1, hours=8)
    category = CATEGORIES[number % len(CATEGORIES)]
    is_unscheduled = number % 10 == 9
    return PayoutPlan(
        id="",
        etag="",
        creditor=random.choice(creditors),
        category=category,
        interval=interval,
        reference=category.replace("_", " ").title() if number % 7 == 2 else str(random.randint(10_000, 999_999)),
        start=start,
        created=morning,
        payout_date=None if is_unscheduled else morning.replace(hour=0),
    )


def as_number(ore: int, *, whole_as_int: bool) -> int | Decimal:
    """An amount in kronor with a float's digits: 60.5 and 1064.0, or the integer 1064, as the API mixes them."""
    if whole_as_int and ore % 100 == 0:
        return ore // 100
    digits = f"{ore // 100}.{ore % 100:02}"
    return Decimal(digits[:-1] if ore % 10 == 0 else digits)


def on_day(number: int) -> datetime:
    """Midnight of a day, counted from `FIRST_DAY`."""
    return FIRST_DAY + timedelta(days=number)


def write_day(moment: datetime) -> str:
    """The date of the midnight before a moment."""
    return write_date(moment.replace(hour=0, minute=0, second=0))
