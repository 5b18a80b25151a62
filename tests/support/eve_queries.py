"""The queries and POSTs by which the sandbox is compared with Eve: all of them, and a representative sample."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import chain, cycle, product
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlencode

from tests.support.eve_pair import CASES, CREDITORS, LOCALES, PAYMENTS, PAYOUTS, ROWS, SPECIFICATIONS
from tests.support.payments import CASE, CREDITOR

T = TypeVar("T")
Query: TypeAlias = tuple[str, str]
"""Method and path, the parameters included."""
Groups: TypeAlias = dict[str, list[Query]]
Body: TypeAlias = tuple[bytes, str]
"""The content of a POST and its content type."""


def listing(resource: str, *parameters: tuple[str, str]) -> Query:
    """The GET of a list; a parameter may appear twice."""
    return "GET", f"/{resource}?{urlencode(parameters)}"


def sample(cases: Iterable[T], features: Callable[[T], Iterable[Hashable]]) -> list[T]:
    """The cases that have a feature which no earlier case has."""
    seen: set[Hashable] = set()
    chosen = []
    for case in cases:
        if not seen.issuperset(features(case)):
            seen.update(features(case))
            chosen.append(case)
    return chosen


def some(resource: str, name: str, place: int = 3) -> Any:
    """The value of a field in one of the rows that have it."""
    return [row[name] for row in ROWS[resource] if row.get(name) is not None][place]


def filters_of(resource: str) -> Iterator[Any]:
    """Valid filters: every operator, on every kind of value in the rows of a resource."""
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
    CREDITORS: [
        {"name": "Åkerströms Bygg AB"},
        {"name": "åkerströms bygg ab"},
        {"creditor_number": some(CREDITORS, "creditor_number", 2)},
        {"creditor_number": str(some(CREDITORS, "creditor_number", 2))},
        {"organization_no": {"$in": [some(CREDITORS, "organization_no", 1), "5560120000"]}},
        {"$or": [{"non_swedish_organization_no": {"$exists": True}}, {"organization_no": "x"}], "is_active": True},
        {"partner": {"$exists": True}, "account": None},
        {"payout_details.sek.bankgiro": {"$gt": "5"}},
        {"case_config.payout_capital_by_invoice": True},
        {"status": "active"},
    ],
    CASES: [
        {"debt.invoice_number": some(CASES, "debt")["invoice_number"]},
        {"debt.invoice_number": {"$in": [some(CASES, "debt", 9)["invoice_number"], "INV-0"]}, "currency": "SEK"},
        {"debt.invoice_number": some(CASES, "debt")["invoice_number"], "creditor": some(CASES, "creditor")},
        {"debt.initial_capital": {"$gte": 5_000.5}},
        {"debt.invoice_date": {"$lt": "Sat, 01 Feb 2025 00:00:00 GMT"}},
        {"closed": True},
        {"closed": {"$ne": True}, "state": "reminder"},
        {"closed": None},
        {"customer": some(CASES, "customer")},
        {"latest_state_date": {"$gte": "Sat, 01 Mar 2025 00:00:00 GMT"}, "status": {"$ne": "initialized"}},
        {"state_history": {"$elemMatch": {"state": "reminder"}}},
    ],
    LOCALES: [
        {"locale_tag": "creditor_payment.overpaid"},
        {"translations.sv.translation": {"$exists": True}},
        {"translations.de": None},
        {"translation_pending": False},
    ],
}
BAD_WHERES = (
    *("[]", "null", '"x"', "{}", "", '{"": 1}', '{"amount": {"$regex": "1"}}', '{"a": [{"b": {"$foo": 1}}]}'),
    *('{"$or": 5}', '{"$gt": 5}', "5", "true", "[1]", "[{}]", "1", '{"$where": "1"}', '{"amount": {"$foo": 1}}'),
    *('{"$or": [5]}', '{"$or": {}}', '{"$and": "x"}', '{"$or": []}', '{"a": {"$comment": 1}}'),
    '{"amount": {"$in": 5}}',
)
NOT_JSON_WHERES = ("{", "x", "NaN", '{"a": NaN}', "{'a': 1}", '{"a": 1} x', "{a: 1}", "not a == 1", "a", "amount = 5")
SORTS = (
    *("", "-_id", "-_created,_id", " amount ,-_id", "-unknown,_id", "-references.case,_id", "_id,", ",_id", "-"),
    *("$natural", "a b", "_id", "_created", "-_created", "-_created, -_id", "-amount", "currency,-amount", "unknown"),
    *("creditor,-_created,amount", "payout_date", "None", "--amount", "_id,_id", "_id,,amount", ",", "_id,-", "-_id,"),
    *("a.", "amount-_id", "references.case", "summary.capital.count", "state,-_id", "payout,-_created"),
    *("-payout_reference", "-settled_amount,_id", "ready_for_payout,_id", "references", "-summary"),
)
PROJECTIONS = (
    *("", "{}", '{"amount": 1}', '{"amount": 0}', '{"_id": 0}', '{"references.case": 1}', "[]", "amount", "NaN"),
    *('{"amount": 1, "creditor": 0}', '{"amount": true}', '{"_id": 1}', '{"_id": 0, "amount": 1}', '{"unknown": 1}'),
    *('{"unknown": 0}', '{"amount": 1.0}', '{"references.case": 0}', '{"summary.capital": 1}', '{"amount": null}'),
    *('{"_etag": 0}', '{"references.case": 1, "references.enforcement": 1}', '{"summary.capital.count": 1}'),
    *('{"amount.x": 1}', '["amount"]', "5", "null", '"amount"', "{", '{"a": NaN}'),
)
PAGES = ("", "1", "3", "0", "-2", "x", "999", "2", "-1", "2.0", "1e1", "inf", " 2 ", "+2", "1_0", "\u0662", "None")
SIZES_REQUESTED = ("", "7", "0", "101", "2.7", "x", "inf", "1", "-3", "0.5", "100", "1e3", "nan", "-inf", " 5 ", "1_0")
SAMPLE_SIZES = {"where": 10, "sort": 11, "projection": 9, "page": 7}
"""How many of the lists above the sample takes: each begins with one case of every feature."""


def filter_features(where: Any) -> Iterator[tuple[str, str]]:
    """The operators of a filter with the types of their operands; a dotted name counts as an operator."""
    for name, value in where.items():
        operator = name if name.startswith("$") else "." if "." in name else "="
        yield operator, type(value).__name__
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from filter_features(each)


def filter_query(case: tuple[str, Any]) -> Query:
    """The list of a resource under a filter."""
    resource, where = case
    return listing(resource, ("where", json.dumps(where)), ("max_results", "40"))


def paging_query(page: str, size: str) -> Query:
    """The list of payments with `page` and `max_results`."""
    return listing(PAYMENTS, ("page", page), ("max_results", size), ("projection", '{"amount": 1}'))


def combined_queries() -> Iterator[Query]:
    """Lists with several parameters, of which one appears twice or is unknown."""
    for where, sort, page in product(OWN_FILTERS[SPECIFICATIONS][::4], ("-_created,_id", "amount"), ("1", "3")):
        parameters = (("where", json.dumps(where)), ("sort", sort), ("page", page), ("max_results", "9"))
        yield listing(SPECIFICATIONS, *parameters, ("projection", '{"amount": 1, "references.case": 1}'))
    yield listing(PAYOUTS, ("page", "2"), ("page", "1"), ("max_results", "5"), ("max_results", "3"))
    yield listing(PAYOUTS, ("where", '{"currency": "EUR"}'), ("where", "{}"), ("unknown", "x"))


def queries_of(resource: str) -> Iterator[Query]:
    """GETs of a single row, and methods that a resource rejects."""
    one = f"/{resource}/{ROWS[resource][2]['_id']}"
    yield from (("GET", path) for path in (one, f"{one}/", one.upper(), f"{one}0", f"{one}/x", f"/{resource}/"))
    yield from (("GET", f"{one}?max_results={size}") for size in ("inf", "x", "0"))
    yield "GET", f"/{resource}/{'0' * 24}"
    yield from ((method, one) for method in ("POST", "PUT", "PATCH", "DELETE"))
    yield from ((method, f"/{resource}") for method in ("PUT", "PATCH", "DELETE"))


WITH_MONEY = (PAYOUTS, SPECIFICATIONS, PAYMENTS)
FILTERS = [(resource, where) for resource in WITH_MONEY for where in filters_of(resource)]
FILTERS += [(resource, where) for resource in ROWS for where in OWN_FILTERS[resource]]


def projected_row(resource: str, text: str) -> Query:
    """The GET of a single row under a projection."""
    return "GET", f"/{resource}/{ROWS[resource][2]['_id']}?{urlencode({'projection': text})}"


UNKNOWN_PATHS: list[Query] = [
    *(("POST", f"/{resource}") for resource in (PAYOUTS, SPECIFICATIONS)),
    *(("GET", path) for path in ("/nowhere", "/finance--payout", f"/{PAYOUTS.upper()}", "/a/b/c")),
]


def sampled() -> Groups:
    """Each operator and feature at least once, the resources in turn."""
    sorts = zip(cycle(ROWS), SORTS[: SAMPLE_SIZES["sort"]], strict=False)
    projections = zip(cycle(ROWS), PROJECTIONS[: SAMPLE_SIZES["projection"]], strict=False)
    pages, sizes = PAGES[: SAMPLE_SIZES["page"]], SIZES_REQUESTED[: SAMPLE_SIZES["page"]]
    return {
        "filters": [
            *(filter_query(case) for case in sample(FILTERS, lambda case: filter_features(case[1]))),
            *(
                filter_query((resource, where))
                for resource in (CREDITORS, CASES)
                for where in OWN_FILTERS[resource][::4]
            ),
        ],
        "invalid filters": [listing(SPECIFICATIONS, ("where", text)) for text in BAD_WHERES[: SAMPLE_SIZES["where"]]],
        "sort": [listing(resource, ("sort", text), ("max_results", "30")) for resource, text in sorts],
        "projection": [
            listing(resource, ("projection", text), ("max_results", "12")) for resource, text in projections
        ],
        "paging": [paging_query(*each) for each in zip(pages, sizes, strict=True)],
        "combined": list(combined_queries())[-3:],
        "single rows and methods": [
            *queries_of(PAYMENTS),
            projected_row(PAYMENTS, '{"amount": 1}'),
            projected_row(CASES, '{"debt.invoice_number": 1, "state_history.state": 1}'),
            *UNKNOWN_PATHS[1:3],
        ],
    }


def every_query() -> Groups:
    """Every query, on each resource where it has a meaning."""
    groups: Groups = {}
    for name in ROWS:
        groups[f"{name}: filters"] = [filter_query((name, where)) for resource, where in FILTERS if resource == name]
        groups[f"{name}: sort"] = [listing(name, ("sort", text), ("max_results", "30")) for text in SORTS]
        groups[f"{name}: projection"] = [listing(name, ("projection", t), ("max_results", "12")) for t in PROJECTIONS]
        groups[f"{name}: single rows and methods"] = [
            *queries_of(name),
            *(projected_row(name, text) for text in PROJECTIONS),
        ]
    paging = chain(product(PAGES, ("7", "x")), product(("1", "-2"), SIZES_REQUESTED))
    return groups | {
        "invalid filters": [listing(SPECIFICATIONS, ("where", text)) for text in BAD_WHERES],
        "paging": [paging_query(*each) for each in paging],
        "combined": list(combined_queries()),
        "unknown paths": UNKNOWN_PATHS,
    }


SAMPLE, EVERY_QUERY = sampled(), every_query()


GOOD: dict[str, Any] = {
    "creditor": CREDITOR,
    "case": CASE,
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
    *changes("account", CREDITOR, "x", None),
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


JSON, UTF8_JSON = "application/json", "application/json; charset=utf-8"
SEVERAL: tuple[Any, ...] = ([GOOD], [], [GOOD, BY_INVOICE], [GOOD, {}], [5], [GOOD, "x"], "", 5, None, True, False, 0)


def as_bodies(values: Iterable[Any]) -> list[Body]:
    """Values as JSON bodies with their content type."""
    return [(json.dumps(value).encode(), JSON) for value in values]


BODIES: dict[str, list[Body]] = {
    "payments": as_bodies((GOOD, BY_INVOICE, {}, BY_INVOICE | {"invoice_number": 5})),
    "one field missing": as_bodies({each: GOOD[each] for each in GOOD if each != name} for name in GOOD),
    "one field changed": as_bodies(GOOD | change for change in CHANGES),
    "several documents": as_bodies(SEVERAL),
    "malformed bodies": [
        *((body, JSON) for body in (b"", b"{", b"[1", b"\xff", b'{"amount": 1,}')),
        *((json.dumps(GOOD).encode(), kind) for kind in (UTF8_JSON, "text/plain", "application/xml")),
    ],
}
BODIES_IN_SAMPLE = BODIES | {
    "one field missing": BODIES["one field missing"][:2],
    "one field changed": as_bodies(GOOD | change for change in sample(CHANGES, lambda change: change.keys())),
    "several documents": as_bodies(SEVERAL[1:6]),
    "malformed bodies": BODIES["malformed bodies"][-4:-1],
}
