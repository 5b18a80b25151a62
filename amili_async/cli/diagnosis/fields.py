"""The fields that the API sends, compared with those that it documents and the client knows.

Invariant: names of fields are shown, and words of a vocabulary, where they look like one; no other content of a record.
"""

import re
import typing
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct, field

from amili_async.cli.diagnosis.check import Check, failed, passed, warned
from amili_async.cli.resources import ResourceEntry
from amili_async.models import (
    Article,
    Case,
    CaseState,
    Creditor,
    CreditorPayment,
    FinanceCategory,
    PaymentStatus,
    Payout,
    PayoutSpecification,
    Record,
)
from amili_async.models.fields import is_object_id
from amili_async.models.kinds import KINDS
from amili_async.readable import show_count

REQUIRED: Mapping[type[Record], tuple[str, ...]] = {
    Payout: ("creditor", "currency", "amount", "vat_amount", "total_amount", "summary", "finance_category"),
    PayoutSpecification: ("creditor", "currency", "amount", "vat_amount", "total_amount", "article"),
    CreditorPayment: ("creditor", "currency", "amount", "bank_transaction_date", "origin"),
    Creditor: ("name",),
    Case: ("creditor", "state"),
}
"""The fields that the API documents as present in each record, or that each of its examples has."""
_AUTOMATIC = ("_id", "_created", "_updated", "_etag")
_VOCABULARIES: Mapping[str, type[StrEnum]] = {
    "finance_category": FinanceCategory,
    "article": Article,
    "state": CaseState,
    "summary": Article,  # the names in it
}
MAX_SHOWN = 6
"""Names of one kind that a message lists."""
_NAME = re.compile(r"[^\W\d]\w{0,63}")
_WORD = re.compile(r"[a-z]{2,24}(_[a-z0-9]{1,24}){0,5}|[A-Z]{2,4}")


class _Rows(Struct, frozen=True):
    items: list[dict[str, msgspec.Raw]] = field(name="_items")


class FieldCounts(Struct, kw_only=True):
    """What differs on one page: each name, with the number of records."""

    records: int = 0
    undocumented: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    """Required fields that are absent or null."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """Documented fields that do not hold what is documented."""
    unknown: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By the field, words that its vocabulary lacks."""


def count_fields(body: bytes, record: type[Record]) -> FieldCounts:
    """Compare the records of a page, as it was received, with their documented fields."""
    found = FieldCounts()
    decoders = _decoders(record)
    for row in msgspec.json.decode(body, type=_Rows).items:
        found.records += 1
        # A name with an underscore is one of Eve's own, such as `_links`.
        found.undocumented.update(name for name in row if name not in decoders and not name.startswith("_"))
        required = (*_AUTOMATIC, *REQUIRED[record])
        found.missing.update(name for name in required if bytes(row.get(name, b"null")) == b"null")
        for name, raw in row.items():
            if name in decoders:
                _check_value(found, record, name, decoders[name], raw)
    return found


def judge_fields(entry: ResourceEntry, body: bytes) -> Check:
    """Whether the records of a page have the documented fields, all that are required, and no others."""
    name, found = f"{entry.name}_fields", count_fields(body, entry.record)
    records = show_count(found.records, entry.singular)
    lines = [
        *(
            f"{field} is not {KINDS.get(field, 'of its type')} in {many} of {records}"
            for field, many in found.unreadable.most_common(MAX_SHOWN)
        ),
        *(f"{field} is missing in {many} of {records}" for field, many in found.missing.most_common(MAX_SHOWN)),
        *_describe_names("undocumented fields", found.undocumented, _NAME),
        *(
            line
            for field, words in found.unknown.items()
            for line in _describe_names(f"undocumented values of {field}", words, _WORD)
        ),
    ]
    message = "; ".join(lines)
    if found.unreadable:
        advice = "typed records cannot hold such values: read them with into=dict or --json, and report them to Amili"
        return failed(name, message, advice)
    if lines:
        advice = "nothing fails by it: into=dict and --json show all fields; a later amili-async may know them"
        return warned(name, message, advice)
    return passed(name, f"those of {records} are as documented" if found.records else "no record to compare")


@cache
def _decoders(record: type[Record]) -> Mapping[str, msgspec.json.Decoder[Any]]:
    """What decodes each field as the client does, by its name in the API."""
    hints = typing.get_type_hints(record, include_extras=True)
    hook: Any = dict.__getitem__  # of a date: see models/timestamps.py
    return {
        each.encode_name: msgspec.json.Decoder(hints[each.name], dec_hook=hook, float_hook=Decimal)
        for each in msgspec.structs.fields(record)
    }


def _check_value(
    found: FieldCounts, record: type[Record], name: str, decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw
) -> None:
    try:
        value = decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError):
        found.unreadable[name] += 1
        return
    vocabulary = PaymentStatus if (record, name) == (CreditorPayment, "status") else _VOCABULARIES.get(name)
    if vocabulary is not None and value is not None:
        words: Iterable[str] = value if isinstance(value, dict) else (value,)
        found.unknown[name].update(word for word in words if word not in set(vocabulary))


def _describe_names(what: str, names: Counter[str], form: re.Pattern[str]) -> list[str]:
    """The names that have the form of one; the others, which may be anything, are only counted."""
    shown = sorted(name for name in names if form.fullmatch(name) and not is_object_id(name))
    listed = shown[:MAX_SHOWN]
    others = len(names) - len(listed)
    if others:
        listed.append(f"{others} more that {'is' if others == 1 else 'are'} not shown")
    return [f"{what}: {', '.join(listed)}"] if listed else []
