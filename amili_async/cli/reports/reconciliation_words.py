"""What differs, in words: one sentence per difference, the same in every report, with all the digits there are."""

from decimal import Decimal

from amili_async.cli.values import show_money, show_text
from amili_async.reconcile import Difference, DifferenceKind

NOTHING = "nothing"
"""What a side that says nothing says."""
NOISE = "float noise"
"""What is said of two numbers that only the adding of floats has parted."""


def put_in_words(difference: Difference) -> str:
    """What is wrong, as a sentence whose subject is the payout or one of its specifications."""
    stated, found = show_side(difference.field, difference.stated), show_side(difference.field, difference.found)
    field, specification = difference.field, show_text(difference.specification or "")
    match difference.kind:
        case DifferenceKind.NO_SPECIFICATIONS:
            return "no specification names it"
        case DifferenceKind.NO_PAYOUT:
            return "it does not exist, but specifications name it"
        case DifferenceKind.FOREIGN:
            return f"specification {specification} has {field} {found}, not {stated}"
        case DifferenceKind.ROW if difference.found is None:
            sentence = f"specification {specification}: {field} is {stated}, and amount or vat_amount is missing"
        case DifferenceKind.ROW:
            sentence = f"specification {specification}: {field} is {stated}, but amount and vat_amount come to {found}"
        case DifferenceKind.ARTICLE:
            article = name_article(difference)
            sentence = f"{field} of {article} is {stated}, but its specifications come to {found}"
        case _:
            sentence = f"{field} is {stated}, but its specifications come to {found}"
    return f"{sentence} ({NOISE})" if difference.is_noise else sentence


def show_side(field: str | None, value: Decimal | int | str | None) -> str:
    """What one side says: a count, money, or text."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return show_text(value)
    return f"{value:,}" if field == "count" else show_money(value)


def show_gap(difference: Difference) -> str:
    """How much more is stated than was found; empty where one of the two is no number."""
    return "" if difference.gap is None else show_side(difference.field, difference.gap)


def name_article(difference: Difference) -> str:
    """The article that a difference is about."""
    return show_text(difference.article or "") or "no article"
