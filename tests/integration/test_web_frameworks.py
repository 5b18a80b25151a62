"""Records in web frameworks: response, body and OpenAPI schema with FastAPI, pydantic and Litestar."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI
from litestar import Litestar, Response, get, post
from litestar.params import JSONBody
from pydantic import BaseModel, TypeAdapter, ValidationError

from amili_async import (
    Case,
    CreatedPayment,
    Creditor,
    CreditorPayment,
    NewCreditorPayment,
    Payout,
    PayoutSpecification,
    PayoutSummary,
)
from amili_async.errors import AmiliError, ConfigurationError
from amili_async.litestar import AmiliPlugin
from tests.support.payments import CASE, make_payment

RECORDS: tuple[Any, ...] = (
    *(Payout, PayoutSpecification, CreditorPayment, CreatedPayment, Creditor, Case, PayoutSummary),
    NewCreditorPayment,
)
PAYOUT = Payout(
    id=CASE,
    created=datetime(2025, 6, 13, 8, tzinfo=UTC),
    amount=Decimal("1064.00"),
    summary={"capital": PayoutSummary(count=2, amount=Decimal("1064.00"))},
)


async def answer_payout() -> Payout:
    """A payout."""
    return PAYOUT


async def answer_payouts() -> list[Payout]:
    """Some payouts."""
    return [PAYOUT]


def fastapi_app() -> FastAPI:
    """Each kind of use, in FastAPI."""
    app = FastAPI()
    app.get("/payout")(answer_payout)
    app.get("/payouts")(answer_payouts)

    @app.post("/payout")
    async def echo(data: Annotated[Payout, Body()]) -> Payout:
        return data

    @app.post("/payment")
    async def echo_payment(data: Annotated[NewCreditorPayment, Body()]) -> NewCreditorPayment:
        return data

    return app


def litestar_app() -> Litestar:
    """Each kind of use, in Litestar."""

    @post("/payout", status_code=200)
    async def echo(data: JSONBody[Payout]) -> Payout:
        return data

    @post("/payment", status_code=200)
    async def echo_payment(data: JSONBody[NewCreditorPayment]) -> NewCreditorPayment:
        return data

    handlers = [get("/payout")(answer_payout), get("/payouts")(answer_payouts), echo, echo_payment]
    return Litestar(handlers, plugins=[AmiliPlugin()], logging_config=None)


APPS: dict[str, Any] = {"/openapi.json": fastapi_app, "/schema/openapi.json": litestar_app}


@pytest.fixture(params=APPS)
def schema_path(request: pytest.FixtureRequest) -> str:
    """The framework, by the path of its OpenAPI document."""
    return str(request.param)


@pytest.fixture
def web(schema_path: str) -> httpx.AsyncClient:
    """A client of an app in this process."""
    headers = {"Content-Type": "application/json"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(APPS[schema_path]()), base_url="http://app", headers=headers)


async def test_a_record_is_a_response(web: httpx.AsyncClient) -> None:
    """It is sent in ISO form, alone and in a list, and read back as the same record."""
    whole, listed = (await web.get("/payout")).text, (await web.get("/payouts")).json()
    assert json.loads(whole) == json.loads(PAYOUT.to_json("iso"))
    assert (Payout.from_json(whole), [Payout.from_dict(each) for each in listed]) == (PAYOUT, [PAYOUT])


@pytest.mark.parametrize("form", ["api", "iso"])
async def test_a_record_is_a_body(web: httpx.AsyncClient, form: Any) -> None:
    """In either form; a body that is no record is the client's mistake."""
    response = await web.post("/payout", content=PAYOUT.to_json(form))
    assert (response.status_code, Payout.from_json(response.text)) == (200, PAYOUT)
    for wrong in ('{"_id": 5}', '{"_id": "x", "_created": "x"}', "[]"):
        assert 400 <= (await web.post("/payout", content=wrong)).status_code < 500


async def test_a_new_payment_is_a_body(web: httpx.AsyncClient) -> None:
    """A handler gets a checked payment; what the API would reject is never one."""
    payment = make_payment()
    response = await web.post("/payment", content=payment.to_json("iso"))
    assert (response.status_code, NewCreditorPayment.from_json(response.text)) == (200, payment)


async def test_a_payment_that_is_rejected_is_the_clients_mistake(web: httpx.AsyncClient) -> None:
    """The framework answers with the reason; nothing is sent on."""
    response = await web.post("/payment", json=make_payment().to_dict("iso") | {"amount": "-1"})
    assert response.status_code in (400, 422)
    assert "amount must be more than zero" in response.text


@pytest.mark.parametrize("kind", [ConfigurationError, AmiliError, Exception])
async def test_an_exception_handler_of_the_app_takes_precedence(kind: type[Exception]) -> None:
    """The plugin answers errors of no app that does so itself."""

    @post("/payment")
    async def register(data: JSONBody[NewCreditorPayment]) -> None: ...

    app: Any = Litestar(
        [register],
        plugins=[AmiliPlugin()],
        exception_handlers={kind: lambda *_: Response("its own", status_code=418)},
        logging_config=None,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as web:
        response = await web.post("/payment", json=make_payment().to_dict("iso") | {"amount": "-1"})
    assert (response.status_code, response.text) == (418, "its own")


async def test_openapi_shows_dates_and_exact_amounts(web: httpx.AsyncClient, schema_path: str) -> None:
    """A date is a `date-time`, an amount a text, and every path refers to the one schema of its record."""
    document = (await web.get(schema_path)).json()
    assert json.dumps(document["paths"]).count("#/components/schemas/Payout") >= 4
    schemas = document["components"]["schemas"]
    assert schemas.keys() >= {"Payout", "NewCreditorPayment"}
    for record, names in (
        ("Payout", ("_created", "_updated", "payout_date", "finance_period_start_date", "finance_period_end_date")),
        ("NewCreditorPayment", ("bank_transaction_date", "client_registration_date")),
    ):
        properties = schemas[record]["properties"]
        found = {name for name, schema in properties.items() if '"format": "date-time"' in json.dumps(schema)}
        assert found == set(names)
        assert '"type": "string"' in json.dumps(properties["amount"])
    assert schemas["Payout"]["required"] == ["_id"]


@pytest.mark.parametrize("record", RECORDS)
def test_pydantic_has_a_schema_of_each_record(record: Any) -> None:
    """Under the API's names, for validation and for serialisation."""
    adapter = TypeAdapter(record)
    for schema in (adapter.json_schema(), adapter.json_schema(mode="serialization")):
        assert schema["title"] == record.__name__
        assert list(schema["properties"]) == list(record.__struct_encode_fields__)
        amount = schema["properties"].get("amount")
        assert amount is None or '"format": "decimal", "type": "string"' in json.dumps(amount, sort_keys=True)


def test_a_model_of_pydantic_holds_records() -> None:
    """A record passes through Python unchanged, and through JSON as an equal one."""

    class Report(BaseModel):
        payouts: list[Payout]
        payment: NewCreditorPayment | None = None

    report = Report(payouts=[PAYOUT], payment=make_payment())
    assert report.payouts[0] is PAYOUT
    assert report.model_dump()["payouts"] == [PAYOUT]
    assert Report.model_validate_json(report.model_dump_json()) == report
    wrong: Any
    for wrong in ({"payouts": [5]}, {"payouts": [{"_id": 5}]}, {"payouts": [], "payment": {}}):
        with pytest.raises(ValidationError):
            Report.model_validate(wrong)
