"""What `amili pay` looks up: creditors by their numbers, the case of each payment, and the words for its status."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote

from msgspec import Struct

from amili_async.cli.console import printable
from amili_async.cli.payment_csv import CreditorIds, PaymentRow
from amili_async.client import AmiliClient
from amili_async.conditions import field
from amili_async.errors import AmiliError, ConfigurationError
from amili_async.models import Case, NewCreditorPayment
from amili_async.policies import RetryPolicy
from amili_async.readable import show_count

MAX_VALUES_BYTES = 4_000
"""Bytes of percent-encoded values in one request line; gateways reject lines of some 8,000."""
MAX_CREDITOR_NUMBER = 10**9
"""A longer number is an organisation number: a creditor number has seven digits."""


class CheckedPayment(Struct, frozen=True, kw_only=True):
    """A payment and its case."""

    row: PaymentRow
    """The payment."""
    case: Case | None = None
    """Its case, if it has exactly one that is open."""
    fault: str = ""
    """Why it has none."""

    def describe(self) -> str:
        """The case for a person, or the fault."""
        if self.case is None:
            return self.fault
        return printable(", ".join(filter(None, (self.case.reference_number or self.case.id, self.case.state))))


async def find_creditor_ids(amili: AmiliClient, numbers: Iterable[str]) -> CreditorIds:
    """The ids of all creditors that have each number, as their creditor number or organisation number."""
    ids: dict[str, Sequence[str]] = {}
    for number in numbers:
        found = [*await amili.creditors.find(organization_no=number)]
        if number.isdecimal() and 0 < int(number) < MAX_CREDITOR_NUMBER:
            found += await amili.creditors.find(creditor_number=int(number))
        ids[number] = sorted({creditor.id for creditor in found})
    return ids


async def check_cases(amili: AmiliClient, rows: Sequence[PaymentRow]) -> list[CheckedPayment]:
    """Whether each payment belongs to exactly one open case: some fifty payments of a creditor per request."""
    numbers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.payment.invoice_number is not None:
            numbers[row.payment.creditor].add(row.payment.invoice_number)
    by_id = {row.payment.case for row in rows if row.payment.case is not None}
    found: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for name, creditor, values in (
        *(("debt.invoice_number", creditor, values) for creditor, values in numbers.items()),
        ("_id", "", by_id),
    ):
        for batch in _batch(name, sorted(values)):
            condition = field(name).is_in(batch)
            if creditor:
                condition &= field("creditor") == creditor
            async for case in amili.cases.stream(condition):
                # By what the row states: a server that ignores the filter must not lend a payment another's case.
                number = str(case.debt.get("invoice_number")) if case.debt else ""
                found[("", case.id) if name == "_id" else (case.creditor or creditor, number)].append(case)
    return [_judge(row, found) for row in rows]


class StatusReasons:
    """The reasons of statuses in words, each looked up once."""

    def __init__(self, amili: AmiliClient) -> None:
        # One attempt: no payment waits long for a text.
        self._amili = amili.with_options(retry=RetryPolicy(attempts=1))
        self._texts: dict[str, str] = {}

    async def find(self, key: str | None) -> str | None:
        """The text of a key in English, else in Swedish; the key if there is none."""
        if key is not None and key not in self._texts:
            self._texts[key] = key
            with suppress(AmiliError):  # a payment is registered whether or not a text is found
                for language in ("sv", "en"):
                    text = await self._amili.explain(key, language=language)
                    self._texts[key] = self._texts[key] if text == key else text
        return self._texts.get(key or "")


def _batch(name: str, values: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = MAX_VALUES_BYTES
    for value in values:
        with suppress(ConfigurationError):  # the API cannot find a text that looks like an id or a date
            field(name).is_in([value])
            room -= len(quote(value)) + 9
            if room < 0 and batch:
                yield batch
                batch, room = [], MAX_VALUES_BYTES - len(quote(value)) - 9
            batch.append(value)
    if batch:
        yield batch


def _judge(row: PaymentRow, found: dict[tuple[str, str], list[Case]]) -> CheckedPayment:
    payment = row.payment
    key = ("", payment.case) if payment.case is not None else (payment.creditor, payment.invoice_number or "")
    cases = {case.id: case for case in found.get(key, ())}
    own = [case for case in cases.values() if case.creditor in (None, payment.creditor)]
    is_open = [case for case in own if case.is_open]
    if len(is_open) == 1:
        return CheckedPayment(row=row, case=is_open[0])
    return CheckedPayment(row=row, fault=_explain(payment, cases=len(cases), own=len(own), open_cases=len(is_open)))


def _explain(payment: NewCreditorPayment, *, cases: int, own: int, open_cases: int) -> str:
    if not cases:
        return "no case with this invoice number" if payment.case is None else "no such case"
    if not own:
        return "the case of another creditor"
    return f"{show_count(open_cases, 'open case')}" if open_cases else "a closed case"
