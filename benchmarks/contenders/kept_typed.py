"""Typed records decoded out of memory, all of which are kept."""

from functools import cache

from amili_async._wire.decoding import decoder_for
from amili_async._wire.protocol import Response
from amili_async.models import PayoutSpecification
from amili_async.models.record_type import record_type_of
from benchmarks.pages import write_pages

LABEL = "amili_async, typed records kept"
PAGES = 100


@cache
def prepare() -> list[bytes]:
    """The pages."""
    return write_pages("real", PAGES)


async def fetch_all(_url: str, *, times: int) -> int:
    """Decode all pages so many times, each time anew."""
    reader = decoder_for(record_type_of(PayoutSpecification))
    kept: list[PayoutSpecification] = []
    for _ in range(times):
        for body in prepare():
            response = Response(status=200, headers={}, body=body)
            kept.extend(reader.read_page(response, request="GET", number=None).items)
    return len(kept)
