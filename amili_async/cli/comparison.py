"""Whether payouts are the sums of their specifications: exact, and without any I/O."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from amili_async.models import Payout, PayoutSpecification

_MONEY = ("amount", "vat_amount", "total_amount")


class Sums(Struct, frozen=True, kw_only=True):
    """What some specifications come to."""

    count: int = 0
    amount: Decimal = Decimal(0)
    vat_amount: Decimal = Decimal(0)
    total_amount: Decimal = Decimal(0)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            count=self.count + other.count,
            amount=self.amount + other.amount,
            vat_amount=self.vat_amount + other.vat_amount,
            total_amount=self.total_amount + other.total_amount,
        )


class Difference(Struct, frozen=True, kw_only=True):
    """One number of a payout that its specifications do not bear out."""

    payout: str
    """The payout's id."""
    article: str | None
    """The article of the summary; `None` where it is the payout's own total."""
    column: str
    """`count`, `amount`, `vat_amount` or `total_amount`."""
    stated: Decimal | int | None
    """What the payout says; `None` where it says nothing."""
    summed: Decimal | int
    """What its specifications come to."""


Books = dict[str | None, dict[str, Sums]]
"""Payout's id (`None`: not on a payout yet) to article to sums."""


def book(books: Books, specifications: Iterable[PayoutSpecification]) -> None:
    """Add specifications to the books; a missing amount counts as nothing, so that the payout will differ."""
    for line in specifications:
        payout = line.payout if isinstance(line.payout, str) else None
        article = line.article if isinstance(line.article, str) else ""
        articles = books.setdefault(payout, {})
        articles[article] = articles.get(article, Sums()) + Sums(
            count=1, **{column: _number(getattr(line, column)) or Decimal(0) for column in _MONEY}
        )


def compare(payout: Payout, articles: Mapping[str, Sums]) -> tuple[Difference, ...]:
    """Where a payout's totals and summary differ from the sums of its specifications; empty if it reconciles."""
    summary = payout.summary if isinstance(payout.summary, dict) else {}
    overall = sum(articles.values(), Sums())
    found: list[tuple[str | None, str, Any, Any]] = [
        (None, column, getattr(payout, column), getattr(overall, column)) for column in _MONEY
    ]
    for article in sorted(summary.keys() | articles.keys()):
        sums = articles.get(article, Sums())
        found += [
            (article, column, getattr(summary.get(article), column, None), getattr(sums, column))
            for column in ("count", *_MONEY)
        ]
    return tuple(
        Difference(payout=payout.id, article=article, column=column, stated=_number(stated), summed=summed)
        for article, column, stated, summed in found
        if _number(stated) != summed
    )


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, Decimal)) else None
