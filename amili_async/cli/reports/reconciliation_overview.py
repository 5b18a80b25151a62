"""The overview of many reconciliations: counts and sums, without the reconciliations themselves."""

from amili_async.cli.reports.reconciliation_words import NOISE_LABEL
from amili_async.cli.values import show_count
from amili_async.reconciliation.comparison import Reconciliation, Sums


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
        self._noisy = 0

    @property
    def reconciled(self) -> int:
        """How many payouts agree."""
        return sum(payouts for payouts, _ in self.agreeing.values())

    @property
    def differing(self) -> int:
        """How many existing payouts differ."""
        return self.payouts - self.reconciled

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.unknown and not self.differing

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
        else:
            self._noisy += all(difference.is_noise for difference in reconciliation.differences)

    def summarize(self) -> str:
        """`1,000 payouts, 4,812 specifications: 997 reconciled, 3 differ`."""
        if not self.payouts and not self.unknown:
            return self.verdict
        counted = f"{show_count(self.payouts, 'payout')}, {show_count(self.specifications, 'specification')}"
        return f"{counted}: {self.verdict}"

    @property
    def verdict(self) -> str:
        """`997 reconciled, 3 differ`, `all reconciled` or `no payouts`."""
        verdicts = []
        if self.payouts:
            verdicts.append(self._count_differing() if self.differing else "all reconciled")
        if self.unknown:
            does = "does" if self.unknown == 1 else "do"
            verdicts.append(f"{show_count(self.unknown, 'payout')} named by specifications {does} not exist")
        return "; ".join(verdicts) or "no payouts"

    def _count_differing(self) -> str:
        noisy = f" ({self._noisy:,} by {NOISE_LABEL} only)" if self._noisy else ""
        return f"{self.reconciled:,} reconciled, {self.differing:,} differ{'s' * (self.differing == 1)}{noisy}"
