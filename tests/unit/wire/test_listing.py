"""A listing: the request for a page, its decoding, and what raises before anything is sent."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from rich.pretty import pretty_repr

from amili_async._wire.listing import Listing
from amili_async._wire.protocol import MAX_REQUEST_TARGET, Request, Response
from amili_async.conditions import field
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.models.record_type import record_type_of
from amili_async.policies import Priority
from amili_async.query import build_query
from tests.support.contexts import make_context
from tests.unit.wire.conftest import answer

PATH = "finance--payouts"


class Server:
    """Answers each request with *body*, and keeps the requests."""

    def __init__(self, body: Any = None, *, ages: Sequence[str] = ()) -> None:
        self.body = body or {"_items": [{"_id": "5" * 24}], "_meta": {"page": 3, "max_results": 100, "total": 7}}
        self.requests: list[Request] = []
        self._ages = list(ages)

    async def call(self, request: Request) -> Response:
        self.requests.append(request)
        return answer(self.body, headers={"Age": self._ages.pop(0)} if self._ages else {})

    def listing(self, *, must_be_current: bool = False) -> Listing[Any]:
        return Listing(PATH, record_type_of(dict), make_context(self.call), must_be_current)


async def test_a_page_is_requested_and_decoded() -> None:
    """The request has query, page number, page size and priority; the page has the requested number."""
    server = Server()
    page = await server.listing().fetch(build_query(), page=3, page_size=20, priority=Priority.SINGLE)
    assert (page.number, page.total, page.items) == (3, 7, ({"_id": "5" * 24},))
    (request,) = server.requests
    assert request.target == f"/{PATH}?sort=_id&page=3&max_results=20"
    assert (request.label, request.priority) == (f"GET /{PATH}", Priority.SINGLE)


async def test_a_page_size_above_the_requested_one_is_capped() -> None:
    """Otherwise each page would look short, and so like the last."""
    page = await Server().listing().fetch(build_query(), page=3, page_size=1)
    assert page.max_results == 1


async def test_another_page_than_the_requested_one_raises() -> None:
    """`None` accepts any page: an extraction checks the ids instead."""
    listing = Server().listing()
    with pytest.raises(UnreadableResponse, match="the requested page"):
        await listing.fetch(build_query(), page=2)
    assert listing.decode(await listing.send(build_query()), page=None).number == 3


def test_a_query_that_is_too_long_raises_before_anything_is_sent() -> None:
    """The check leaves room for the largest page number, so a stream cannot fail on a later page."""
    server = Server()
    listing = server.listing()
    empty = len(build_query(field("article") == "").encoded)
    longest = MAX_REQUEST_TARGET - len(f"/{PATH}?&page=1000000&max_results=100") - empty
    with pytest.raises(ConfigurationError, match="request line"):
        listing.check(build_query(field("article") == "a" * (longest + 1)))
    assert server.requests == []
    fits = build_query(field("article") == "a" * longest)
    listing.check(fits)
    asyncio.run(listing.send(fits, page=999_999))
    assert len(server.requests) == 1


@pytest.mark.parametrize("age", ["1", "00030", "soon"])
async def test_a_cached_response_is_requested_again_once(age: str) -> None:
    """A cache that has just revalidated what it stores may show an age once; a second age is an error."""
    server = Server(ages=[age])
    await server.listing(must_be_current=True).fetch(build_query(), page=3)
    assert server.requests == [server.requests[0]] * 2
    server = Server(ages=[age, age, "0"])
    with pytest.raises(UnreadableResponse, match="answered from a cache"):
        await server.listing(must_be_current=True).fetch(build_query(), page=3)
    assert len(server.requests) == 2


async def test_an_age_of_zero_or_without_importance_is_no_reason_to_request_again() -> None:
    """Zero is the present; and a page that proves nothing may be as old as the cache allows."""
    server = Server(ages=["0", "30"])
    await server.listing(must_be_current=True).fetch(build_query(), page=3)
    await server.listing().fetch(build_query(), page=3)
    assert len(server.requests) == 2


def test_listings_of_one_type_share_a_decoder() -> None:
    """Building a decoder costs as much as decoding a page."""
    server = Server()
    assert server.listing().decoder is server.listing().decoder


def test_a_listing_does_not_show_its_context() -> None:
    """Its repr has the path only, also when rich prints it."""
    listing = Server().listing()
    assert repr(listing) == pretty_repr(listing) == f"Listing({PATH})"
