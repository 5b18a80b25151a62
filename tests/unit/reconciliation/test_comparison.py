"""Comparison of a payout with its specifications: each kind of difference is found, and no other is."""

import random
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amili_async import Payout, PayoutSpecification, PayoutSummary
from amili_async.reconciliation.comparison import (
    Difference,
    DifferenceKind,
    Reconciliation,
    Sums,
    Tally,
    reconcile_payout,
)

PAYOUT = "6776478033d4049c0400dd72"
OWN: dict[str, Any] = {"creditor": "c" * 24, "currency": "SEK", "finance_category": "amili_commission"}
COLUMNS = ("amount", "vat_amount", "total_amount")
OERE = Decimal("0.01")
Book = tuple[Payout, list[PayoutSpecification]]


def add(*numbers: Any) -> Decimal:
    """Exactly, whatever the default context would round."""
    with localcontext(prec=100):
        return sum((Decimal(number) for number in numbers), Decimal(0))


def line(number: int, article: Any, amount: Any, vat: Any = 0, **more: Any) -> PayoutSpecification:
    """A specification that agrees with itself and with its payout, except for *more*."""
    fields = {"amount": Decimal(amount), "vat_amount": Decimal(vat), "total_amount": add(amount, vat)}
    return PayoutSpecification(id=f"{number:024x}", payout=PAYOUT, article=article, **{**OWN, **fields, **more})


def sum_up(rows: Sequence[PayoutSpecification]) -> dict[str, Decimal]:
    return {name: add(*(getattr(row, name) for row in rows)) for name in COLUMNS}


def payout_of(rows: Sequence[PayoutSpecification], **more: Any) -> Payout:
    """The payout that is the sum of these specifications."""
    articles = {row.article or "" for row in rows}
    summary = {}
    for article in articles:
        own = [row for row in rows if (row.article or "") == article]
        summary[article] = PayoutSummary(count=len(own), **sum_up(own))
    return Payout(id=PAYOUT, **{**OWN, **sum_up(rows), "summary": summary, **more})


def summarised(payout: Payout, article: str, **changes: Any) -> Payout:
    """The payout with other numbers in one entry of its summary."""
    assert isinstance(payout.summary, dict)
    entry = replace(payout.summary.get(article, PayoutSummary()), **changes)
    return replace(payout, summary=payout.summary | {article: entry})


def list_differences(found: Reconciliation) -> list[tuple[str, str | None, str | None, str | None]]:
    """The differences without numbers: kind, article, field and the last digit of the specification's id."""
    return [
        (each.kind, each.article, each.field, (each.specification or "")[-1:] or None) for each in found.differences
    ]


def without(payout: Payout, article: str) -> Payout:
    """The payout without one article in its summary."""
    assert isinstance(payout.summary, dict)
    return replace(payout, summary={name: entry for name, entry in payout.summary.items() if name != article})


LINES = [line(1, "reminder", "30.1", "7.5"), line(2, "cost", "40.1", "10"), line(3, "reminder", "30.1", "7.5")]
EXACT = payout_of(LINES)


def changed(number: int, **fields: Any) -> list[PayoutSpecification]:
    """The lines, one of them with other fields."""
    return [replace(row, **fields) if row.id[-1] == str(number) else row for row in LINES]


TOTALS = [("total", None, name, None) for name in COLUMNS]


def of_article(article: str, *names: str) -> list[tuple[str, str | None, str | None, str | None]]:
    return [("article", article, name, None) for name in names or ("count", *COLUMNS)]


