"""From the bytes of a good answer to a page or a record, by one decoder built once per record type."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from amili_async._wire.error_responses import body_reports_error, error_from_response
from amili_async._wire.protocol import MAX_PAGE_SIZE, Response
from amili_async.errors import UnreadableResponse
from amili_async.models.record_type import RecordType

T = TypeVar("T")

LARGEST_TOTAL = 10**18
"""Records: more than that is no count, and what follows from it no floating point number."""

_FAILURES = (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError)
_SAFE_REASON = re.compile(r"(Expected `|Object missing required field|Object contains unknown|Expected an RFC 1123)")


class Page(Struct, Generic[T], frozen=True, gc=False, kw_only=True):
    """One page of a list."""

    items: tuple[T, ...]
    """The records, in the order asked for."""
    number: int
    """From 1."""
    max_results: int | None
    """How many records the server puts on a page (fewer than asked for, if it likes); `None` where it did not say."""
    total: int | None
    """How many records match in all; `None` where the server did not say."""

    def __repr__(self) -> str:
        return f"Page(number={self.number}, items={len(self.items)}, total={self.total})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


class _Meta(Struct, frozen=True, gc=False):
    page: int | None = None
    max_results: int | None = None
    total: int | None = None


class _Listing(Struct, Generic[T], frozen=True, gc=False):
    items: tuple[T, ...] = field(name="_items")
    meta: _Meta | UnsetType | None = field(name="_meta", default=UNSET)
    status: str | UnsetType | None = field(name="_status", default=UNSET)


class _RawListing(Struct, frozen=True):
    items: list[msgspec.Raw] = field(name="_items")


class _Identity(Struct, frozen=True):
    id: str | None = field(name="_id", default=None)


class RecordDecoder(Generic[T]):
    """Reads answers that hold records of one shape."""

    def __init__(self, shape: RecordType[T]) -> None:
        self._shape = shape
        listing: Any = _Listing
        hook: Any = dict.__getitem__  # asks the type itself: see models/fields.py
        self._listing = msgspec.json.Decoder[Any](listing[shape.wire], dec_hook=hook, float_hook=Decimal)
        self._record = msgspec.json.Decoder[Any](shape.wire, dec_hook=hook, float_hook=Decimal)  # also where untyped

    def read_page(self, response: Response, *, request: str, number: int | None, size: int = MAX_PAGE_SIZE) -> Page[T]:
        """Decode a page; *request* is method and path, *number* the page asked for (`None`: any), *size* its rows.

        `UnreadableResponse` says where in the JSON it is not as agreed; an `ApiError` where the body says `ERR`.
        """
        try:
            listing = self._listing.decode(response.body)
            items = self._shape.convert(listing.items) if self._shape.converts else listing.items
            failure = _check_meta(listing.meta, number)
        except _FAILURES as error:
            failure = error
        if failure is None and listing.status != "ERR":
            meta = listing.meta or _Meta()
            # A size larger than was asked for would make each page look like the last, as it is not full.
            stated = meta.max_results if meta.max_results is None else min(meta.max_results, size)
            return Page(items=items, number=number or meta.page or 1, max_results=stated, total=meta.total)
        raise _explain(request, response, failure, place=r"$._items[\1]")

    def read_record(self, response: Response, *, request: str, record_id: str | None = None) -> T:
        """Decode one record, likewise, which must be the one asked for where that is told."""
        failure: Exception | None = None
        if not body_reports_error(response.body):
            try:
                record = self._record.decode(response.body)
                read = self._shape.convert([record])[0] if self._shape.converts else record
                failure = None if record_id is None else _check_id(response.body, record_id)
            except _FAILURES as error:
                failure = error
            else:
                if failure is None:
                    return read
        raise _explain(request, response, failure, place="$")


@lru_cache(maxsize=256)
def decoder_for(shape: RecordType[T]) -> RecordDecoder[T]:
    """The reader for a shape: building its decoder costs as much as reading a page."""
    return RecordDecoder(shape)


def _check_meta(meta: _Meta | UnsetType | None, number: int | None) -> Exception | None:
    """What is wrong with the numbers of a page, if anything is."""
    if isinstance(meta, _Meta):
        if meta.total is not None and not 0 <= meta.total <= LARGEST_TOTAL:
            return msgspec.ValidationError("Expected `int` >= 0, and no absurd one - at `$._meta.total`")
        if meta.max_results is not None and meta.max_results < 1:
            return msgspec.ValidationError("Expected `int` >= 1 - at `$._meta.max_results`")
        if None not in (number, meta.page) and meta.page != number:
            return msgspec.ValidationError("Expected `the page asked for`, not another - at `$._meta.page`")
    return None


def _check_id(body: bytes, record_id: str) -> Exception | None:
    """Another record than the one asked for would be taken for it; one without an id is read as it is."""
    answered = msgspec.json.decode(body, type=_Identity).id
    if answered is None or answered.lower() == record_id.lower():
        return None
    return msgspec.ValidationError("Expected `the record asked for`, not another - at `$._id`")


def _explain(request: str, response: Response, failure: Exception | None, *, place: str) -> Exception:
    """The error to raise; the library's own, which may quote a record, goes no further than here.

    *place* is where the record stands that was decoded as the *n*th, but could not be converted.
    """
    if failure is None or body_reports_error(response.body):
        return error_from_response(request, response.status, response.body)
    found = re.search(r" - at `(\$[^`]*)`$", str(failure))
    location = re.sub(r"^\$\[([0-9]+)\]", place, found[1]) if found else ""
    reason = str(failure)[: found.start()] if found else str(failure)
    if not isinstance(failure, msgspec.ValidationError):
        reason = "the body is not valid JSON"
    elif _SAFE_REASON.match(reason) is None:
        reason = "a value is not as its type demands"
    record_id = _id_at(response.body, location)
    place = f" at {location}" if location else ""
    whose = f" of record {record_id}" if record_id else ""
    return UnreadableResponse(
        f"{request} was answered with {response.status}, but not in the agreed shape: {reason}{place}{whose}",
        request=request,
        location=location,
        record_id=record_id,
    )


def _id_at(body: bytes, location: str) -> str | None:
    """The `_id` of the record in which the place lies."""
    found = re.match(r"\$\._items\[([0-9]+)\]", location)
    try:
        raw = msgspec.json.decode(body, type=_RawListing).items[int(found[1])] if found else msgspec.Raw(body)
        record_id = msgspec.json.decode(raw, type=_Identity).id
    except (*_FAILURES, IndexError):
        return None
    return record_id if record_id is not None and re.fullmatch("[0-9a-f]{24}", record_id) else None
