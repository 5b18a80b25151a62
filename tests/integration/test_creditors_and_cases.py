"""The records around a payout: creditors, cases, the texts of locale keys, and any other resource of the API."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field

import amili_async
from amili_async import AmiliClient, Case, CreatedPayment, Creditor, CreditorPayment
from amili_async.errors import ConfigurationError, NotFound, UnreadableResponse
from amili_async.export import export
from amili_async.sandbox import Fault, Sandbox
from tests.support.payments import make_payment
from tests.support.starting import Connect, StartSandbox

PERSONAL = ("customer", "customer_name", "customer_id_number", "customer_status")
OVERPAID = "creditor_payment.overpaid"


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A sandbox with some payments in warning and in error."""
    return await start_sandbox(payments=20)


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect) -> AmiliClient:
    """A client of it."""
    return await connect(sandbox)


def answer(*rows: dict[str, Any]) -> Fault:
    return Fault(status=200, body={"_items": list(rows)})


def projections(sandbox: Sandbox) -> list[str]:
    return [request.query.get("projection", "") for request in sandbox.requests if request.path.startswith("/cases")]


# Creditors


async def test_each_field_of_a_creditor_is_read(sandbox: Sandbox, amili: AmiliClient) -> None:
    """A creditor has the values of its row, and all creditors are listed once."""
    rows = {row["_id"]: row for row in sandbox.rows("creditors")}
    found = [creditor async for creditor in amili.creditors.extract()]
    assert {creditor.id for creditor in found} == set(rows)
    for creditor in found:
        row = rows[creditor.id]
        assert type(creditor) is Creditor
        for name in Creditor.__struct_fields__[4:]:
            assert getattr(creditor, name) == row.get(name)


async def test_a_creditor_is_found_by_what_people_know(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Its name, its creditor number, and its organisation number with or without the hyphen, lead to its id."""
    for row in sandbox.rows("creditors"):
        number = row.get("organization_no") or row["non_swedish_organization_no"]
        for known in (
            {"name": row["name"]},
            {"creditor_number": row["creditor_number"]},
            {"organization_no": number},
            {"organization_no": number.replace("-", "")},
            {"name": row["name"], "creditor_number": row["creditor_number"]},
        ):
            assert [creditor.id for creditor in await amili.creditors.find(**known)] == [row["_id"]], known
    assert await amili.creditors.find(name="Unknown AB") == ()
    assert await amili.creditors.find(name=row["name"], creditor_number=1) == ()


async def test_all_creditors_of_one_number_are_found(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Two creditors of one company are both found, so that the caller can decide."""
    sandbox.insert("creditors", {"name": "Sister", "organization_no": "5561234567"})
    sandbox.insert("creditors", {"name": "Brother", "organization_no": "556123-4567"})
    found = await amili.creditors.find(organization_no="556123-4567")
    assert [creditor.name for creditor in found] == ["Sister", "Brother"]


@pytest.mark.parametrize("known", [{"name": "A"}, {"creditor_number": 1}, {"organization_no": "5560120000"}])
async def test_a_server_that_ignores_the_filter_finds_nothing(sandbox: Sandbox, amili: AmiliClient, known: Any) -> None:
    """A creditor that does not match is an error, since payments would be sent to it."""
    sandbox.override(query=lambda request: {name: text for name, text in request.query.items() if name != "where"})
    with pytest.raises(UnreadableResponse, match="seems to ignore filter"):
        await amili.creditors.find(**known)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({}, "needs a name, an organization_no or a creditor_number"),
        ({"creditor_number": "2000037"}, "creditor_number must be a whole number"),
        ({"organization_no": 5560120000}, "organization_no holds text"),
        ({"name": 5}, "name holds text"),
    ],
)
async def test_a_search_that_finds_nothing_is_rejected(amili: AmiliClient, known: Any, message: str) -> None:
    """A value of another type than the field's never matches, and no value would match all creditors."""
    with pytest.raises(ConfigurationError, match=message):
        await amili.creditors.find(**known)


# Cases


async def test_each_field_of_a_case_is_read(sandbox: Sandbox, amili: AmiliClient) -> None:
    """A case has the values of its row, amounts of its debt with their digits, and no field of the debtor."""
    rows = {row["_id"]: row for row in sandbox.rows("cases")}
    found = [case async for case in amili.cases.extract()]
    assert {case.id for case in found} == set(rows)
    for case in found:
        row = rows[case.id]
        for name in ("creditor", "creditor_name", "reference_number", "currency", "state", "status", "debt", "closed"):
            assert getattr(case, name) == row.get(name)
        assert isinstance(case.latest_state_date, datetime)
        assert case.debt is not None
        assert type(case.debt["capital_to_claim"]) is Decimal
        assert case.is_open is not row.get("closed", False)


