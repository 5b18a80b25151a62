"""The results of a benchmark: measured values next to their goals, and the data of its figures."""

from collections.abc import Iterable

from msgspec import Struct


class GoalResult(Struct, frozen=True, kw_only=True):
    """One goal and the measured value."""

    name: str
    """What is measured, or compared with what."""
    result: float
    """The measured value."""
    goal: float
    """The limit that `result` must keep."""
    is_minimum: bool = False
    """Whether `goal` is a lower limit instead of an upper one."""
    unit: str = "x"
    """`x` for a ratio."""

    @property
    def is_met(self) -> bool:
        """Whether `result` keeps the goal."""
        return self.result >= self.goal if self.is_minimum else self.result <= self.goal


class Curve(Struct, frozen=True, kw_only=True):
    """One line of a figure."""

    figure: str
    """Name of the figure; curves with the same name are drawn together."""
    label: str
    """Its legend; text before the first colon names the panel."""
    points: tuple[tuple[float, float], ...]
    """x and y, by ascending x."""


class Bar(Struct, frozen=True, kw_only=True):
    """One bar of a figure."""

    figure: str
    """Name of the figure; bars with the same name are drawn together."""
    label: str
    """The contender."""
    ratio: float
    """Length: the contender's cost as a multiple of the package's."""


class Report(Struct, frozen=True, kw_only=True):
    """The results of one benchmark."""

    goals: tuple[GoalResult, ...] = ()
    """Goals and measured values."""
    bars: tuple[Bar, ...] = ()
    """Data of the bar charts."""
    curves: tuple[Curve, ...] = ()
    """Data of the line charts."""


def print_goals(goals: Iterable[GoalResult], *, is_quick: bool) -> None:
    """Print measured value, goal and verdict; a quick run gets no verdict, since it measures too little."""
    for goal in goals:
        verdict = "not judged (quick run)" if is_quick else "met" if goal.is_met else "MISSED"
        limit = f"{'≥' if goal.is_minimum else '≤'} {goal.goal:g}{goal.unit}"
        print(f"  {goal.name:<84} {goal.result:8.3g}{goal.unit:<3} {limit:<9} {verdict}")
