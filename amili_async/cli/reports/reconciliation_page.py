"""A reconciliation as one page for the browser, to be kept, sent and printed: whole in itself, without a program.

The law: nothing that a record says is ever markup, and no number is rounded.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from amili_async.cli.reports.chart import write_text
from amili_async.cli.reports.page_style import STYLE
from amili_async.cli.reports.page_totals import NO_CURRENCY, Totals, group_by_period, show_totals
from amili_async.cli.reports.reconciliation_overview import Overview, count_things
from amili_async.cli.reports.reconciliation_words import NOISE, name_article, put_in_words, show_gap, show_side
from amili_async.cli.values import show_date, show_money
from amili_async.reconcile import Difference, DifferenceKind, Reconciliation

MOST_AGREEING = 300
"""How many of the payouts that agree are listed one by one."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_COMPARED = (DifferenceKind.TOTAL, DifferenceKind.ARTICLE, DifferenceKind.ROW)
_OF_A_ROW = (
    "Of a specification, what is stated is its <code>total_amount</code>, "
    "and what was found is its <code>amount</code> + <code>vat_amount</code>."
)
_OF_UNKNOWN = "Specifications of payouts that do not exist are counted, but they are in none of these sums."
_POINT_TO_DIFFERING = ' See <a href="#differing">what differs</a>.'
_NONE = '<span class="soft">none</span>'


def render_page(reconciliations: Sequence[Reconciliation], *, made_at: datetime, source: str) -> str:
    """The whole document; *source* is where the records came from."""
    overview = Overview()
    for each in reconciliations:
        overview.add(each)
    agreeing = [each for each in reconciliations if each.agrees]
    differing = [each for each in reconciliations if not each.agrees]
    totals = group_by_period(reconciliations)
    verdict = conclude(overview, differing)
    parts = (
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Reconciliation: {verdict}</title>",
        f"<style>{STYLE}</style></head><body><main>",
        "<header><h1>Reconciliation</h1>",
        f'<p class="verdict {"good" if overview.agrees else "bad"}">{verdict}.</p>',
        f'<p class="soft">Made on {write_text(_show_instant(made_at))} from <bdi>{write_text(source)}</bdi>.'
        f"{_POINT_TO_DIFFERING if differing else ''}</p>",
        *_count(overview, totals),
        "</header>",
        *show_totals(totals),
        *_list_differing(differing),
        *_list_agreeing(agreeing),
        "</main></body></html>\n",
    )
    return "\n".join(parts)


def conclude(overview: Overview, differing: Sequence[Reconciliation]) -> str:
    """The verdict, as one sentence without its full stop."""
    if not overview.payouts and not overview.unknown:
        return "There are no payouts to reconcile"
    verdicts = []
    wrong = [each for each in differing if each.payout is not None]
    if wrong:
        noisy = sum(all(difference.is_noise for difference in each.differences) for each in wrong)
        differ = "differs" if len(wrong) == 1 else "differ"
        by_noise = f" ({noisy:,} by {NOISE} only)" if noisy else ""
        verdicts.append(f"{len(wrong):,} of {count_things(overview.payouts, 'payout')} {differ}{by_noise}")
    elif overview.payouts == 1:
        verdicts.append("The one payout reconciles")
    elif overview.payouts:
        verdicts.append(f"All {count_things(overview.payouts, 'payout')} reconcile")
    if overview.unknown:
        does = "does" if overview.unknown == 1 else "do"
        verdicts.append(f"{count_things(overview.unknown, 'payout')} that specifications name {does} not exist")
    return "; ".join(verdicts)


def _show_instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d at %H:%M:%S} UTC"


def _count(overview: Overview, everything: Sequence[Totals]) -> Iterator[str]:
    if not overview.payouts and not overview.unknown:
        return
    counts = [
        ("Payouts", f"{overview.payouts:,}"),
        ("Specifications", f"{overview.specifications:,}"),
        ("Reconciled", f"{overview.reconciled:,}"),
        ("Differing", f"{overview.payouts - overview.reconciled:,}"),
    ]
    if overview.unknown:
        counts.append(("Not existing", f"{overview.unknown:,}"))
    yield _list_facts("counts", counts)
    for totals in everything:
        sums, currency = totals.add_up(), write_text(totals.currency or NO_CURRENCY)
        amounts = (("Amount", sums.amount), ("VAT", sums.vat_amount), ("Total", sums.total_amount))
        yield _list_facts("counts", [(f"{name}, {currency}", show_money(amount)) for name, amount in amounts])
    if overview.unknown and everything:
        yield f'<p class="soft aside">{_OF_UNKNOWN}</p>'


def _list_facts(kind: str, facts: Sequence[tuple[str, str]]) -> str:
    entries = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="{kind}">{entries}</dl>'


def _list_differing(differing: Sequence[Reconciliation]) -> Iterator[str]:
    if not differing:
        return
    yield '<section id="differing"><h2>What differs</h2>'
    yield '<p class="soft">Every difference in full: what is stated, what was found, and how much more is stated.</p>'
    for each in differing:
        yield f'<article class="payout"><h3>Payout <span class="id">{write_text(each.payout_id)}</span></h3>'
        yield from _show_differing(each)
        yield "</article>"
    yield "</section>"