FOREIGN = (("creditor", "2"), ("currency", "2"), ("currency", "8"))
CASES: dict[str, tuple[Payout, list[PayoutSpecification], list[Any]]] = {
    "amount": (replace(EXACT, amount=Decimal("100.31")), LINES, TOTALS[:1]),
    "vat": (replace(EXACT, vat_amount=Decimal("24.99")), LINES, TOTALS[1:2]),
    "total": (replace(EXACT, total_amount=Decimal("125.29")), LINES, TOTALS[2:]),
    "no totals": (replace(EXACT, amount=None, vat_amount=None, total_amount=None), LINES, TOTALS),
    "NaN total": (replace(EXACT, total_amount=Decimal("NaN")), LINES, TOTALS[2:]),
    "infinite total": (replace(EXACT, total_amount=Decimal("Infinity")), LINES, TOTALS[2:]),
    "count": (summarised(EXACT, "cost", count=2), LINES, of_article("cost", "count")),
    "no count": (summarised(EXACT, "cost", count=None), LINES, of_article("cost", "count")),
    "summary's amount": (summarised(EXACT, "cost", amount=Decimal(40)), LINES, of_article("cost", "amount")),
    "summary's vat": (summarised(EXACT, "cost", vat_amount=None), LINES, of_article("cost", "vat_amount")),
    "summary's total": (summarised(EXACT, "cost", total_amount=None), LINES, of_article("cost", "total_amount")),
    "article not in the summary": (without(EXACT, "cost"), LINES, of_article("cost")),
    "article only in the summary": (
        summarised(EXACT, "interest", count=0, amount=Decimal(0)),
        LINES,
        of_article("interest", "vat_amount", "total_amount"),
    ),
    "no summary": (replace(EXACT, summary=None), LINES, of_article("cost") + of_article("reminder")),
    "dropped": (EXACT, LINES[1:], [*TOTALS, *of_article("reminder")]),
    "duplicate": (EXACT, [*LINES, line(4, "cost", "40.1", "10")], [*TOTALS, *of_article("cost")]),
    "zero row too many": (EXACT, [*LINES, line(4, "interest", 0)], of_article("interest")),
    "wrong article": (EXACT, changed(2, article="reminder"), of_article("cost") + of_article("reminder")),
    "no article": (EXACT, changed(2, article=None), of_article("") + of_article("cost")),
    "row's amount": (
        EXACT,
        changed(2, amount=Decimal("40.11")),
        [*TOTALS[:1], *of_article("cost", "amount"), ("row", "cost", "total_amount", "2")],
    ),
    "row's vat missing": (
        EXACT,
        changed(2, vat_amount=None),
        [*TOTALS[1:2], *of_article("cost", "vat_amount"), ("row", "cost", "total_amount", "2")],
    ),
    "row's total is NaN": (
        EXACT,
        changed(2, total_amount=Decimal("NaN")),
        [*TOTALS[2:], *of_article("cost", "total_amount"), ("row", "cost", "total_amount", "2")],
    ),
    "creditor": (EXACT, changed(2, creditor="d" * 24), [("foreign", None, "creditor", "2")]),
    "currency": (EXACT, changed(3, currency="EUR"), [("foreign", None, "currency", "3")]),
    "category": (EXACT, changed(1, finance_category="capital"), [("foreign", None, "finance_category", "1")]),
    "everything of a row's": (
        EXACT,
        changed(3, creditor="d" * 24, currency="EUR", finance_category="capital"),
        [("foreign", None, name, "3") for name in ("creditor", "currency", "finance_category")],
    ),
    "several rows": (
        EXACT,
        [line(8, "cost", "40.1", "10", currency="EUR"), *changed(2, currency="EUR", creditor="d" * 24)[1:], LINES[0]],
        [*TOTALS, *of_article("cost"), *(("foreign", None, *each) for each in FOREIGN)],
    ),
    "no specifications": (
        EXACT,
        [],
        [("no_specifications", None, None, None), *TOTALS, *of_article("cost"), *of_article("reminder")],
    ),
    "no specifications, and zero": (payout_of([]), [], [("no_specifications", None, None, None)]),
    "nothing stated": (Payout(id=PAYOUT), [], [("no_specifications", None, None, None), *TOTALS]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_found_and_nothing_else(case: str) -> None:
    """Totals are first, then articles by name, then specifications by id; all differences name this payout."""
    payout, rows, expected = CASES[case]
    found = reconcile_payout(payout, rows)
    assert list_differences(found) == expected
    assert (found.agrees, found.payout_id, found.payout) == (False, PAYOUT, payout)
    assert {each.payout for each in found.differences} == {PAYOUT}
    assert reconcile_payout(payout, rows[::-1]) == found


def test_every_kind_of_difference_is_among_the_faults() -> None:
    """A new kind needs a case above."""
    kinds = {each[0] for _, _, expected in CASES.values() for each in expected}
    assert kinds | {DifferenceKind.NO_PAYOUT} == set(DifferenceKind)


def test_a_payout_that_is_the_sum_of_its_lines_agrees() -> None:
    """Trailing zeros are no difference; the sums are those per article and those of all."""
    found = reconcile_payout(replace(EXACT, amount=Decimal("100.30"), vat_amount=Decimal("25.000")), iter(LINES))
    assert found.agrees
    assert list(found.articles) == ["cost", "reminder"]
    assert found.articles["reminder"] == Sums(
        count=2, amount=Decimal("60.2"), vat_amount=Decimal(15), total_amount=Decimal("75.2")
    )
    assert found.sums == Sums(count=3, amount=Decimal("100.3"), vat_amount=Decimal(25), total_amount=Decimal("125.3"))


def test_differences_have_both_values() -> None:
    """The payout's value and the sum; of a row its total and the sum of its parts."""
    total, article, row = reconcile_payout(EXACT, changed(2, amount=Decimal("40.11"))).differences
    assert (total.stated, total.found) == (Decimal("100.3"), Decimal("100.31"))
    assert (article.stated, article.found) == (Decimal("40.1"), Decimal("40.11"))
    assert (row.stated, row.found, row.specification) == (Decimal("50.1"), Decimal("50.11"), LINES[1].id)
    (count,) = reconcile_payout(summarised(EXACT, "cost", count=2), LINES).differences
    assert (count.stated, count.found) == (2, 1)
    (foreign,) = reconcile_payout(EXACT, changed(2, currency="EUR")).differences
    assert (foreign.stated, foreign.found) == ("SEK", "EUR")
    lacking = reconcile_payout(replace(EXACT, amount=Decimal("NaN")), changed(2, vat_amount=None)).differences
    assert [(each.stated, each.found) for each in (lacking[0], lacking[-1])] == [
        (None, Decimal("100.3")),
        (Decimal("50.1"), None),
    ]


@pytest.mark.parametrize("name", OWN)
def test_a_missing_creditor_currency_or_category_is_no_difference(name: str) -> None:
    """A creditor, currency or category that one side does not state is no difference."""
    assert reconcile_payout(replace(EXACT, **{name: None}), LINES).agrees
    assert reconcile_payout(EXACT, changed(2, **{name: None})).agrees


def test_specifications_of_an_unknown_payout_are_summed() -> None:
    """The missing payout is the only difference, apart from those inside single rows."""
    tally = Tally(None, "0" * 24)
    for row in changed(2, total_amount=None, currency="EUR"):
        tally.add(row)
    found = tally.finish()
    assert list_differences(found) == [("no_payout", None, None, None), ("row", "cost", "total_amount", "2")]
    assert (found.payout_id, found.payout, {each.payout for each in found.differences}) == ("0" * 24, None, {"0" * 24})
    assert (found.sums.count, found.sums.amount) == (3, Decimal("100.3"))


class OnlyNeeded(msgspec.Struct, frozen=True):
    """A specification type of the caller's."""

    id: str
    article: str
    amount: Decimal | int
    vat_amount: Decimal | int
    total_amount: Decimal | int
    creditor: str | None = None
    currency: str | None = None
    finance_category: str = "amili_commission"


@pytest.mark.parametrize("gather", [list, tuple, set, iter])
def test_specifications_may_be_of_a_narrower_type(gather: Callable[[list[OnlyNeeded]], Any]) -> None:
    """Any iterable of objects with the required fields is accepted; integers next to Decimals are exact."""
    rows = [OnlyNeeded("a", "cost", 40, 10, 50), OnlyNeeded("b", "cost", Decimal("0.3"), 0, Decimal("0.30"))]
    payout = Payout(id=PAYOUT, **OWN, amount=Decimal("40.3"), vat_amount=Decimal(10), total_amount=Decimal("50.3"))
    payout = summarised(replace(payout, summary={}), "cost", count=2, **sum_up(payout_rows(rows)))
    assert reconcile_payout(payout, gather(rows)).agrees
    assert not reconcile_payout(payout, gather(rows[1:])).agrees


def payout_rows(rows: Sequence[OnlyNeeded]) -> list[PayoutSpecification]:
    return [line(number, row.article, row.amount, row.vat_amount) for number, row in enumerate(rows)]


def test_nothing_is_rounded() -> None:
    """Amounts of any size and sign are summed exactly, whatever the caller's decimal context."""
    amounts = ["123456789012345.67", "-98765432109876.543", "100000000.01", "0", "-0.00", "1E-17", "1.7E+20", "-250"]
    rows = [line(number, "cost", amount, Decimal(amount) / 4) for number, amount in enumerate(amounts)]
    exact = payout_of(rows)
    with localcontext(prec=5):
        assert reconcile_payout(exact, rows).agrees
        for tiny in ("1E-17", "-1E-17"):
            found = reconcile_payout(replace(exact, amount=add(exact.amount, tiny)), rows)
            assert list_differences(found) == TOTALS[:1]
            assert found.differences[0].is_noise
        (found_too_much,) = reconcile_payout(replace(exact, amount=add(exact.amount, OERE)), rows).differences
        assert not found_too_much.is_noise
        assert (found_too_much.stated, found_too_much.found) == (add(exact.amount, OERE), exact.amount)


def test_float_noise_is_found_and_marked() -> None:
    """The float sum 0.1 + 0.2 is a difference in any field, and marked as noise."""
    noisy = Decimal(repr(0.1 + 0.2))
    rows = [line(1, "cost", "0.1", "0.2", total_amount=noisy), line(2, "interest", "0.3")]
    exact = payout_of([line(1, "cost", "0.1", "0.2"), rows[1]], amount=add(noisy, "0.1"))
    found = reconcile_payout(summarised(exact, "interest", amount=noisy), rows)
    assert list_differences(found) == [
        *(TOTALS[0], TOTALS[2]),
        *of_article("cost", "total_amount"),
        *of_article("interest", "amount"),
        ("row", "cost", "total_amount", "1"),
    ]
    assert all(each.is_noise for each in found.differences)


@pytest.mark.parametrize(
    ("stated", "found", "is_noise"),
    [
        ("0.30000000000000004", "0.3", True),
        ("-0.3", "-0.30009999", True),
        ("123456789012345.67", "123456789012345.67009", True),
        ("0.3001", "0.3", False),
        ("0.3", "0.31", False),
        ("-0.005", "0.005", False),
        (1000, "1000.00000000000001", True),
        ("1000.00000000000001", 1000, True),
        (1000, "1000.01", False),
        (2, 1, False),
        (None, "0.3", False),
        ("0.3", None, False),
    ],
)
def test_noise_is_less_than_a_hundredth_of_an_oere(stated: Any, found: Any, is_noise: bool) -> None:
    """Only the two numbers count, in either direction; a difference with a missing number is no noise."""
    first, second = (Decimal(each) if isinstance(each, str) else each for each in (stated, found))
    for here, there in ((first, second), (second, first)):
        difference = Difference(kind=DifferenceKind.TOTAL, payout=PAYOUT, stated=here, found=there)
        assert difference.is_noise is is_noise


def test_a_difference_of_texts_is_no_noise() -> None:
    """Another creditor is never noise."""
    difference = Difference(kind=DifferenceKind.FOREIGN, payout=PAYOUT, field="creditor", stated="a", found="b")
    assert not difference.is_noise


def test_decoded_rows_agree() -> None:
    """Integers, floats and exponents of JSON are summed exactly; null and absent fields are no difference."""
    texts = [
        '{"_id": "a", "article": "cost", "amount": 1064, "vat_amount": 266.0, "total_amount": 1330, "currency": null}',
        '{"_id": "b", "article": null, "amount": -1e2, "vat_amount": 0, "total_amount": -100, "creditor": "c"}',
        '{"_id": "c", "amount": 0.1, "vat_amount": 0.025, "total_amount": 0.125}',
    ]
    entry = '{"count": 1, "amount": 1064.0, "vat_amount": 266, "total_amount": 1330}'
    other = '{"count": 2, "amount": -99.9, "vat_amount": 0.025, "total_amount": -99.875}'
    payout = msgspec.json.decode(
        f'{{"_id": "{PAYOUT}", "amount": 964.1, "vat_amount": 266.025, "total_amount": 1230.125, "creditor": "c",'
        f' "summary": {{"cost": {entry}, "": {other}}}}}',
        type=Payout,
    )
    rows = [msgspec.json.decode(text, type=PayoutSpecification) for text in texts]
    assert reconcile_payout(payout, rows).agrees
    assert not reconcile_payout(payout, rows[1:]).agrees


MONEY = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(-(10**17), 10**17), st.integers(0, 6)
)
ROWS = st.lists(
    st.tuples(st.sampled_from(["capital", "cost", "reminder", None]), MONEY, MONEY), min_size=1, max_size=12
)


@settings(deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_a_sum_agrees_in_any_order(contents: list[Any], chance: random.Random) -> None:
    """A payout computed from any specifications agrees with them, whatever their order."""
    rows = [line(number, *each) for number, each in enumerate(contents)]
    payout = payout_of(rows)
    first = reconcile_payout(payout, rows)
    assert first.agrees
    chance.shuffle(rows)
    assert reconcile_payout(payout, rows) == first


def change_total(book: Book, chance: random.Random) -> Book:
    payout, rows = book
    name = chance.choice(COLUMNS)
    return replace(payout, **{name: add(getattr(payout, name), OERE)}), rows


def change_summary(book: Book, chance: random.Random) -> Book:
    payout, rows = book
    assert isinstance(payout.summary, dict)
    article, name = chance.choice(sorted(payout.summary)), chance.choice(("count", *COLUMNS))
    stated = getattr(payout.summary[article], name)
    return summarised(payout, article, **{name: stated + 1 if name == "count" else add(stated, -OERE)}), rows


def change_row(book: Book, chance: random.Random) -> Book:
    payout, rows = book
    place, name = chance.randrange(len(rows)), chance.choice(COLUMNS)
    changed_row = replace(rows[place], **{name: add(getattr(rows[place], name), OERE)})
    return payout, [*rows[:place], changed_row, *rows[place + 1 :]]


def change_article(book: Book, chance: random.Random) -> Book:
    payout, rows = book
    place = chance.randrange(len(rows))
    return payout, [*rows[:place], replace(rows[place], article="enforcement"), *rows[place + 1 :]]


def drop_row(book: Book, chance: random.Random) -> Book:
    payout, rows = book
    place = chance.randrange(len(rows))
    return payout, rows[:place] + rows[place + 1 :]


def duplicate_row(book: Book, chance: random.Random) -> Book:
    payout, rows = book
    return payout, [*rows, replace(chance.choice(rows), id="f" * 24)]


@pytest.mark.parametrize("change", [change_total, change_summary, change_row, change_article, drop_row, duplicate_row])
@settings(deadline=None)
@given(contents=ROWS, chance=st.randoms(use_true_random=False))
def test_a_single_change_is_found(
    change: Callable[[Book, random.Random], Book], contents: list[Any], chance: random.Random
) -> None:
    """Any single change of an öre, an article or a row makes a difference that is no noise."""
    rows = [line(number, *each) for number, each in enumerate(contents)]
    found = reconcile_payout(*change((payout_of(rows), rows), chance))
    assert not all(each.is_noise for each in found.differences)


@pytest.mark.parametrize(
    ("stated", "found", "gap"),
    [
        (3, 5, -2),
        (Decimal(f"0.3{'0' * 40}1"), Decimal("0.1"), Decimal(f"0.2{'0' * 40}1")),
        (3, Decimal("0.5"), Decimal("2.5")),
        (None, 5, None),
        (5, None, None),
        ("SEK", "EUR", None),
    ],
)
def test_a_gap_is_what_is_stated_minus_what_is_found(stated: Any, found: Any, gap: Any) -> None:
    """A gap of counts is a whole number, one of amounts keeps every digit, and without two numbers there is none."""
    difference = Difference(kind=DifferenceKind.TOTAL, payout=PAYOUT, stated=stated, found=found)
    assert (difference.gap, type(difference.gap)) == (gap, type(gap))


@pytest.mark.parametrize(
    "text", ["1E100000000", "1E-100000000", "-1E999999999999999999", "0E100000000", "0E-100000000"]
)
def test_an_absurd_exponent_gives_no_number_its_digits(text: str) -> None:
    """Such an amount is none, and such a zero is zero: neither sums nor differences have more digits than money."""
    amount = Decimal(text)
    found = reconcile_payout(replace(EXACT, amount=amount), changed(1, amount=amount, total_amount=amount))
    assert len(f"{found.sums.amount:f}{found.sums.total_amount:f}") < 40
    assert not found.agrees
    for difference in found.differences:
        assert all(len(str(side)) < 40 for side in (difference.stated, difference.found, difference.gap))
