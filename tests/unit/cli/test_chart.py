"""Stacked bars: where everything is, and that nothing lies on anything else."""

from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_async.cli.reports.chart import (
    NARROWEST,
    WIDE,
    Bar,
    Series,
    draw_chart,
    draw_legend,
    lay_axis,
    measure,
    show_tick,
)

SERIES = (Series(name="capital", colour=0), Series(name="interest", colour=3), Series(name="commission", colour=4))
MONEY = st.decimals(min_value=0, max_value=Decimal("1E+18"), places=2, allow_nan=False)
HOSTILE = "<script>\"'&\u202e"
LETTER = 8
"""Pixels: the widest digit of the usual fonts, at the size of the chart's text."""


def draw(*amounts: tuple[object, ...], warnings: dict[int, str] | None = None, unit: str = "SEK") -> Xml.Element:
    """The chart of some rows of amounts."""
    bars = [
        Bar(
            label=f"2025-{row:02}",
            amounts=tuple(Decimal(f"{each}") for each in row_of),
            warning=(warnings or {}).get(row, ""),
        )
        for row, row_of in enumerate(amounts, 1)
    ]
    return Xml.fromstring(draw_chart(bars, SERIES, name="one", unit=unit, title="A title", description="What it is"))  # noqa: S314


def place(element: Xml.Element, name: str) -> float:
    """A number of pixels or percent."""
    return float(element.attrib[name].removesuffix("%"))


def parts(chart: Xml.Element) -> list[tuple[str, float, float]]:
    """The class, the near end and the far end of each part of a bar."""
    found = [(each.attrib["class"], place(each, "x"), place(each, "width")) for each in chart.iter("rect")]
    return [(kind, near, near + width) for kind, near, width in found]


def zero_of(chart: Xml.Element) -> float:
    return next(place(line, "x1") for line in chart.iter("line") if line.attrib["class"] == "zero")


def padding_of(chart: Xml.Element) -> tuple[int, int]:
    """Left and right."""
    _, right, _, left = chart.attrib["style"].rpartition("padding:")[2].split()
    return int(left.removesuffix("px")), int(right.removesuffix("px"))


def test_parts_are_as_long_as_their_amounts() -> None:
    """Across the whole chart, one percent is the same amount."""
    amounts = (100, "250.5", 50, 75, 400, "12.25")
    chart = draw(amounts[:3], amounts[3:])
    lengths = [far - near for _, near, far in parts(chart)]
    assert lengths == pytest.approx([float(each) * lengths[0] / 100 for each in amounts], abs=0.01)
    assert [kind for kind, _, _ in parts(chart)] == ["c0", "c3", "c4"] * 2


def test_parts_stand_on_one_another() -> None:
    """The first begins at zero, each other one where the one before it ends, and the last ends at the sum."""
    chart = draw((100, 250, 50))
    ends = parts(chart)
    assert ends[0][1] == zero_of(chart) == 0
    assert [near for _, near, _ in ends[1:]] == pytest.approx([far for _, _, far in ends[:-1]], abs=0.002)
    assert ends[-1][2] == pytest.approx(100 * 400 / float(lay_axis(Decimal(0), Decimal(400)).ticks[-1]), abs=0.002)


def test_negative_amounts_go_the_other_way() -> None:
    """They are stacked apart from the positive ones of their bar, which begin at zero as if there were none."""
    chart = draw((100, -30, -20), (-10, 60, 40))
    zero = zero_of(chart)
    assert 0 < zero < 100
    first, second = parts(chart)[:3], parts(chart)[3:]
    assert first[0][1] == first[1][2] == pytest.approx(zero, abs=0.002)
    assert first[2][2] == pytest.approx(first[1][1], abs=0.002)
    assert second[0][2] == second[1][1] == pytest.approx(zero, abs=0.002)
    assert first[0][2] == pytest.approx(second[2][2], abs=0.002)


def test_all_can_be_negative() -> None:
    """Zero is at the right end, and every bar is to its left."""
    chart = draw((-5, 0, 0), (0, -7, -1))
    assert zero_of(chart) == 100
    assert all(near < far <= 100.001 for _, near, far in parts(chart))


