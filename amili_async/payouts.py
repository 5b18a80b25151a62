"""The payouts, and the way from one to its specifications."""

from typing import Unpack

from amili_async._wire.context import ClientContext
from amili_async._wire.frames import hide_variables_of_methods
from amili_async.conditions import Condition, Where, field, filter_document
from amili_async.models import Payout, PayoutSpecification
from amili_async.models.fields import check_id
from amili_async.resources import Resource, StreamOptions
from amili_async.streams import Stream


@hide_variables_of_methods
class Payouts(Resource[Payout]):
    """The payouts, and the specifications of each."""

    def __init__(self, path: str, context: ClientContext, specifications: Resource[PayoutSpecification]) -> None:
        super().__init__(path, Payout, context)
        self._specifications = specifications

    def specifications(
        self, payout: Payout | str, where: Where = None, **options: Unpack[StreamOptions]
    ) -> Stream[PayoutSpecification]:
        """The specifications of one payout, given it or its id.

        *where* and the options (*sort*, *projection*, *max_items*, *page_size*, *concurrency*, *checkpoint*) are as for
        `stream()`.
        """
        payout_id = payout.id if isinstance(payout, Payout) else payout
        condition = field("payout") == check_id(payout_id, what="payout")
        if where is not None:
            condition &= Condition(filter_document(where))
        return self._specifications.stream(condition, **options)
