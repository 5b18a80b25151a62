"""Generated rows: realistic bodies that repeat, with an id, dates and etag computed from the row number.

Invariant: `_id` ascends with the row number and contains the time of `_created`. The rows cover a year, half of them
fall into one month. Their sums are computed without generating the rows.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import msgspec

from amili_async.sandbox.bson_values import at_epoch, write_date

MONEY = ("amount", "vat_amount", "total_amount")
"""The columns to sum."""

_START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) + 18
_STEP = 6 * 3600
"""Seconds between batches: bookings are created four times a day."""
_YEAR = ((0, 0.0), (150, 0.25), (180, 0.75), (365, 1.0))
"""Day of the year and share of the rows created before it; the sixth month has half of all rows."""
_ID_MIDDLE = "1e69178178"
_MAX_UINT64 = (1 << 64) - 1
_HASH_MULTIPLIER = 0x9E3779B97F4A7C15
_CASE = re.compile(rb'("case":"[0-9a-f]{18})[0-9a-f]{6}')
_INVOICE = re.compile(rb"(INV-[0-9]{4}-)[0-9]{4}")
_HEAD = re.compile(rb'^\{"_id":"[^"]*","_created":"[^"]*","_updated":"[^"]*","_etag":"[^"]*"')


class Rows:
    """*count* rows made from *templates*: JSON records as the API writes them."""

    def __init__(self, templates: Sequence[bytes], count: int) -> None:
        self.count = count
        self._templates = templates
        self._tails = [_make_tail(template) for template in templates]
        self._batch_starts = [number for each in pairwise(_YEAR) for number in _count_before(*each, count)]

    def id_of(self, number: int) -> str:
        """The id of a row; numbers start at 0."""
        return f"{self._created_at(number):08x}{_ID_MIDDLE}{number:06x}"

    def count_below(self, record_id: str, *, included: bool) -> int:
        """Number of rows with a smaller id, or with *included* a smaller or equal one."""
        # Ids of rows end in their number, so the usual case needs no search.
        number = int(record_id[-6:], 16)
        if number < self.count and self.id_of(number) == record_id:
            return number + included
        search = bisect_right if included else bisect_left
        return search(range(self.count), record_id, key=self.id_of)

    def write(self, start: int, end: int, *, heads_only: bool = False) -> bytes:
        """The rows *start* to *end* - 1 as comma-separated JSON; *heads_only* omits what a projection can omit."""
        tails = [b"}"] if heads_only else self._tails
        parts: list[bytes] = []
        while start < end:
            batch = bisect_right(self._batch_starts, start)
            stop = min([end, *self._batch_starts[batch : batch + 1]])
            head = _write_head(self._created_at(start))
            parts += [
                head % (number, number * _HASH_MULTIPLIER & _MAX_UINT64)
                + tails[number % len(tails)] % {b"case": number // 3}
                for number in range(start, stop)
            ]
            start = stop
        return b",".join(parts)

    def sums(self) -> dict[str, Decimal]:
        """The exact sum of each money column over all rows."""
        sums = dict.fromkeys(MONEY, Decimal())
        repeats, rest = divmod(self.count, len(self._templates))
        for place, template in enumerate(self._templates):
            row = msgspec.json.decode(template, type=dict[str, msgspec.Raw])
            for name in MONEY:
                sums[name] += Decimal(bytes(row[name]).decode()) * (repeats + (place < rest))
        return sums

    def _created_at(self, number: int) -> int:
        """Seconds since 1970."""
        return _START + (bisect_right(self._batch_starts, number) - 1) * _STEP


def _make_tail(template: bytes) -> bytes:
    """The template after its head, with placeholders for the case number.

    Without them the text columns would repeat every thousand rows, and Parquet would compress them away.
    """
    tail = _HEAD.sub(b"", template, count=1).replace(b"%", b"%%")
    return _CASE.sub(rb"\1%(case)06x", _INVOICE.sub(rb"\1%(case)06d", tail))


def _count_before(since: tuple[int, float], until: tuple[int, float], count: int) -> list[int]:
    """The number of rows created before each batch between two days."""
    steps = (until[0] - since[0]) * 86_400 // _STEP
    return [int((since[1] + (until[1] - since[1]) * step / steps) * count) for step in range(steps)]


@lru_cache(maxsize=64)
def _write_head(created_at: int) -> bytes:
    """The fields of every projection, with placeholders for number and etag; `_updated` is the next morning."""
    created, updated = at_epoch(created_at), at_epoch(created_at // 86_400 * 86_400 + 32 * 3600)
    dates = f'"_created":"{write_date(created)}","_updated":"{write_date(updated)}"'
    return f'{{"_id":"{created_at:08x}{_ID_MIDDLE}%06x",{dates},"_etag":"{_ID_MIDDLE}%030x"'.encode()
