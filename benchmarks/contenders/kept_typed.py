"""Typed records decoded from memory and kept."""

from amili_async._wire.decoding import decoder_for
from amili_async._wire.protocol import Response
from amili_async.models import PayoutSpecification
from amili_async.models.record_type import record_type_of
from benchmarks.contenders.kept_dicts import prepare

LABEL = "amili_async, typed records kept"


async def fetch_all(_url: str, *, times: int) -> int:
    """Decode all pages *times* times, each time from scratch."""
    decoder = decoder_for(record_type_of(PayoutSpecification))
    kept: list[PayoutSpecification] = []
    for _ in range(times):
        for body in prepare():
            response = Response(status=200, headers={}, body=body)
            kept.extend(decoder.read_page(response, request="GET", number=None).items)
    return len(kept)
