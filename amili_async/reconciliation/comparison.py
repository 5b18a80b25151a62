"""Compare a payout with its specifications, exactly to the last digit; pure, without requests.

Invariant: nothing is rounded, and nothing is assumed. A number that is missing on either side is a difference. A
missing creditor, currency or category is not, since the API leaves these fields out of some responses; if the payout
lacks one, its specifications are compared with each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from amili_async._wire.frames import hide_variables
from amili_async.models import Payout

COLUMNS = ("amount", "vat_amount", "total_amount")
"""The three sums."""
NOISE_LIMIT = Decimal("0.0001")
"""Kronor: a difference below a hundredth of an öre is a sum of floats, not a booking."""

# JSON numbers are unbounded: adding 1E+999999 exactly would take a million digits. What exceeds these is no amount.
_MAX_EXPONENT, _MAX_DIGITS = 100, 400
_EXACT = Context(prec=1000)  # enough digits for any sum of such amounts, so that nothing is rounded
_ROUNDING = Context(prec=_MAX_DIGITS)
_SHARED = ("creditor", "currency", "finance_category")  # a payout and its specifications have the same


class Specification(Protocol):
    """The fields of a specification that are compared; creditor, currency and finance_category only if it has them."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def article(self) -> Any:
        """Its article."""

    @property
    def amount(self) -> Any:
        """Without VAT."""

    @property
    def vat_amount(self) -> Any:
        """The VAT."""

    @property
    def total_amount(self) -> Any:
        """With VAT."""


class Sums(Struct, frozen=True, gc=False, kw_only=True):
    """The sums over some specifications."""

    count: int = 0
    """Number of specifications."""
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
    """The kinds of differences."""

    TOTAL = "total"
    """A total of the payout is not the sum over its specifications."""
    ARTICLE = "article"
    """A number in the payout's summary is not the sum over the specifications of that article."""
    ROW = "row"
    """A specification lacks an amount, or its `amount + vat_amount` is not its `total_amount`."""
    FOREIGN = "foreign"
    """A specification has another creditor, currency or category than its payout (or, if that states none, than the
    first specification that states one)."""
    NO_SPECIFICATIONS = "no_specifications"
    """No specification names the payout."""
    NO_PAYOUT = "no_payout"
    """Specifications name a payout that does not exist."""


class Difference(Struct, frozen=True, gc=False, kw_only=True):
    """One difference between a payout and its specifications."""

    kind: DifferenceKind
    """The kind of difference."""
    payout: str
    """The payout's id."""
    specification: str | None = None
    """The specification's id, if the difference is in one specification."""
    article: str | None = None
    """The article; empty for specifications without one, `None` if the difference is not in an article."""
    field: str | None = None
    """`count`, one of the three sums, `creditor`, `currency` or `finance_category`; `None` if it is in no field."""
    stated: Decimal | int | str | None = None
    """The payout's value (of a row: its total); `None` if it has none."""
    found: Decimal | int | str | None = None
    """The specifications' value (of a row: `amount + vat_amount`); `None` if they have none."""

    @property
    def gap(self) -> Decimal | int | None:
        """*stated* minus *found*, exactly; `None` unless both are numbers."""
        if isinstance(self.stated, int) and isinstance(self.found, int):
            return self.stated - self.found
        if not isinstance(self.stated, (int, Decimal)) or not isinstance(self.found, (int, Decimal)):
            return None
        return _EXACT.subtract(self.stated, self.found)

    @property
    def is_noise(self) -> bool:
        """Whether two amounts are less than a hundredth of an öre apart, as different sums of the same floats are."""
        return isinstance(self.gap, Decimal) and abs(self.gap) < NOISE_LIMIT