async def test_no_field_of_a_person_is_requested(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Whatever reads cases sends a projection, and no answer holds a field of the debtor."""
    row = sandbox.rows("cases")[0]
    assert row.keys() >= set(PERSONAL)
    read: list[Any] = [
        await amili.cases.get(row["_id"], into=dict),
        *(await amili.cases.page(into=dict)).items,
        *await amili.cases.stream(into=dict, projection={}).collect(),
        *await amili.cases.stream(into=dict, projection={"debt": 0}).collect(),
        *[each async for each in amili.cases.extract(into=dict)],
    ]
    await amili.cases.get(row["_id"])
    await amili.cases.find(row["debt"]["invoice_number"])
    await amili.cases.count()
    assert await amili.cases.sweep([row["_id"], "6" * 24]) == {"6" * 24}
    assert [name for each in read for name in PERSONAL if name in each] == []
    assert all("{" in projection for projection in projections(sandbox))
    assert [each for each in projections(sandbox) if "customer" in each] == []


async def test_a_projection_limits_or_extends_the_fields_of_a_case(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Named fields are fetched, also those of the debtor; left-out fields are left out of those of `Case`."""
    row = sandbox.rows("cases")[0]
    automatic = {"_id", "_created", "_updated", "_etag"}
    named = await amili.cases.get(row["_id"], into=dict, projection=["created", "customer_name", "debt.invoice_number"])
    assert set(named) == automatic | {"customer_name", "debt"}
    assert named["debt"] == {"invoice_number": row["debt"]["invoice_number"]}
    without = await amili.cases.get(row["_id"], into=dict, projection={"debt": 0, "state": 0})
    assert "debt" not in without
    assert without["status"] == row["status"]
    typed = await amili.cases.get(row["_id"], projection=["state"])
    assert (typed.state, typed.status) == (row["state"], None)
    with pytest.raises(ConfigurationError, match="either all 1"):
        await amili.cases.get(row["_id"], projection={"debt": 0, "state": 1})

    class Debtor(Struct):
        customer_name: str

    assert (await amili.cases.get(row["_id"], into=Debtor)).customer_name == row["customer_name"]
    with pytest.raises(ConfigurationError, match="projection cannot be combined"):
        await amili.cases.get(row["_id"], into=Debtor, projection=["state"])


async def test_a_case_is_found_by_its_invoice(sandbox: Sandbox, amili: AmiliClient) -> None:
    """All cases with the number are found, of every creditor or of one."""
    first, second = (creditor["_id"] for creditor in sandbox.rows("creditors")[:2])
    made = [
        sandbox.insert("cases", {"creditor": creditor, "debt": {"invoice_number": "F-1"}})
        for creditor in (first, second)
    ]
    assert [case.id for case in await amili.cases.find("F-1")] == made
    assert [case.id for case in await amili.cases.find("F-1", creditor=second)] == made[1:]
    assert await amili.cases.find("F-2") == ()


@pytest.mark.parametrize(("closed", "is_open"), [(None, True), (False, True), (True, False), ("2025-01-01", False)])
def test_a_case_is_open_unless_its_row_states_otherwise(closed: Any, is_open: bool) -> None:
    """The API documents only the name of `closed`, so any value that is set closes the case."""
    assert Case(id="0" * 24, closed=closed).is_open is is_open


# Any other resource


class Locale(Struct):
    """A row of `locales`, as a caller declares it."""

    id: str
    created: datetime
    key: str = field(name="locale_tag")


async def test_any_resource_is_read_as_a_type_of_the_caller(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Its fields are the projection of each call; `into` and `projection` work as for the built-in resources."""
    rows = sandbox.rows("locales")
    locales = amili.resource("locales", Locale)
    found = [*await locales.stream(sort="-locale_tag").collect(), *[each async for each in locales.extract()]]
    assert sorted(each.key for each in found) == sorted(2 * [row["locale_tag"] for row in rows])
    assert type(await locales.get(rows[0]["_id"])) is Locale
    asked = [request.query.get("projection") for request in sandbox.requests if "locales" in request.path]
    assert set(asked) == {'{"_id":1,"_created":1,"locale_tag":1}', '{"_id":1}'}  # the second counts
    assert await locales.count({"locale_tag": OVERPAID}) == 1
    whole = await locales.get(rows[0]["_id"], into=dict)
    assert whole == rows[0]
    with pytest.raises(ConfigurationError, match="projection cannot be combined"):
        await locales.get(rows[0]["_id"], projection=["locale_tag"])


async def test_any_resource_is_read_as_dicts(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Dicts have all fields, unless a projection names some."""
    creditors: Any = amili.resource("creditors", dict)
    rows = sorted(sandbox.rows("creditors"), key=lambda row: str(row["_id"]))
    assert await creditors.stream().collect() == rows
    assert set(await creditors.get(rows[0]["_id"], projection=["name"])) == {
        *("_id", "_created", "_updated", "_etag", "name")
    }
    with pytest.raises(NotFound):
        await amili.resource("media--uploads", dict).get("0" * 24)


async def test_any_resource_is_exported(amili: AmiliClient, tmp_path: Path) -> None:
    """A file of a caller's own type is made and brought up to date as those of the built-in resources."""

    class Named(Struct):
        id: str = field(name="_id")
        name: str

    path = tmp_path / "creditors.ndjson"
    for since in (False, True):
        exported = await export(amili.resource("creditors", Named), path, since=since)
        assert (exported.rows, exported.is_complete) == (5, True)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"_id": each.id, "name": each.name} for each in await amili.creditors.stream().collect()]


