"""Single records, pages and counts against the sandbox."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from amili_async import AmiliClient, Resource, field
from amili_async.conditions import Where
from amili_async.errors import BadRequest, ConfigurationError, NotFound, UnreadableResponse
from amili_async.models import to_document
from amili_async.sandbox import Fault
from tests.support.starting import Connect, StartSandbox

MISSING = "0" * 24


class Total(msgspec.Struct):
    """A caller's struct."""

    total_amount: Decimal


class Nothing(msgspec.Struct):
    """A struct without fields."""


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A struct that cannot be decoded: the API always sends more fields."""

    total_amount: Decimal


async def test_every_row_of_every_resource_survives_decoding_and_encoding(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A record encodes to what the server has, without undocumented fields and those that are null."""
    sandbox = await start_sandbox(specifications=1000, payments=40)
    amili = await connect(sandbox)
    resources: dict[str, Resource[Any]] = {
        "finance--payouts": amili.payouts,
        "finance--payout-specifications": amili.payout_specifications,
        "creditor--payments": amili.creditor_payments,
    }
    for path, resource in resources.items():
        rows = {row["_id"]: row for row in sandbox.rows(path)}
        records = await resource.stream().collect()
        assert len(records) == len(rows)
        for record in records:
            documented = {each.encode_name for each in msgspec.structs.fields(type(record))}
            assert to_document(record) == {
                name: value for name, value in rows[record.id].items() if name in documented and value is not None
            }


async def test_get_accepts_ids_in_upper_case(start_sandbox: StartSandbox, connect: Connect) -> None:
    """An id may be in upper case, although the API's paths accept lower case only."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    row = sandbox.rows("finance--payouts")[0]
    payout = await amili.payouts.get(row["_id"].upper())
    assert (payout.id, payout.total_amount) == (row["_id"], row["total_amount"])
    assert sandbox.requests[-1].path == f"/finance--payouts/{row['_id']}"


async def test_get_with_a_projection_leaves_the_other_fields_none(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Fields outside the projection are `None`; those that Eve adds are always present."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    payout = await amili.payouts.get(sandbox.rows("finance--payouts")[0]["_id"], projection=["amount"])
    assert isinstance(payout.amount, Decimal)
    assert payout.total_amount is None
    assert payout.created is not None


async def test_a_missing_record_is_not_found(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A 404 raises `NotFound`, which names the request."""
    amili = await connect(await start_sandbox())
    with pytest.raises(NotFound, match=f"GET /finance--payouts/{MISSING} returned 404"):
        await amili.payouts.get(MISSING)