class Reconciliation(Struct, frozen=True, gc=False, kw_only=True):
    """One payout compared with its specifications."""

    payout_id: str
    """The payout's id."""
    payout: Payout | None
    """The payout that was compared; `None` if specifications name one that does not exist."""
    articles: dict[str, Sums]
    """The sums over its specifications, per article; those without an article have the empty name."""
    differences: tuple[Difference, ...]
    """All differences; empty if everything agrees."""
    unsettled: bool = False
    """Whether it differed in another way each time it was compared, as a payout does that is being booked on; the
    differences are those of the last time, and need not last."""

    @property
    def agrees(self) -> bool:
        """Whether there is no difference."""
        return not self.differences

    @property
    def sums(self) -> Sums:
        """The sums over all its specifications."""
        return sum(self.articles.values(), Sums())

    def _repr_html_(self) -> str:
        from amili_async.notebooks import html_table, named_values
        from amili_async.readable import show_count

        verdict = "agrees" if self.agrees else show_count(len(self.differences), "difference")
        caption = f"payout {self.payout_id}: {verdict}{', unsettled' if self.unsettled else ''}"
        rows = [{"article": article, **named_values(sums)} for article, sums in self.articles.items()]
        if not self.agrees:
            rows = [{**named_values(each), "payout": None, "gap": each.gap} for each in self.differences]
        return html_table(caption, rows)


class Tally:
    """A running comparison of one payout: specifications are added one by one, and none is kept."""

    def __init__(self, payout: Payout | None, payout_id: str) -> None:
        self._payout = payout
        self._payout_id = payout_id
        self._shared = {name: getattr(payout, name, None) for name in _SHARED}
        self._sums: dict[str, list[Any]] = {}
        self._differences: list[Difference] = []

    def add(self, row: Specification) -> None:
        """Add one specification; a missing amount counts as zero, and is a difference in its row."""
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
        for name in _SHARED:
            stated, found = self._shared[name], getattr(row, name, None)
            if stated == found or not isinstance(found, str):
                continue
            if isinstance(stated, str):
                self._note(DifferenceKind.FOREIGN, row, name, stated=stated, found=found)
            elif self._payout is not None:  # rows of an unknown payout need not belong together
                self._shared[name] = found

    def finish(self) -> Reconciliation:
        """The result; differences of the payout precede those of single specifications."""
        articles = {
            article: Sums(count=count, amount=amount, vat_amount=vat, total_amount=total)
            for article, (count, amount, vat, total) in sorted(self._sums.items())
        }
        return Reconciliation(
            payout_id=self._payout_id,
            payout=self._payout,
            articles=articles,
            differences=(*self._compare(articles), *sorted(self._differences, key=_sort_key)),
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


@hide_variables
def reconcile_payout(payout: Payout, specifications: Iterable[Specification]) -> Reconciliation:
    """Compare a payout with all of its specifications, each given once."""
    tally = Tally(payout, payout.id)
    for row in specifications:
        tally.add(row)
    return tally.finish()


def _find_unequal(payout_id: str, article: str | None, stated: Any, summed: Sums) -> Iterator[Difference]:
    """Each stated number that differs from the sum; a payout states a count only per article."""
    kind = DifferenceKind.TOTAL if article is None else DifferenceKind.ARTICLE
    for name in COLUMNS if article is None else ("count", *COLUMNS):
        number, found = _number(getattr(stated, name, None)), getattr(summed, name)
        if number != found:
            yield Difference(kind=kind, payout=payout_id, article=article, field=name, stated=number, found=found)


def _sort_key(difference: Difference) -> tuple[str, str, str]:
    return str(difference.specification), difference.kind, str(difference.field)


def _number(value: Any) -> Any:
    """The number unchanged; `None` for anything that is not a finite amount of a plausible size."""
    if isinstance(value, Decimal):
        if not value:  # 0E-1000000 would give each sum as many digits as there is room for
            return value if abs(value.adjusted()) <= _MAX_EXPONENT else Decimal(0)
        is_amount = value.is_finite() and abs(value.adjusted()) <= _MAX_EXPONENT and _ROUNDING.plus(value) == value
        return value if is_amount else None
    return value if isinstance(value, int) else None
