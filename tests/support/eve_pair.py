"""A real Eve 2.3 and a sandbox with equal rows, and the difference between their answers.

Eve runs on mongomock instead of MongoDB. Where mongomock differs from the documentation of MongoDB, the sandbox follows
MongoDB and the query is left out here (`tests/unit/sandbox/test_mongodb_rules.py` has some of them):

- a sort by a field that holds arrays: MongoDB takes the smallest (descending: largest) element, mongomock the first;
- `$gte` and `$lte` null, which match null and missing fields in MongoDB and nothing in mongomock, and equality to null
  under a dotted name that leads through a text or a number;
- filters that MongoDB rejects, such as `$not` outside a field: mongomock raises only when a row reaches the invalid
  part, if at all;
- true and 1: equal in Python and so in mongomock, not in MongoDB;
- `$size` of an object or a missing field, `$type` by its number, `$all` with an empty list, `$in` and `$nin` under
  names that lead into arrays of objects, `$mod`, `$text`, `$expr`, bits and geometry: mongomock lacks them or differs;
- projections that MongoDB rejects (a field and a part of it) or computes (values that are not numbers), and those with
  numbers other than 0 and 1, which mongomock rejects;
- a page that does not fit into 64 bits, which mongomock accepts.
"""

import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from yarl import URL

from amili_async.sandbox import Sandbox
from amili_async.sandbox.seeding import SeedData

with warnings.catch_warnings():  # Eve and its dependencies use deprecated names
    warnings.simplefilter("ignore")
    import eve.io.mongo.flask_pymongo
    import mongomock
    from bson import ObjectId
    from eve import Eve

PAYOUTS, SPECIFICATIONS, PAYMENTS = "finance--payouts", "finance--payout-specifications", "creditor--payments"
CREDITORS, CASES, LOCALES = "creditors", "cases", "locales"
SIZES: dict[str, Any] = {"payouts": 16, "specifications": 130, "payments": 28, "seed": 7}
SEED_DATA = SeedData(**SIZES)
ROWS = {
    PAYOUTS: SEED_DATA.payouts(),
    SPECIFICATIONS: SEED_DATA.specifications(),
    PAYMENTS: SEED_DATA.payments(),
    CREDITORS: SEED_DATA.creditors(),
    CASES: SEED_DATA.cases(),
    LOCALES: SEED_DATA.locales(),
}
ID_FIELDS = {"_id", "creditor", "payout", "account", "case", "debt_collection", "enforcement"}
ID_FIELDS |= {"partner", "customer", "case_registration"}
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
"""The schema of a POST as Eve's settings; the sandbox has its own code for it."""


def shown_fields(resource: str) -> dict[str, Any]:
    """A schema that shows every field of the rows, all of them read-only."""
    return {name: {"readonly": True} for row in ROWS[resource] for name in row if name[0] != "_"}


def as_mongo(name: str, value: Any) -> Any:
    """A value as MongoDB holds it."""
    if isinstance(value, dict):
        return {each: as_mongo(each, part) for each, part in value.items()}
    if isinstance(value, list):
        return [as_mongo(name, each) for each in value]
    if isinstance(value, str) and name in ID_FIELDS:
        return ObjectId(value)
    if isinstance(value, str) and (name.endswith("_date") or name in ("_created", "_updated")):
        return datetime.strptime(value, DATE_FORMAT).replace(tzinfo=UTC)
    return float(value) if hasattr(value, "quantize") else value


class Pair:
    """An Eve and a sandbox with equal rows."""

    def __init__(self, eve_client: Any, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self._eve = eve_client
        self._sandbox = sandbox
        self._session = session

    async def send(self, method: str, path: str, **options: Any) -> tuple[tuple[int, Any, bytes], Any]:
        """The answers of both to one request: status, headers and body of the sandbox, and Eve's response."""
        headers = {"X-API-Key": self._sandbox.token(), **options.get("headers", {})}
        url = URL(self._sandbox.url + path, encoded=True)
        async with self._session.request(method, url, **{**options, "headers": headers}) as response:
            ours = response.status, response.headers, await response.read()
        return ours, self._eve.open(path, method=method, **options)


def make_eve() -> Eve:
    """An Eve app with the settings of the API and the rows of the sandbox, in a store of its own."""
    store: Any = mongomock.MongoClient(tz_aware=True)
    domain = {
        PAYOUTS: {"schema": shown_fields(PAYOUTS)},
        SPECIFICATIONS: {"schema": shown_fields(SPECIFICATIONS)},
        **{resource: {"schema": shown_fields(resource)} for resource in (CREDITORS, CASES, LOCALES)},
        PAYMENTS: {"schema": shown_fields(PAYMENTS) | PAYMENT_SCHEMA, "resource_methods": ["GET", "POST"]},
    }
    for resource, rows in ROWS.items():
        store["amili"][resource].insert_many([as_mongo("", row) for row in rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eve.io.mongo.flask_pymongo, "MongoClient", lambda **_: store)
        app = Eve(settings={"DOMAIN": domain, "PAGINATION_LIMIT": 100, "HATEOAS": False, "MONGO_DBNAME": "amili"})
        app.test_client().get(f"/{PAYOUTS}")  # Eve connects at its first request, so send one under the patch
    app.logger.disabled = True
    return app


@asynccontextmanager
async def open_pair() -> AsyncIterator[Pair]:
    """A new pair of servers."""
    async with Sandbox(**SIZES, rate_limit=None) as sandbox, aiohttp.ClientSession() as session:
        yield Pair(make_eve().test_client(), sandbox, session)


def difference(ours: tuple[int, Any, bytes], theirs: Any) -> str:
    """The first difference between two answers; empty where they agree."""
    if ours[0] != theirs.status_code:
        return f"status {ours[0]}, Eve {theirs.status_code}"
    for name in ("X-Total-Count", "ETag", "Last-Modified"):
        if ours[1].get(name) != theirs.headers.get(name):
            return f"{name}: {ours[1].get(name)}, Eve {theirs.headers.get(name)}"
    if "html" in theirs.headers.get("Content-Type", ""):
        return "" if "html" in ours[1]["Content-Type"] else "the body is not HTML"
    mine, wanted = (json.loads(body) if body else {} for body in (ours[2], theirs.data))
    pairs = zip(spelled(mine.pop("_items", [])), spelled(wanted.pop("_items", [])), strict=True)
    unequal = [f"item {place}: {mine}, Eve {item}" for place, (mine, item) in enumerate(pairs) if mine != item]
    return unequal[0] if unequal else "" if spelled([mine]) == spelled([wanted]) else f"{mine}, Eve {wanted}"


def spelled(items: list[Any]) -> list[str]:
    """Documents as text: 1064 and 1064.0 differ, the order of names does not matter."""
    return [json.dumps(item, sort_keys=True) for item in items]
