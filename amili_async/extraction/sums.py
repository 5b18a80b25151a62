"""The exact sum of each money column, updated with each batch of records."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET

from amili_async.models.kinds import MONEY

# Money is summed exactly or not at all: an inexact addition raises, and makes the column's sum None.
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])


def add_money(sums: Mapping[str, Decimal | None], records: Sequence[Any], record: Any) -> dict[str, Decimal | None]:
    """The sums with *records* added; `None` for a column with a value that cannot be summed exactly.

    The columns are those of the *record* type; for dicts, those that occur.
    """
    added = dict(sums)
    with localcontext(_EXACT):
        for name, attribute in _columns_of(record):
            values: list[Any]
            if attribute is None:
                values = [each[name] for each in records if name in each]
                if not values:
                    continue
            else:
                values = list(map(attribute, records))
            added[name] = _add(added.get(name, Decimal(0)), values)
    return added


def total_sums(parts: Iterable[Mapping[str, Decimal | None]]) -> dict[str, Decimal | None]:
    """The sums of several extractions together."""
    sums: dict[str, Decimal | None] = {}
    with localcontext(_EXACT):
        for name, value in chain.from_iterable(each.items() for each in parts):
            sums[name] = None if value is None else _add(sums.get(name, Decimal(0)), [value])
    return sums


def _add(total: Decimal | None, values: list[Any]) -> Decimal | None:
    if total is None:
        return None
    try:
        try:
            total = sum(values, total)
        except TypeError:
            # A caller's own struct may have UNSET for what is absent; records of ours never do.
            total = sum((value for value in values if value is not None and value is not UNSET), total)
    except (TypeError, ArithmeticError):
        return None
    return total if total.is_finite() else None


@lru_cache(maxsize=256)
def _columns_of(record: Any) -> tuple[tuple[str, Any], ...]:
    """The API's names of the money columns, each with the function that reads it; `None` for a dict."""
    if not issubclass(record, msgspec.Struct):
        return tuple((name, None) for name in MONEY)
    fields = msgspec.structs.fields(record)
    return tuple((each.encode_name, attrgetter(each.name)) for each in fields if each.encode_name in MONEY)
