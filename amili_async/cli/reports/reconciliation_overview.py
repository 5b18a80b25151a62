"""What many reconciliations come to: counted as they come, and never held."""

from amili_async.cli.reports.reconciliation_words import NOISE
from amili_async.reconcile import Reconciliation, Sums


class Overview:
    """What was compared so far; of the payouts that agree it keeps the sums alone."""

    def __init__(self) -> None:
        self.agreeing: dict[str, tuple[int, Sums]] = {}
        """Currency (empty for none) to how many payouts, and what their specifications come to."""
        self.payouts = 0
        """How many payouts there are."""
        self.specifications = 0
        """How many specifications they have, those of payouts that do not exist included."""
        self.unknown = 0
        """How many payouts specifications name that do not exist."""
        self._noisy = 0

    @property
    def reconciled(self) -> int:
        """How many payouts agree."""
        return sum(payouts for payouts, _ in self.agreeing.values())

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.unknown and self.reconciled == self.payouts

    def add(self, reconciliation: Reconciliation) -> None:
        """Take one in."""
        payout, sums = reconciliation.payout, reconciliation.sums
        self.specifications += sums.count
        if payout is None:
            self.unknown += 1
            return
        self.payouts += 1
        if reconciliation.agrees:
            currency = payout.currency if isinstance(payout.currency, str) else ""
            payouts, so_far = self.agreeing.get(currency, (0, Sums()))
            self.agreeing[currency] = (payouts + 1, so_far + sums)
        else:
            self._noisy += all(difference.is_noise for difference in reconciliation.differences)

    def conclude(self) -> str:
        """`1,000 payouts, 4,812 specifications: 997 reconciled, 3 differ`."""
        if not self.payouts and not self.unknown:
            return "no payouts"
        verdicts = []
        if self.payouts:
            verdicts.append("all reconciled" if self.reconciled == self.payouts else self._count_differing())
        if self.unknown:
            does = "does" if self.unknown == 1 else "do"
            verdicts.append(f"{count_things(self.unknown, 'payout')} that specifications name {does} not exist")
        counted = f"{count_things(self.payouts, 'payout')}, {count_things(self.specifications, 'specification')}"
        return f"{counted}: {'; '.join(verdicts)}"

    def _count_differing(self) -> str:
        differing = self.payouts - self.reconciled
        noisy = f" ({self._noisy:,} by {NOISE} only)" if self._noisy else ""
        return f"{self.reconciled:,} reconciled, {differing:,} {'differs' if differing == 1 else 'differ'}{noisy}"


def count_things(number: int, thing: str) -> str:
    """`no payouts`, `1 payout`, `1,000 payouts`."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'' if number == 1 else 's'}"
