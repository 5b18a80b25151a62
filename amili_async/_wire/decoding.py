"""Decode a successful response into a page or a record, with one decoder per record type.

Invariant: a response that is not as documented raises an error that names the place, but shows no value.
"""

import re
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct, field

from amili_async._wire.error_responses import body_reports_error, error_from_response
from amili_async._wire.protocol import MAX_PAGE_SIZE, Response, not_an_answer
from amili_async.errors import UnreadableResponse
from amili_async.models.record_type import RecordType
from amili_async.pages import Page

T = TypeVar("T")

MAX_TOTAL = 10**18
"""Records: a larger total cannot be a count, and would overflow the floating point numbers of the paging."""

# A decoder calls Decimal, datetime and the caller's own __post_init__, so it raises more than msgspec's errors.
_FAILURES = (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError)
# msgspec's other messages quote the input, for example an invalid enum value.
_SAFE_REASON = r"(Expected `|Object missing required field|Object contains unknown|Expected an RFC 1123)"


class _Meta(Struct, frozen=True, gc=False):
    page: int | None = None
    max_results: int | None = None
    total: int | None = None


class _ListBody(Struct, Generic[T], frozen=True, gc=False):
    items: tuple[T, ...] = field(name="_items")
    meta: _Meta | None = field(name="_meta", default=None)
    status: str | None = field(name="_status", default=None)


class _RawListBody(Struct, frozen=True):
    items: list[msgspec.Raw] = field(name="_items")


class _Identity(Struct, frozen=True):
    id: str | None = field(name="_id", default=None)


class RecordDecoder(Generic[T]):
    """Decodes responses that hold records of one type."""

    def __init__(self, record_type: RecordType[T]) -> None:
        self._record_type = record_type

    @cached_property  # building a decoder costs as much as decoding a page, and a client has many that it never uses
    def _page(self) -> msgspec.json.Decoder[Any]:
        body: Any = _ListBody
        return _decoder(body[self._record_type.wire])

    @cached_property
    def _record(self) -> msgspec.json.Decoder[Any]:
        return _decoder(self._record_type.wire)

    def read_page(self, response: Response, *, request: str, number: int | None, size: int = MAX_PAGE_SIZE) -> Page[T]:
        """Decode a page; *request* is method and path, *number* and *size* the requested page (`None`: any) and size.

        Raises `UnreadableResponse` with the place in the JSON that is not as documented, `ConnectionFailed` if the JSON
        is cut off, or an `ApiError` if the body reports an error.
        """
        failure: Exception | None = None
        try:
            body = self._page.decode(response.body)
            items = self._record_type.convert(body.items) if self._record_type.converts else body.items
            meta = body.meta or _Meta()
            _check_meta(meta, number)
        except _FAILURES as error:
            failure = error
        if failure is None and body.status != "ERR":  # Eve reports errors in the body, even of a 200
            # A size above the requested one would make each page look short, and so like the last.
            stated = meta.max_results if meta.max_results is None else min(meta.max_results, size)
            page = Page(items=items, number=number or meta.page or 1, max_results=stated, total=meta.total)
            return page.with_response(response.status, response.headers)
        failure = _explain(request, response, failure, place=r"$._items[\1]")  # not msgspec's, which quotes values
        body = items = None
        raise failure

    def read_record(self, response: Response, *, request: str, record_id: str | None = None) -> T:
        """Decode one record likewise; with *record_id*, another record is an error."""
        failure: Exception | None = None
        if not body_reports_error(response.body):
            try:
                record = self._record.decode(response.body)
                read = self._record_type.convert([record])[0] if self._record_type.converts else record
                if record_id is not None:
                    _check_id(response.body, record_id)
            except _FAILURES as error:
                failure = error
            else:
                return read
        record = read = None
        failure = _explain(request, response, failure, place="$")
        raise failure


def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    hook: Any = dict.__getitem__  # the type of a date is the dict to look it up in: see models/timestamps.py
    # float_hook serves fields without a type: money in an `into=dict` is exact too.
    return msgspec.json.Decoder[Any](type_, dec_hook=hook, float_hook=Decimal)


@lru_cache(maxsize=256)
def decoder_for(record_type: RecordType[T]) -> RecordDecoder[T]:
    """The decoder of a record type, one for all its listings."""
    return RecordDecoder(record_type)


def _check_meta(meta: _Meta, number: int | None) -> None:
    """Raise if the counts of a page cannot be true, or belong to another page than *number*."""
    if meta.total is not None and not 0 <= meta.total <= MAX_TOTAL:
        raise msgspec.ValidationError("Expected `int` between 0 and 10**18 - at `$._meta.total`")
    if meta.max_results is not None and meta.max_results < 1:
        raise msgspec.ValidationError("Expected `int` >= 1 - at `$._meta.max_results`")
    if None not in (number, meta.page) and meta.page != number:
        raise msgspec.ValidationError("Expected `the requested page` - at `$._meta.page`")


def _check_id(body: bytes, record_id: str) -> None:
    """Raise if the response holds another record than the requested one; a record without an id passes."""
    answered = msgspec.json.decode(body, type=_Identity).id
    if answered is not None and answered.lower() != record_id.lower():
        raise msgspec.ValidationError("Expected `the requested record` - at `$._id`")


def _explain(request: str, response: Response, failure: Exception | None, *, place: str) -> Exception:
    """The error to raise. msgspec's own error is dropped here, since its message may quote a record.

    *place* replaces the index at the start of a conversion error's path: converted records are a list of their own.
    """
    if failure is None or body_reports_error(response.body):
        return error_from_response(request, response.status, response.body).with_headers(response.headers)
    if isinstance(failure, msgspec.DecodeError) and not isinstance(failure, msgspec.ValidationError):
        return not_an_answer(request, response)
    found = re.search(r" - at `(\$[^`]*)`$", str(failure))
    location = re.sub(r"^\$\[([0-9]+)\]", place, found[1]) if found else ""
    reason = str(failure)[: found.start()] if found else str(failure)
    if not isinstance(failure, msgspec.ValidationError):
        reason = "the body is not valid JSON"
    elif re.match(_SAFE_REASON, reason) is None:
        reason = "a value does not fit its type"
    record_id = _id_at(response.body, location)
    place = f" at {location}" if location else ""
    whose = f" of record {record_id}" if record_id else ""
    return UnreadableResponse(
        f"{request}: the response (status {response.status}) is not as documented: {reason}{place}{whose}",
        request=request,
        location=location,
        record_id=record_id,
    ).with_headers(response.headers)


def _id_at(body: bytes, location: str) -> str | None:
    """The `_id` of the record in which the location lies; `None` if it cannot be decoded either."""
    found = re.match(r"\$\._items\[([0-9]+)\]", location)
    try:
        raw = msgspec.json.decode(body, type=_RawListBody).items[int(found[1])] if found else msgspec.Raw(body)
        record_id = msgspec.json.decode(raw, type=_Identity).id
    except (*_FAILURES, IndexError):
        return None
    return record_id if record_id is not None and re.fullmatch("[0-9a-f]{24}", record_id) else None
