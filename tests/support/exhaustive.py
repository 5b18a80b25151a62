"""How far a search of a state space runs: a tenth of it by default, all of it under `pytest -m exhaustive`.

Invariant: the tenth is the same in every process and in every run, and it holds each value of each column of a table.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

PARTS = 10
USUAL_EXAMPLES = 100
"""Hypothesis' own number for a test that names none."""
EXHAUSTIVE = pytest.mark.exhaustive
IN_TENTHS = pytest.mark.parametrize(
    "tenth", [pytest.param(part, marks=EXHAUSTIVE if part else (), id=f"tenth {part}") for part in range(PARTS)]
)
"""Cuts a search that numbers its steps into ten tests, of which the first runs by default."""


def steps(tenth: int, *, offset: int = 0) -> Iterator[int]:
    """The numbers of the steps that belong to a tenth, without end; *offset* rotates which tenth begins at step one."""
    return count(1 + (tenth + offset) % PARTS, PARTS)


def tenth_and_whole(whole: int) -> list[Any]:
    """Two sizes for `parametrize`: a tenth of it by default, all of it when exhaustive."""
    return [whole // PARTS, pytest.param(whole, marks=EXHAUSTIVE)]


def sampled(
    names: str, cells: Sequence[Sequence[Any]], *, ids: Callable[[Any], object | None] | None = None
) -> pytest.MarkDecorator:
    """`parametrize`, with all cells but a representative tenth marked as exhaustive."""
    kept = choose_tenth(cells)
    marked = [pytest.param(*cell, marks=() if place in kept else EXHAUSTIVE) for place, cell in enumerate(cells)]
    return pytest.mark.parametrize(names, marked, ids=ids)


def choose_tenth(cells: Sequence[Sequence[Any]]) -> set[int]:
    """The places of one cell of each ten neighbours, on a diagonal, and of one for each value that those lack."""
    kept = {min(start + start // PARTS % PARTS, len(cells) - 1) for start in range(0, len(cells), PARTS)}
    for column in range(len(cells[0])):
        found = [cells[place][column] for place in sorted(kept)]
        for place, cell in enumerate(cells):
            if cell[column] not in found:
                found.append(cell[column])
                kept.add(_find_least_used(cells, kept, column, place))
    return kept


def _find_least_used(cells: Sequence[Sequence[Any]], kept: set[int], column: int, first: int) -> int:
    """Of the cells with this value, the one whose other values are kept least often."""
    alike = [place for place in range(first, len(cells)) if cells[place][column] == cells[first][column]]

    def count_uses(place: int) -> int:
        return sum(sum(mine == other for mine, other in zip(cells[place], cells[at], strict=True)) for at in kept)

    return min(alike, key=count_uses)


def examples(whole: int, **options: Any) -> settings:
    """The settings of a Hypothesis test: *whole* examples when exhaustive, a tenth of them by default."""
    return settings(max_examples=max(1, whole * settings().max_examples // USUAL_EXAMPLES), **options)


def load_profile(*, is_whole: bool) -> None:
    """Choose the number of examples of all Hypothesis tests, none of which fails for being slow on a busy machine."""
    settings.register_profile(
        "chosen",
        max_examples=USUAL_EXAMPLES if is_whole else USUAL_EXAMPLES // PARTS,
        deadline=None,
        derandomize=not is_whole,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    settings.load_profile("chosen")
