"""Rows that nobody has to keep: realistic bodies that repeat, under an id, dates and etag that follow from the number.

The law: `_id` ascends with the number and carries the moment of `_created`. The rows cover a year, half of them in one
month. What they add up to is known without reading them.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import msgspec

from amili_async.sandbox.dates import at_epoch, write_date

MONEY = ("amount", "vat_amount", "total_amount")
"""The columns that are summed."""

_BEGINNING = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) + 18
_STEP = 6 * 3600
"""Seconds: bookings are made four times a day, many at once."""
_YEAR = ((0, 0.0), (150, 0.25), (180, 0.75), (365, 1.0))
"""How many days of the year have passed, and which share of the rows was made by then: the sixth month has half."""
_ORIGIN = "1e69178178"
_LARGEST = (1 << 64) - 1
_SCRAMBLE = 0x9E3779B97F4A7C15
_CASE = re.compile(rb'("case":"[0-9a-f]{18})[0-9a-f]{6}')
_INVOICE = re.compile(rb"(INV-[0-9]{4}-)[0-9]{4}")
_HEAD = re.compile(rb'^\{"_id":"[^"]*","_created":"[^"]*","_updated":"[^"]*","_etag":"[^"]*"')


class Rows:
    """So many rows, made of *templates*: single records as the API writes them, in JSON."""

    def __init__(self, templates: Sequence[bytes], count: int) -> None:
        self.count = count
        self._templates = templates
        self._tails = [_open_up(template) for template in templates]
        self._firsts = [number for each in pairwise(_YEAR) for number in _first_rows(*each, count)]

    def id_of(self, number: int) -> str:
        """The id of a row; they are numbered from 0."""
        return f"{self._moment_of(number):08x}{_ORIGIN}{number:06x}"

    def count_below(self, record_id: str, *, included: bool) -> int:
        """How many rows have a smaller id; with *included*, or this one."""
        number = int(record_id[-6:], 16)
        if number < self.count and self.id_of(number) == record_id:
            return number + included
        search = bisect_right if included else bisect_left
        return search(range(self.count), record_id, key=self.id_of)

    def write(self, start: int, end: int, *, heads_only: bool = False) -> bytes:
        """The rows from *start* to before *end*, as a page has them between its brackets."""
        tails = [b"}"] if heads_only else self._tails
        parts: list[bytes] = []
        while start < end:
            place = bisect_right(self._firsts, start)
            stop = min([end, *self._firsts[place : place + 1]])
            head = _write_head(self._moment_of(start))
            parts += [
                head % (number, number * _SCRAMBLE & _LARGEST) + tails[number % len(tails)] % {b"case": number // 3}
                for number in range(start, stop)
            ]
            start = stop
        return b",".join(parts)

    def sums(self) -> dict[str, Decimal]:
        """What the amounts of all rows add up to, exactly."""
        sums = dict.fromkeys(MONEY, Decimal())
        rounds, rest = divmod(self.count, len(self._templates))
        for place, template in enumerate(self._templates):
            row = msgspec.json.decode(template, type=dict[str, msgspec.Raw])
            for name in MONEY:
                sums[name] += Decimal(bytes(row[name]).decode()) * (rounds + (place < rest))
        return sums

    def _moment_of(self, number: int) -> int:
        """Seconds since 1970."""
        return _BEGINNING + (bisect_right(self._firsts, number) - 1) * _STEP


def _open_up(template: bytes) -> bytes:
    """What follows the head, with places for what belongs to a case: as it is, it would repeat, and be packed away."""
    tail = _HEAD.sub(b"", template, count=1).replace(b"%", b"%%")
    return _CASE.sub(rb"\1%(case)06x", _INVOICE.sub(rb"\1%(case)06d", tail))


def _first_rows(since: tuple[int, float], until: tuple[int, float], count: int) -> list[int]:
    """For each of those moments between two days, how many rows were made before it."""
    steps = (until[0] - since[0]) * 86_400 // _STEP
    return [int((since[1] + (until[1] - since[1]) * step / steps) * count) for step in range(steps)]


@lru_cache(maxsize=64)
def _write_head(moment: int) -> bytes:
    """The fields that no projection takes away, with places for the number and the etag; updated the next morning."""
    created, updated = at_epoch(moment), at_epoch(moment // 86_400 * 86_400 + 32 * 3600)
    dates = f'"_created":"{write_date(created)}","_updated":"{write_date(updated)}"'
    return f'{{"_id":"{moment:08x}{_ORIGIN}%06x",{dates},"_etag":"{_ORIGIN}%030x"'.encode()
