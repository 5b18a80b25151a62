"""One page of a list: its records, and what the server reports about the whole list."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from amili_async._wire.tasks import hide_contents
from amili_async.response_head import Headers, ResponseHead

T = TypeVar("T")


@hide_contents
class Page(Struct, Generic[T], frozen=True, kw_only=True, dict=True):
    """One page of a list."""

    items: tuple[T, ...]
    """The records, in the order of the sort."""
    number: int
    """From 1."""
    max_results: int | None
    """How many records the server puts on a page, which can be fewer than requested; `None` if it does not report it.
    """
    total: int | None
    """How many records match in all; `None` if the server does not report it."""

    @property
    def has_next(self) -> bool:
        """Whether there may be another page.

        `False` means that, by the server's counts, this is the last one. `True` is certain where `total` and
        `max_results` are known; otherwise the next page may turn out to be empty. The last page of a stream with
        `max_items` is cut, and can report `False` although the list continues.
        """
        if not self.items:
            return False
        if self.max_results is None:
            # Without the page size only the first page shows how many records precede the next one.
            return self.number > 1 or self.total != len(self.items)
        if self.total is None:
            return len(self.items) >= self.max_results
        return self.number * self.max_results < self.total

    # Not a field: a page is compared and encoded without it. What it shows is computed when it is read, so that a page
    # whose records alone are consumed does not pay for it.
    @property
    def response(self) -> ResponseHead:
        """Status and some headers of the response; its `request_id` is what a support ticket needs."""
        status, received = self.__dict__.get("_received", (200, {}))
        return ResponseHead(status=status, headers=Headers(received))

    def with_response(self, status: int, received: Mapping[str, str]) -> Self:
        """Keep what `response` shows, and return the page itself; a new page has a 200 without headers."""
        self.__dict__["_received"] = status, received
        return self

    def __copy__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _restore, (type(self), asdict(self), self.response)

    def __repr__(self) -> str:
        return f"Page(number={self.number}, items={len(self.items)}, total={self.total})"

    def _repr_html_(self) -> str:
        from amili_async.notebooks import html_table
        from amili_async.readable import show_count

        count = f"{len(self.items)} of " if self.total else ""
        records = show_count(self.total or len(self.items), "record")
        return html_table(f"page {self.number}: {count}{records}", self.items)


def _restore(kind: type[Page[T]], fields: dict[str, Any], response: ResponseHead) -> Page[T]:
    return kind(**fields).with_response(response.status, response.headers)
