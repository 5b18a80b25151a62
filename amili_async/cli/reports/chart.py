"""Stacked bars as SVG, numbers in and a drawing out: one lying bar per row, so that every label is horizontal.

The law: places along a bar are percentages and everything else is pixels, so that the drawing is as wide as the screen
while its text keeps its size; and there are only as many labels as fit side by side in the narrowest drawing.
"""

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal, localcontext
from html import escape
from itertools import count
from math import ceil, floor

from msgspec import Struct

from amili_async.cli.values import show_money, show_text

COLOURS = 8
"""How many colours a style sheet has to have, as the classes `c0`, `c1`, …; series beyond them are not told apart."""
NARROWEST = 300
"""Pixels: where there is less room than this, the drawing scrolls in its box."""
WIDE = 560
"""Pixels: from here on the ticks of the class `minor` may be shown, too."""

_EXACT = Context(prec=400)
_LETTER, _GAP = 8, 12  # at 12 pixels no usual font has wider digits
_ROW, _BAR, _AXIS = 26, 16, 28
_MARK = 22
_SIDE = 5
_MOST_INTERVALS = 8
_LONGEST = Decimal("1E+15")
_MANY_ROWS = 12


class Series(Struct, frozen=True, kw_only=True):
    """What one colour stands for."""

    name: str
    """What the legend says."""
    colour: int
    """Which of the colours."""


class Bar(Struct, frozen=True, kw_only=True):
    """One row of the chart."""

    label: str
    """What stands beside it."""
    amounts: tuple[Decimal, ...]
    """One per series, in their order; negative ones go the other way from zero."""
    warning: str = ""
    """Why it is marked, if it is."""


class Axis(Struct, frozen=True, kw_only=True):
    """The values along the bars; where labels would not fit, only every so manyth tick has one, counted from zero."""

    ticks: tuple[Decimal, ...]
    """Round values in even steps, zero among them, that enclose all bars."""
    wide: int
    """Every how manyth has a label in a wide drawing."""
    narrow: int
    """Every how manyth has one in a narrow drawing: a multiple of the former."""

    def place(self, amount: Decimal) -> float:
        """How far along a value is, in percent."""
        low, high = self.ticks[0], self.ticks[-1]
        with localcontext(_EXACT):
            return round(float((amount - low) / (high - low) * 100), 3)


def draw_chart(
    bars: Sequence[Bar], series: Sequence[Series], *, name: str, unit: str, title: str, description: str
) -> str:
    """The drawing; *name* has to be its own within the document, and *unit* follows the values of its tooltips."""
    left = _LETTER * max((len(bar.label) for bar in bars), default=0) + _MARK
    axis = lay_axis(*find_extent(bars), left=left)
    right = measure(axis.ticks) // 2
    left = max(left, right)
    ends = 2 if len(bars) > _MANY_ROWS else 1
    bottom = _AXIS + _ROW * len(bars)
    height = bottom + (_AXIS if ends == 2 else _GAP)
    parts = [
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-description" width="100%" '
        f'height="{height}" style="box-sizing:border-box;overflow:visible;min-width:{NARROWEST}px;'
        f'padding:0 {right}px 0 {left}px">',
        f'<title id="{name}-title">{write_text(title)}</title>',
        f'<desc id="{name}-description">{write_text(description)}</desc>',
        *_draw_axis(axis, bottom=bottom, ends=ends),
    ]
    for row, bar in enumerate(bars):
        parts += _draw_bar(bar, series, axis, left=left, top=_AXIS + _ROW * row, unit=unit)
    zero = axis.place(Decimal(0))
    parts.append(f'<line class="zero" x1="{zero}%" x2="{zero}%" y1="{_AXIS}" y2="{bottom}"/></svg>')
    return "\n".join(parts)


def draw_legend(series: Sequence[Series], *, mark: str = "") -> str:
    """A list of what the colours stand for and, if it is given, of what the mark does."""
    entries = [
        f'<li><svg class="swatch" width="12" height="12" aria-hidden="true"><rect class="c{each.colour}" width="12" '
        f'height="12" rx="2"/></svg><span>{write_text(each.name)}</span></li>'
        for each in series
    ]
    if mark:
        swatch = f'<svg class="swatch" width="12" height="12" aria-hidden="true">{_draw_mark(6, 6)}</svg>'
        entries.append(f"<li>{swatch}<span>{write_text(mark)}</span></li>")
    return f'<ul class="legend">{"".join(entries)}</ul>'


