"""The resource `cases`, read without the debtors.

Invariant: a request names the fields that it fetches. Rows hold names and personal identity numbers, which only a
projection that names them requests.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from amili_async._wire.context import ClientContext
from amili_async.conditions import field
from amili_async.filters import check_name
from amili_async.models import Case
from amili_async.models.record_type import RecordType, record_type_of
from amili_async.query import Projection, encode_projection
from amili_async.resources import Resource

FIELDS: tuple[str, ...] = Case.__struct_encode_fields__
"""The fields that are fetched unless a call names others."""


class Cases(Resource[Case]):
    """The cases, each the collection of one debt.

    Without a *projection* the fields of `Case` are fetched, with `into=dict` too; one that leaves fields out leaves
    them out of these. A field of the debtor is fetched only where a projection, or a struct of yours, names it.
    """

    def __init__(self, path: str, context: ClientContext) -> None:
        super().__init__(path, Case, context)

    async def find(self, invoice_number: str, *, creditor: str | None = None) -> tuple[Case, ...]:
        """All cases of an invoice, of one *creditor* (its id) or of all; ordered by id.

        The API documents no invoice number as unique: check the length, and `is_open`, before you use the first.
        """
        condition = field("debt.invoice_number") == invoice_number
        if creditor is not None:
            condition &= field("creditor") == creditor
        return tuple(await self.stream(condition).collect())

    def _record_type_of(self, into: Any, projection: Projection) -> RecordType[Any]:
        record_type: RecordType[Any] = record_type_of(Case if into is None else into, is_projected=into is not None)
        if record_type.projection is not None:
            return super()._record_type_of(into, projection)
        return replace(record_type, projection=_fields_of(projection))


def _fields_of(projection: Projection) -> tuple[str, ...]:
    encode_projection(projection)  # raises for what is no projection
    if projection is None:
        return FIELDS
    names = tuple(map(check_name, projection))
    if isinstance(projection, Mapping) and 1 not in projection.values():
        return tuple(name for name in FIELDS if name not in names)
    return names
