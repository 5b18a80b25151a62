"""Payouts and specifications that agree exactly, and the differences that a test plants in them."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from random import Random
from typing import Any

from amili_async.sandbox import Sandbox
from tests.support.rows import BEGINNING, DAY, make_id

PAYOUTS = "finance--payouts"
SPECIFICATIONS = "finance--payout-specifications"
COLUMNS = ("amount", "vat_amount", "total_amount")
OERE = Decimal("0.01")
NOISE = Decimal(repr(0.1 + 0.2)) - Decimal("0.3")
"""The error of a float that adds a tenth and two tenths."""
CREDITORS = ("a" * 24, "b" * 24, "c" * 24)
CATEGORIES = ("capital", "creditor_commission", "amili_commission")

Finding = tuple[str, str | None, str | None, str | None]
"""Kind, article, field, specification."""


def priced(amount: Any, vat: Any = 0) -> dict[str, Any]:
    """The three numbers of a row, exact."""
    return {"amount": amount, "vat_amount": vat, "total_amount": Decimal(amount) + Decimal(vat)}


class PlantedBooks:
    """Payouts and specifications that agree at first, and the differences planted since."""

    def __init__(self, sandbox: Sandbox, *, payouts: int = 20) -> None:
        self.sandbox = sandbox
        self.ids = [make_id(BEGINNING + number * DAY, 16 * number) for number in range(payouts)]
        self.findings: dict[str, set[Finding]] = {}
        """The differences that must be found, by payout, and no others."""
        self.noisy: set[str] = set()
        """Payouts that differ only by the noise of floats."""
        self._untouched = Random(payouts).sample(self.ids, payouts)
        for number, payout_id in enumerate(self.ids):
            self._make(number, payout_id)
        for row in (priced("12.5"), priced(7) | {"payout": None}):  # a specification that awaits its payout names none
            sandbox.insert(SPECIFICATIONS, {"article": "capital", **row})

    def _make(self, number: int, payout_id: str) -> None:
        own: dict[str, Any] = {
            "creditor": CREDITORS[number % 3],
            "currency": "SEK",
            "finance_category": CATEGORIES[number % 3],
        }
        rows = [
            {"article": "cost", **priced(Decimal(4000 + 4 * number) / 100, Decimal(1000 + number) / 100)},
            {"article": "cost", **priced(100, 25)},
            {"article": "cost", **priced(Decimal("-60.40"), Decimal("-15.1"))},
            {"article": "capital", **priced(Decimal("123456789.01") + number)},
            {"article": "capital", **priced(Decimal("-123456789.0"))},
            {"article": "interest", **priced(0, Decimal("0.0"))},
            {"article": "instalment_plan_fee", **priced(Decimal("0.1"), Decimal("0.2"))},
            {"article": "instalment_plan_fee", **priced(Decimal("-1e2"))},
        ]
        rows = rows[: 2 if number % 7 == 6 else None]
        for row in rows:
            self.sandbox.insert(SPECIFICATIONS, {**own, **row, "payout": payout_id})
            own = {**own, "creditor": None} if number % 5 == 4 else own  # the API sometimes omits fields
        self.sandbox.insert(PAYOUTS, {"_id": payout_id, **own, **sum_up(rows)})

    def rows(self, payout_id: str) -> list[dict[str, Any]]:
        """The specifications that name a payout, the plain one first: it has an article, an amount and VAT."""
        return [row for row in self.sandbox.rows(SPECIFICATIONS) if row.get("payout") == payout_id]

    def change_row(self, payout_id: str, **changes: Any) -> str:
        """Change the plain specification of a payout; returns its id."""
        row = self.rows(payout_id)[0]
        self.sandbox.update(SPECIFICATIONS, row["_id"], changes)
        return str(row["_id"])

    def payout(self, payout_id: str) -> dict[str, Any]:
        """The stored payout."""
        return next(row for row in self.sandbox.rows(PAYOUTS) if row["_id"] == payout_id)

    def change_payout(self, payout_id: str, **changes: Any) -> None:
        """Change fields of a payout."""
        self.sandbox.update(PAYOUTS, payout_id, changes)

    def take(self, *findings: Finding) -> str:
        """A payout without a planted difference; the test must find this one in it."""
        payout_id = self._untouched.pop()
        self.expect(payout_id, *findings)
        return payout_id

    def expect(self, payout_id: str, *findings: Finding) -> None:
        """Add differences that must be found."""
        self.findings.setdefault(payout_id, set()).update(findings)


def sum_up(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The totals and the summary of a payout of these specifications."""
    summary: dict[str, dict[str, Any]] = {}
    totals = priced(0)
    for row in rows:
        entry = summary.setdefault(row["article"], {"count": 0, **priced(0)})
        entry["count"] += 1
        for name in COLUMNS:
            entry[name] += Decimal(row[name])
            totals[name] += Decimal(row[name])
    return {**totals, "summary": summary}


