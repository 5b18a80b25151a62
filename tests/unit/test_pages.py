"""What a page reports about the rest of its list."""

import copy
import pickle
from typing import Any

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


RECEIVED = {"X-Request-ID": "abc-123", "Set-Cookie": "s3cret"}
HEAD = ResponseHead(status=203, headers=Headers(RECEIVED))


def make_page(total: int = 1) -> Page[Payout]:
    """A page without a response."""
    return Page(items=(Payout(id="0" * 24),), number=1, max_results=100, total=total)


def test_the_response_is_no_part_of_what_a_page_is() -> None:
    """Pages with the same records and counts are equal, with one hash, and are encoded and shown alike."""
    page, answered = make_page(), make_page().with_response(203, RECEIVED)
    assert (answered.response, page.response) == (HEAD, ResponseHead())
    assert answered == page
    assert hash(answered) == hash(page)
    assert repr(answered) == repr(page) == "Page(number=1, items=1, total=1)"
    assert msgspec.json.encode(answered) == msgspec.json.encode(page)
    assert msgspec.structs.asdict(answered) == msgspec.structs.asdict(page)
    assert answered != make_page(total=2)


def test_a_page_keeps_its_response_in_copies() -> None:
    """Of its headers those that `response` shows, and no cookie."""
    page = make_page().with_response(203, RECEIVED)
    assert copy.copy(page) is page
    pickled = [pickle.dumps(page, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    assert not any(b"s3cret" in each for each in pickled)
    for copied in (*map(pickle.loads, pickled), copy.deepcopy(page)):
        assert (type(copied), copied, copied.response) == (Page, page, HEAD)


def test_a_page_is_frozen() -> None:
    """Neither its fields nor its response can be set, and no other attribute."""
    page: Any = make_page()
    for name in ("items", "response", "other"):
        with pytest.raises(AttributeError):
            setattr(page, name, ())
