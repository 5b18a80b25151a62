"""What each documented field holds, derived from the annotations of the records."""

import typing
from collections import ChainMap
from collections.abc import Mapping
from inspect import get_annotations
from typing import Any

from amili_async.models.case import Case
from amili_async.models.creditor import Creditor
from amili_async.models.creditor_payment import CreditorPayment
from amili_async.models.fields import Category, Id, Money
from amili_async.models.payout import Payout
from amili_async.models.payout_specification import PayoutSpecification
from amili_async.models.timestamps import Timestamp

# The API's name of each documented field, and its type without `None`: all but `_id` are a type or `None`. The API does
# not document what `closed` of a case holds.
# `msgspec.structs.fields` and `get_type_hints` would resolve texts, which these annotations are not: that takes time.
_TYPES: Mapping[str, Any] = {"_id": Id} | {
    name: typing.get_args(hints[field])[0]
    for record in (Payout, PayoutSpecification, CreditorPayment, Creditor, Case)
    for hints in (ChainMap(*map(get_annotations, record.__mro__)),)
    for field, name in zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True)
    if name not in ("_id", "closed")
}
_KIND_OF_TYPE: Mapping[Any, str] = {
    Id: "an id",
    Timestamp: "a date",
    Money: "a number",
    int: "a number",
    str: "text",
    Category: "text",
    tuple[str, ...]: "text",  # Eve compares a filter value with each item of a list
    bool: "true or false",
}

KINDS: Mapping[str, str] = {
    **{name: _KIND_OF_TYPE.get(type_, "an object") for name, type_ in _TYPES.items()},
    # `references` is documented as an object with these ids; the annotation leaves it open to others.
    **{f"references.{name}": "an id" for name in ("case", "debt_collection", "enforcement")},
    "debt.invoice_number": "text",
}
"""What the documented fields hold. A filter value of another kind matches nothing, and the API reports no error."""

MONEY = tuple(name for name, type_ in _TYPES.items() if type_ is Money)
"""The fields that hold money."""

CATEGORICAL_FIELDS = frozenset(name for name, type_ in _TYPES.items() if type_ == Category)
"""The fields that hold one of a few words."""
