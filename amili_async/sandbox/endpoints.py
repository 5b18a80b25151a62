"""The routes of the API: from a request to an answer, without any socket."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from .answers import Answer, HttpError, InvalidDocuments, ServerCrash, not_implemented, page_answer
from .bson_values import write_date
from .journal import ReceivedRequest
from .paging import parse_page_slice
from .payments import completed_row, creation_result, read_payload, validated
from .rows import EPOCH, parse_projection
from .store import Collection
from .tokens import TokenIssuer

TOKEN_PATH = "/authenticates/api-code"  # noqa: S105
PAYMENTS = "creditor--payments"
NOT_FOUND = (
    "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
)
NOT_ALLOWED = "The method is not allowed for the requested URL."
_UNSUPPORTED_HEADERS = frozenset({"if-modified-since", "if-none-match"})
_ID = re.compile("[a-f0-9]{24}")  # lower case only: Eve 2.3 answers an upper-case id with 404


class Endpoints:
    """The API over the given rows and tokens."""

    def __init__(self, collections: Mapping[str, Collection], tokens: TokenIssuer, make_id: Callable[[], str]) -> None:
        self._collections = collections
        self._tokens = tokens
        self._make_id = make_id

    def answer(self, request: ReceivedRequest, now: float) -> Answer:
        """Carry out a request at epoch *now*. Never raises, whatever the client sent."""
        try:
            return self._route(request, now)
        except (HttpError, InvalidDocuments) as failure:
            return failure.answer()
        except Exception:  # noqa: BLE001  # Flask sends this page for every exception that Eve does not catch
            return ServerCrash().answer()

    def _route(self, request: ReceivedRequest, now: float) -> Answer:
        path = request.path.removesuffix("/")
        if path == TOKEN_PATH:
            _check_supported(request, "GET")
            return Answer.of(self._tokens.exchange(request.headers.get("x-api-key"), now))
        resource, slash, row_id = path.partition("/")[2].partition("/")
        collection = self._collections.get(resource)
        if collection is None or (slash and not _ID.fullmatch(row_id)):
            raise HttpError(404, NOT_FOUND)
        _check_supported(request, *(("GET", "POST") if resource == PAYMENTS and not slash else ("GET",)))
        self._tokens.check(request.headers.get("x-api-key"), now)
        if request.method == "POST":
            return self._create(collection, request, now)
        return _get_one(collection, row_id, request) if slash else _get_page(collection, request)

    def _create(self, collection: Collection, request: ReceivedRequest, now: float) -> Answer:
        documents = validated(read_payload(request.body, request.headers.get("content-type", "")))
        rows = [completed_row(each, now=now, make_id=self._make_id) for each in documents]
        if len({row["_id"] for row in rows} - collection.rows.keys()) < len(rows):
            raise HttpError(409)
        for row in rows:
            collection.put(row)
        results = [creation_result(row) for row in rows]
        content: Any = results[0] if len(results) == 1 else {"_status": "OK", "_items": results}
        return Answer.of(content, status=201, headers={"Location": f"/{PAYMENTS}/{rows[0]['_id']}"})


def _check_supported(request: ReceivedRequest, *methods: str) -> None:
    if request.method in ("HEAD", "OPTIONS"):
        raise not_implemented(f"{request.method} requests")
    if request.method not in methods:
        raise HttpError(405, NOT_ALLOWED)
    if not _UNSUPPORTED_HEADERS.isdisjoint(request.headers):
        raise not_implemented("conditional requests")
    if request.query.get("embedded"):
        raise not_implemented("`embedded`")


def _get_page(collection: Collection, request: ReceivedRequest) -> Answer:
    page_slice = parse_page_slice(request.query)
    rows = collection.select(request.query.get("where"), request.query.get("sort"))
    projection = parse_projection(request.query.get("projection"))
    shown = rows[page_slice.start : page_slice.start + page_slice.max_results]
    encoded = [row.encoded(projection) for row in shown]
    answer = page_answer(encoded, page=page_slice.page, max_results=page_slice.max_results, total=len(rows))
    latest = max((row.updated for row in shown), default=EPOCH)
    return answer.with_headers({"Last-Modified": write_date(latest)}) if latest > EPOCH else answer


def _get_one(collection: Collection, row_id: str, request: ReceivedRequest) -> Answer:
    parse_page_slice(request.query)  # Eve 2.3 parses the parameters of a list here too: max_results=inf is a 500
    projection = parse_projection(request.query.get("projection"))
    row = collection.rows.get(row_id)
    if row is None:
        raise HttpError(404, NOT_FOUND)
    etag = {"ETag": f'"{row.document.get("_etag", "")}"'}
    return Answer(body=row.encoded(projection), headers={**etag, "Last-Modified": write_date(row.updated)})
