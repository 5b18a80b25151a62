"""What the demo found, for a person to read."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct
from rich.text import Text

from amili_async.cli.console import Screen
from amili_async.cli.reports.reconciliation_table import lay_out
from amili_async.cli.reports.reconciliation_words import put_in_words
from amili_async.cli.values import show_money, show_text
from amili_async.models import Payout
from amili_async.reconcile import Reconciliation

_HEADINGS = ("Category", "Payouts", "Specifications", "Amount", "VAT", "Total", "Reconciled")
_SPARE = ("Amount", "VAT")


class Findings(Struct, frozen=True, kw_only=True):
    """What came of comparing everything."""

    reconciliations: tuple[Reconciliation, ...]
    waiting: int
    """How many specifications are on no payout yet."""
    requests: int
    seconds: float

    @property
    def of_payouts(self) -> tuple[Reconciliation, ...]:
        """Those of payouts that exist."""
        return tuple(each for each in self.reconciliations if each.payout is not None)

    @property
    def agrees(self) -> bool:
        """Whether everything reconciles."""
        return all(each.agrees for each in self.reconciliations)


def report(findings: Findings) -> None:
    """Print the table of the categories, each difference, and the conclusion."""
    screen = Screen()
    _print_categories(screen, findings.of_payouts)
    screen.print()
    for sentence in explain(findings):
        screen.print(Text(sentence, style="red"), soft_wrap=True)
    for sentence in conclude(findings):
        screen.print(Text(sentence), soft_wrap=True)


def explain(findings: Findings) -> list[str]:
    """One sentence for each thing that is wrong."""
    return [
        f"payout {show_text(difference.payout)}: {put_in_words(difference)}"
        for each in findings.reconciliations
        for difference in each.differences
    ]


def conclude(findings: Findings) -> list[str]:
    """What it comes to, and what it took."""
    payouts, waiting = len(findings.of_payouts), findings.waiting
    good = sum(each.agrees for each in findings.of_payouts)
    specifications = _count(findings.reconciliations) + waiting
    verdict = (
        f"all {payouts:,} payouts reconciled" if findings.agrees else f"{good:,} of {payouts:,} payouts reconciled"
    )
    return [
        f"{payouts:,} payouts, {specifications:,} specifications: {verdict}",
        f"{findings.requests:,} requests in {findings.seconds:.1f} s; {waiting:,} specifications await a payout",
    ]


def _print_categories(screen: Screen, reconciliations: Sequence[Reconciliation]) -> None:
    groups: dict[str, list[Reconciliation]] = {}
    for each in reconciliations:
        groups.setdefault(_category(each.payout), []).append(each)
    rows = [_row(category, groups[category]) for category in sorted(groups)]
    screen.print(
        lay_out(
            _HEADINGS,
            rows,
            footer=_row("all", reconciliations),
            spare=_SPARE,
            left=("Category", "Reconciled"),
            room=screen.width,
        )
    )


def _row(category: str, reconciliations: Sequence[Reconciliation]) -> tuple[str, ...]:
    good = sum(each.agrees for each in reconciliations)
    return (
        category,
        f"{len(reconciliations):,}",
        f"{_count(reconciliations):,}",
        *(_total(reconciliations, column) for column in ("amount", "vat_amount", "total_amount")),
        "yes" if good == len(reconciliations) else f"no: {good} of {len(reconciliations)}",
    )


def _category(payout: Payout | None) -> str:
    category = None if payout is None else payout.finance_category
    return show_text(category).replace("_", " ") if isinstance(category, str) else "none"


def _total(reconciliations: Iterable[Reconciliation], column: str) -> str:
    amounts = (getattr(each.payout, column) for each in reconciliations)
    return show_money(sum((amount for amount in amounts if isinstance(amount, Decimal)), Decimal(0)))


def _count(reconciliations: Iterable[Reconciliation]) -> int:
    return sum(each.sums.count for each in reconciliations)