def find_extent(bars: Sequence[Bar]) -> tuple[Decimal, Decimal]:
    """How far the bars reach to either side of zero."""
    zero = Decimal(0)
    with localcontext(_EXACT):
        low = min((sum((part for part in bar.amounts if part < 0), zero) for bar in bars), default=zero)
        high = max((sum((part for part in bar.amounts if part > 0), zero) for bar in bars), default=zero)
    return low, high


def lay_axis(low: Decimal, high: Decimal, *, left: int = 0) -> Axis:
    """Steps of 1, 2 or 5 times a power of ten from at or below *low*, which is not above zero, to at or above *high*.

    *left* is the room that labels beside the bars take.
    """
    ticks = _choose_ticks(low, high)
    width = measure(ticks)
    needed, taken = width * (len(ticks) - 1), left + width // 2
    wide = max(1, ceil(needed / (WIDE - taken)))
    narrow = max(1, ceil(needed / max(1, NARROWEST - taken) / wide)) * wide
    return Axis(ticks=ticks, wide=wide, narrow=narrow)


def measure(ticks: Sequence[Decimal]) -> int:
    """The pixels that the widest label takes, with the gap to the next."""
    return _LETTER * max(len(show_tick(tick)) for tick in ticks) + _GAP


def show_tick(tick: Decimal) -> str:
    """With separated thousands and no more decimals than it has; far beyond any amount as a power of ten."""
    tick = tick.normalize()
    return str(tick) if abs(tick) >= _LONGEST else f"{tick:,f}"


def write_text(text: str) -> str:
    """Text in which nothing can steer the browser, or run backwards."""
    return escape(show_text(text))


def _choose_ticks(low: Decimal, high: Decimal) -> tuple[Decimal, ...]:
    if low == high:
        return (Decimal(0), Decimal(1))
    with localcontext(_EXACT):
        power = (high - low).adjusted() - 1
        steps = (Decimal(digit).scaleb(power + more) for more in count() for digit in (1, 2, 5))
        enclosing = ((floor(low / step), ceil(high / step), step) for step in steps)
        first, last, step = next(each for each in enclosing if each[1] - each[0] <= _MOST_INTERVALS)
        return tuple(number * step for number in range(first, last + 1))


def _draw_axis(axis: Axis, *, bottom: int, ends: int) -> Iterator[str]:
    zero = axis.ticks.index(Decimal(0))
    for number, tick in enumerate(axis.ticks):
        at = axis.place(tick)
        yield f'<line class="grid" x1="{at}%" x2="{at}%" y1="{_AXIS - 4}" y2="{bottom}"/>'
        if (number - zero) % axis.wide:
            continue
        kind = "tick minor" if (number - zero) % axis.narrow else "tick"
        for y in (_AXIS - 11, bottom + 17)[:ends]:
            yield f'<text class="{kind}" x="{at}%" y="{y}" text-anchor="middle">{show_tick(tick)}</text>'


def _draw_bar(bar: Bar, series: Sequence[Series], axis: Axis, *, left: int, top: int, unit: str) -> Iterator[str]:
    middle = top + _ROW // 2
    if bar.warning:
        yield f"<g><title>{write_text(bar.warning)}</title>{_draw_mark(_SIDE - _MARK // 2 - 4, middle)}</g>"
    yield f'<text class="label" x="{-left}" y="{middle + 4}">{write_text(bar.label)}</text>'
    with localcontext(_EXACT):
        ends = {True: Decimal(0), False: Decimal(0)}
        for each, amount in zip(series, bar.amounts, strict=True):
            start = ends[amount > 0]
            end = ends[amount > 0] = start + amount
            if amount:
                near, far = sorted((axis.place(start), axis.place(end)))
                told = write_text(f"{bar.label}, {each.name}: {show_money(amount)} {unit}".rstrip())
                yield (
                    f'<rect class="c{each.colour}" x="{near}%" y="{middle - _BAR // 2}" width="{far - near:.3f}%" '
                    f'height="{_BAR}"><title>{told}</title></rect>'
                )


def _draw_mark(x: int, y: int) -> str:
    return f'<path class="mark" d="M{x} {y - _SIDE}l{_SIDE} {_SIDE}l-{_SIDE} {_SIDE}l-{_SIDE} -{_SIDE}z"/>'
