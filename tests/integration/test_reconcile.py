"""Reconciliation against the sandbox: planted differences are found, no others are, and the number of requests."""

import asyncio
import json
from collections.abc import AsyncIterable, Awaitable, Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from amili_async import AmiliClient, Reconciliation, field
from amili_async.conditions import Where
from amili_async.errors import ClientClosed, ConfigurationError, Forbidden, ServerFault, UnreadableResponse
from amili_async.reconciliation.run import BATCHES_IN_FLIGHT
from amili_async.sandbox import Fault as ServerTrouble
from amili_async.sandbox import Sandbox
from tests.support import internals
from tests.support.clocks import GUARD, HastyClock, MovedClock, happens, settle
from tests.support.leaving_early import WAYS, assert_nothing_is_left, hold_a_while
from tests.support.planted_differences import (
    CATEGORIES,
    FAULTS,
    PAYOUTS,
    SPECIFICATIONS,
    Finding,
    PlantedBooks,
    drop_row,
    misstate_total,
    name_unknown_payout,
    name_unknown_payouts,
    priced,
    sum_up,
)
from tests.support.starting import Connect, StartSandbox

ONE = "6776478033d4049c0400dd72"


async def reconcile(amili: AmiliClient, where: Where = None) -> list[Reconciliation]:
    """All reconciliations, after asserting that each payout has one, in order, and that it states whether it exists."""
    found = [each async for each in amili.reconcile(where)]
    ids = [each.payout_id for each in found]
    assert ids == sorted(set(ids))
    for each in found:
        assert each.payout is None or each.payout.id == each.payout_id
        assert {difference.payout for difference in each.differences} <= {each.payout_id}
        assert (each.payout is None) == ("no_payout" in {difference.kind for difference in each.differences})
    return found


def differences_by_payout(found: list[Reconciliation]) -> dict[str, set[Finding]]:
    """The differences by payout, without the numbers."""
    return {
        each.payout_id: {(one.kind, one.article, one.field, one.specification) for one in each.differences}
        for each in found
        if not each.agrees
    }


def lists(sandbox: Sandbox, *resources: str) -> list[Any]:
    """The requests for lists, of one resource or of both: all but those for tokens."""
    paths = {f"/{resource}" for resource in resources or (PAYOUTS, SPECIFICATIONS)}
    return [request for request in sandbox.requests if request.path in paths]


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_an_untouched_sandbox_agrees(seed: int, start_sandbox: StartSandbox, connect: Connect) -> None:
    """Every payout has one reconciliation, with the count and sums that it states, and agrees."""
    sandbox = await start_sandbox(seed=seed, payouts=130, specifications=900)
    found = await reconcile(await connect(sandbox))
    assert differences_by_payout(found) == {}
    stored = sorted(sandbox.rows(PAYOUTS), key=lambda row: row["_id"])
    assert [each.payout_id for each in found] == [row["_id"] for row in stored]
    assert [each.sums.total_amount for each in found] == [row["total_amount"] for row in stored]
    assert sum(each.sums.count for each in found) == sum("payout" in row for row in sandbox.rows(SPECIFICATIONS))


