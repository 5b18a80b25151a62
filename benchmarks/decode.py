"""One page of 100 specifications: typed records against dicts."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec

from amili_async._wire.protocol import Response
from amili_async._wire.reading import Reader
from amili_async.models import PayoutSpecification
from amili_async.models.shape import shape_of
from benchmarks.rounds import Cost, Measure, print_table, run_rounds, timed
from benchmarks.serving import PATH, make_rows, serve

DATES = ("_created", "_updated", "booking_date", "state_date", "payout_date")


class PlainSpecification(
    msgspec.Struct, frozen=True, gc=False, rename={"id": "_id", "created": "_created", "updated": "_updated"}
):
    """The same fields with dates as text and money as float: the least that a struct can cost."""

    id: str
    created: str | None = None
    updated: str | None = None
    creditor: str | None = None
    creditor_name: str | None = None
    currency: str | None = None
    amount: float | None = None
    vat_amount: float | None = None
    total_amount: float | None = None
    article: str | None = None
    state: str | None = None
    state_date: str | None = None
    booking_date: str | None = None
    finance_category: str | None = None
    payout: str | None = None
    payout_reference: str | None = None
    payout_date: str | None = None
    payout_interval: str | None = None
    reference_number: str | None = None
    invoice_number: str | None = None
    invoice_numbers: tuple[str, ...] | None = None
    references: dict[str, Any] | None = None


class PlainListing(msgspec.Struct, frozen=True):
    """A page of them."""

    items: tuple[PlainSpecification, ...] = msgspec.field(name="_items")


async def _fetch_pages(url: str, pages: int) -> list[bytes]:
    async with aiohttp.ClientSession() as session:
        bodies = []
        for page in range(1, pages + 1):
            async with session.get(f"{url}/{PATH}?page={page}&max_results=100") as response:
                bodies.append(await response.read())
        return bodies


def _decode_by_hand(body: bytes) -> Any:
    listing = json.loads(body, parse_float=Decimal)
    for item in listing["_items"]:
        for name in DATES:
            if item.get(name):
                item[name] = parsedate_to_datetime(item[name])
    return listing


def measure(*, quick: bool) -> dict[str, Cost]:
    """Medians for all pages by contender; fewer pages and rounds if *quick*."""
    pages, rounds = (5, 3) if quick else (30, 15)
    with serve(make_rows(pages * 100), latency=0) as url:
        bodies = asyncio.run(_fetch_pages(url, pages))
    reader = Reader(shape_of(PayoutSpecification))

    def read(body: bytes) -> object:
        response = Response(status=200, headers={}, body=body)
        return reader.read_page(response, request="GET /finance--payout-specifications", number=None)

    def decoding(decode: Callable[[bytes], object]) -> Measure:
        return timed(lambda: [decode(body) for body in bodies])

    ours, base = "amili_async: aware dates, exact Decimal", "struct, dates as text, float"
    medians = run_rounds(
        {
            ours: decoding(read),
            base: decoding(msgspec.json.Decoder(PlainListing).decode),
            "json.loads to dicts": decoding(json.loads),
            "json.loads + Decimal + email.utils": decoding(_decode_by_hand),
        },
        rounds=rounds,
    )
    print_table(
        f"Decoding {pages} pages of 100 specifications (CPU, medians of {rounds})", medians, baseline=base, by="cpu"
    )
    print(f"  ours: {medians[ours].cpu / pages / 100 * 1e6:.2f} µs per record")
    return medians
