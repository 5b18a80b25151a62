"""What the specifications of the payouts come to per period and finance category: grouped, drawn, and as a table.

The law: currencies are never added; a payout belongs to one period, the finest that leaves few enough of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from amili_async.cli.reports.chart import COLOURS, Bar, Series, draw_chart, draw_legend, write_text
from amili_async.cli.reports.reconciliation_overview import count_things
from amili_async.cli.values import show_money
from amili_async.models import Payout
from amili_async.models.fields import FinanceCategory
from amili_async.reconcile import Reconciliation, Sums

NO_DATE, NO_CATEGORY, NO_CURRENCY = "no date", "no category", "no currency"
"""What is said where there is none."""

_UNITS = (("day", len("2025-06-13"), 31), ("month", len("2025-06"), 36))
_YEAR = ("year", len("2025"))
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
_KNOWN = tuple(FinanceCategory)


class Totals(Struct, frozen=True, kw_only=True):
    """The sums over the specifications of all payouts of one currency."""

    currency: str
    """Empty for payouts without one."""
    unit: str
    """`day`, `month` or `year`."""
    periods: tuple[str, ...]
    """The beginnings of ISO dates, in order; the empty one, of payouts without a date, is the last."""
    categories: tuple[str, ...]
    """The known ones in the API's order, then the others; the empty one is the last."""
    cells: dict[tuple[str, str], Sums]
    """Period and category to what they come to; there is none where there are no payouts."""
    differing: dict[str, int]
    """Period to how many of its payouts differ; those in which all agree are left out."""

    def add_up(self, *, period: str | None = None, category: str | None = None) -> Sums:
        """What a row, a column or everything comes to."""
        chosen = (
            sums
            for (of_period, of_category), sums in self.cells.items()
            if period in (None, of_period) and category in (None, of_category)
        )
        return sum(chosen, Sums())


def group_by_period(reconciliations: Iterable[Reconciliation]) -> tuple[Totals, ...]:
    """One for each currency; what names a payout that does not exist has none, and is left out."""
    placed = [(each, each.payout, find_day(each.payout)) for each in reconciliations if each.payout is not None]
    unit, length = _choose_unit({day for _, _, day in placed if day})
    cells: dict[str, dict[tuple[str, str], Sums]] = {}
    differing: dict[str, dict[str, int]] = {}
    for each, payout, day in placed:
        currency, period = _read(payout.currency), day[:length]
        own, place = cells.setdefault(currency, {}), (period, _read(payout.finance_category))
        own[place] = own.get(place, Sums()) + each.sums
        if not each.agrees:
            marks = differing.setdefault(currency, {})
            marks[period] = marks.get(period, 0) + 1
    return tuple(
        Totals(
            currency=currency,
            unit=unit,
            periods=tuple(sorted({period for period, _ in cells[currency]}, key=_put_empty_last)),
            categories=order_categories(category for _, category in cells[currency]),
            cells=cells[currency],
            differing=differing.get(currency, {}),
        )
        for currency in sorted(cells, key=_put_empty_last)
    )


def find_day(payout: Payout) -> str:
    """The first day of its period, else that of its transfer, else that on which it was made; empty for none."""
    for moment in (payout.finance_period_start_date, payout.payout_date, payout.created):
        if isinstance(moment, datetime) and moment != _UNKNOWN:
            return moment.astimezone(UTC).date().isoformat()
    return ""


def order_categories(categories: Iterable[str]) -> tuple[str, ...]:
    """Each once: the known ones in the API's order, then the others, and the empty one last."""
    place = {str(category): number for number, category in enumerate(_KNOWN)}
    return tuple(sorted(set(categories), key=lambda each: (not each, place.get(each, len(place)), each)))