async def test_pages_and_counts(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A page has number, size, total and has_next; one past the last is empty; a count is one request."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    page = await amili.payout_specifications.page(2, page_size=60, sort="-amount")
    assert (len(page.items), page.number, page.max_results, page.total) == (60, 2, 60, 250)
    assert page.has_next
    beyond = await amili.payout_specifications.page(99)
    assert (beyond.items, beyond.total, beyond.has_next) == ((), 250, False)
    sandbox.requests.clear()
    expected = sum(row.get("article") == "capital" for row in sandbox.rows("finance--payout-specifications"))
    assert await amili.payout_specifications.count(field("article") == "capital") == expected
    assert len(sandbox.requests) == 1


async def test_a_count_needs_a_total(start_sandbox: StartSandbox, connect: Connect) -> None:
    """If the server reports no total, count() raises instead of guessing."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    sandbox.fail(Fault(status=200, body={"_items": [{"_id": MISSING}]}), path="finance--payouts")
    with pytest.raises(UnreadableResponse, match="has no total"):
        await amili.payouts.count()


async def test_conditions_select_what_they_mean(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Conditions of every kind, as objects and as plain mappings, select what the same rule selects in Python."""
    sandbox = await start_sandbox(specifications=400)
    amili = await connect(sandbox)
    records = await amili.payout_specifications.stream().collect()
    start, end = datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
    case = next(record.references["case"] for record in records if record.references)
    table: list[tuple[Where, Callable[[Any], bool]]] = [
        (field("article") == "capital", lambda r: r.article == "capital"),
        (field("article") != "capital", lambda r: r.article != "capital"),
        (field("amount") >= Decimal("1000.50"), lambda r: (r.amount or 0) >= Decimal("1000.50")),
        (field("booking_date").between(start, end), lambda r: bool(r.booking_date) and start <= r.booking_date < end),
        (
            field("booking_date").between(date(2025, 2, 1), date(2025, 4, 1)),
            lambda r: bool(r.booking_date) and start <= r.booking_date < end,
        ),
        (field("payout").exists(False), lambda r: r.payout is None),
        (field("state").is_in(["reminder", "enforcement"]), lambda r: r.state in ("reminder", "enforcement")),
        (field("references.case") == case, lambda r: bool(r.references) and r.references.get("case") == case),
        (
            (field("article") == "interest") | ~(field("state") == "reminder") & (field("amount") < 500),
            lambda r: r.article == "interest" or (r.state != "reminder" and r.amount < 500),
        ),
        ({"creditor": records[0].creditor}, lambda r: r.creditor == records[0].creditor),
        ({"created": {"$gte": records[200].created}}, lambda r: r.created >= records[200].created),
    ]
    for condition, rule in table:
        expected = [record.id for record in records if rule(record)]
        assert expected
        found = await amili.payout_specifications.stream(condition).collect()
        assert [record.id for record in found] == expected, condition


@pytest.mark.parametrize(
    "call",
    [
        lambda amili: amili.payouts.get("not-an-id"),
        lambda amili: amili.payouts.get("../users"),
        lambda amili: amili.payouts.page(0),
        lambda amili: amili.payouts.page(True),
        lambda amili: amili.payouts.page(page_size=101),
        lambda amili: amili.payouts.page(page_size=0),
        lambda amili: amili.payouts.stream(page_size=101).collect(),
        lambda amili: amili.payouts.stream(concurrency=0).collect(),
        lambda amili: amili.payouts.stream(max_items=0).collect(),
        lambda amili: amili.payouts.stream({"$or": []}).collect(),
        lambda amili: amili.payouts.stream({"amount": float("nan")}).collect(),
        lambda amili: amili.payouts.stream(field("created") > datetime(2025, 1, 1)).collect(),  # noqa: DTZ001
        lambda amili: amili.payouts.stream(field("creditor") == "Example AB").collect(),
        lambda amili: amili.payouts.stream(sort="amount,").collect(),
        lambda amili: amili.payouts.stream(into=int).collect(),
        lambda amili: amili.payouts.stream(into=Nothing).collect(),
        lambda amili: amili.payouts.stream(into=Strict).collect(),
        lambda amili: amili.payouts.stream(into=Total, projection=["amount"]).collect(),
        lambda amili: amili.payouts.stream(field("_id").is_in([MISSING] * 400)).collect(),
        lambda amili: amili.payouts.specifications("5").collect(),
        lambda amili: amili.payouts.count("creditor"),
        lambda amili: amili.creditor_payments.create({"amount": 5}),
    ],
)
async def test_wrong_arguments_raise_before_anything_is_sent(
    call: Callable[[AmiliClient], Awaitable[Any]], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Each mistake raises `ConfigurationError`, and the server receives nothing, not even a token request."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    with pytest.raises(ConfigurationError):
        await call(amili)
    assert sandbox.requests == []


async def test_what_only_the_server_can_reject_raises_with_the_request(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A 400 raises an error that names the request, and shows nothing of the query."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    sandbox.fail(Fault(status=400), path="finance--payouts")
    with pytest.raises(BadRequest) as caught:
        await amili.payouts.page(where={"payout_reference": "s3cret"})
    assert "GET /finance--payouts returned 400" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_client_that_is_not_open_raises_with_the_remedy(start_sandbox: StartSandbox) -> None:
    """Before open and after close, the error of a call states what to do."""
    sandbox = await start_sandbox()
    client = AmiliClient(sandbox.url, auth="token")
    with pytest.raises(ConfigurationError, match="async with AmiliClient"):
        await client.payouts.count()