Fault = Callable[[PlantedBooks], object]

TOTALS: tuple[Finding, ...] = tuple(("total", None, name, None) for name in COLUMNS)


def of_article(article: str, *names: str) -> tuple[Finding, ...]:
    """The numbers of one article in the summary; all of them by default."""
    return tuple(("article", article, name, None) for name in names or ("count", *COLUMNS))


def drop_row(books: PlantedBooks) -> None:
    books.sandbox.delete(SPECIFICATIONS, books.rows(books.take(*TOTALS, *of_article("cost")))[0]["_id"])


def duplicate_row(books: PlantedBooks) -> None:
    row = books.rows(books.take(*TOTALS, *of_article("cost")))[0]
    books.sandbox.insert(SPECIFICATIONS, {name: value for name, value in row.items() if name != "_id"})


def move_row(books: PlantedBooks) -> None:
    source, target = books.take(*TOTALS, *of_article("cost")), books.take(*TOTALS, *of_article("cost"))
    own = {name: books.payout(target)[name] for name in ("creditor", "finance_category")}
    books.change_row(source, payout=target, **own)


def misstate_row(name: str, by: Decimal = OERE) -> Fault:
    def plant(books: PlantedBooks) -> None:
        payout_id = books.take(("total", None, name, None), *of_article("cost", name))
        row = books.rows(payout_id)[0]
        books.expect(payout_id, ("row", "cost", "total_amount", row["_id"]))
        books.change_row(payout_id, **{name: row[name] + by})
        books.noisy |= {payout_id} if by == NOISE else set()

    return plant


def misstate_total(name: str, by: Decimal = OERE) -> Fault:
    def plant(books: PlantedBooks) -> None:
        payout_id = books.take(("total", None, name, None))
        books.change_payout(payout_id, **{name: books.payout(payout_id)[name] + by})
        books.noisy |= {payout_id} if by == NOISE else set()

    return plant


def misstate_summary(name: str, by: Decimal | int = OERE) -> Fault:
    def plant(books: PlantedBooks) -> None:
        payout_id = books.take(*of_article("cost", name))
        summary = books.payout(payout_id)["summary"]
        summary["cost"][name] += by
        books.change_payout(payout_id, summary=summary)
        books.noisy |= {payout_id} if by == NOISE else set()

    return plant


def mistake_article(books: PlantedBooks) -> None:
    books.change_row(books.take(*of_article("cost"), *of_article("verdict_fee")), article="verdict_fee")


def estrange_row(name: str, value: str) -> Fault:
    def plant(books: PlantedBooks) -> None:
        payout_id = books.take()
        books.change_payout(payout_id, creditor=CREDITORS[0])
        for row in books.rows(payout_id):
            books.sandbox.update(SPECIFICATIONS, row["_id"], {"creditor": CREDITORS[0]})
        books.expect(payout_id, ("foreign", None, name, books.change_row(payout_id, **{name: value})))

    return plant


