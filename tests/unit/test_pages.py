"""What a page reports about the rest of its list."""

import pytest

from amili_async import Page


@pytest.mark.parametrize(
    ("items", "number", "max_results", "total", "has_next"),
    [
        (100, 1, 100, 250, True),
        (100, 2, 100, 250, True),
        (50, 3, 100, 250, False),
        (100, 2, 100, 200, False),
        (0, 3, 100, 200, False),
        (0, 1, 100, 0, False),
        (20, 1, 20, 21, True),
        (100, 1, 100, None, True),
        (99, 1, 100, None, False),
        (0, 2, 100, None, False),
        (5, 1, None, 5, False),
        (5, 1, None, 6, True),
        (5, 2, None, 10, True),
        (5, 1, None, None, True),
        (0, 1, None, None, False),
    ],
)
def test_has_next_is_false_only_if_the_counts_show_the_last_page(
    items: int, number: int, max_results: int | None, total: int | None, has_next: bool
) -> None:
    """With a total it is exact; without one, a full page may be followed by another."""
    page = Page(items=tuple(range(items)), number=number, max_results=max_results, total=total)
    assert page.has_next is has_next
