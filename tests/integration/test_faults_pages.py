"""The fault matrix of contents: responses that are valid HTTP and JSON, but not what the API documents.

Invariant: a defect that loses no row is tolerated; one that would lose or repeat a row raises an error.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from amili_async.errors import ApiError, ConnectionFailed, ExtractionInterrupted, UnreadableResponse
from amili_async.sandbox import ReceivedRequest
from tests.support.clocks import GUARD
from tests.support.exhaustive import sampled
from tests.support.hostile_scene import HostileScene
from tests.support.hostile_server import Exchange, Misdeed, Received, TrueResponse, execute_then_send
from tests.support.operations import (
    COUNT,
    EXTRACT,
    GET,
    PAGE,
    PAYOUTS,
    READING,
    RECONCILE,
    SPECIFICATIONS,
    STREAM,
    WHOLE,
    Ending,
    Fails,
    Operation,
    name_of,
)

LISTING = tuple(operation for operation in READING if operation is not GET)
Spoil = Callable[[dict[str, Any]], Any]
UNREADABLE = Fails(UnreadableResponse)
HUGE = "9" * 4000
"""A number with more digits than any float, and few enough for Python to read."""
LONGER = "9" * 10_000


@dataclass(frozen=True)
class Defect:
    """A change to every page of the specifications, and how operations end."""

    name: str
    spoil: Spoil
    """Changes the decoded page, or returns another one."""
    endings: Mapping[str, Ending]
    """How each operation ends by its name; `*` for all others."""
    swap: tuple[str, str] = ("", "")
    """Replaced in the JSON, for numbers that Python does not write."""

    def ending(self, operation: Operation) -> Ending:
        """How the operation ends."""
        return self.endings.get(operation.name, self.endings.get("*"))


def with_items(items: Any) -> Spoil:
    return lambda page: {**page, "_items": items}


def with_meta(**changes: Any) -> Spoil:
    return lambda page: {**page, "_meta": {**page["_meta"], **changes}}


def without(*names: str) -> Spoil:
    return lambda page: {name: value for name, value in page.items() if name not in names}


def without_meta(*names: str) -> Spoil:
    return lambda page: {**page, "_meta": {n: v for n, v in page["_meta"].items() if n not in names}}


def with_first(**changes: Any) -> Spoil:
    return lambda page: {**page, "_items": [{**row, **changes} for row in page["_items"][:1]] + page["_items"][1:]}


def with_total(change: Callable[[int], Any]) -> Spoil:
    return lambda page: with_meta(total=change(page["_meta"]["total"]))(page)


BAD: Mapping[str, Ending] = {"*": UNREADABLE}
NO_ANSWER: Mapping[str, Ending] = {"*": Fails(ConnectionFailed)}
"""No JSON object: each attempt failed."""
GOOD: Mapping[str, Ending] = {"*": WHOLE}
NO_TOTAL: Mapping[str, Ending] = {"*": WHOLE, "count": UNREADABLE}
"""Only a count needs a total."""
UNTYPED: Mapping[str, Ending] = {"*": WHOLE, "count": UNREADABLE}
"""A count reads records without types, which rejects such a number."""
AS_REPORTED: Mapping[str, Ending] = {"*": WHOLE, "reconcile": UNREADABLE}
"""A reconciliation must be sure that no row is missing; a count returns what the server reports."""
ITEMS = [
    Defect("no _items", without("_items"), BAD),
    Defect("_items null", with_items(None), BAD),
    Defect("_items an object", with_items({"0": {}}), BAD),
    Defect("_items a text", with_items("none"), BAD),
    Defect("_items a number", with_items(0), BAD),
    Defect("_items false", with_items(False), BAD),
    Defect("_items of numbers", with_items([1, 2]), BAD),
    Defect("_items of null", with_items([None]), BAD),
    Defect("_items of lists", with_items([[]]), BAD),
    Defect("_items of records without an id", with_items([{"amount": 1}]), {"*": UNREADABLE, "count": WHOLE}),
    Defect("_items twice as a list", lambda page: [page, page], NO_ANSWER),
    Defect("a page in a page", lambda page: {"data": page}, BAD),
    Defect(
        "_status ERR", lambda page: {**page, "_status": "ERR"}, {"*": Fails(ApiError, {"status": 200, "attempts": 1})}
    ),
    Defect("more around it", lambda page: {**page, "_links": [{"a": None}], "_status": "OK", "x": {"y": [1.5]}}, GOOD),
]
RECORDS = [
    Defect("an id that is null", with_first(_id=None), {"*": UNREADABLE, "count": WHOLE}),
    Defect("an id that is a number", with_first(_id=5), {"*": UNREADABLE, "count": WHOLE}),
    Defect(
        "an amount that is a text", with_first(amount="much", total_amount="much"), {"*": UNREADABLE, "count": WHOLE}
    ),
    Defect("an amount that is a list", with_first(total_amount=[1]), {"*": UNREADABLE, "count": WHOLE}),
    Defect(
        "a date of another calendar",
        with_first(booking_date="Fri, 31 Feb 2025 00:00:00 GMT"),
        {"*": UNREADABLE, "count": WHOLE, "reconcile": WHOLE},
    ),
    Defect(
        "a date that is a number", with_first(booking_date=5), {"*": UNREADABLE, "count": WHOLE, "reconcile": WHOLE}
    ),
    Defect("NaN", with_first(amount="@@"), NO_ANSWER, swap=('"@@"', "NaN")),
    Defect("Infinity", with_first(amount="@@"), NO_ANSWER, swap=('"@@"', "-Infinity")),
    Defect("a number with a leading zero", with_first(amount="@@"), NO_ANSWER, swap=('"@@"', "00.5")),
    Defect("a number of 10,000 digits in an unknown field", with_first(later="@@"), UNTYPED, swap=('"@@"', LONGER)),
]
AMOUNTS = [
    Defect("an amount of 1,000 digits", with_first(amount="@@"), GOOD, swap=('"@@"', "9" * 1000)),
    Defect("an amount of 10,000 digits", with_first(amount="@@"), GOOD, swap=('"@@"', LONGER + ".5")),
    Defect("an amount beyond all measure", with_first(amount="@@"), GOOD, swap=('"@@"', "1e999999999")),
    Defect("an amount next to nothing", with_first(amount="@@"), GOOD, swap=('"@@"', "1e-999999999")),
]
TOTALS = [
    Defect("no _meta", without("_meta"), NO_TOTAL),
    Defect("_meta null", lambda page: {**page, "_meta": None}, NO_TOTAL),
    Defect("_meta empty", lambda page: {**page, "_meta": {}}, NO_TOTAL),
    Defect("_meta a text", lambda page: {**page, "_meta": "none"}, BAD),
    Defect("_meta a list", lambda page: {**page, "_meta": []}, BAD),
    Defect("no total", without_meta("total"), NO_TOTAL),
    Defect("a total that is null", with_meta(total=None), NO_TOTAL),
    Defect("a total that is a text", with_meta(total="70"), BAD),
    Defect("a total that is a part", with_meta(total=70.5), BAD),
    Defect("a total that is true", with_meta(total=True), BAD),
    Defect("a negative total", with_meta(total=-1), BAD),
    Defect("NaN as total", with_meta(total="@@"), NO_ANSWER, swap=('"@@"', "NaN")),
    Defect("a total too large by one", with_total(lambda total: total + 1), AS_REPORTED),
    Defect("a total too large by a thousand", with_total(lambda total: total + 1000), AS_REPORTED),
    Defect("a total of 10^18", with_total(lambda _: 10**18), AS_REPORTED),
    Defect("a total of 10^400", with_total(lambda _: 10**400), BAD),
    Defect("a total of 4,000 digits", with_meta(total="@@"), BAD, swap=('"@@"', HUGE)),
    Defect("a total of 10,000 digits", with_meta(total="@@"), BAD, swap=('"@@"', LONGER)),
    Defect("a total too small by one", with_total(lambda total: max(0, total - 1)), AS_REPORTED),
    Defect("a total of one", with_total(lambda total: min(total, 1)), AS_REPORTED),
    Defect("a total of zero", with_total(lambda _: 0), AS_REPORTED),
    Defect("a total too small by five", with_total(lambda total: max(0, total - 5)), AS_REPORTED),
]
SIZES = [
    Defect("no size", without_meta("max_results"), GOOD),
    Defect("a size of null", with_meta(max_results=None), GOOD),
    Defect("a size of zero", with_meta(max_results=0), BAD),
    Defect("a negative size", with_meta(max_results=-20), BAD),
    Defect("a size that is a text", with_meta(max_results="20"), BAD),
    Defect("a size too large", with_meta(max_results=1000), GOOD),
    Defect("a size too large, and no total", lambda page: {**page, "_meta": {"max_results": 1000}}, NO_TOTAL),
    Defect("a size too small", with_meta(max_results=3), GOOD),
    Defect("a size too small, and no total", lambda page: {**page, "_meta": {"max_results": 3}}, NO_TOTAL),
    Defect("a size of 10^400", with_meta(max_results=10**400), GOOD),
]
DEFECTS = [*ITEMS, *RECORDS, *AMOUNTS, *TOTALS, *SIZES]


def replace_page(defect: Defect) -> Misdeed:
    """Apply the defect to the true page."""

    def change(answer: TrueResponse) -> bytes:
        if not answer.status.endswith(b"200 OK"):
            return answer.raw
        body = json.dumps(defect.spoil(json.loads(answer.body))).replace(*defect.swap).encode()
        return answer.head(length=len(body)) + body

    return execute_then_send(change, then="stay")


def is_detectable(defect: Defect, operation: Operation) -> bool:
    """Whether the operation can detect the defect, or is affected by it.

    A count returns what the server reports. A stream ends with the page that reaches the total, even one that is too
    small, since a doubt would cost one more request for each list. Absurd amounts differ: see below.
    """
    return not (
        (defect.endings is AS_REPORTED and operation is COUNT)
        or (defect.name == "a total too small by five" and operation is STREAM)
        or (defect in AMOUNTS and operation is RECONCILE)
    )


@sampled(
    "defect, operation",
    [(defect, operation) for defect, operation in product(DEFECTS, LISTING) if is_detectable(defect, operation)],
    ids=name_of,
)
async def test_a_defect_of_every_page(defect: Defect, operation: Operation, scene: HostileScene) -> None:
    """Each defect on every page ends as the table states; the rows of a page are not requested again."""
    await scene.open()
    scene.server.plan(replace_page(defect), times=None, path=f"/{SPECIFICATIONS}")
    await scene.hold(operation, defect.ending(operation))


@pytest.mark.parametrize("defect", [defect for defect in DEFECTS if defect.endings is BAD], ids=name_of)
async def test_a_defect_of_one_page_ends_an_extraction_there(defect: Defect, scene: HostileScene) -> None:
    """A defect of one page costs no row: the extraction resumes from its checkpoint."""
    await scene.open()
    scene.server.plan(replace_page(defect), path=f"/{SPECIFICATIONS}", after=1)
    await scene.hold(EXTRACT, Fails(UnreadableResponse, within=ExtractionInterrupted))


@pytest.mark.parametrize("defect", [defect for defect in DEFECTS if defect.endings is NO_ANSWER], ids=name_of)
@pytest.mark.parametrize("operation", [STREAM, EXTRACT, RECONCILE], ids=name_of)
async def test_one_page_that_is_no_json_is_requested_again(
    defect: Defect, operation: Operation, scene: HostileScene
) -> None:
    """Such a page is a failed attempt, which costs one more request and no row."""
    await scene.open()
    scene.server.plan(replace_page(defect), path=f"/{SPECIFICATIONS}", after=1)
    await scene.hold(operation, WHOLE)


@pytest.mark.parametrize(
    "spoil",
    [lambda page: page, without_meta("page"), without_meta("page", "total"), without("_meta")],
    ids=["honestly", "without its number", "without a total", "without _meta"],
)
@pytest.mark.parametrize("operation", [STREAM, EXTRACT, RECONCILE], ids=name_of)
async def test_a_page_repeated_endlessly(operation: Operation, spoil: Spoil, scene: HostileScene) -> None:
    """A server that ignores page numbers is detected before a row is repeated; keyset pagination needs none."""
    await scene.open()
    scene.sandbox.override(query=always_the_first)
    scene.server.plan(replace_page(Defect("", spoil, {})), times=None, path=f"/{SPECIFICATIONS}")
    await scene.hold(operation, UNREADABLE if operation is STREAM else WHOLE)


@pytest.mark.parametrize("defect", AMOUNTS, ids=name_of)
async def test_absurd_amounts_are_differences(defect: Defect, scene: HostileScene) -> None:
    """A payout whose specifications sum up to an absurd amount does not agree, and no arithmetic fails."""
    await scene.open()
    scene.server.plan(replace_page(defect), times=None, path=f"/{SPECIFICATIONS}")
    async with asyncio.timeout(GUARD):
        found = [each async for each in scene.amili.reconcile()]
    assert [each.payout_id for each in found] == sorted(row["_id"] for row in scene.sandbox.rows(PAYOUTS))
    assert not all(each.agrees for each in found)


async def test_another_page_than_the_requested_one(scene: HostileScene) -> None:
    """A page with another number than the requested one raises."""
    await scene.open()
    scene.sandbox.override(query=always_the_first)
    await scene.hold(PAGE, UNREADABLE)


async def test_another_record_than_the_requested_one(scene: HostileScene) -> None:
    """A record with another id than the requested one raises."""
    await scene.open()
    rows = sorted(row["_id"] for row in scene.sandbox.rows(SPECIFICATIONS))

    async def misbehave(exchange: Exchange) -> None:
        raw = exchange.received.raw.replace(rows[17].encode(), rows[18].encode())
        exchange.received = Received("GET", exchange.received.path, raw)
        exchange.send((await exchange.execute()).raw)

    scene.server.plan(misbehave, path=f"/{SPECIFICATIONS}/")
    await scene.hold(GET, UNREADABLE)


def always_the_first(request: ReceivedRequest) -> dict[str, str]:
    """The query as a server reads it that ignores page numbers."""
    return {**request.query, "page": "1"}
