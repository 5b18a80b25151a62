"""Reconciliations in words and numbers, the same in every report, with all their digits."""

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct

from amili_async.cli.console import printable
from amili_async.readable import show_count, show_money
from amili_async.reconciliation.comparison import Difference, DifferenceKind, Reconciliation, Sums

NO_VALUE = "missing"
"""Shown for a missing value."""
UNSETTLED = (
    "it is unsettled: its differences changed each time it was compared, as if it is being booked on; compare it again "
    "later"
)
NOISE_LABEL = "float noise"
"""Label of a difference caused by float rounding alone."""
_COMPARED = (DifferenceKind.TOTAL, DifferenceKind.ARTICLE, DifferenceKind.ROW)


class Comparison(Struct, frozen=True, kw_only=True):
    """A difference of two numbers, as texts."""

    name: str
    stated: str
    found: str
    gap: str
    """How much more is stated than found; empty where a side is missing."""
    note: str
    """`NOISE_LABEL` or nothing."""


def compare(reconciliation: Reconciliation) -> list[Comparison]:
    """The differences that consist of two numbers."""
    return [
        Comparison(
            name=_name(difference),
            stated=show_side(difference.field, difference.stated),
            found=show_side(difference.field, difference.found),
            gap=show_gap(difference),
            note=NOISE_LABEL if difference.is_noise else "",
        )
        for difference in reconciliation.differences
        if difference.kind in _COMPARED
    ]


def explain(reconciliation: Reconciliation) -> Iterator[str]:
    """A sentence if it is unsettled, and for each difference that does not consist of two numbers."""
    if reconciliation.unsettled:
        yield UNSETTLED
    for difference in reconciliation.differences:
        if difference.kind is DifferenceKind.NO_PAYOUT:
            yield _describe_unknown(reconciliation)
        elif difference.kind not in _COMPARED:
            yield describe_difference(difference)


def has_row_difference(reconciliation: Reconciliation) -> bool:
    """Whether the amounts of one of its specifications do not add up."""
    return any(difference.kind is DifferenceKind.ROW for difference in reconciliation.differences)


def describe_difference(difference: Difference) -> str:
    """The difference as a sentence about the payout or one of its specifications."""
    stated, found = show_side(difference.field, difference.stated), show_side(difference.field, difference.found)
    field, specification = difference.field, printable(difference.specification or "")
    match difference.kind:
        case DifferenceKind.NO_SPECIFICATIONS:
            return "no specification names it"
        case DifferenceKind.NO_PAYOUT:
            return "it does not exist, but specifications name it"
        case DifferenceKind.FOREIGN:
            return f"specification {specification} has {field} {found}, not {stated}"
        case DifferenceKind.ROW:
            sentence = f"specification {specification}: {field} is {stated}, but amount + vat_amount is {found}"
        case DifferenceKind.ARTICLE:
            # The article follows the field, because a spreadsheet runs a cell that begins with =.
            sentence = f"{field} of {_article(difference)} is {stated}, but its specifications add up to {found}"
        case _:
            sentence = f"{field} is {stated}, but its specifications add up to {found}"
    return f"{sentence} ({NOISE_LABEL})" if difference.is_noise else sentence


def show_side(field: str | None, value: Decimal | int | str | None) -> str:
    """The value of one side: a count, money, or text."""
    if value is None:
        return NO_VALUE
    if isinstance(value, str):
        return printable(value)
    return f"{value:,}" if field == "count" else show_money(value)


def show_gap(difference: Difference) -> str:
    """How much more is stated than found; empty where a side is no number."""
    return "" if difference.gap is None else show_side(difference.field, difference.gap)


def _describe_unknown(reconciliation: Reconciliation) -> str:
    sums = reconciliation.sums
    name, its = ("names", "its") if sums.count == 1 else ("name", "their")
    counted, total = show_count(sums.count, "specification"), show_money(sums.total_amount)
    return f"this payout does not exist, but {counted} {name} it; {its} total is {total} with VAT"


def _name(difference: Difference) -> str:
    if difference.kind is DifferenceKind.ROW:
        return f"specification {printable(difference.specification or '')}"
    if difference.kind is DifferenceKind.ARTICLE:
        return f"{_article(difference)}: {difference.field}"
    return f"{difference.field}"


def _article(difference: Difference) -> str:
    return printable(difference.article or "") or "no article"


class Overview:
    """Counts reconciliations; for payouts that agree it keeps only sums."""

    def __init__(self) -> None:
        self.agreeing: dict[str, tuple[int, Sums]] = {}
        """Currency (empty for none) to the number of payouts and the sums of their specifications."""
        self.payouts = 0
        """How many payouts exist."""
        self.specifications = 0
        """How many specifications name a payout, existing or not."""
        self.unknown = 0
        """How many payouts do not exist although specifications name them."""
        self.unsettled = 0
        """How many existing payouts differed in another way each time, so that no difference is certain."""
        self._noisy = 0

    @property
    def reconciled(self) -> int:
        """How many payouts agree."""
        return sum(payouts for payouts, _ in self.agreeing.values())

    @property
    def differing(self) -> int:
        """How many existing payouts differ, without those that are unsettled."""
        return self.payouts - self.reconciled - self.unsettled

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and nothing is unsettled."""
        return not self.unknown and self.reconciled == self.payouts

    def add(self, reconciliation: Reconciliation) -> None:
        """Count one more."""
        payout, sums = reconciliation.payout, reconciliation.sums
        self.specifications += sums.count
        if payout is None:
            self.unknown += 1
            return
        self.payouts += 1
        if reconciliation.agrees:
            currency = payout.currency or ""
            payouts, total = self.agreeing.get(currency, (0, Sums()))
            self.agreeing[currency] = (payouts + 1, total + sums)
        elif reconciliation.unsettled:
            self.unsettled += 1
        else:
            self._noisy += all(difference.is_noise for difference in reconciliation.differences)

    def summarize(self) -> str:
        """`1,000 payouts, 4,812 specifications: 996 reconciled, 3 differ, 1 unsettled`."""
        if not self.payouts and not self.unknown:
            return self.verdict
        counted = f"{show_count(self.payouts, 'payout')}, {show_count(self.specifications, 'specification')}"
        return f"{counted}: {self.verdict}"

    @property
    def verdict(self) -> str:
        """`997 reconciled, 3 differ`, `all reconciled` or `no payouts`."""
        verdicts = []
        if self.payouts:
            verdicts.append("all reconciled" if self.reconciled == self.payouts else self._count_payouts())
        if self.unknown:
            does = "does" if self.unknown == 1 else "do"
            verdicts.append(f"{show_count(self.unknown, 'payout')} named by specifications {does} not exist")
        return "; ".join(verdicts) or "no payouts"

    def _count_payouts(self) -> str:
        counts = [f"{self.reconciled:,} reconciled"]
        if self.differing:
            noisy = f" ({self._noisy:,} by {NOISE_LABEL} only)" if self._noisy else ""
            counts.append(f"{self.differing:,} differ{'s' * (self.differing == 1)}{noisy}")
        if self.unsettled:
            counts.append(f"{self.unsettled:,} unsettled")
        return ", ".join(counts)
