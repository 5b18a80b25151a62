"""Every function that reads a response, applied to one: each reads it or raises an error of the package."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import Struct

from amili_async import AmiliError, ApiCodeCredentials
from amili_async._paging.scan_page import ScanPage
from amili_async._wire.api_code import read_token
from amili_async._wire.decoding import RecordDecoder
from amili_async._wire.protocol import Request, Response, raise_for_error, read_quota, read_retry_after, server_time
from amili_async.models import CreatedPayment, CreditorPayment, Payout, PayoutSpecification, Record, encode
from amili_async.models.record_type import record_type_of
from amili_async.policies import Priority

NOW = 1_750_000_000.0
REQUEST = Request(
    method="GET",
    target="/finance--payouts",
    label="GET /finance--payouts",
    operation="page",
    resource="finance--payouts",
    priority=Priority.SINGLE,
)


class Chosen(Struct, frozen=True):
    """A type of the caller, decoded through a wire type."""

    id: str
    amount: float | None = None
    booking_date: datetime | None = None
    references: dict[str, str] | None = None


TYPES = (Payout, PayoutSpecification, CreditorPayment, CreatedPayment, dict, Chosen)
READERS: list[RecordDecoder[Any]] = [RecordDecoder(record_type_of(each)) for each in TYPES]
READS = 6 + 2 * len(READERS)
"""How often one response is read."""


def read_in_every_way(response: Response, credentials: ApiCodeCredentials) -> int:
    """Return how often an error of the package was raised; any other error propagates."""
    errors = 0
    for read in _ways_to_read(response, credentials):
        try:
            read()
        except AmiliError as error:
            errors += 1
            str(error), repr(error)
    return errors


def _ways_to_read(response: Response, credentials: ApiCodeCredentials) -> Iterator[Callable[[], Any]]:
    yield partial(raise_for_error, REQUEST, response, now=NOW)
    yield partial(read_quota, response, now=NOW)
    yield partial(read_retry_after, response, now=NOW)
    yield partial(server_time, response, default=NOW)
    yield partial(read_token, response, credentials, now=NOW)
    yield partial(_read_keyed, response)
    for reader in READERS:
        yield partial(_read_page, reader, response)
        yield partial(_read_record, reader, response)


def _read_page(reader: RecordDecoder[Any], response: Response) -> None:
    """What was decoded can be encoded again."""
    for record in reader.read_page(response, request=REQUEST.label, number=1).items:
        encode(record)


def _read_record(reader: RecordDecoder[Any], response: Response) -> None:
    encode(reader.read_record(response, request=REQUEST.label))


def _read_keyed(response: Response) -> None:
    """As a partitioned scan reads it."""
    keys = RecordDecoder(record_type_of(Record)).read_page(response, request=REQUEST.label, number=1)
    page = ScanPage(
        items=keys.items, keys=keys.items, received=len(keys.items), max_results=keys.max_results, total=keys.total
    )
    page.check("0" * 24, "f" * 24).between("5" * 24, "6" * 24)
