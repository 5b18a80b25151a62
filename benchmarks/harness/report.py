"""What a benchmark found: each goal beside what was reached, and the curves that are worth a picture."""

from collections.abc import Iterable

from msgspec import Struct


class Judged(Struct, frozen=True, kw_only=True):
    """One goal and what was reached."""

    what: str
    """What is compared with what."""
    result: float
    """What was reached."""
    goal: float
    """What was to be reached."""
    is_least: bool = False
    """Whether the goal is the least that will do, not the most."""
    unit: str = "x"
    """`x` for a ratio."""

    @property
    def is_met(self) -> bool:
        """Whether the goal was reached."""
        return self.result >= self.goal if self.is_least else self.result <= self.goal


class Curve(Struct, frozen=True, kw_only=True):
    """One line of a figure."""

    figure: str
    """The name of the figure: curves of the same one are drawn together."""
    label: str
    """What it shows."""
    points: tuple[tuple[float, float], ...]
    """From left to right."""


class Bar(Struct, frozen=True, kw_only=True):
    """One bar of a figure."""

    figure: str
    """The name of the figure: bars of the same one are drawn together."""
    label: str
    """Whose it is."""
    ratio: float
    """How long it is: how much of what the package takes."""


class Report(Struct, frozen=True, kw_only=True):
    """What one benchmark found."""

    judged: tuple[Judged, ...] = ()
    """Goals and results."""
    bars: tuple[Bar, ...] = ()
    """For the figures of ratios."""
    curves: tuple[Curve, ...] = ()
    """For the figures of what grows."""


def print_judged(all_judged: Iterable[Judged], *, is_quick: bool) -> None:
    """Goal and result side by side; nothing is judged that was measured in passing."""
    for judged in all_judged:
        verdict = "too short to judge" if is_quick else "met" if judged.is_met else "MISSED"
        goal = f"{'≥' if judged.is_least else '≤'} {judged.goal:g}{judged.unit}"
        print(f"  {judged.what:<84} {judged.result:8.3g}{judged.unit:<3} {goal:<9} {verdict}")
