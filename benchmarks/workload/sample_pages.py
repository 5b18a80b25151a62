"""Pages of specifications in three profiles: a batch of bookings, only distinct dates, and the API's own examples.

The cost of decoding depends on how often dates repeat, and no production data was available, so each benchmark of
decoding names its profile. In a batch, rows are created together, booked and paid out at midnight, and the rows of one
case share a date.
"""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from amili_async.sandbox.bson_values import write_date

PAGE_SIZE = 100
"""Records per page."""
_START = datetime(2024, 1, 1, tzinfo=UTC)
_DAY = 86_400


def write_pages(profile: str, count: int) -> list[bytes]:
    """The bodies of *count* pages; equal arguments give equal bytes."""
    draw = random.Random(profile)
    write = ROW_WRITERS[profile]
    pages = []
    for page in range(1, count + 1):
        items = [write(draw, (page - 1) * PAGE_SIZE + place) for place in range(PAGE_SIZE)]
        meta = {"page": page, "max_results": PAGE_SIZE, "total": count * PAGE_SIZE}
        pages.append(msgspec.json.encode({"_items": items, "_meta": meta}))
    return pages


def _write_batched(draw: random.Random, number: int) -> dict[str, Any]:
    """A row with every documented field; 24 rows form a batch with separate update times, 3 rows form a case."""
    batch = _START + timedelta(seconds=number // 24 * 1_731)
    booked = _midnight(batch)
    case = random.Random(number // 3)
    return _write_full(
        draw,
        number,
        created=batch,
        updated=batch + timedelta(seconds=draw.randrange(_DAY)),
        booked=booked,
        paid=booked + timedelta(days=2),
        state=_START - timedelta(seconds=case.randrange(400 * _DAY)),
    )


def _write_distinct(draw: random.Random, number: int) -> dict[str, Any]:
    """A row whose dates are random to the second, so that hardly any date repeats."""
    created = _START + timedelta(seconds=number * 600 + draw.randrange(600))
    return _write_full(
        draw,
        number,
        created=created,
        updated=created + timedelta(seconds=draw.randrange(30 * _DAY)),
        booked=created - timedelta(seconds=draw.randrange(5 * _DAY)),
        paid=created + timedelta(seconds=draw.randrange(5 * _DAY)),
        state=created - timedelta(seconds=draw.randrange(400 * _DAY)),
    )


def _write_full(
    draw: random.Random,
    number: int,
    *,
    created: datetime,
    updated: datetime,
    booked: datetime,
    paid: datetime,
    state: datetime,
) -> dict[str, Any]:
    amount, vat = draw.randrange(1_000, 2_000_000) / 100, draw.randrange(0, 50_000) / 100
    return {
        "_id": f"{int(created.timestamp()):08x}1e69178178{number:06x}",
        "_created": write_date(created),
        "_updated": write_date(updated),
        "_etag": f"{draw.getrandbits(160):040x}",
        "creditor": f"686e6ed854377058c2dd{draw.randrange(40):04x}",
        "creditor_name": f"Exempelbolaget {draw.randrange(40)} AB",
        "currency": "SEK",
        "amount": amount,
        "vat_amount": vat,
        "total_amount": round(amount + vat, 2),
        "article": draw.choice(("capital", "interest", "reminder", "cost", "debt_collection")),
        "state": draw.choice(("reminder", "debt_collection", "enforcement")),
        "state_date": write_date(state),
        "booking_date": write_date(booked),
        "finance_category": draw.choice(("capital", "interest", "creditor_commission", "amili_commission")),
        "payout": f"507f1f77bcf86cd7{number // 50:08x}",
        "payout_reference": f"{300_000 + number // 50}",
        "payout_date": write_date(paid),
        "payout_interval": "daily",
        "reference_number": f"{25_000 + number // 3}",
        "invoice_number": f"INV-2025-{number // 3:06}",
        "invoice_numbers": [f"INV-2025-{number // 3:06}"],
        "references": {"case": f"6774858010d09f9b{number // 3:08x}", "debt_collection": f"67748580{number // 3:016x}"},
    }


def _write_documented(_draw: random.Random, number: int) -> dict[str, Any]:
    """A row like the first example in the API documentation; rows of one invoice are created in the same second."""
    invoice, is_fee = number // 2, number % 2 == 0
    created = write_date(_START + timedelta(seconds=invoice))
    return {
        "_id": f"507f1f77bcf86cd7{number:08x}",
        "_created": created,
        "_updated": created,
        "_etag": f"a1b2c3d4e5f67890{number:016x}",
        "creditor": "686e6ed854377058c2dd10bd",
        "creditor_name": "Exempelbolaget AB",
        "currency": "SEK",
        "amount": 60.0 if is_fee else 1064.0,
        "vat_amount": 15.0 if is_fee else 0.0,
        "total_amount": 75.0 if is_fee else 1064.0,
        "article": "reminder" if is_fee else "capital",
        "state": "reminder",
        "booking_date": write_date(_midnight(_START)),
        "finance_category": "creditor_commission" if is_fee else "capital",
        "invoice_number": f"INV-2025-{invoice:03}",
        "reference_number": f"{25_000 + invoice}",
        "payout_reference": "Creditor Commission" if is_fee else "123456",
        "payout_date": write_date(_midnight(_START) + timedelta(days=2)),
        "payout": "507f1f77bcf86cd799439099",
    }


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0)


ROW_WRITERS: Mapping[str, Callable[[random.Random, int], dict[str, Any]]] = {
    "batched": _write_batched,
    "distinct": _write_distinct,
    "documented": _write_documented,
}
"""The function that writes a row, by profile."""
