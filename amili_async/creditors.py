"""The resource `creditors`: from a name or a number to the id that payments and filters need."""

from amili_async._wire.checks import check_count
from amili_async._wire.context import ClientContext
from amili_async.conditions import Condition, field
from amili_async.errors import ConfigurationError
from amili_async.models import Creditor
from amili_async.resources import Resource

MAX_CREDITOR_NUMBER = 2**31
"""Larger numbers are no creditor numbers: they have seven digits, organisation numbers ten."""


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
        number: check the length before you use the first.
        """
        conditions: list[Condition] = []
        if name is not None:
            conditions.append(field("name") == name)
        if organization_no is not None:
            conditions.append(has_organization_no(organization_no))
        if creditor_number is not None:
            conditions.append(field("creditor_number") == check_count(creditor_number, "creditor_number"))
        if not conditions:
            raise ConfigurationError("find() needs a name, an organization_no or a creditor_number")
        condition = conditions[0]
        for each in conditions[1:]:
            condition &= each
        return tuple(await self.stream(condition).collect())


def has_organization_no(text: str) -> Condition:
    """The filter for an organisation number, which the API may have stored with or without its hyphen."""
    digits = text.replace("-", "").strip() if isinstance(text, str) else ""
    forms = {text}
    if digits.isdecimal() and len(digits) >= 10:  # a century may precede the ten digits
        forms |= {digits, f"{digits[:-4]}-{digits[-4:]}"}
    values = sorted(forms)
    return field("organization_no").is_in(values) | (field("non_swedish_organization_no").is_in(values))
