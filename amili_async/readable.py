"""Numbers, money, dates and durations as people read them."""

from datetime import UTC, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal

MAX_DIGITS = 40
"""A number is filled up with zeros to at most so many digits."""
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def show_money(amount: int | Decimal) -> str:
    """With thousands separators and at least two decimals; no digit is rounded away.

    A number that is longer than `MAX_DIGITS` only by zeros is in exponent form: `1E100000000` written out is 130 MB.
    """
    exact = Decimal(amount)
    if not exact.is_finite():
        return f"{exact}"
    exact = _EXACT.normalize(exact)
    _, digits, exponent = exact.as_tuple()
    decimals = max(0, -int(exponent))
    if max(exact.adjusted() + 1, 1) + decimals > max(MAX_DIGITS, len(digits)):
        return f"{exact:E}"
    return f"{exact:,.{max(2, decimals)}f}"


def show_date(moment: datetime) -> str:
    """A day for midnight in UTC, else the instant."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z").removesuffix("T00:00:00Z")


def show_count(number: int, thing: str) -> str:
    """`no payouts`, `1 payout`, `1,000 payouts`."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'' if number == 1 else 's'}"


def show_duration(seconds: float) -> str:
    """In a single unit: seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