def _show_differing(reconciliation: Reconciliation) -> Iterator[str]:
    if reconciliation.payout is not None:
        yield _list_facts("facts", _describe(reconciliation))
    told = [sentence for each in reconciliation.differences if (sentence := _tell(each, reconciliation))]
    if told:
        yield f'<ul class="told">{"".join(f"<li>{write_text(sentence)}</li>" for sentence in told)}</ul>'
    compared = [each for each in reconciliation.differences if each.kind in _COMPARED]
    if compared:
        yield '<div class="box"><table class="compared"><thead><tr><td></td><th scope="col">Stated</th>'
        yield '<th scope="col">Found</th><th scope="col">Difference</th></tr></thead><tbody>'
        yield from map(_show_compared, compared)
        yield "</tbody></table></div>"
    if any(each.kind is DifferenceKind.ROW for each in compared):
        yield f'<p class="soft">{_OF_A_ROW}</p>'


def _describe(reconciliation: Reconciliation) -> list[tuple[str, str]]:
    payout = reconciliation.payout
    period = [getattr(payout, f"finance_period_{end}_date", None) for end in ("start", "end")]
    days = [_show(moment).removesuffix("T23:59:59Z") for moment in period]  # the end is the last second of its day
    return [
        ("Reference", _show(getattr(payout, "payout_reference", None))),
        ("Payout date", _show(getattr(payout, "payout_date", None))),
        ("Period", " to ".join(days) if any(period) else _NONE),
        ("Category", _show(getattr(payout, "finance_category", None))),
        ("Creditor", f'<span class="id">{_show(getattr(payout, "creditor", None))}</span>'),
        ("Specifications", f"{reconciliation.sums.count:,}"),
    ]


def _show(value: Any) -> str:
    """A text or a date; none of both is said to be none."""
    if isinstance(value, datetime):
        return show_date(value)
    return f"<bdi>{write_text(value)}</bdi>" if isinstance(value, str) and value else _NONE


def _tell(difference: Difference, reconciliation: Reconciliation) -> str:
    """A sentence, where a difference does not come down to two numbers."""
    if difference.kind is DifferenceKind.NO_PAYOUT:
        sums = reconciliation.sums
        names, comes = ("names", "it comes") if sums.count == 1 else ("name", "they come")
        counted, total = count_things(sums.count, "specification"), show_money(sums.total_amount)
        return f"This payout does not exist, but {counted} {names} it; {comes} to {total} with VAT."
    if difference.kind in _COMPARED:
        return ""
    sentence = put_in_words(difference)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _show_compared(difference: Difference) -> str:
    sides = (show_side(difference.field, side) for side in (difference.stated, difference.found))
    numbers = "".join(f"<td>{write_text(number)}</td>" for number in (*sides, show_gap(difference)))
    noise = f'<span class="noise">{NOISE}</span>' if difference.is_noise else ""
    return f'<tr><th scope="row" class="left">{_name(difference)}{noise}</th>{numbers}</tr>'


def _name(difference: Difference) -> str:
    if difference.kind is DifferenceKind.ROW:
        return f'specification <span class="id">{write_text(difference.specification or "")}</span>'
    field = f"<code>{write_text(difference.field or '')}</code>"
    if difference.kind is DifferenceKind.ARTICLE:
        return f"<bdi>{write_text(name_article(difference))}</bdi>: {field}"
    return field


def _list_agreeing(agreeing: Sequence[Reconciliation]) -> Iterator[str]:
    if not agreeing:
        return
    left_out = len(agreeing) - MOST_AGREEING
    counted = f"{count_things(len(agreeing), 'payout')} {'reconciles' if len(agreeing) == 1 else 'reconcile'}"
    yield f"<details><summary>{counted}</summary>"
    if left_out > 0:
        yield f'<p class="soft">These are the first {MOST_AGREEING:,}; {left_out:,} more are not listed.</p>'
    yield '<div class="box" tabindex="0" role="region" aria-label="Payouts that reconcile"><table><thead><tr>'
    yield '<th scope="col" class="left">Payout</th><th scope="col" class="left">Reference</th>'
    yield '<th scope="col" class="left">Payout date</th><th scope="col" class="left">Category</th>'
    yield '<th scope="col">Specifications</th><th scope="col">Total</th></tr></thead><tbody>'
    for each in agreeing[:MOST_AGREEING]:
        (_, reference), (_, date), _, (_, category), *_ = _describe(each)
        texts = "".join(f'<td class="left">{text}</td>' for text in (reference, date, category))
        sums = each.sums
        yield f'<tr><th scope="row" class="left id">{write_text(each.payout_id)}</th>{texts}'
        yield f"<td>{sums.count:,}</td><td>{show_money(sums.total_amount)}</td></tr>"
    yield "</tbody></table></div></details>"