def show_totals(everything: Sequence[Totals]) -> Iterator[str]:
    """A section for each currency: the chart, and the same numbers as a table."""
    categories = order_categories(category for totals in everything for category in totals.categories)
    for number, totals in enumerate(everything, 1):
        name = write_text(totals.currency)
        yield f"<section><h2>{f'Totals in {name}' if name else 'Totals without a currency'}</h2>"
        yield f'<p class="soft">What the specifications come to with VAT, per {totals.unit} and finance category.</p>'
        yield from _draw(totals, categories, name=f"chart-{number}")
        yield from _tabulate(totals)
        yield "</section>"


def _draw(totals: Totals, categories: Sequence[str], *, name: str) -> Iterator[str]:
    """Categories have the same colour in every chart; those for which there are no colours left share the last."""
    colours = {category: min(place, COLOURS - 1) for place, category in enumerate(categories)}
    sharing = [category for category in categories if colours[category] == COLOURS - 1]
    groups: dict[int, list[str]] = {}
    for category in totals.categories:
        groups.setdefault(colours[category], []).append(category)
    series = [
        Series(name="other categories" if len(sharing) > 1 and group[0] in sharing else _name(group), colour=colour)
        for colour, group in groups.items()
    ]
    bars = [_make_bar(totals, period, list(groups.values())) for period in totals.periods]
    yield draw_legend(series, mark="has payouts that differ" if totals.differing else "")
    chart = draw_chart(
        bars,
        series,
        name=name,
        unit=totals.currency,
        title=f"Totals per {totals.unit} and finance category, {totals.currency or NO_CURRENCY}",
        description=f"{count_things(len(bars), 'bar')}, from {bars[0].label} to {bars[-1].label}, with a part for each "
        f"category; amounts below zero go to the left. The table below has the same numbers.",
    )
    yield f'<div class="box">{chart}</div>'


def _make_bar(totals: Totals, period: str, groups: Sequence[Sequence[str]]) -> Bar:
    label, differing = period or NO_DATE, totals.differing.get(period, 0)
    return Bar(
        label=label,
        amounts=tuple(
            sum((totals.cells.get((period, category), Sums()) for category in group), Sums()).total_amount
            for group in groups
        ),
        warning=f"{label}: {_say_differing(differing)}" if differing else "",
    )


def _tabulate(totals: Totals) -> Iterator[str]:
    names = (write_text(_name([category])).replace("_", "_<wbr>") for category in totals.categories)
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    unit = totals.unit.capitalize()
    yield f'<div class="box" tabindex="0" role="region" aria-label="Totals per {totals.unit}"><table class="totals">'
    yield f'<thead><tr><th scope="col">{unit}</th>{heads}<th scope="col">All</th></tr></thead><tbody>'
    for period in totals.periods:
        cells = (totals.cells.get((period, category)) for category in totals.categories)
        numbers = "".join(f"<td>{'' if sums is None else show_money(sums.total_amount)}</td>" for sums in cells)
        differing = totals.differing.get(period, 0)
        flag = f' <span class="flag">{_say_differing(differing)}</span>' if differing else ""
        total = show_money(totals.add_up(period=period).total_amount)
        yield f'<tr><th scope="row">{period or NO_DATE}{flag}</th>{numbers}<td class="all">{total}</td></tr>'
    sums = (totals.add_up(category=category) for category in totals.categories)
    columns = "".join(f"<td>{show_money(each.total_amount)}</td>" for each in sums)
    everything = show_money(totals.add_up().total_amount)
    yield f'</tbody><tfoot><tr><th scope="row">All</th>{columns}<td>{everything}</td></tr></tfoot></table></div>'


def _choose_unit(days: set[str]) -> tuple[str, int]:
    for unit, length, most in _UNITS:
        if len({day[:length] for day in days}) <= most:
            return unit, length
    return _YEAR


def _read(name: object) -> str:
    return name if isinstance(name, str) else ""


def _name(categories: Sequence[str]) -> str:
    return categories[0] or NO_CATEGORY


def _say_differing(number: int) -> str:
    return f"{number:,} {'differs' if number == 1 else 'differ'}"


def _put_empty_last(name: str) -> tuple[bool, str]:
    return not name, name
