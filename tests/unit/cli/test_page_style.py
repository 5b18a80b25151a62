"""The colours of the page: seen by everyone, in both schemes."""

import re
from math import dist

import pytest

from amili_async.cli.reports.chart import COLOURS, WIDE
from amili_async.cli.reports.page_style import DARK, DARK_COLOURS, LIGHT, LIGHT_COLOURS, STYLE

SIGHTS = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
"""What is left of linear red, green and blue to those who lack a kind of cones (Machado, Oliveira, Fernandes 2009)."""
OKLAB = (
    ((0.41222, 0.53633, 0.05145), (0.2119, 0.6807, 0.10740), (0.0883, 0.28172, 0.62998)),
    ((0.21045, 0.79362, -0.00407), (1.978, -2.42859, 0.45059), (0.0259, 0.78277, -0.80868)),
)
Rgb = tuple[float, ...]


def to_linear(colour: str) -> Rgb:
    values = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return tuple(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values)


def apply(matrix: tuple[Rgb, ...], values: Rgb) -> Rgb:
    return tuple(sum(factor * value for factor, value in zip(row, values, strict=True)) for row in matrix)


def see(colour: str, sight: tuple[Rgb, ...]) -> Rgb:
    """Where a colour is in a space in which distances are what one sees."""
    seen = tuple(min(1.0, max(0.0, value)) for value in apply(sight, to_linear(colour)))
    return apply(OKLAB[1], tuple(value ** (1 / 3) for value in apply(OKLAB[0], seen)))


def contrast(one: str, other: str) -> float:
    """As the WCAG define it."""
    light = sorted(apply(((0.2126, 0.7152, 0.0722),), to_linear(colour))[0] + 0.05 for colour in (one, other))
    return light[1] / light[0]


@pytest.mark.parametrize("colours", [LIGHT_COLOURS, DARK_COLOURS], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_can_be_told_apart(colours: tuple[str, ...], sight: str) -> None:
    """By those who lack a kind of cones, too: any two of them, and neighbours more easily."""
    seen = [see(colour, SIGHTS[sight]) for colour in colours]
    assert len(seen) == COLOURS
    for later, colour in enumerate(seen):
        for earlier in range(later):
            assert dist(colour, seen[earlier]) > (0.08 if later - earlier == 1 else 0.06)


@pytest.mark.parametrize(("scheme", "colours"), [(LIGHT, LIGHT_COLOURS), (DARK, DARK_COLOURS)], ids=["light", "dark"])
def test_everything_stands_out_from_the_paper(scheme: dict[str, str], colours: tuple[str, ...]) -> None:
    """3 to 1 for what is drawn and 4.5 to 1 for what is read, as the WCAG ask for."""
    assert min(contrast(colour, scheme["paper"]) for colour in colours) >= 3
    assert min(contrast(scheme[name], scheme["paper"]) for name in ("ink", "soft", "good", "bad")) >= 4.5


def test_every_colour_is_declared_in_both_schemes() -> None:
    """Each that a rule names, and each of the chart's; the light ones are those of paper, too."""
    light, dark = re.findall(r":root \{ (.*?) \}", STYLE)
    named = set(re.findall(r"var\(--(\w+)\)", STYLE))
    assert named == set(re.findall(r"--(\w+):", light)) == set(re.findall(r"--(\w+):", dark))
    assert {f"c{number}" for number in range(COLOURS)} < named
    assert "@media screen and (prefers-color-scheme: dark)" in STYLE


def test_all_labels_are_shown_only_where_there_is_room() -> None:
    """Screens on which the ticks between are not hidden leave the chart the width that it was laid out for."""
    (widest,) = re.findall(r"max-width: (\d+)px", STYLE)
    margins, scrollbar = 2 * 24, 16
    assert ".minor { display: none }" in STYLE
    assert int(widest) - margins - scrollbar >= WIDE


def test_nothing_is_fetched() -> None:
    """The style sheet names no font, image or sheet of another place."""
    assert not re.search(r"url|@import|@font-face|http", STYLE)
