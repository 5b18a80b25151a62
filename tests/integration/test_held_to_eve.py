"""The sandbox is held to Eve: equal requests go to it and to a real Eve over equal rows, and the answers must agree.

Eve runs on mongomock in place of MongoDB. Where mongomock differs from what MongoDB documents, the sandbox follows
MongoDB and the query is left out here. These are:

- a sort by a field that holds arrays: MongoDB takes the smallest (descending: largest) element, mongomock the first;
- `$gte` and `$lte` null, which match null and missing fields in MongoDB and nothing in mongomock, and null sought in a
  name that leads through a text or a number;
- filters and directions of `sort` that MongoDB refuses, such as `$not` outside a field: mongomock notices only when a
  row meets the bad part, if at all; and a `sort` that is no list, which the real driver refuses unsent (400);
- true beside 1: equal in Python and so in mongomock, not in MongoDB;
- `$size` of an object or a missing field, `$type` by its number, `$all` with an empty list, `$in` and `$nin` over names
  that lead into arrays of objects, `$mod`, `$text`, `$expr`, bits and geometry: mongomock lacks them or has its own;
- projections that MongoDB refuses (a field and a part of it) or computes (values that are no numbers), and those with
  numbers other than 0 and 1, which mongomock refuses;
- a page that does not fit into 64 bits, which mongomock does not mind.
"""

import json
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import chain, product
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from amili_async.sandbox import Sandbox

with warnings.catch_warnings():  # Eve and what it stands on use names that their own makers are about to drop
    warnings.simplefilter("ignore")
    import eve.io.mongo.flask_pymongo
    import mongomock
    from bson import ObjectId
    from eve import Eve

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(eve|mongomock|flask|werkzeug|ast)"),
]

PAYOUTS, SPECIFICATIONS, PAYMENTS = "finance--payouts", "finance--payout-specifications", "creditor--payments"
SIZES: dict[str, Any] = {"payouts": 16, "specifications": 130, "payments": 28, "seed": 7}
ROWS = {resource: Sandbox(**SIZES).rows(resource) for resource in (PAYOUTS, SPECIFICATIONS, PAYMENTS)}
ID_FIELDS = {"_id", "creditor", "payout", "account", "case", "debt_collection", "enforcement"}
DATE_FORMAT = "%a, %d %b %Y %H:%M:%S GMT"

ID, DATE, TEXT, NUMBER = ({"type": name} for name in ("objectid", "datetime", "string", "number"))
PAYMENT_SCHEMA = {
    "account": ID,
    "creditor": ID | {"required": True},
    "case": ID | {"required": True, "excludes": "invoice_number"},
    "invoice_number": TEXT | {"required": True, "excludes": "case"},
    "currency": TEXT | {"required": True, "allowed": ["SEK"]},
    "amount": NUMBER | {"required": True},
    "bank_transaction_date": DATE | {"required": True},
    "client_registration_date": DATE,
    "creditor_payment_reference": TEXT,
    "file_import_report": ID | {"readonly": True},
    "origin": TEXT | {"required": True, "allowed": ["creditor_system"]},
}
"""What a POST must hold, in Eve's own words; the sandbox says the same in code of its own."""


def shown_fields(resource: str) -> dict[str, Any]:
    """A schema that shows every field of the rows; nothing can be posted by it."""
    return {name: {"readonly": True} for row in ROWS[resource] for name in row if name[0] != "_"}


def as_mongo(name: str, value: Any) -> Any:
    """A value as MongoDB would hold it."""
    if isinstance(value, dict):
        return {each: as_mongo(each, part) for each, part in value.items()}
    if isinstance(value, list):
        return [as_mongo(name, each) for each in value]
    if isinstance(value, str) and name in ID_FIELDS:
        return ObjectId(value)
    if isinstance(value, str) and (name.endswith("_date") or name in ("_created", "_updated")):
        return datetime.strptime(value, DATE_FORMAT).replace(tzinfo=UTC)
    return float(value) if hasattr(value, "quantize") else value