async def test_the_default_sandbox_costs_one_request_per_hundred_specifications(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """50 payouts with 5,000 specifications, some without a payout: at most 52 requests and one for the token."""
    sandbox = await start_sandbox(payouts=50, specifications=5000)
    found = await reconcile(await connect(sandbox))
    assert (len(found), differences_by_payout(found)) == (50, {})
    assert len(lists(sandbox)) <= 52
    assert len(sandbox.requests) == len(lists(sandbox)) + 1


async def test_a_thousand_payouts_cost_less_than_a_hundred_requests(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """With 5,000 specifications; no request line is longer than 8,000 bytes."""
    sandbox = await start_sandbox(payouts=1000, specifications=5000)
    found = await reconcile(await connect(sandbox))
    assert (len(found), differences_by_payout(found)) == (1000, {})
    assert len(lists(sandbox)) < 100
    assert len(lists(sandbox, PAYOUTS)) == 11  # the last one is empty, and nothing is compared twice
    assert longest_line(sandbox) < 8000


async def test_comparing_everything_again_makes_no_long_request_lines(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """If each payout differs, all are requested again a hundred at a time, and so are hundreds of unknown ones."""
    sandbox = await start_sandbox(payouts=250, specifications=2500)
    amili = await connect(sandbox)
    known = [each.payout_id for each in await reconcile(amili)]
    once = len(lists(sandbox))
    sandbox.requests.clear()
    for payout_id in known:
        sandbox.update(PAYOUTS, payout_id, {"amount": None})
    unknown = [f"{int(known[150], 16) + 1 + place:024x}" for place in range(120)] + [
        f"{place:024x}" for place in range(7)
    ]
    for payout_id in (*unknown, *(f"f{place:023x}" for place in range(230))):
        sandbox.insert(SPECIFICATIONS, {"article": "cost", **priced(100, 25), "payout": payout_id})
    found = await reconcile(amili)
    assert len(differences_by_payout(found)) == len(found) == 250 + 120 + 7 + 230
    assert len(lists(sandbox)) <= 2 * once + 30
    assert longest_line(sandbox) < 8000


def longest_line(sandbox: Sandbox) -> int:
    """Bytes of path and query, encoded."""
    return max(len(f"{request.path}?{urlencode(request.query)}") for request in sandbox.requests)


@pytest.mark.parametrize("payouts", [1, 99, 100, 101, 200, 230])
async def test_unusual_but_exact_amounts_agree(payouts: int, start_sandbox: StartSandbox, connect: Connect) -> None:
    """Credit notes, zeros, a hundred million, integers next to floats, unknown articles, several creditors."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=payouts)
    found = await reconcile(await connect(sandbox))
    assert differences_by_payout(found) == {}
    assert [each.payout_id for each in found] == books.ids


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_planted_fault_is_found_where_it_is(
    fault: str, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The fault makes exactly its differences on exactly its payouts; all others agree."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox)
    FAULTS[fault](books)
    await check_findings(books, await connect(sandbox))


async def test_all_planted_faults_are_found_together(start_sandbox: StartSandbox, connect: Connect) -> None:
    """No fault hides another, in any batch."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=230)
    for plant in FAULTS.values():
        plant(books)
    await check_findings(books, await connect(sandbox))


@pytest.mark.parametrize("place", [0, 99, 100, 199, 200, 229])
async def test_faults_at_the_edges_of_a_hundred_are_found(
    place: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The first and the last payout of a batch are compared like all others."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=230)
    books.sandbox.delete(SPECIFICATIONS, books.rows(books.ids[place])[-1]["_id"])
    name_unknown_payout(books, f"{int(books.ids[place], 16) + 1:024x}")
    found = differences_by_payout(await reconcile(await connect(sandbox)))
    assert set(found) == {books.ids[place], *books.findings}


async def check_findings(books: PlantedBooks, amili: AmiliClient) -> None:
    """Assert that exactly the planted differences are found, and that only float noise is marked as noise."""
    found = await reconcile(amili)
    assert differences_by_payout(found) == books.findings
    assert [each.payout_id for each in found] == sorted({*books.ids, *books.findings})
    differing = [each for each in found if not each.agrees]
    assert {each.payout_id for each in differing if all(one.is_noise for one in each.differences)} == books.noisy
    assert not [
        one for each in differing if each.payout_id not in books.noisy for one in each.differences if one.is_noise
    ]


async def test_specifications_of_an_unknown_payout_make_one_reconciliation(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """All rows of the same unknown payout are summed in one reconciliation, also without any payout."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    for unknown, rows in ((ONE, 2), ("0" * 24, 1), ("f" * 24, 130)):
        for _ in range(rows):
            sandbox.insert(SPECIFICATIONS, {"article": "cost", **priced(100, 25), "payout": unknown})
    found = await reconcile(await connect(sandbox))
    assert [(each.payout_id, each.sums.count, each.sums.total_amount) for each in found] == [
        ("0" * 24, 1, Decimal(125)),
        (ONE, 2, Decimal(250)),
        ("f" * 24, 130, Decimal(16250)),
    ]
    assert [each.payout for each in found] == [None, None, None]


async def test_a_payout_that_is_no_id_is_found(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A specification with any text as its payout is found."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox)
    for unknown in ("", "capital", "0", "~"):
        name_unknown_payout(books, unknown)
    found = differences_by_payout([each async for each in (await connect(sandbox)).reconcile()])
    assert found == books.findings


async def test_a_filter_chooses_the_payouts(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Only matching payouts are compared, for a condition and a mapping; unknown payouts are not reported."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=230)
    for plant in (name_unknown_payouts, drop_row, drop_row, drop_row, drop_row, *FAULTS.values()):
        plant(books)
    amili = await connect(sandbox)
    everything = {each.payout_id: each for each in await reconcile(amili)}
    category = CATEGORIES[1]
    chosen = [each for each in books.ids if books.payout(each)["finance_category"] == category]
    for where in ({"finance_category": category}, field("finance_category") == category):
        assert await reconcile(amili, where) == [everything[each] for each in chosen]
    few = [books.ids[7], books.ids[120], "f" * 24]
    assert await reconcile(amili, field("_id").is_in(few)) == [everything[each] for each in few[:2]]
    either = (field("_id") < books.ids[3]) | (field("_id") > books.ids[-4])
    assert await reconcile(amili, either) == [everything[each] for each in (*books.ids[:3], *books.ids[-3:])]
    assert await reconcile(amili, {"finance_category": "no such"}) == []
    assert await reconcile(amili, {}) == list(everything.values())


def once(callback: Callable[[], object], *, path: str, after: int = 0) -> Callable[[Any], None]:
    """A hook that calls *callback* once, before the list of this resource that follows *after* others is answered."""
    left = [after]

    def change(request: Any) -> None:
        if request.path == f"/{path}":
            left[0] -= 1
            if left[0] == -1:
                callback()

    return change


def book_one_more(books: PlantedBooks, payout_id: str) -> None:
    """Add a specification to a payout and update the payout, in the same instant."""
    own = {name: books.payout(payout_id)[name] for name in ("creditor", "currency", "finance_category")}
    row = {"article": "cost", **own, **priced("99.5", "24.5"), "payout": payout_id}
    books.sandbox.insert(SPECIFICATIONS, row)
    books.change_payout(payout_id, **sum_up(books.rows(payout_id)))


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_booking_between_two_requests_is_no_difference(
    after: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A booking after the payouts were read, or between two pages, is compared a second time."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=40)
    drop_row(books)
    busy = next(each for each in books.ids if each not in books.findings)
    amili = await connect(sandbox)
    happened: list[str] = []

    def book() -> None:
        happened.append(busy)
        book_one_more(books, busy)

    sandbox.before_each_request(once(book, path=SPECIFICATIONS, after=after))
    found = await reconcile(amili)
    assert happened
    assert differences_by_payout(found) == books.findings
    (both,) = [each for each in found if each.payout_id == busy]
    assert both.payout is not None
    assert both.sums.total_amount == both.payout.total_amount == books.payout(busy)["total_amount"]


async def test_a_payout_is_compared_until_its_differences_repeat(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Differences that change between two comparisons are not reported; those found twice are."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=5)
    drop_row(books)
    busy = next(each for each in books.ids if each not in books.findings)
    requested: list[Any] = []

    def change(request: Any) -> None:
        if request.path == f"/{SPECIFICATIONS}" and "$not" not in request.query["where"]:
            requested.append(request)
            if len(requested) <= 3:
                book_one_more(books, busy)

    sandbox.before_each_request(change)
    assert differences_by_payout(await reconcile(await connect(sandbox))) == books.findings
    assert len(requested) == 4


@pytest.mark.parametrize("where", [None, field("currency") == "SEK"])
async def test_a_payout_whose_differences_keep_changing_is_unsettled(
    where: Where, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A payout that is booked before each response is the only one that is unsettled; all others are compared."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=140)
    busy = books.ids[3]

    def change(request: Any) -> None:
        if request.path == f"/{SPECIFICATIONS}":
            book_one_more(books, busy)

    sandbox.before_each_request(change)
    found = await reconcile(await connect(sandbox), where)
    assert sorted(each.payout_id for each in found) == sorted(books.ids)
    (unsettled,) = [each for each in found if each.unsettled]
    assert unsettled.payout_id == busy
    assert not unsettled.agrees
    assert set(differences_by_payout(found)) == {busy}


async def test_a_payout_is_compared_five_times_at_most(start_sandbox: StartSandbox, connect: Connect) -> None:
    """One that agrees is compared once, and one that is booked on at each request four times more."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=2)
    compared: list[bool] = []

    def change(request: Any) -> None:
        if request.path == f"/{SPECIFICATIONS}":
            wheres = request.query["where"]
            compared.append(books.ids[1] in wheres)
            book_one_more(books, books.ids[0])

    sandbox.before_each_request(change)
    found = await reconcile(await connect(sandbox), field("currency") == "SEK")
    assert [each.unsettled for each in found] == [True, False]
    assert compared == [True, False, False, False, False]


async def test_closing_the_client_ends_the_wait_for_another_comparison(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """No request is in flight then, so the iteration itself is what the client cancels."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    misstate_total("amount")(PlantedBooks(sandbox, payouts=2))
    clock = MovedClock()
    amili = await connect(sandbox, clock=clock, auth=sandbox.token())
    waiting = asyncio.ensure_future(anext(amili.reconcile()))
    await happens(lambda: clock.timers)
    await amili.aclose()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(waiting, GUARD)


@pytest.mark.parametrize("seconds", [0.3, 4.0])
async def test_a_booking_that_takes_some_seconds_is_no_difference(
    seconds: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A payout whose rows get its id a little later is not reported as one without specifications."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=5)
    busy = books.ids[2]
    rows = books.rows(busy)
    for row in rows:
        sandbox.update(SPECIFICATIONS, row["_id"], {"payout": None})
    began = clock.now()

    def assign(_: Any) -> None:
        if clock.now() >= began + seconds:
            for row in rows:
                sandbox.update(SPECIFICATIONS, row["_id"], {"payout": busy})

    sandbox.before_each_request(assign)
    assert differences_by_payout(await reconcile(await connect(sandbox))) == {}


async def test_rows_that_replace_each_other_hide_no_fault(start_sandbox: StartSandbox, connect: Connect) -> None:
    """One row is removed and another inserted between two pages, so that the number of rows stays the same."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    rows = [priced(1, 0) | {"article": "cost"} for _ in range(250)]
    wrong, other = f"{1:024x}", f"{2:024x}"
    sandbox.insert(PAYOUTS, {"_id": wrong, **sum_up(rows)})
    sandbox.insert(PAYOUTS, {"_id": other, **sum_up(rows[:1])})
    ids = [sandbox.insert(SPECIFICATIONS, {**row, "payout": wrong}) for row in [*rows, rows[0]]]
    sandbox.insert(SPECIFICATIONS, {**rows[0], "payout": other})

    def change_places() -> None:
        sandbox.update(SPECIFICATIONS, ids[0], {"payout": None})
        sandbox.update(PAYOUTS, wrong, sum_up(rows[1:]))
        sandbox.insert(SPECIFICATIONS, {**rows[0], "payout": other})
        sandbox.update(PAYOUTS, other, sum_up(rows[:2]))

    sandbox.before_each_request(once(change_places, path=SPECIFICATIONS, after=1))
    (found,) = [each for each in await reconcile(await connect(sandbox)) if not each.agrees]
    assert (found.payout_id, found.sums.count) == (wrong, 250)


async def test_payouts_inserted_and_deleted_concurrently_are_no_difference(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A payout deleted with its rows is not reported; one inserted with its rows is, and agrees."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=150)
    new = [f"{int(books.ids[place], 16) + 1:024x}" for place in (3, 120, 149)]

    def come_and_go() -> None:
        for row in books.rows(books.ids[7]):
            sandbox.delete(SPECIFICATIONS, row["_id"])
        sandbox.delete(PAYOUTS, books.ids[7])
        for payout_id in new:
            row = {"article": "cost", **priced(100, 25)}
            sandbox.insert(SPECIFICATIONS, {**row, "payout": payout_id})
            sandbox.insert(PAYOUTS, {"_id": payout_id, **sum_up([row])})

    sandbox.before_each_request(once(come_and_go, path=SPECIFICATIONS))
    found = await reconcile(await connect(sandbox))
    assert differences_by_payout(found) == {}
    ids = {each.payout_id for each in found}
    assert ids == {*books.ids, *new} - {books.ids[7]}
    assert all(each.payout is not None for each in found)


async def test_a_payout_that_loses_a_row_concurrently_is_reported(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A difference in the second comparison too is reported, although the payout agreed when it was read."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox)
    sandbox.before_each_request(once(lambda: drop_row(books), path=SPECIFICATIONS))
    found = await reconcile(await connect(sandbox))
    assert len(books.findings) == 1
    assert differences_by_payout(found) == books.findings


def disregard(path: str, parameter: str, holding: str) -> Callable[[Any], dict[str, str]]:
    """A hook that returns the query without a parameter of one resource's lists if it contains *holding*."""

    def falsify(request: Any) -> dict[str, str]:
        query = dict(request.query)
        if request.path == f"/{path}" and holding in query.get(parameter, ""):
            del query[parameter]
        return query

    return falsify


EVERY = {"finance_category": {"$ne": "no such"}}


@pytest.mark.parametrize("payouts", [90, 230])
@pytest.mark.parametrize(
    ("path", "parameter", "holding", "where"),
    [
        (SPECIFICATIONS, "where", "", None),
        (SPECIFICATIONS, "where", "$lte", None),
        (SPECIFICATIONS, "where", "$not", None),
        (SPECIFICATIONS, "where", "", EVERY),
        (SPECIFICATIONS, "where", "", {"finance_category": CATEGORIES[0]}),
        (PAYOUTS, "where", "$gt", None),
        (PAYOUTS, "where", "$gt", EVERY),
        (PAYOUTS, "sort", "", None),
        (PAYOUTS, "sort", "", EVERY),
    ],
)
async def test_a_server_that_ignores_filter_or_sort_makes_no_difference(
    path: str,
    parameter: str,
    holding: str,
    where: Any,
    payouts: int,
    start_sandbox: StartSandbox,
    connect: Connect,
) -> None:
    """It raises, or has no effect, but never makes a false difference, even if each row has a payout."""
    sandbox = await start_sandbox(payouts=payouts, specifications=900)
    for row in sandbox.rows(SPECIFICATIONS):
        if "payout" not in row:
            sandbox.delete(SPECIFICATIONS, row["_id"])
    amili = await connect(sandbox)
    sandbox.override(query=disregard(path, parameter, holding))
    delivered: list[Reconciliation] = []
    if payouts < 100 and holding == "$gt":
        await take_all(amili.reconcile(where), delivered)  # all were requested for at once
        assert len(delivered) == payouts
    else:
        with pytest.raises(UnreadableResponse) as caught:
            await take_all(amili.reconcile(where), delivered)
        assert path in str(caught.value)
        assert not [row for row in sandbox.rows(PAYOUTS) if row["_id"] in str(caught.value)]
    assert differences_by_payout(delivered) == {}
    assert len({each.payout_id for each in delivered}) == len(delivered)


def without_payout(where: Any) -> Any:
    """A filter without its conditions on the payout."""
    if isinstance(where, list):
        return [without_payout(each) for each in where]
    if not isinstance(where, dict):
        return where
    return {name: without_payout(value) for name, value in where.items() if name != "payout"}


@pytest.mark.parametrize("where", [None, {"finance_category": CATEGORIES[0]}])
async def test_a_server_that_ignores_only_the_payout_makes_no_difference(
    where: Any, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Its pages are in order, but hold specifications of payouts that were not requested: it raises."""
    sandbox = await start_sandbox(payouts=230, specifications=900)
    amili = await connect(sandbox)

    def ignore_payout(request: Any) -> dict[str, str]:
        query = dict(request.query)
        if request.path == f"/{SPECIFICATIONS}":
            query["where"] = json.dumps(without_payout(json.loads(query["where"])))
        return query

    sandbox.override(query=ignore_payout)
    delivered: list[Reconciliation] = []
    with pytest.raises(UnreadableResponse, match=SPECIFICATIONS):
        await take_all(amili.reconcile(where), delivered)
    assert differences_by_payout(delivered) == {}


async def test_only_the_fields_that_are_compared_are_requested(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Each page of specifications is requested without the fields that no comparison reads."""
    sandbox = await start_sandbox()
    await reconcile(await connect(sandbox))
    pages = [each.query for each in sandbox.requests if each.path == f"/{SPECIFICATIONS}"]
    assert pages
    for query in pages:
        fields = json.loads(query["projection"])
        assert {"amount", "vat_amount", "total_amount", "payout", "article"} <= fields.keys()
        assert "description" not in fields
        assert set(fields.values()) == {1}


async def take_all(found: AsyncIterable[Reconciliation], delivered: list[Reconciliation]) -> None:
    """Append the reconciliations, those before an error too."""
    async for each in found:
        delivered.append(each)  # noqa: PERF401 - a comprehension would lose them


async def test_a_server_with_smaller_pages_is_read_completely(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A server with pages of twenty rows gets more requests, and no row is skipped."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=230)
    for plant in FAULTS.values():
        plant(books)
    sandbox.override(query=lambda request: {**request.query, "max_results": "20"})
    await check_findings(books, await connect(sandbox))


async def test_a_server_that_fails_permanently_ends_it(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The reconciliations before it are right; the error is the server's, and a single failure is retried."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=230)
    amili = await connect(sandbox)
    for trouble in (ServerTrouble.unavailable(), ServerTrouble.too_many_requests(), ServerTrouble(reset="after")):
        sandbox.fail(trouble, path=SPECIFICATIONS, after=3)
    assert [each.payout_id for each in await reconcile(amili)] == books.ids
    requested = len(lists(sandbox, SPECIFICATIONS))
    sandbox.fail(ServerTrouble.unavailable(), times=None, path=SPECIFICATIONS, after=requested - 6)
    delivered: list[Reconciliation] = []
    with pytest.raises(ServerFault):
        await take_all(amili.reconcile(), delivered)
    assert [each.payout_id for each in delivered] == books.ids[: len(delivered)]
    assert 0 < len(delivered) < 230
    assert differences_by_payout(delivered) == {}


@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_early_leaves_nothing_behind(
    leave: Callable[[AsyncIterable[Any], AmiliClient], Awaitable[None]], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """No task and no open request remains, not everything was requested, and the client still works."""
    sandbox = await start_sandbox(payouts=700, specifications=4000)
    internals.hold_responses(sandbox, hold_a_while)
    amili = await connect(sandbox, concurrency=2)
    await amili.auth.get_valid_token()
    await leave(amili.reconcile(), amili)
    await assert_nothing_is_left(amili, sandbox)
    assert 0 < len(lists(sandbox)) < 40
    assert await amili.payouts.count() == 700


def server_tasks() -> set[asyncio.Task[Any]]:
    """The tasks of the sandbox itself: one per connection."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task)}


@pytest.mark.parametrize("resource", [PAYOUTS, SPECIFICATIONS])
@pytest.mark.parametrize("way", ["cancelled", "closed"])
async def test_waiting_for_an_answer_can_be_ended(
    resource: str, way: str, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """While the server does not respond, a cancellation or closing the client ends it; no request stays in flight."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    sandbox.fail(ServerTrouble(hang=True), times=None, path=resource)
    waiting = asyncio.ensure_future(take_all(amili.reconcile(), []))
    await happens(lambda: lists(sandbox, resource))
    if way == "cancelled":
        waiting.cancel()
    else:
        await amili.aclose()
    with pytest.raises(asyncio.CancelledError if way == "cancelled" else ClientClosed):
        await waiting
    assert internals.running_iterations(amili) == set()
    assert asyncio.all_tasks() == {asyncio.current_task(), *server_tasks()}
    await happens(lambda: not sandbox.in_flight)


async def test_a_slow_consumer_limits_the_fetching(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A consumer that pauses at the first payout of many has a few hundred fetched, however long it pauses."""
    sandbox = await start_sandbox(payouts=1000, specifications=4000)
    amili = await connect(sandbox)
    found = amili.reconcile()
    await anext(found)
    await settle(500)
    assert len(lists(sandbox, PAYOUTS)) <= BATCHES_IN_FLIGHT + 2
    assert len([each async for each in found]) == 999


async def test_nothing_is_sent_before_the_iteration(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The call alone sends nothing, and two concurrent runs are independent."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=120)
    misstate_total("amount")(books)
    amili = await connect(sandbox)
    first, second = amili.reconcile(), amili.reconcile()
    await settle(100)
    assert list(sandbox.requests) == []
    both = [pair async for pair in zip_async(first, second)]
    assert [one for one, _ in both] == [other for _, other in both] == await reconcile(amili)


async def zip_async(first: AsyncIterable[Any], second: Any) -> Any:
    async for each in first:
        yield each, await anext(second)


@pytest.mark.parametrize(
    "where",
    [
        {"finance_category": {"$near": "capital"}},
        {"payout_date": "2025-01-01"},
        field("_id").is_in([f"{number:024x}" for number in range(300)]),
        5,
    ],
)
async def test_a_bad_filter_is_rejected_at_the_call(where: Any, start_sandbox: StartSandbox, connect: Connect) -> None:
    """An invalid filter, and one with too long a request line, raises before anything is sent."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    with pytest.raises(ConfigurationError):
        amili.reconcile(where)
    assert list(sandbox.requests) == []


async def test_a_filter_of_nearly_the_maximum_length_works_to_the_end(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A filter that is accepted at the call is accepted with the range of the second batch too."""
    sandbox = await start_sandbox(payouts=0, specifications=0)
    books = PlantedBooks(sandbox, payouts=230)
    amili = await connect(sandbox)
    lengths = []
    for length in range(1, 8000, 7):
        where = (field("_id") != "0" * 24) & (field("payout_reference") != "x" * length)
        try:
            reconciliations = amili.reconcile(where)
        except ConfigurationError:
            break
        lengths.append(length)
        await reconciliations.aclose()
    where = (field("_id") != "0" * 24) & (field("payout_reference") != "x" * lengths[-1])
    assert 5000 < lengths[-1] < 8000
    assert [each.payout_id for each in await reconcile(amili, where)] == books.ids


async def test_a_closed_client_raises(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Iterating after the client was closed raises."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    found = amili.reconcile()
    await amili.aclose()
    with pytest.raises(ConfigurationError, match="not open"):
        await anext(found)


@pytest.mark.parametrize("path", [PAYOUTS, SPECIFICATIONS])
async def test_nothing_is_compared_with_a_cached_page(path: str, start_sandbox: StartSandbox, connect: Connect) -> None:
    """A page from a cache can lack rows, so it is an error and never a difference."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    sandbox.fail(ServerTrouble(headers={"Age": "30"}), times=None, path=f"/{path}")
    with pytest.raises(UnreadableResponse, match="answered from a cache"):
        await reconcile(amili)


async def test_a_reconciliation_that_was_cut_off_does_not_look_finished(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A loop that continues after a timeout around `anext` gets an error, not the end of the payouts."""
    sandbox = await start_sandbox(payouts=250)
    amili = await connect(sandbox)
    found = amili.reconcile()
    sandbox.fail(ServerTrouble(hang=True), path=f"/{SPECIFICATIONS}")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(found), 0.1)
    with pytest.raises(ClientClosed, match="cut off by CancelledError"):
        await anext(found)


async def test_a_reconciliation_that_has_failed_does_not_look_finished(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A loop that continues after an error gets an error, not the end of the payouts; a complete one ends for good."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    found = amili.reconcile()
    sandbox.fail(ServerTrouble(status=403), path=f"/{SPECIFICATIONS}")
    with pytest.raises(Forbidden):
        await anext(found)
    with pytest.raises(ClientClosed, match="cut off by Forbidden"):
        await anext(found)
    complete = amili.reconcile()
    assert len([each async for each in complete]) == 5
    assert [each async for each in complete] == []
