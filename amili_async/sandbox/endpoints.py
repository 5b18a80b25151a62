"""From a request to an answer: the routes and what each of them does. Nothing here knows of sockets."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .answers import Answer, error_answer, invalid_answer, listing
from .dates import write_date
from .errors import Broken, Invalid, Refused, not_implemented
from .journal import ReceivedRequest
from .paging import read_window
from .payments import check, creation_result, read_payload, settle
from .rows import EPOCH, Row, read_projection
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
_ID = re.compile("[a-f0-9]{24}")


class Endpoints:
    """The API itself, over the given rows and tokens."""

    def __init__(
        self, collections: Mapping[str, Collection], office: TokenIssuer, *, make_id: Callable[[], str]
    ) -> None:
        self._collections = collections
        self._office = office
        self._make_id = make_id

    def answer(self, request: ReceivedRequest, now: float) -> Answer:
        """Carry a request out. Never raises for what a client sent."""
        try:
            return self._route(request, now)
        except Refused as refused:
            return error_answer(refused)
        except Invalid as invalid:
            return invalid_answer(invalid)
        except (Broken, RecursionError):
            return Answer.broken()

    def _route(self, request: ReceivedRequest, now: float) -> Answer:
        path = request.path.removesuffix("/")
        if path == TOKEN_PATH:
            _allow(request, "GET")
            return Answer.of(self._office.exchange(request.headers.get("x-api-key"), now))
        _, _, rest = path.partition("/")
        resource, slash, row_id = rest.partition("/")
        collection = self._collections.get(resource)
        if collection is None or (slash and not _ID.fullmatch(row_id)):
            raise Refused(404, NOT_FOUND)
        _allow(request, *(("GET", "POST") if resource == PAYMENTS and not slash else ("GET",)))
        self._office.check(request.headers.get("x-api-key"), now)
        if request.method == "POST":
            return self._create(collection, request, now)
        return _get_one(collection, row_id, request) if slash else _get_page(collection, request)

    def _create(self, collection: Collection, request: ReceivedRequest, now: float) -> Answer:
        posted = check(read_payload(request.body, request.headers.get("content-type", "")))
        rows = [settle(each, now=now, make_id=self._make_id) for each in posted]
        if len({row["_id"] for row in rows} - collection.rows.keys()) < len(rows):
            raise Refused(409)
        for row in rows:
            collection.put(row)
        results = [creation_result(row) for row in rows]
        content: Any = results[0] if len(results) == 1 else {"_status": "OK", "_items": results}
        return Answer.of(content, status=201, headers={"Location": f"/{PAYMENTS}/{rows[0]['_id']}"})


def _allow(request: ReceivedRequest, *methods: str) -> None:
    if request.method in ("HEAD", "OPTIONS"):
        raise not_implemented(f"{request.method} requests")
    if request.method not in methods:
        raise Refused(405, NOT_ALLOWED)
    if not _UNSUPPORTED_HEADERS.isdisjoint(request.headers):
        raise not_implemented("conditional requests")
    if request.query.get("embedded"):
        raise not_implemented("`embedded`")


def _get_page(collection: Collection, request: ReceivedRequest) -> Answer:
    window = read_window(request.query)
    rows = collection.select(request.query.get("where"), request.query.get("sort"))
    projection = read_projection(request.query.get("projection"))
    shown = rows[window.start : window.start + window.max_results]
    encoded = [row.encoded(projection) for row in shown]
    answer = listing(encoded, page=window.page, max_results=window.max_results, total=len(rows))
    return answer.with_headers(_last_modified(shown))


def _last_modified(rows: Sequence[Row]) -> dict[str, str]:
    latest = max((row.updated for row in rows), default=EPOCH)
    return {"Last-Modified": write_date(latest)} if latest > EPOCH else {}


def _get_one(collection: Collection, row_id: str, request: ReceivedRequest) -> Answer:
    read_window(request.query)
    projection = read_projection(request.query.get("projection"))
    row = collection.rows.get(row_id)
    if row is None:
        raise Refused(404, NOT_FOUND)
    etag = {"ETag": f'"{row.document.get("_etag", "")}"'}
    return Answer(body=row.encoded(projection), headers={**etag, "Last-Modified": write_date(row.updated)})
