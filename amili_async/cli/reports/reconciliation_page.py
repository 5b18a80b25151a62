"""A reconciliation as one HTML page: self-contained, without a script, fit to be kept, sent and printed.

Invariant: text of a record is escaped and printable, no number is rounded, and currencies are never added up.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from amili_async.cli.console import printable
from amili_async.cli.reports.reconciliation_words import Overview, compare, explain, has_row_difference
from amili_async.models import Payout
from amili_async.models.fields import FinanceCategory
from amili_async.readable import show_date, show_money
from amili_async.reconciliation.comparison import DifferenceKind, Reconciliation, Sums

MAX_AGREEING = 300
"""Payouts that agree and are listed one by one."""
COLOURS = 8
"""Colours of the chart; the categories beyond them share the last one."""
_LENGTHS = {"day": len("2025-06-13"), "month": len("2025-06"), "year": len("2025")}
_UNKNOWN_DATE = datetime(1970, 1, 1, tzinfo=UTC)  # Eve sends the epoch for a creation date that it does not know
_ORDER = {str(category): place for place, category in enumerate(FinanceCategory)}


class Totals(Struct, frozen=True, kw_only=True):
    """The specifications of all payouts of one currency; an empty name is of payouts without one."""

    currency: str
    rows: dict[str, dict[str, Sums]]
    """Period to category to sums."""
    differing: Counter[str]
    """Period to the number of its payouts that differ."""

    @property
    def categories(self) -> list[str]:
        """The categories of its payouts."""
        return order_categories(category for row in self.rows.values() for category in row)

    @property
    def extent(self) -> tuple[Decimal, Decimal]:
        """How far the bars reach below and above zero."""
        rows = [[sums.total_amount for sums in row.values()] for row in self.rows.values()]
        low = max(sum((-amount for amount in row if amount < 0), Decimal(0)) for row in rows)
        return low, max(sum((amount for amount in row if amount > 0), Decimal(0)) for row in rows)

    def add_up(self, period: str | None = None, category: str | None = None) -> Sums:
        """The sums of a period, of a category or of all."""
        rows = [row for name, row in self.rows.items() if period in (None, name)]
        return sum((sums for row in rows for name, sums in row.items() if category in (None, name)), Sums())


def render_page(
    reconciliations: Sequence[Reconciliation], overview: Overview, *, made_at: datetime, source: str
) -> str:
    """The whole document of *reconciliations* and their overview; *source* is where the records came from."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("amili_async.cli", "reports")
    # `finalize` sees every printed value, so no value of the template can bypass printable() or autoescape.
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_show)
    jinja.globals |= {each.__name__: each for each in (compare, explain, has_row_difference)}
    summable = [each for each in reconciliations if not mixes_currencies(each)]
    unit, totals = group_by_period(summable)
    categories = order_categories(category for each in totals for category in each.categories)
    return jinja.get_template("reconciliation_page.html.j2").render(
        reconciliations=reconciliations,
        overview=overview,
        made_at=f"{made_at.astimezone(UTC):%Y-%m-%d at %H:%M:%S} UTC",
        source=source,
        unit=unit,
        totals=totals,
        colours={category: min(place, COLOURS - 1) for place, category in enumerate(categories)},
        excluded=overview.unknown + len(reconciliations) - len(summable),
        max_agreeing=MAX_AGREEING,
    )


def mixes_currencies(reconciliation: Reconciliation) -> bool:
    """Whether a specification has another currency than the payout, so that their sum is an amount of neither."""
    return any(each.kind is DifferenceKind.FOREIGN and each.field == "currency" for each in reconciliation.differences)


def group_by_period(reconciliations: Iterable[Reconciliation]) -> tuple[str, list[Totals]]:
    """`day`, `month` or `year`, and the totals per currency; payouts that do not exist are in none."""
    existing = [(each, each.payout, find_day(each.payout)) for each in reconciliations if each.payout is not None]
    unit = choose_unit({day for _, _, day in existing if day})
    currencies: dict[str, Totals] = {}
    for each, payout, day in sorted(existing, key=lambda entry: (not entry[2], entry[2])):
        currency, period, category = payout.currency or "", day[: _LENGTHS[unit]], payout.finance_category or ""
        totals = currencies.setdefault(currency, Totals(currency=currency, rows={}, differing=Counter()))
        row = totals.rows.setdefault(period, {})
        row[category] = row.get(category, Sums()) + each.sums
        totals.differing[period] += not each.agrees
    return unit, [currencies[currency] for currency in sorted(currencies, key=lambda name: (not name, name))]


def find_day(payout: Payout) -> str:
    """The first day of its period, else of its transfer, else of its creation, in UTC; empty where none is known."""
    for moment in (payout.finance_period_start_date, payout.payout_date, payout.created):
        if isinstance(moment, datetime) and moment != _UNKNOWN_DATE:
            return moment.astimezone(UTC).date().isoformat()
    return ""


def choose_unit(days: set[str]) -> str:
    """The finest unit with few enough periods; months where each has one day only, as for monthly payouts."""
    months = {day[: _LENGTHS["month"]] for day in days}
    if len(days) <= 31 and (len(days) <= 1 or len(months) < len(days)):
        return "day"
    return "month" if len(months) <= 36 else "year"


def order_categories(categories: Iterable[str]) -> list[str]:
    """Each once: documented ones in the API's order, then the others by name, the empty one last."""
    return sorted(set(categories), key=lambda name: (not name, _ORDER.get(name, len(_ORDER)), name))


def _show(value: Any) -> Any:
    """What the template prints for a value; jinja2 escapes it afterwards, and a macro's result not again."""
    match value:
        case None:
            return "none"
        case datetime():
            return show_date(value)
        case Decimal():
            return show_money(value)
        case int():
            return f"{value:,}"
    return value if hasattr(value, "__html__") else printable(value)
