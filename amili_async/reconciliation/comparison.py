"""Whether payouts are the sums of their specifications: pure, and exact to the last digit.

The law: nothing is rounded, and nothing is assumed. A number that is missing on either side is a difference; a
creditor, currency or category that is missing is not, since the API leaves such fields out at times: where the payout
lacks one, its specifications are held to each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from amili_async.models import Payout

COLUMNS = ("amount", "vat_amount", "total_amount")
"""The three sums."""
NOISE = Decimal("0.0001")
"""Kronor: a difference below a hundredth of an öre comes from adding floats, not from a booking."""

_MEASURE, _DIGITS = 100, 400
"""Digits before the point, or zeros behind it, and digits in all, beyond which a number is no amount."""
_EXACT = Context(prec=1000)
"""Digits for any sum of amounts within that measure: nothing is ever rounded."""
_ROUNDING = Context(prec=_DIGITS)
_OWN = ("creditor", "currency", "finance_category")


class Specification(Protocol):
    """What has to be known of a specification; `PayoutSpecification` fits, and so does a narrower type."""

    @property
    def id(self) -> str:
        """Its `_id`."""

    @property
    def creditor(self) -> Any:
        """The creditor's id."""

    @property
    def currency(self) -> Any:
        """Its currency."""

    @property
    def finance_category(self) -> Any:
        """Its category."""

    @property
    def article(self) -> Any:
        """Its article."""

    @property
    def amount(self) -> Any:
        """Without VAT."""

    @property
    def vat_amount(self) -> Any:
        """VAT."""

    @property
    def total_amount(self) -> Any:
        """With VAT."""


class Sums(Struct, frozen=True, gc=False, kw_only=True):
    """What some specifications come to."""

    count: int = 0
    """How many there are."""
    amount: Decimal = Decimal(0)
    """Their sum without VAT."""
    vat_amount: Decimal = Decimal(0)
    """Their VAT."""
    total_amount: Decimal = Decimal(0)
    """Their sum with VAT."""

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            count=self.count + other.count,
            amount=_EXACT.add(self.amount, other.amount),
            vat_amount=_EXACT.add(self.vat_amount, other.vat_amount),
            total_amount=_EXACT.add(self.total_amount, other.total_amount),
        )


class DifferenceKind(StrEnum):
    """What kind of thing is wrong."""

    TOTAL = "total"
    """A total of the payout is not the sum over its specifications."""
    ARTICLE = "article"
    """A number of the payout's summary is not what the specifications of that article come to."""
    ROW = "row"
    """A specification lacks an amount, or its `amount + vat_amount` is not its `total_amount`."""
    FOREIGN = "foreign"
    """A specification has another creditor, currency or category than its payout, or the first one that has any."""
    NO_SPECIFICATIONS = "no_specifications"
    """No specification names the payout."""
    NO_PAYOUT = "no_payout"
    """Specifications name a payout that does not exist."""


class Difference(Struct, frozen=True, gc=False, kw_only=True):
    """One thing that is wrong with a payout or its specifications."""

    kind: DifferenceKind
    """What kind of thing."""
    payout: str
    """The payout's id."""
    specification: str | None = None
    """The specification's id, where one is at fault."""
    article: str | None = None
    """The article; empty for specifications without one, `None` where the difference is about none."""
    field: str | None = None
    """`count`, one of the three sums, `creditor`, `currency` or `finance_category`; `None` where it is about none."""
    stated: Decimal | int | str | None = None
    """What the payout says (of a row: what its total says); `None` where it says nothing."""
    found: Decimal | int | str | None = None
    """What its specifications say (of a row: `amount + vat_amount`); `None` where they say nothing."""

    @property
    def gap(self) -> Decimal | int | None:
        """How much more is stated than was found, exactly; `None` where one of the two is no number."""
        if isinstance(self.stated, int) and isinstance(self.found, int):
            return self.stated - self.found
        if not isinstance(self.stated, (int, Decimal)) or not isinstance(self.found, (int, Decimal)):
            return None
        return _EXACT.subtract(self.stated, self.found)

    @property
    def is_noise(self) -> bool:
        """Whether two amounts are less than a hundredth of an öre apart, as sums of floats are."""
        return isinstance(self.gap, Decimal) and abs(self.gap) < NOISE


class Reconciliation(Struct, frozen=True, gc=False, kw_only=True):
    """One payout compared with its specifications."""

    payout_id: str
    """The payout's id."""
    payout: Payout | None
    """The payout as it was compared; `None` where specifications name one that does not exist."""
    articles: dict[str, Sums]
    """What its specifications come to, per article; those without an article under the empty name."""
    differences: tuple[Difference, ...]
    """Everything that is wrong; empty where all agrees."""

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def sums(self) -> Sums:
        """What all its specifications come to."""
        return sum(self.articles.values(), Sums())