def _empty(books: PlantedBooks, payout_id: str, **stated: Any) -> None:
    books.expect(payout_id, ("no_specifications", None, None, None))
    for row in books.rows(payout_id):
        books.sandbox.delete(SPECIFICATIONS, row["_id"])
    books.change_payout(payout_id, **stated)


def empty_payout(books: PlantedBooks) -> None:
    _empty(
        books, books.take(*TOTALS, *of_article("cost")), **priced(10, 2), summary={"cost": {"count": 1, **priced(1, 2)}}
    )


def empty_payout_of_zero(books: PlantedBooks) -> None:
    _empty(books, books.take(), **priced(0), summary={})


def lack_totals(books: PlantedBooks) -> None:
    books.change_payout(books.take(*TOTALS), amount=None, vat_amount=None, total_amount=None)


def lack_summary(books: PlantedBooks) -> None:
    payout_id = books.take()
    books.expect(payout_id, *(each for row in books.rows(payout_id) for each in of_article(row["article"])))
    books.change_payout(payout_id, summary=None)


def lack_article(books: PlantedBooks) -> None:
    payout_id = books.take(*of_article("cost"))
    summary = books.payout(payout_id)["summary"]
    del summary["cost"]
    books.change_payout(payout_id, summary=summary)


def invent_article(books: PlantedBooks) -> None:
    payout_id = books.take(*of_article("verdict_fee"))
    summary = {**books.payout(payout_id)["summary"], "verdict_fee": {"count": 1, **priced(1, 2)}}
    books.change_payout(payout_id, summary=summary)


def name_unknown_payout(books: PlantedBooks, unknown: str, *, rows: int = 1) -> None:
    """A specification of a payout that does not exist."""
    books.expect(unknown, ("no_payout", None, None, None))
    for _ in range(rows):
        books.sandbox.insert(SPECIFICATIONS, {"article": "cost", **priced(100, 25), "payout": unknown})


def name_unknown_payouts(books: PlantedBooks) -> None:
    """Ids below all, above all, and after some known ones: the first, the last but one, those around a hundred."""
    below, above = f"{int(books.ids[0], 16) - 1:024x}", f"{int(books.ids[-1], 16) + 1:024x}"
    places = {0, len(books.ids) - 2, *(place for place in (98, 99, 100) if place < len(books.ids))}
    between = [f"{int(books.ids[place], 16) + 1:024x}" for place in sorted(places)]
    for number, unknown in enumerate(["0" * 24, below, *between, above, "f" * 24]):
        name_unknown_payout(books, unknown, rows=1 + number % 2)


FAULTS: dict[str, Fault] = {
    "a row is dropped": drop_row,
    "a row is duplicated": duplicate_row,
    "a row is moved": move_row,
    **{f"{name} of a row is an öre off": misstate_row(name) for name in COLUMNS},
    **{f"{name} of a row is noisy": misstate_row(name, NOISE) for name in COLUMNS},
    **{f"{name} of a payout is an öre off": misstate_total(name, -OERE) for name in COLUMNS},
    **{f"{name} of a payout is noisy": misstate_total(name, NOISE) for name in COLUMNS},
    **{f"{name} of a summary is an öre off": misstate_summary(name) for name in COLUMNS},
    **{f"{name} of a summary is noisy": misstate_summary(name, NOISE) for name in COLUMNS},
    "a count is one too high": misstate_summary("count", 1),
    "a count is one too low": misstate_summary("count", -1),
    "an article is wrong": mistake_article,
    "a row has another creditor": estrange_row("creditor", "d" * 24),
    "a row has another currency": estrange_row("currency", "EUR"),
    "a row has another category": estrange_row("finance_category", "interest"),
    "a payout lost its rows": empty_payout,
    "a payout of nothing has no rows": empty_payout_of_zero,
    "totals are null": lack_totals,
    "the summary is null": lack_summary,
    "the summary lacks an article": lack_article,
    "the summary has an article too many": invent_article,
    "rows name unknown payouts": name_unknown_payouts,
}
