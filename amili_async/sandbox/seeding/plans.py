"""What the rows are made from: the creditors, the payouts before their amounts, and the bookings on them."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from msgspec import Struct
from msgspec.structs import replace

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
_FEES = (6000, 18000, 4800, 34000, 12050)


class Payee(Struct, frozen=True):
    """A receiver of payouts."""

    id: str
    name: str


class PayoutPlan(Struct, frozen=True, kw_only=True):
    """A payout before anything is booked on it."""

    id: str = ""
    etag: str = ""
    creditor: Payee
    category: str
    interval: str
    reference: str
    start: datetime
    created: datetime
    days: int
    """The length of its period."""
    payout_date: datetime | None


class Booking(Struct, frozen=True, kw_only=True):
    """One booking before it becomes a row; money in öre."""

    created: datetime
    plan: PayoutPlan | None
    creditor: Payee
    category: str
    article: str
    amount: int
    vat: int


def plan_creditors(random: Random) -> list[Payee]:
    """The creditors of one sandbox."""
    return [Payee(random_id(random, FIRST_DAY.timestamp() - 10_000 * n), name) for n, name in enumerate(NAMES, 1)]


def plan_payouts(count: int, creditors: list[Payee], *, random: Random) -> list[PayoutPlan]:
    """The payouts in order of creation; several share the same second, as a nightly batch makes them."""
    drafts = [_draft(number, count, creditors, random) for number in range(count)]
    fixed, first = random.getrandbits(40), random.getrandbits(16)
    drafts.sort(key=lambda draft: draft.created)
    ids = (f"{int(draft.created.timestamp()):08x}{fixed:010x}{first + n:06x}" for n, draft in enumerate(drafts))
    return [replace(draft, id=row_id, etag=random_etag(random)) for row_id, draft in zip(ids, drafts, strict=True)]


def _draft(number: int, count: int, creditors: list[Payee], random: Random) -> PayoutPlan:
    start = on_day(number // 2 * 2 * SPAN_DAYS // count)
    interval, days = ("weekly", 7) if number % 5 == 3 else ("daily", 1)
    morning = start + timedelta(days=days, hours=8)
    category = CATEGORIES[number % len(CATEGORIES)]
    return PayoutPlan(
        creditor=random.choice(creditors),
        category=category,
        interval=interval,
        reference=category.replace("_", " ").title() if number % 7 == 2 else str(random.randint(10_000, 999_999)),
        start=start,
        days=days,
        created=morning,
        payout_date=None if number % 10 == 9 else morning.replace(hour=0),
    )


def make_bookings(count: int, plans: list[PayoutPlan], creditors: list[Payee], *, random: Random) -> list[Booking]:
    """The bookings in order of creation, at least one for each payout while there are enough."""
    bookings = [_make_booking(number, plans, creditors, random) for number in range(count)]
    counts = Counter(booking.plan.id for booking in bookings if booking.plan)
    empty = [plan for plan in plans if not counts[plan.id]]
    for number, booking in enumerate(bookings):
        if empty and booking.plan and counts[booking.plan.id] > 1:
            counts[booking.plan.id] -= 1
            bookings[number] = _make_booking(number, [empty.pop()], creditors, random)
    return sorted(bookings, key=lambda booking: booking.created)


def _make_booking(number: int, plans: list[PayoutPlan], creditors: list[Payee], random: Random) -> Booking:
    # One in fourteen is not scheduled yet: it has no payout, and no field that is copied from one.
    plan = random.choice(plans) if plans and number % 14 != 5 else None
    creditor = plan.creditor if plan else random.choice(creditors)
    category = plan.category if plan else CATEGORIES[number % len(CATEGORIES)]
    start = plan.start + timedelta(days=random.randrange(plan.days)) if plan else on_day(random.randrange(SPAN_DAYS))
    amount = _choose_amount(category, number, random)
    return Booking(
        # Few moments of a day are used, so that many bookings share their second.
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


def random_id(random: Random, epoch_seconds: float) -> str:
    """An id of a document outside the three resources: a creditor, a case, an account."""
    return f"{int(epoch_seconds):08x}{random.getrandbits(64):016x}"


def random_etag(random: Random) -> str:
    """The tag of a version of a row."""
    return f"{random.getrandbits(160):040x}"


def as_number(ore: int, *, whole_as_int: bool = False) -> int | Decimal:
    """An amount in kronor with a float's digits: 60.5 and 1064.0, or the integer 1064, as the API mixes them."""
    if whole_as_int and ore % 100 == 0:
        return ore // 100
    digits = f"{ore // 100}.{ore % 100:02}"
    return Decimal(digits[:-1] if ore % 10 == 0 else digits)


def on_day(number: int) -> datetime:
    """Midnight of a day, counted from `FIRST_DAY`."""
    return FIRST_DAY + timedelta(days=number)
