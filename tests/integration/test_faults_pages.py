"""The fault matrix of contents: answers that are sound HTTP and JSON, and not what the API promises.

The law: what can be read in spite of it is read whole; a lie that would cost or double a row is an error that says so.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from amili_async.errors import ApiError, ExtractionInterrupted, UnreadableResponse
from amili_async.sandbox import ReceivedRequest
from tests.integration.conftest import StartSandbox
from tests.support.clocks import HastyClock
from tests.support.hostile_server import Asked, Exchange, Misdeed, TrueAnswer, do_then_say
from tests.support.operations import (
    COUNT,
    EXTRACT,
    GET,
    GUARD,
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
from tests.support.sandbox_scene import Scene

LISTING = tuple(operation for operation in READING if operation is not GET)
Spoil = Callable[[dict[str, Any]], Any]
UNREADABLE = Fails(UnreadableResponse)
HUGE = "9" * 4000
"""A number of more digits than any float has, and fewer than Python refuses to read."""
LONGER = "9" * 10_000


@dataclass(frozen=True)
class Lie:
    """What every page of the specifications becomes, and what comes of it."""

    name: str
    spoil: Spoil
    """Changes the decoded page, or gives another one."""
    endings: Mapping[str, Ending]
    """How each operation ends; those that are not named: `*`."""
    swap: tuple[str, str] = ("", "")
    """Replaced in the JSON: for numbers that Python does not write."""

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
GOOD: Mapping[str, Ending] = {"*": WHOLE}
NO_TOTAL: Mapping[str, Ending] = {"*": WHOLE, "count": UNREADABLE}
"""Only a count cannot do without."""
UNTYPED: Mapping[str, Ending] = {"*": WHOLE, "count": UNREADABLE}
"""A record that is read as it is, without types, has no place for it."""
SAID: Mapping[str, Ending] = {"*": WHOLE, "reconcile": UNREADABLE}
"""A comparison wants to be sure that nothing is missing; whoever counts gets what the server says."""
ITEMS = [
    Lie("no _items", without("_items"), BAD),
    Lie("_items null", with_items(None), BAD),
    Lie("_items an object", with_items({"0": {}}), BAD),
    Lie("_items a text", with_items("none"), BAD),
    Lie("_items a number", with_items(0), BAD),
    Lie("_items false", with_items(False), BAD),
    Lie("_items of numbers", with_items([1, 2]), BAD),
    Lie("_items of null", with_items([None]), BAD),
    Lie("_items of lists", with_items([[]]), BAD),
    Lie("_items of records without an id", with_items([{"amount": 1}]), {"*": UNREADABLE, "count": WHOLE}),
    Lie("_items twice as a list", lambda page: [page, page], BAD),
    Lie("a page in a page", lambda page: {"data": page}, BAD),
    Lie("_status ERR", lambda page: {**page, "_status": "ERR"}, {"*": Fails(ApiError, {"status": 200, "attempts": 1})}),
    Lie("more around it", lambda page: {**page, "_links": [{"a": None}], "_status": "OK", "x": {"y": [1.5]}}, GOOD),
]
RECORDS = [
    Lie("an id that is null", with_first(_id=None), {"*": UNREADABLE, "count": WHOLE}),
    Lie("an id that is a number", with_first(_id=5), {"*": UNREADABLE, "count": WHOLE}),
    Lie("an amount that is a text", with_first(amount="much", total_amount="much"), {"*": UNREADABLE, "count": WHOLE}),
    Lie("an amount that is a list", with_first(total_amount=[1]), {"*": UNREADABLE, "count": WHOLE}),
    Lie(
        "a date of another calendar",
        with_first(booking_date="Fri, 31 Feb 2025 00:00:00 GMT"),
        {"*": UNREADABLE, "count": WHOLE, "reconcile": WHOLE},
    ),
    Lie("a date that is a number", with_first(booking_date=5), {"*": UNREADABLE, "count": WHOLE, "reconcile": WHOLE}),
    Lie("NaN", with_first(amount="@@"), BAD, swap=('"@@"', "NaN")),
    Lie("Infinity", with_first(amount="@@"), BAD, swap=('"@@"', "-Infinity")),
    Lie("a number with a leading zero", with_first(amount="@@"), BAD, swap=('"@@"', "00.5")),
    Lie("a number of 10,000 digits in an unknown field", with_first(later="@@"), UNTYPED, swap=('"@@"', LONGER)),
]
AMOUNTS = [
    Lie("an amount of 1,000 digits", with_first(amount="@@"), GOOD, swap=('"@@"', "9" * 1000)),
    Lie("an amount of 10,000 digits", with_first(amount="@@"), GOOD, swap=('"@@"', LONGER + ".5")),
    Lie("an amount beyond all measure", with_first(amount="@@"), GOOD, swap=('"@@"', "1e999999999")),
    Lie("an amount next to nothing", with_first(amount="@@"), GOOD, swap=('"@@"', "1e-999999999")),
]
TOTALS = [
    Lie("no _meta", without("_meta"), NO_TOTAL),
    Lie("_meta null", lambda page: {**page, "_meta": None}, NO_TOTAL),
    Lie("_meta empty", lambda page: {**page, "_meta": {}}, NO_TOTAL),
    Lie("_meta a text", lambda page: {**page, "_meta": "none"}, BAD),
    Lie("_meta a list", lambda page: {**page, "_meta": []}, BAD),
    Lie("no total", without_meta("total"), NO_TOTAL),
    Lie("a total that is null", with_meta(total=None), NO_TOTAL),
    Lie("a total that is a text", with_meta(total="70"), BAD),
    Lie("a total that is a part", with_meta(total=70.5), BAD),
    Lie("a total that is true", with_meta(total=True), BAD),
    Lie("a negative total", with_meta(total=-1), BAD),
    Lie("NaN as total", with_meta(total="@@"), BAD, swap=('"@@"', "NaN")),
    Lie("a total too large by one", with_total(lambda total: total + 1), SAID),
    Lie("a total too large by a thousand", with_total(lambda total: total + 1000), SAID),
    Lie("a total of 10^18", with_total(lambda _: 10**18), SAID),
    Lie("a total of 10^400", with_total(lambda _: 10**400), BAD),
    Lie("a total of 4,000 digits", with_meta(total="@@"), BAD, swap=('"@@"', HUGE)),
    Lie("a total of 10,000 digits", with_meta(total="@@"), BAD, swap=('"@@"', LONGER)),
    Lie("a total too small by one", with_total(lambda total: max(0, total - 1)), SAID),
    Lie("a total of one", with_total(lambda total: min(total, 1)), SAID),
    Lie("a total of zero", with_total(lambda _: 0), SAID),
    Lie("a total too small by five", with_total(lambda total: max(0, total - 5)), SAID),
]
SIZES = [
    Lie("no size", without_meta("max_results"), GOOD),
    Lie("a size of null", with_meta(max_results=None), GOOD),
    Lie("a size of zero", with_meta(max_results=0), BAD),
    Lie("a negative size", with_meta(max_results=-20), BAD),
    Lie("a size that is a text", with_meta(max_results="20"), BAD),
    Lie("a size too large", with_meta(max_results=1000), GOOD),
    Lie("a size too large, and no total", lambda page: {**page, "_meta": {"max_results": 1000}}, NO_TOTAL),
    Lie("a size too small", with_meta(max_results=3), GOOD),
    Lie("a size too small, and no total", lambda page: {**page, "_meta": {"max_results": 3}}, NO_TOTAL),
    Lie("a size of 10^400", with_meta(max_results=10**400), GOOD),
]
LIES = [*ITEMS, *RECORDS, *AMOUNTS, *TOTALS, *SIZES]


def tell(lie: Lie) -> Misdeed:
    """The true page, spoiled."""

    def change(answer: TrueAnswer) -> bytes:
        if not answer.status.endswith(b"200 OK"):
            return answer.raw
        body = json.dumps(lie.spoil(json.loads(answer.body))).replace(*lie.swap).encode()
        return answer.head(length=len(body)) + body

    return do_then_say(change, then="stay")


@pytest.fixture
def scene(resources: AsyncExitStack, start_sandbox: StartSandbox, clock: HastyClock) -> Scene:
    """To be opened by the test."""
    return Scene(resources, start_sandbox, clock)


def is_told(lie: Lie, operation: Operation) -> bool:
    """Whether it can be told at all that this is a lie, or matters.

    Whoever counts gets what the server says. A stream ends with the page that brings the total, be it too small, since
    one request more for each list is what it would cost to doubt it. Absurd amounts differ: see below.
    """
    return not (
        (lie.endings is SAID and operation is COUNT)
        or (lie.name == "a total too small by five" and operation is STREAM)
        or (lie in AMOUNTS and operation is RECONCILE)
    )


@pytest.mark.parametrize(
    ("lie", "operation"),
    [(lie, operation) for lie in LIES for operation in LISTING if is_told(lie, operation)],
    ids=name_of,
)
async def test_a_page_that_is_not_as_promised(lie: Lie, operation: Operation, scene: Scene) -> None:
    """Each lie, told on every page, ends as the table says; what is in a page is not asked for again."""
    await scene.open()
    scene.server.plan(tell(lie), times=None, path=f"/{SPECIFICATIONS}")
    await scene.hold(operation, lie.ending(operation))


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.endings is BAD], ids=name_of)
async def test_a_page_that_is_not_as_promised_ends_an_extraction_where_it_is(lie: Lie, scene: Scene) -> None:
    """Told by one page only, it costs no row: the extraction goes on from its checkpoint."""
    await scene.open()
    scene.server.plan(tell(lie), path=f"/{SPECIFICATIONS}", after=1)
    await scene.hold(EXTRACT, Fails(UnreadableResponse, within=ExtractionInterrupted))


@pytest.mark.parametrize(
    "spoil",
    [lambda page: page, without_meta("page"), without_meta("page", "total"), without("_meta")],
    ids=["honestly", "without its number", "without a total", "without _meta"],
)
@pytest.mark.parametrize("operation", [STREAM, EXTRACT, RECONCILE], ids=name_of)
async def test_a_page_repeated_for_ever(operation: Operation, spoil: Spoil, scene: Scene) -> None:
    """A server that ignores the page number is found out before a row comes twice; whoever goes by ids needs none."""
    await scene.open()
    scene.sandbox.override(query=always_the_first)
    scene.server.plan(tell(Lie("", spoil, {})), times=None, path=f"/{SPECIFICATIONS}")
    await scene.hold(operation, UNREADABLE if operation is STREAM else WHOLE)


@pytest.mark.parametrize("lie", AMOUNTS, ids=name_of)
async def test_amounts_without_measure_are_differences(lie: Lie, scene: Scene) -> None:
    """A payout whose specifications sum up to something absurd does not agree, and no arithmetic fails."""
    await scene.open()
    scene.server.plan(tell(lie), times=None, path=f"/{SPECIFICATIONS}")
    async with asyncio.timeout(GUARD):
        found = [each async for each in scene.amili.reconcile()]
    assert [each.payout_id for each in found] == sorted(row["_id"] for row in scene.sandbox.rows(PAYOUTS))
    assert not all(each.agrees for each in found)


async def test_another_page_than_the_one_asked_for(scene: Scene) -> None:
    """A page that says that it is another is not handed out as the one asked for."""
    await scene.open()
    scene.sandbox.override(query=always_the_first)
    await scene.hold(PAGE, UNREADABLE)


async def test_another_record_than_the_one_asked_for(scene: Scene) -> None:
    """A record with another id is not handed out as the one asked for."""
    await scene.open()
    rows = sorted(row["_id"] for row in scene.sandbox.rows(SPECIFICATIONS))

    async def misbehave(exchange: Exchange) -> None:
        raw = exchange.asked.raw.replace(rows[17].encode(), rows[18].encode())
        exchange.asked = Asked("GET", exchange.asked.path, raw)
        exchange.send((await exchange.carry_out()).raw)

    scene.server.plan(misbehave, path=f"/{SPECIFICATIONS}/")
    await scene.hold(GET, UNREADABLE)


def always_the_first(request: ReceivedRequest) -> dict[str, str]:
    """The query of a server that knows no page numbers."""
    return {**request.query, "page": "1"}
