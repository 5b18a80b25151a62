"""The resource `creditors`: from a name or a number to the id that payments and filters need."""

from functools import reduce
from operator import and_

from amili_async._paging.keyset import filter_ignored
from amili_async._wire.checks import check_count
from amili_async._wire.context import ClientContext
from amili_async.conditions import Condition, field
from amili_async.errors import ConfigurationError
from amili_async.models import Creditor
from amili_async.resources import Resource


class Creditors(Resource[Creditor]):
    """The creditors that the access token may see."""

    def __init__(self, path: str, context: ClientContext) -> None:
        super().__init__(path, Creditor, context)

    async def find(
        self, *, name: str | None = None, organization_no: str | None = None, creditor_number: int | None = None
    ) -> tuple[Creditor, ...]:
        """All creditors that match each of the given values, of which at least one is required; ordered by id.

        *name* is compared as it is stored: the API finds no parts, and no other case. *organization_no* is found with
        and without its hyphen, and also among those of other countries. Several creditors can have one name, or one
        number: check the length before you use the first. Raises `UnreadableResponse` if the API ignores the filter.
        """
        numbers = () if organization_no is None else _spellings(organization_no)
        conditions: list[Condition] = []
        if name is not None:
            conditions.append(field("name") == name)
        if organization_no is not None:
            swedish, other = field("organization_no"), field("non_swedish_organization_no")
            conditions.append(swedish.is_in(numbers) | other.is_in(numbers))
        if creditor_number is not None:
            conditions.append(field("creditor_number") == check_count(creditor_number, "creditor_number"))
        if not conditions:
            raise ConfigurationError("find() needs a name, an organization_no or a creditor_number")
        found = tuple(await self.stream(reduce(and_, conditions)).collect())
        for creditor in found:  # payments are sent to the one that is found
            has_number = {creditor.organization_no, creditor.non_swedish_organization_no}.intersection(numbers)
            if (
                name not in (None, creditor.name)
                or creditor_number not in (None, creditor.creditor_number)
                or bool(has_number) is (organization_no is None)
            ):
                raise filter_ignored(self.path)
        return found


def _spellings(number: str) -> tuple[str, ...]:
    """An organisation number with and without its hyphen: the API does not document which one it stores."""
    digits = number.replace("-", "") if isinstance(number, str) else ""
    if not (digits.isdecimal() and len(digits) >= 10):  # a century may precede the ten digits
        return (number,)
    return digits, f"{digits[:-4]}-{digits[-4:]}"
