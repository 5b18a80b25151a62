"""The source of an extraction: how many spans one request line holds."""

import pytest

from amili_async._paging.partition import LOWEST_ID, Span
from amili_async._wire.listing import Listing
from amili_async._wire.protocol import Request, Response, list_request
from amili_async.conditions import Where, field, filter_document
from amili_async.errors import ConfigurationError
from amili_async.extraction.source import Source, build_source
from amili_async.models import PayoutSpecification
from amili_async.models.record_type import record_type_of
from amili_async.query import Projection
from tests.support.contexts import make_context

PATH = "finance--payout-specifications"


async def fail(request: Request) -> Response:
    raise AssertionError(request)


def make_source(where: Where, projection: Projection) -> Source[PayoutSpecification]:
    listing = Listing(PATH, record_type_of(PayoutSpecification), make_context(fail))
    return build_source(listing, filter_document(where), projection=projection, since=None, parts=None)


@pytest.mark.parametrize("projection", [None, ("_id",), ("amount", "vat_amount")])
@pytest.mark.parametrize("length", [0, 10, 1000, 4000])
def test_as_many_spans_as_fit_are_requested_at_once(projection: Projection, length: int) -> None:
    """The request with that many fits into a request line, and one with two more does not."""
    source = make_source(field("creditor_name") != "x" * length if length else None, projection)

    def request(count: int) -> Request:
        span: Span = (LOWEST_ID, LOWEST_ID)
        return list_request(PATH, source.query.among((span,) * count), page=10**6)

    assert len(request(source.max_spans).target) > 7500
    with pytest.raises(ConfigurationError, match="request line"):
        request(source.max_spans + 2)