class Tally:
    """What is found out about one payout while its specifications pass by, each once; holds none of them."""

    def __init__(self, payout: Payout | None, payout_id: str) -> None:
        self._payout = payout
        self._payout_id = payout_id
        self._own = {name: getattr(payout, name, None) for name in _OWN}
        self._sums: dict[str, list[Any]] = {}
        self._differences: list[Difference] = []

    def add(self, row: Specification) -> None:
        """Take in one specification; a missing amount counts as nothing, and is a difference of its row."""
        article = row.article if isinstance(row.article, str) else ""
        amount, vat, total = _number(row.amount), _number(row.vat_amount), _number(row.total_amount)
        sums = self._sums.get(article)
        if sums is None:
            sums = self._sums[article] = [0, Decimal(0), Decimal(0), Decimal(0)]
        add = _EXACT.add
        summed = None if amount is None or vat is None else add(amount, vat)
        sums[0] += 1
        sums[1] = add(sums[1], amount or 0)
        sums[2] = add(sums[2], vat or 0)
        sums[3] = add(sums[3], total or 0)
        if summed is None or summed != total:
            self._note(DifferenceKind.ROW, row, "total_amount", stated=total, found=summed, article=article)
        for name in _OWN:
            stated, found = self._own[name], getattr(row, name)
            if stated == found or not isinstance(found, str):
                continue
            if isinstance(stated, str):
                self._note(DifferenceKind.FOREIGN, row, name, stated=stated, found=found)
            elif self._payout is not None:
                self._own[name] = found

    def finish(self) -> Reconciliation:
        """Compare; what is wrong with the payout comes before what is wrong with single specifications."""
        articles = {
            article: Sums(count=count, amount=amount, vat_amount=vat, total_amount=total)
            for article, (count, amount, vat, total) in sorted(self._sums.items())
        }
        return Reconciliation(
            payout_id=self._payout_id,
            payout=self._payout,
            articles=articles,
            differences=(*self._compare(articles), *sorted(self._differences, key=_place)),
        )

    def _compare(self, articles: Mapping[str, Sums]) -> Iterator[Difference]:
        payout = self._payout
        if payout is None:
            yield Difference(kind=DifferenceKind.NO_PAYOUT, payout=self._payout_id)
            return
        if not articles:
            yield Difference(kind=DifferenceKind.NO_SPECIFICATIONS, payout=payout.id)
        yield from _find_unequal(payout.id, None, payout, sum(articles.values(), Sums()))
        summary = payout.summary if isinstance(payout.summary, Mapping) else {}
        for article in sorted(summary.keys() | articles.keys()):
            yield from _find_unequal(payout.id, article, summary.get(article), articles.get(article, Sums()))

    def _note(self, kind: DifferenceKind, row: Specification, name: str, **sides: Any) -> None:
        difference = Difference(kind=kind, payout=self._payout_id, specification=row.id, field=name, **sides)
        self._differences.append(difference)


def reconcile_payout(payout: Payout, specifications: Iterable[Specification]) -> Reconciliation:
    """Compare a payout with all of its specifications, each given once."""
    return _tally(Tally(payout, payout.id), specifications)


def report_unknown_payout(payout_id: str, specifications: Iterable[Specification]) -> Reconciliation:
    """What there is to say of specifications that name a payout which does not exist."""
    return _tally(Tally(None, payout_id), specifications)


def _tally(tally: Tally, specifications: Iterable[Specification]) -> Reconciliation:
    for row in specifications:
        tally.add(row)
    return tally.finish()


def _find_unequal(payout_id: str, article: str | None, stated: Any, summed: Sums) -> Iterator[Difference]:
    """Each number that is stated otherwise than the specifications come to; a count only of an article."""
    kind = DifferenceKind.TOTAL if article is None else DifferenceKind.ARTICLE
    for name in COLUMNS if article is None else ("count", *COLUMNS):
        said, found = _number(getattr(stated, name, None)), getattr(summed, name)
        if said != found:
            yield Difference(kind=kind, payout=payout_id, article=article, field=name, stated=said, found=found)


def _place(difference: Difference) -> tuple[str, str, str]:
    return str(difference.specification), difference.kind, str(difference.field)


def _number(value: Any) -> Any:
    """A number as it is; `None` for what is absent, `null`, not a number, or beyond all measure."""
    if isinstance(value, Decimal):
        is_amount = value.is_finite() and (not value or abs(value.adjusted()) <= _MEASURE)
        return value if is_amount and _ROUNDING.plus(value) == value else None
    return value if isinstance(value, int) else None