@pytest.mark.parametrize(
    "path", ["", "/creditors", "creditors/", "a//b", "../creditors", "creditors?page=2", "a b", "a#b", "å", 5, None]
)
async def test_a_path_that_is_no_path_is_rejected(amili: AmiliClient, path: Any) -> None:
    """Neither a parameter nor another place can hide in a path."""
    with pytest.raises(ConfigurationError, match="path must be the API's path of a resource"):
        amili.resource(path, dict)


@pytest.mark.parametrize("record", [int, "Locale", None, list])
async def test_a_record_type_is_a_struct_or_dict(amili: AmiliClient, record: Any) -> None:
    """Any other type is rejected by the name of its parameter."""
    with pytest.raises(ConfigurationError, match=r"record_type must be a msgspec\.Struct type or dict"):
        amili.resource("locales", record)


# The reason for a payment's status


async def test_a_reason_is_explained_in_a_language(sandbox: Sandbox, amili: AmiliClient) -> None:
    """The text of the key, translated by a person or a machine; each key is requested once."""
    payment = await amili.creditor_payments.stream({"status": "warning"}).first()
    assert payment is not None
    assert payment.status_reason_locale == OVERPAID
    sandbox.requests.clear()
    assert await payment.explain(amili) == "Mer betalades än vad som var skyldigt."
    assert await payment.explain(amili, language="en") == "More was paid than was owed."
    assert await payment.explain(amili, language="fi") == "[fi] More was paid than was owed."
    assert await payment.explain(amili, language="de") == OVERPAID
    assert len(sandbox.requests) == 1


async def test_a_payment_without_a_reason_has_an_empty_explanation(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Nothing is requested for it."""
    created = await amili.creditor_payments.create(make_payment())
    sandbox.requests.clear()
    assert await created.explain(amili, language="sv") == ""
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404),
        Fault(status=403),
        Fault(status=400),
        answer({"locale_tag": OVERPAID, "translations": 5}),
        answer({"locale_tag": "another", "translations": {"sv": {"translation": "fel"}}}),
        Fault(
            status=200,
            body={"_items": [{"locale_tag": OVERPAID, "translations": None, "machine_translations": {"sv": None}}]},
        ),
        answer({"locale_tag": OVERPAID, "translations": {"sv": {"translation": ""}}}),
        answer(),
    ],
)
async def test_a_key_without_a_text_explains_itself(sandbox: Sandbox, amili: AmiliClient, fault: Fault) -> None:
    """An API that lacks the text, the resource or the permission leaves the key, and no error."""
    sandbox.fail(fault, path="locales", times=None)
    created = CreatedPayment(id="0" * 24, status="warning", status_reason_locale=OVERPAID)
    assert await created.explain(amili, language="sv") == OVERPAID


async def test_a_failed_lookup_of_a_text_is_repeated(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Only an answer is remembered, so that the text is found once the API answers."""
    sandbox.fail(Fault(status=403), path="locales")
    payment = CreditorPayment(id="0" * 24, status_reason_locale=OVERPAID)
    assert [await payment.explain(amili, language="en") for _ in range(2)] == [OVERPAID, "More was paid than was owed."]


async def test_a_long_key_and_an_unknown_one_explain_themselves(sandbox: Sandbox, amili: AmiliClient) -> None:
    """A text that cannot be a key is not requested; an unknown key is requested once."""
    for key in ("x" * 5_000, "nothing.known", "nothing.known"):
        assert await CreditorPayment(id="0" * 24, status_reason_locale=key).explain(amili) == key
    assert sum(request.path == "/locales" for request in sandbox.requests) == 1
    with pytest.raises(ConfigurationError, match="language must be a language code"):
        await amili.explain(OVERPAID, language="")


# The account of a payment


async def test_an_account_is_sent_only_where_it_is_given(sandbox: Sandbox, amili: AmiliClient) -> None:
    """An older page of the API's documentation demands it; the newer ones call it read-only."""
    account = "674DBEAF08847B9501CC9132"
    for payment in (make_payment(account=account), make_payment(creditor_payment_reference="other")):
        await amili.creditor_payments.create(payment)
        assert (await amili.creditor_payments.find(payment)) is not None
    sent = [json.loads(request.body) for request in sandbox.requests if request.method == "POST"]
    assert [body.get("account") for body in sent] == [account.lower(), None]
    with pytest.raises(ConfigurationError, match="account must be 24 hexadecimal digits"):
        make_payment(account="me")


def test_the_new_names_are_public() -> None:
    """A user imports the records and the types of the resources from the package itself."""
    assert {"Case", "Cases", "Creditor", "Creditors"} <= set(amili_async.__all__)
