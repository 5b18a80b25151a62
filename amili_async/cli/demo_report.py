"""What the demo found, for a person to read."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from msgspec import Struct
from rich.text import Text

from amili_async.cli.comparison import Books, Difference, Sums
from amili_async.cli.screen import Screen, choose_columns, plain_table, width_of
from amili_async.cli.values import show_money, show_text
from amili_async.models import Payout

_HEADINGS = ("Category", "Payouts", "Specifications", "Amount", "VAT", "Total", "Reconciled")
_SPARE = ("Amount", "VAT")
_NARROW = {"Specifications": "Specifi-\ncations"}


class Findings(Struct, frozen=True, kw_only=True):
    """Everything that was fetched, and what came of comparing it."""

    payouts: tuple[Payout, ...]
    books: Books
    differences: tuple[Difference, ...]
    requests: int
    seconds: float

    @property
    def differing(self) -> frozenset[str]:
        """The ids of the payouts that do not reconcile."""
        return frozenset(difference.payout for difference in self.differences)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The payouts that specifications name and nobody knows."""
        known = {payout.id for payout in self.payouts}
        return tuple(payout for payout in self.books if payout is not None and payout not in known)

    @property
    def agrees(self) -> bool:
        """Whether everything reconciles."""
        return not self.differences and not self.unknown


def report(findings: Findings) -> None:
    """Print the table of the categories, each difference, and the conclusion."""
    screen = Screen()
    _print_categories(screen, findings)
    screen.print()
    for sentence in explain(findings):
        screen.print(Text(sentence, style="red"), soft_wrap=True)
    for sentence in conclude(findings):
        screen.print(Text(sentence), soft_wrap=True)


def explain(findings: Findings) -> list[str]:
    """One sentence for each thing that is wrong."""
    sentences = [f"payout {show_text(payout)} has specifications, but does not exist" for payout in findings.unknown]
    for found in findings.differences:
        stated = "nothing" if found.stated is None else _show(found.column, found.stated)
        article = "" if found.article is None else f" of {show_text(found.article) or 'no article'}"
        summed = _show(found.column, found.summed)
        sentences.append(
            f"payout {found.payout}: {found.column}{article} is {stated}, but its specifications come to {summed}"
        )
    return sentences


def conclude(findings: Findings) -> list[str]:
    """What it comes to, and what it took."""
    payouts = len(findings.payouts)
    good = payouts - len(findings.differing)
    lines = _count(findings.books.values())
    waiting = _count((findings.books.get(None, {}),))
    verdict = (
        f"all {payouts:,} payouts reconciled" if findings.agrees else f"{good:,} of {payouts:,} payouts reconciled"
    )
    return [
        f"{payouts:,} payouts, {lines:,} specifications: {verdict}",
        f"{findings.requests:,} requests in {findings.seconds:.1f} s; {waiting:,} specifications await a payout",
    ]


def _print_categories(screen: Screen, findings: Findings) -> None:
    categories = sorted({_category(payout) for payout in findings.payouts})
    rows = [
        _row(category, [p for p in findings.payouts if _category(p) == category], findings) for category in categories
    ]
    rows.append(_row("all", findings.payouts, findings))
    shown: tuple[str, ...] = _HEADINGS
    kept = _fit(shown, rows, screen.width)
    if len(kept) < len(shown):
        shown = tuple(_NARROW.get(heading, heading) for heading in shown)
        kept = _fit(shown, rows, screen.width)
    table = plain_table()
    for heading in kept:
        table.add_column(heading, justify="left" if heading in {"Category", "Reconciled"} else "right", no_wrap=True)
    for row in rows:
        is_sum = row is rows[-1]
        if is_sum:
            table.add_section()
        cells = dict(zip(shown, row, strict=True))
        table.add_row(*(Text(cells[heading]) for heading in kept), style="bold" if is_sum else None)
    screen.print(table)


def _fit(headings: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[str]:
    widths = {heading: width_of(heading, [row[at] for row in rows]) for at, heading in enumerate(headings)}
    return choose_columns(widths, spare=_SPARE, room=room)


def _row(category: str, payouts: Sequence[Payout], findings: Findings) -> tuple[str, ...]:
    lines = _count(findings.books.get(payout.id, {}) for payout in payouts)
    good = sum(payout.id not in findings.differing for payout in payouts)
    return (
        category,
        f"{len(payouts):,}",
        f"{lines:,}",
        *(_total(payouts, column) for column in ("amount", "vat_amount", "total_amount")),
        "yes" if good == len(payouts) else f"no: {good} of {len(payouts)}",
    )


def _category(payout: Payout) -> str:
    category = payout.finance_category
    return show_text(category).replace("_", " ") if isinstance(category, str) else "none"


def _total(payouts: Sequence[Payout], column: str) -> str:
    amounts = (getattr(payout, column) for payout in payouts)
    return show_money(sum((amount for amount in amounts if isinstance(amount, Decimal)), Decimal(0)))


def _count(groups: Iterable[Mapping[str, Sums]]) -> int:
    return sum(sums.count for articles in groups for sums in articles.values())


def _show(column: str, number: Decimal | int) -> str:
    return f"{number:,}" if column == "count" else show_money(number)