def test_nothing_is_drawn_of_nothing() -> None:
    """A chart of zeros has its rows and an axis, but no bars."""
    chart = draw((0, 0, 0), (0, 0, 0))
    assert parts(chart) == []
    assert [text.text for text in chart.iter("text")] == ["0", "1", "2025-01", "2025-02"]
    assert zero_of(chart) == 0


@given(MONEY, MONEY, st.integers(0, 110))
def test_ticks_are_round_and_enclose_the_bars(below: Decimal, above: Decimal, left: int) -> None:
    """Even steps of 1, 2 or 5 and zeros, zero among them, few, and none to spare at either end."""
    axis = lay_axis(-below, above, left=left)
    steps = {late - early for early, late in pairwise(axis.ticks)}
    (step,) = steps
    assert step.normalize().as_tuple().digits in {(1,), (2,), (5,)}
    assert Decimal(0) in axis.ticks
    assert len(axis.ticks) <= 9
    assert axis.ticks[0] <= -below
    assert axis.ticks[-1] >= above
    if below or above:
        assert axis.ticks[0] + step > -below
        assert axis.ticks[-1] - step < above


@given(MONEY, MONEY, st.integers(0, 110))
def test_labels_of_the_axis_have_room(below: Decimal, above: Decimal, left: int) -> None:
    """At both widths for which they are made, from one label to the next there is more room than the widest needs."""
    axis = lay_axis(-below, above, left=left)
    widest = LETTER * max(len(show_tick(tick)) for tick in axis.ticks)
    for width, stride in ((WIDE, axis.wide), (NARROWEST, axis.narrow)):
        room = (width - left - measure(axis.ticks) // 2) / (len(axis.ticks) - 1)
        assert room * stride > widest or stride >= len(axis.ticks) - 1
    assert axis.narrow % axis.wide == 0


def test_narrow_drawings_have_fewer_labels() -> None:
    """Those that may be shown only in wide ones are marked, and zero is none of them; the lines are all there."""
    chart = draw((1_200_000, 0, -300_000))
    ticks = [(text.text, text.attrib["class"]) for text in chart.iter("text") if "tick" in text.attrib["class"]]
    assert ticks == [
        ("-400,000", "tick minor"),
        ("0", "tick"),
        ("400,000", "tick minor"),
        ("800,000", "tick"),
        ("1,200,000", "tick minor"),
    ]
    assert sum(line.attrib["class"] == "grid" for line in chart.iter("line")) == 9


def test_the_outermost_labels_are_within_the_drawing() -> None:
    """Half of a label at either end of the axis fits into the padding there."""
    chart = draw((123_456_789_000, -1, 0))
    half = LETTER * len("150,000,000,000") / 2
    assert min(padding_of(chart)) >= half


@pytest.mark.parametrize(
    ("tick", "shown"),
    [
        ("0", "0"),
        ("2E+5", "200,000"),
        ("-150000000.0", "-150,000,000"),
        ("0.50", "0.5"),
        ("2E+14", "200,000,000,000,000"),
        ("2E+15", "2E+15"),
    ],
)
def test_ticks_have_separated_thousands(tick: str, shown: str) -> None:
    """They have no more decimals than needed, and stay short."""
    assert show_tick(Decimal(tick)) == shown


def test_rows_lie_one_below_the_other() -> None:
    """No bar touches the next, each label is beside its bar, and all lies within the height."""
    chart = draw(*[(5, -3, 1)] * 5)
    tops = sorted({place(rect, "y") for rect in chart.iter("rect")})
    height = place(next(chart.iter("rect")), "height")
    assert len(tops) == 5
    assert all(late - early >= height + 4 for early, late in pairwise(tops))
    labels = [place(text, "y") for text in chart.iter("text") if text.attrib["class"] == "label"]
    assert all(top < label < top + height for top, label in zip(tops, labels, strict=True))
    ticks = [place(text, "y") for text in chart.iter("text") if "tick" in text.attrib["class"]]
    assert 12 <= max(ticks) < tops[0]
    assert tops[-1] + height < place(chart, "height")


@pytest.mark.parametrize(("rows", "axes"), [(12, 1), (13, 2)])
def test_a_long_chart_has_its_axis_at_both_ends(rows: int, axes: int) -> None:
    """So that one of them can be seen; the second is below all bars and within the height."""
    chart = draw(*[(5, 0, 0)] * rows)
    places = {place(text, "y") for text in chart.iter("text") if "tick" in text.attrib["class"]}
    lowest = max(place(rect, "y") + place(rect, "height") for rect in chart.iter("rect"))
    assert len(places) == axes
    assert (lowest + 12 <= max(places) < place(chart, "height")) == (axes == 2)


def test_marks_have_room_between_label_and_bar() -> None:
    """Only the rows with a warning have one, at their height; it says why."""
    chart = draw((5, 0, 0), (6, 0, 0), (7, 0, 0), warnings={2: "2025-02: 3 differ"})
    (group,) = chart.iter("g")
    assert group.findtext("title") == "2025-02: 3 differ"
    path = group.find("path")
    assert path is not None
    x, y = (float(number) for number in path.attrib["d"].partition("l")[0].removeprefix("M").split())
    labels = [text for text in chart.iter("text") if text.attrib["class"] == "label"]
    assert place(labels[1], "x") + LETTER * len("2025-02") <= x - 5
    assert x + 5 <= 0
    assert place(labels[1], "x") >= -padding_of(chart)[0]
    rect = list(chart.iter("rect"))[1]
    assert y + 5 == place(rect, "y") + place(rect, "height") / 2


def test_each_part_says_its_amount() -> None:
    """With its row, its series, all digits and the unit."""
    chart = draw((0, "-1234567.125", 0))
    assert [each.findtext("title") for each in chart.iter("rect")] == ["2025-01, interest: -1,234,567.125 SEK"]
    assert draw((0, 7, 0), unit="").findtext("rect/title") == "2025-01, interest: 7.00"


def test_it_says_what_it_is() -> None:
    """To those who cannot see it it is one image with a title and a description, found by their ids."""
    chart = draw((1, 2, 3))
    assert chart.attrib["role"] == "img"
    assert chart.attrib["aria-labelledby"].split() == ["one-title", "one-description"]
    told = [(each.tag, each.attrib.get("id"), each.text) for each in chart[:2]]
    assert told == [("title", "one-title", "A title"), ("desc", "one-description", "What it is")]


def test_numbers_of_any_length_are_drawn() -> None:
    """Neither very large nor very long ones are lost, nor do they stop the drawing."""
    huge = "1" + "0" * 400
    chart = draw((huge, "0.00000000000000000001", 0))
    assert parts(chart)[0][2] == pytest.approx(100)
    assert "1E+400" in [text.text for text in chart.iter("text")]


def test_text_is_never_markup() -> None:
    """Not that of a label, a series, a warning, a unit, the title or the description, nor can it run backwards."""
    bar = Bar(label=HOSTILE, amounts=(Decimal(1),), warning=HOSTILE)
    series = [Series(name=HOSTILE, colour=0)]
    text = draw_chart([bar], series, name="one", unit=HOSTILE, title=HOSTILE, description=HOSTILE)
    text += draw_legend(series, mark=HOSTILE)
    assert text.count("&lt;script&gt;&quot;&#x27;&amp;\\u202e") == 9
    assert "<script" not in text
    assert "\u202e" not in text


def test_the_legend_has_each_colour_once() -> None:
    """In the order of the series; what the mark means comes last, if there is one."""
    legend = Xml.fromstring(draw_legend(SERIES, mark="differs"))  # noqa: S314
    assert [item.findtext("span") for item in legend] == ["capital", "interest", "commission", "differs"]
    assert [rect.attrib["class"] for rect in legend.iter("rect")] == ["c0", "c3", "c4"]
    assert [path.attrib["class"] for path in legend.iter("path")] == ["mark"]
    assert "mark" not in draw_legend(SERIES)
