"""What a page reports about the rest of its list."""

import copy
import pickle

import msgspec
import pytest

from amili_async import Headers, Page, Payout, ResponseHead


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


HEAD = ResponseHead(status=200, headers=Headers({"x-request-id": "abc-123"}))
PAGE = Page(items=(Payout(id="0" * 24),), number=1, max_results=100, total=1, response=HEAD)


def test_pages_with_the_same_records_are_equal() -> None:
    """The response, with its date and its id, is no part of what a page is, and `repr` does not show it."""
    again = msgspec.structs.replace(PAGE, response=ResponseHead())
    assert again == PAGE
    assert hash(again) == hash(PAGE)
    assert repr(again) == repr(PAGE) == "Page(number=1, items=1, total=1)"
    assert msgspec.structs.replace(PAGE, total=2) != PAGE
    assert msgspec.structs.replace(PAGE, items=()) != PAGE
    assert (PAGE.items, 1, 100, 1) != PAGE


def test_a_page_keeps_its_response_in_copies() -> None:
    """Pickled and copied too; a page that a test makes has an empty one."""
    for copied in (pickle.loads(pickle.dumps(PAGE)), copy.copy(PAGE), copy.deepcopy(PAGE)):  # noqa: S301 - our own
        assert copied == PAGE
        assert copied.response == HEAD
    assert Page[int](items=(), number=1, max_results=None, total=None).response == ResponseHead()