@pytest.fixture(scope="module")
def eve_client() -> Iterator[Any]:
    """A client of an Eve app that is set up as Amili's API is, with the sandbox's rows."""
    store: Any = mongomock.MongoClient(tz_aware=True)
    domain = {
        PAYOUTS: {"schema": shown_fields(PAYOUTS)},
        SPECIFICATIONS: {"schema": shown_fields(SPECIFICATIONS)},
        PAYMENTS: {"schema": shown_fields(PAYMENTS) | PAYMENT_SCHEMA, "resource_methods": ["GET", "POST"]},
    }
    for resource, rows in ROWS.items():
        store["amili"][resource].insert_many([as_mongo("", row) for row in rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eve.io.mongo.flask_pymongo, "MongoClient", lambda **_: store)
        app = Eve(settings={"DOMAIN": domain, "PAGINATION_LIMIT": 100, "HATEOAS": False, "MONGO_DBNAME": "amili"})
        app.logger.disabled = True
        yield app.test_client()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ask() -> AsyncIterator[Any]:
    """Puts a request to the sandbox; gives status, headers and body."""
    async with Sandbox(**SIZES, rate_limit=None) as sandbox, aiohttp.ClientSession() as session:
        key = {"X-API-Key": sandbox.token()}

        async def put(path: str, *, method: str = "GET", **options: Any) -> tuple[int, Any, bytes]:
            headers = key | options.pop("headers", {})
            url = URL(sandbox.url + path, encoded=True)
            async with session.request(method, url, headers=headers, **options) as response:
                return response.status, response.headers, await response.read()

        yield put


def difference(ours: tuple[int, Any, bytes], theirs: Any) -> str:
    """The first thing in which two answers differ, in few words; empty where they agree."""
    if ours[0] != theirs.status_code:
        return f"status {ours[0]} for {theirs.status_code}"
    for name in ("X-Total-Count", "ETag", "Last-Modified"):
        if ours[1].get(name) != theirs.headers.get(name):
            return f"{name}: {ours[1].get(name)} for {theirs.headers.get(name)}"
    if "html" in theirs.headers.get("Content-Type", ""):
        return "" if "html" in ours[1]["Content-Type"] else "no HTML"
    mine, wanted = (json.loads(body) if body else {} for body in (ours[2], theirs.data))
    pairs = zip(spelled(mine.pop("_items", [])), spelled(wanted.pop("_items", [])), strict=True)
    unequal = [f"item {place}: {mine} for {item}" for place, (mine, item) in enumerate(pairs) if mine != item]
    return unequal[0] if unequal else "" if spelled([mine]) == spelled([wanted]) else f"{mine} for {wanted}"


def spelled(items: list[Any]) -> list[str]:
    """Documents as text: 1064 and 1064.0 differ, the order of names does not matter."""
    return [json.dumps(item, sort_keys=True) for item in items]


def some(resource: str, name: str, place: int = 3) -> Any:
    """The value of a field in one of the rows that have it."""
    return [row[name] for row in ROWS[resource] if row.get(name) is not None][place]


def filters_of(resource: str) -> Iterator[Any]:
    """Good filters: every operator, on every kind of value that the rows of a resource hold."""
    for name in ("_created", "_id", "creditor", "amount", "currency"):
        value = some(resource, name)
        value = float(value) if name == "amount" else value
        yield {name: value}
        for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
            yield {name: {operator: value}}
        yield {name: {"$in": [value, some(resource, name, 5), "x"]} if name != "amount" else {"$in": [value, 1064]}}
        yield {name: {"$nin": [value, "x", 5]}}
        yield {name: {"$not": {"$gt": value}}}
        yield {name: {"$exists": False}}
    middle = float(some(resource, "amount", 9))
    created = some(resource, "_created", 9)
    yield {"amount": {"$gte": 100, "$lt": middle}, "_created": {"$lte": created}}
    yield {"$or": [{"amount": {"$lt": 500}}, {"_created": {"$gt": created}}], "currency": "SEK"}
    yield {"$and": [{"amount": {"$gt": 500}}, {"$nor": [{"amount": {"$gt": middle}}, {"currency": "EUR"}]}]}
    yield {"$nor": [{"creditor": some(resource, "creditor")}]}
    yield {"amount": {"$gt": "500"}}
    yield {"currency": {"$gt": 5}}
    yield {"amount": True}
    yield {"amount": {"$type": "number"}}
    yield {"_id": {"$gt": "zz"}}
    yield {"_id": some(resource, "_id").upper()}
    yield {"unknown": 5}
    yield {"unknown": None}
    yield {"unknown": {"$ne": 5}}
    yield {"unknown.deep": {"$exists": False}}
    yield {"creditor": {"$in": [None]}}
    yield {"creditor": {"$nin": [None]}}
    yield {"unknown": {"$nin": [None]}}
    yield {"currency": {"$in": []}}


OWN_FILTERS: dict[str, list[Any]] = {
    PAYOUTS: [
        {"ready_for_payout": True},
        {"ready_for_payout": {"$ne": True}},
        {"payout_date": {"$exists": False}},
        {"payout_date": None},
        {"payout_reference": None},
        {"payout_reference": {"$gt": "5"}},
        {"summary.capital.count": {"$gte": 5}},
        {"summary.capital": {"$exists": True}},
        {"summary.capital.total_amount": {"$gt": 1000.5}},
        {"finance_interval": {"$in": ["weekly", "monthly"]}},
        {"finance_period_day": {"$lt": 100, "$gt": 10}},
        {"finance_period_start_date": {"$gte": "Mon, 1 feb 2025 00:00:00 gmt"}},
        {"finance_period_start_date": {"$gte": "2025-02-01"}},
        {"finance_period_start_date": {"$gte": "Sat, 31 Jun 2025 00:00:00 GMT"}},
        {"finance_period_start_date": {"$gte": "Sat, 01 Feb 2025 00:00:00 +0000"}},
        {"summary": {}},
    ],
    SPECIFICATIONS: [
        {"payout": None},
        {"payout": {"$exists": False}},
        {"payout": {"$ne": None}},
        {"payout": some(SPECIFICATIONS, "payout")},
        {"payout": some(SPECIFICATIONS, "payout"), "article": {"$ne": "capital"}},
        {"references.case": some(SPECIFICATIONS, "references")["case"]},
        {"references.case": {"$gt": some(SPECIFICATIONS, "references", 20)["case"]}},
        {"references.enforcement": {"$exists": True}},
        {"references.debt_collection": None},
        {"references": {"case": some(SPECIFICATIONS, "references", 0)["case"]}},
        {"references": {"$exists": False}},
        {"state": None},
        {"state": {"$in": ["instalment_plan", "reminder"]}},
        {"state": {"$nin": ["instalment_plan", "reminder"]}},
        {"invoice_numbers": some(SPECIFICATIONS, "invoice_numbers")[1]},
        {"invoice_numbers": some(SPECIFICATIONS, "invoice_numbers")},
        {"invoice_numbers": {"$in": some(SPECIFICATIONS, "invoice_numbers")[:1]}},
        {"invoice_numbers": {"$ne": some(SPECIFICATIONS, "invoice_numbers")[0]}},
        {"invoice_numbers": {"$all": some(SPECIFICATIONS, "invoice_numbers")[:2]}},
        {"invoice_numbers": {"$gt": "INV-2025-1000"}},
        {"invoice_numbers": {"$elemMatch": {"$gt": "INV-2025-1000", "$lt": "INV-2025-1500"}}},
        {"invoice_numbers.0": some(SPECIFICATIONS, "invoice_numbers")[0]},
        {"invoice_numbers.1": {"$exists": True}},
        {"invoice_numbers.5": {"$exists": False}},
        {"invoice_numbers": {"$type": "array"}},
        {"creditor_name": "Åkerströms Bygg AB"},
        {"creditor_name": {"$gte": "L"}},
        {"amount": 60},
        {"amount": 60.0},
        {"vat_amount": 0, "amount": {"$gt": 60.5}},
        {"total_amount": {"$in": [75, 75.0, 60.5]}},
        {"booking_date": {"$gte": "Mon, 01 Jun 2025 00:00:00 GMT", "$lte": "Mon, 30 Jun 2025 23:59:59 GMT"}},
        {"booking_date": {"$not": {"$gte": "Mon, 01 Apr 2025 00:00:00 GMT"}}},
        {"invoice_number": "a" * 24},
        {"$or": [{"article": "capital"}, {"article": "interest"}], "$and": [{"amount": {"$lt": 9000}}]},
        {"campaign": "sommar-2025"},
    ],
    PAYMENTS: [
        {"status": {"$ne": "completed"}},
        {"case": {"$exists": True}, "status": "warning"},
        {"invoice_number": {"$exists": True}},
        {"settled_amount": None},
        {"case_reference_number": None},
        {"creditor_payment_reference": "PAY-REF-013"},
        {"creditor_payment_reference": {"$in": ["PAY-REF-013", "PAY-REF-014"]}, "creditor": some(PAYMENTS, "creditor")},
    ],
}
BAD_WHERES = (
    *("[]", "null", "5", '"x"', "true", "[1]", "[{}]", "{}", "", '{"": 1}', "1"),
    *('{"amount": {"$regex": "1"}}', '{"$where": "1"}', '{"amount": {"$foo": 1}}', '{"a": [{"b": {"$foo": 1}}]}'),
    *('{"$or": 5}', '{"$or": [5]}', '{"$or": {}}', '{"$and": "x"}', '{"$or": []}'),
    *('{"a": {"$comment": 1}}', '{"$gt": 5}', '{"amount": {"$in": 5}}'),
)
NOT_JSON_WHERES = ("{", "x", "NaN", '{"a": NaN}', "{'a': 1}", '{"a": 1} x', "{a: 1}", "not a == 1", "a", "amount = 5")
SORTS = (
    *("", "_id", "-_id", "_created", "-_created", "-_created,_id", "-_created, -_id", " amount ,-_id", "-amount"),
    *("currency,-amount", "unknown", "-unknown,_id", "creditor,-_created,amount", "payout_date"),
    *(
        "None",
        "--amount",
        "_id,_id",
        "_id,",
        ",_id",
        "_id,,amount",
        ",",
        "-",
        "_id,-",
        "a b",
        "-_id,",
        "$natural",
        "a.",
    ),
    *("amount-_id", "references.case", "-references.case,_id", "summary.capital.count", "state,-_id"),
    *("payout,-_created", "-payout_reference", "-settled_amount,_id", "ready_for_payout,_id", "references", "-summary"),
)
PROJECTIONS = (
    *("", "{}", '{"amount": 1}', '{"amount": 0}', '{"amount": 1, "creditor": 0}', '{"amount": true}', '{"_id": 0}'),
    *('{"_id": 1}', '{"_id": 0, "amount": 1}', '{"unknown": 1}', '{"unknown": 0}', '{"amount": 1.0}'),
    *('{"references.case": 1}', '{"references.case": 0}', '{"summary.capital": 1}', '{"amount": null}', '{"_etag": 0}'),
    *('{"references.case": 1, "references.enforcement": 1}', '{"summary.capital.count": 1}', '{"amount.x": 1}'),
    *("[]", '["amount"]', "5", "null", '"amount"', "amount", "{", "NaN", '{"a": NaN}'),
)
PAGES = ("", "1", "2", "3", "0", "-1", "-2", "x", "2.0", "1e1", "inf", " 2 ", "+2", "1_0", "999", "٢", "None")
SIZES_ASKED = ("", "1", "7", "0", "-3", "2.7", "0.5", "100", "101", "1e3", "x", "nan", "inf", "-inf", " 5 ", "1_0")


def listings() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Every listing that is asked for: a resource and its parameters, in order, as one may stand twice."""
    for resource in ROWS:
        for where in chain(filters_of(resource), OWN_FILTERS[resource]):
            yield resource, [("where", json.dumps(where)), ("max_results", "40")]
        for sort in SORTS:
            yield resource, [("sort", sort), ("max_results", "30")]
        for projection in PROJECTIONS:
            yield resource, [("projection", projection), ("max_results", "12")]
    for where in BAD_WHERES:
        yield SPECIFICATIONS, [("where", where)]
    for page, size in chain(product(PAGES, ("7", "x")), product(("1", "-2"), SIZES_ASKED)):
        yield PAYMENTS, [("page", page), ("max_results", size), ("projection", '{"amount": 1}')]
    for where, sort, page in product(OWN_FILTERS[SPECIFICATIONS][::4], ("-_created,_id", "amount"), ("1", "3")):
        asked = [("where", json.dumps(where)), ("sort", sort), ("page", page), ("max_results", "9")]
        yield SPECIFICATIONS, [*asked, ("projection", '{"amount": 1, "references.case": 1}')]
    yield PAYOUTS, [("page", "2"), ("page", "1"), ("max_results", "5"), ("max_results", "3")]
    yield PAYOUTS, [("where", '{"currency": "EUR"}'), ("where", "{}"), ("unknown", "x")]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("resource", "asked"), list(listings()))
async def test_a_listing_is_that_of_eve(eve_client: Any, ask: Any, resource: str, asked: list[tuple[str, str]]) -> None:
    """Status, items, their order, `_meta` and `X-Total-Count` agree, or the error does."""
    path = f"/{resource}?{urlencode(asked)}"
    assert not difference(await ask(path), eve_client.get(path))


def places() -> Iterator[tuple[str, str]]:
    """Requests other than for listings: method and path."""
    for resource, rows in ROWS.items():
        one = f"/{resource}/{rows[5]['_id']}"
        yield from (("GET", f"{one}?{urlencode({'projection': text})}") for text in PROJECTIONS)
        yield from (("GET", path) for path in (one, f"{one}/", one.upper(), f"{one}0", f"{one}/x", f"/{resource}/"))
        yield from (("GET", f"{one}?max_results={size}") for size in ("inf", "x", "0"))
        yield "GET", f"/{resource}/{'0' * 24}"
        yield from ((method, one) for method in ("POST", "PUT", "PATCH", "DELETE"))
        yield from ((method, f"/{resource}") for method in ("PUT", "PATCH", "DELETE"))
    yield "POST", f"/{PAYOUTS}"
    yield "POST", f"/{SPECIFICATIONS}"
    yield from (("GET", path) for path in ("/nowhere", "/finance--payout", f"/{PAYOUTS.upper()}", "/a/b/c"))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("method", "path"), list(places()))
async def test_a_place_is_that_of_eve(eve_client: Any, ask: Any, method: str, path: str) -> None:
    """Single rows, unknown paths and refused methods agree."""
    assert not difference(await ask(path, method=method), eve_client.open(path, method=method))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("where", NOT_JSON_WHERES)
async def test_a_filter_that_is_not_json_is_a_bad_request_in_both(eve_client: Any, ask: Any, where: str) -> None:
    """Eve answers 400 as well, except to a Python comparison, which the sandbox does not implement."""
    path = f"/{PAYOUTS}?{urlencode({'where': where})}"
    status, _, body = await ask(path)
    assert status == eve_client.get(path).status_code == 400
    assert "does not implement" in json.loads(body)["_error"]["message"]


GOOD: dict[str, Any] = {
    "creditor": "674dbeb208847b9501cc9138",
    "case": "68678eda88b9226bb78d7169",
    "currency": "SEK",
    "amount": 100.1,
    "bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT",
    "origin": "creditor_system",
}
BY_INVOICE = {name: value for name, value in GOOD.items() if name != "case"} | {"invoice_number": "INV-1"}


def changes(name: str, *values: Any) -> list[dict[str, Any]]:
    """One field of a payment with several values."""
    return [{name: value} for value in values]


CHANGES: tuple[dict[str, Any], ...] = (
    *changes("amount", "100", "1e2", "x", "", True, None, [1], {}, -5, 0, 10**12),
    *changes("bank_transaction_date", "2025-07-04", "Fri, 4 jul 2025 16:20:41 gmt", 5, "", None, True),
    *changes("creditor", "zz", 5, None, "674DBEB208847B9501CC9138", "", []),
    *changes("case", "x", 5),
    *changes("account", "674dbeb208847b9501cc9138", "x", None),
    *changes("creditor_payment_reference", "", "Å" * 300, 5, None),
    *changes("client_registration_date", "Fri, 04 Jul 2025 16:20:41 GMT", "today"),
    *({"currency": "EUR"}, {"currency": 5}, {"currency": None}, {"origin": "x"}, {"origin": "x", "currency": "x"}),
    *(
        {"file_import_report": GOOD["case"]},
        {"unknown": 1},
        {"_created": "x"},
        {"_etag": "x"},
        {"_id": "x"},
    ),
    *({"invoice_number": "INV-1"}, {"invoice_number": None}, {"status": "completed"}, {"": 1}),
)


def bodies() -> Iterator[tuple[bytes, str]]:
    """What is posted: bodies and their content types."""
    json_type = "application/json"
    left_out = [{each: value for each, value in GOOD.items() if each != name} for name in GOOD]
    changed = [GOOD | change for change in CHANGES]
    several: tuple[Any, ...] = (
        [GOOD],
        [],
        [GOOD, BY_INVOICE],
        [GOOD, {}],
        [5],
        [GOOD, "x"],
        "",
        5,
        None,
        True,
        False,
        0,
    )
    for value in chain((GOOD, BY_INVOICE, {}, BY_INVOICE | {"invoice_number": 5}), left_out, changed, several):
        yield json.dumps(value).encode(), json_type
    yield from ((body, json_type) for body in (b"", b"{", b"[1", b"\xff", b'{"amount": 1,}'))
    good = json.dumps(GOOD).encode()
    yield from ((good, kind) for kind in ("application/json; charset=utf-8", "text/plain", "application/xml"))


def verdict(status: int, body: bytes) -> Any:
    """What must agree of the answer to a POST: the status, and per document its fate and the fields with issues."""
    if status == 500:
        return status
    content = json.loads(body)
    documents = content.get("_items", [content])
    return status, [(each["_status"], sorted(each.get("_issues", ()))) for each in documents]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("body", "kind"), list(bodies()))
async def test_a_post_is_judged_as_by_eve(eve_client: Any, ask: Any, body: bytes, kind: str) -> None:
    """Status and the fields with issues agree, for payments good and bad."""
    path, headers = f"/{PAYMENTS}", {"Content-Type": kind}
    theirs = eve_client.post(path, data=body, headers=headers)
    status, _, content = await ask(path, method="POST", data=body, headers=headers)
    assert verdict(status, content) == verdict(theirs.status_code, theirs.data)


def test_enough_is_compared() -> None:
    """At least three hundred queries, on each of the resources, and POSTs besides."""
    assert len(list(listings())) > 300
    assert {resource for resource, _ in listings()} == set(ROWS)
    assert len(list(bodies())) > 50
