"""Whether anything that a program writes down holds a credential, a filter value or the contents of a record.

Canaries are planted in all of them, every kind of error is provoked, and everything that could end up in a log, a
report or on a screen is searched. Only what is documented to hold the server's words, or the payment, may.
"""

import asyncio
import json
import logging
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import UNSET
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.pretty import pretty_repr
from typer.testing import CliRunner

from amili_async import (
    AmiliClient,
    ApiCodeCredentials,
    Checkpoint,
    Condition,
    Manifest,
    NewCreditorPayment,
    RateLimit,
    RetryPolicy,
    Token,
    errors,
    field,
)
from amili_async._wire.protocol import create_request, list_request
from amili_async.cli.app import app
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    BudgetExhausted,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    ExportFailed,
    ExtractionInterrupted,
    Forbidden,
    NotFound,
    PaymentNotCompleted,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    ReferenceTaken,
    RegisteredTwice,
    ServerFault,
    TimedOut,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.events import Event
from amili_async.export import export
from amili_async.models import encode
from amili_async.observers import LogEvents, TraceEvents
from amili_async.query import RangedQuery, build_query
from amili_async.sandbox import Fault, Sandbox
from tests.integration.conftest import Connect, StartSandbox
from tests.support.clocks import HastyClock

MARK = "kanarie7"
"""Stands in every text that is planted, in a name at its end: asyncio shortens what it shows in the middle."""
DIGITS = ("47110815", "10815.42", "47,110,815", "47 110 815")
"""Stand in every amount that is planted, however it is written or shortened."""
NAME = f"Anna {MARK}"
INVOICE = f"F-{MARK}-faktura"
WORDS = f"server words about {MARK} and {DIGITS[0]}"
TOKEN = f"{MARK}-token"
LOGIN = f"http://user:{MARK}@127.0.0.1:9"
AMOUNT = Decimal(f"{DIGITS[0]}.42")
CREDITOR = "674dbeb208847b9501cc9138"
SPECIFICATIONS = "finance--payout-specifications"
PAYMENTS = "creditor--payments"
TOKENS = "/authenticates"
PLANTED = {
    "creditor_name": NAME,
    "invoice_number": INVOICE,
    "reference_number": INVOICE,
    "payout_reference": INVOICE,
    "references": {"case": NAME},
    "amount": AMOUNT,
    "vat_amount": 0,
    "total_amount": AMOUNT + 1,
}
FILTER = (field("creditor_name") == NAME) & field("invoice_number").is_in([INVOICE]) & (field("amount") >= AMOUNT)
JSON_FILTER = json.dumps({"creditor_name": NAME, "invoice_number": {"$in": [INVOICE]}})
WRONG_FILTER = json.dumps({"booking_date": NAME})
REFUSAL = {"_status": "ERR", "_error": {"code": 400, "message": WORDS}, "_issues": {"where": WORDS, NAME: [WORDS]}}
ISSUES = {"amount": f"unallowed value {AMOUNT}", "invoice_number": [INVOICE], "references": {"case": {"is": NAME}}}
INVALID = {"_status": "ERR", "_error": {"code": 422, "message": WORDS}, "_issues": ISSUES}
NO_UTF_8 = b'{"version":1,"resource":"' + NAME.encode() + b'\xff"}'
NO_MANIFEST = json.dumps(
    {"version": 1, "resource": "", "fingerprint": "", "filter": "", "is_finished": True, "verdict": NAME}
)
PAGE_OF_HTML = f"<!doctype html><title>{WORDS}</title><p>{LOGIN}"
UNSURE = {"_status": "OK", "_id": "68678eda88b9226bb78d7169", "status": WORDS, "status_reason_locale": WORDS}
MAY_HOLD_WORDS = frozenset({"issues", "excerpt", "payment", "created"})
"""The attributes of errors that are documented to hold what the server said, or the payment."""


@dataclass
class Scene:
    """Where errors are provoked."""

    sandbox: Sandbox
    amili: AmiliClient
    connect: Callable[..., Awaitable[AmiliClient]]
    folder: Path


@dataclass
class Watch:
    """What a program could have written down."""

    caplog: pytest.LogCaptureFixture
    events: list[Event]
    spans: InMemorySpanExporter
    warned: list[warnings.WarningMessage]

    def texts(self) -> Iterator[tuple[str, str]]:
        yield "log", self.caplog.text
        yield "log", "\n".join(repr(record.args) for record in self.caplog.records)
        yield from ((f"event {type(event).__name__}", f"{event!r} {pretty_repr(event)}") for event in self.events)
        yield from ((f"span {span.name}", span.to_json()) for span in self.spans.get_finished_spans())
        yield from (("warning", str(warning.message)) for warning in self.warned)


Provoke = Callable[[Scene], Awaitable[object]]
Rows = Mapping[str, tuple[type[Exception], Provoke]]


def shown(thing: object) -> Iterator[tuple[str, str]]:
    """All ways to write an object down."""
    yield f"repr of {type(thing).__name__}", repr(thing)
    yield f"str of {type(thing).__name__}", str(thing)
    yield f"rich on {type(thing).__name__}", pretty_repr(thing)


def told(error: BaseException) -> Iterator[tuple[str, str]]:
    """All that an error says, and those that led to it, also where Python would not show them."""
    yield "traceback", "".join(traceback.format_exception(error))
    chain: list[BaseException] = [error]
    for each in chain:
        yield from shown(each)
        yield f"args of {type(each).__name__}", repr(each.args)
        yield f"notes of {type(each).__name__}", repr(getattr(each, "__notes__", ()))
        for name, value in vars(each).items():
            if name not in MAY_HOLD_WORDS and not isinstance(value, Checkpoint):
                yield f"{type(each).__name__}.{name}", repr(value)
            elif isinstance(value, Checkpoint):
                yield from shown(value)
                yield f"{type(each).__name__}.{name}", value.to_json()
        causes = (each.__cause__, each.__context__)
        chain += [cause for cause in causes if cause is not None and cause not in chain]


def secrets_of(sandbox: Sandbox) -> dict[str, str]:
    """What must not be found, and what it is."""
    secrets = {MARK: "a planted text", sandbox.api_code: "the API code"}
    secrets |= dict.fromkeys(DIGITS, "an amount")
    secrets |= dict.fromkeys(sandbox.private_key.splitlines()[1:-1], "the private key")
    for request in sandbox.requests:
        credential = request.headers["x-api-key"]
        secrets |= {credential: "a credential"} | dict.fromkeys(credential.split(".")[1:], "part of a JWT")
    return secrets


def find_secrets(texts: Iterable[tuple[str, str]], secrets: Mapping[str, str]) -> list[str]:
    """Where secrets stand."""
    return [
        f"{name} in {where}: …{text[max(0, place - 80) : place + 40]}…"
        for where, text in texts
        for secret, name in secrets.items()
        if (place := text.lower().find(secret.lower())) >= 0
    ]


@pytest.fixture
async def scene(start_sandbox: StartSandbox, connect: Connect, watch: Watch, tmp_path: Path) -> Scene:
    """A sandbox in which every record holds canaries, and a client that is watched."""
    sandbox = await start_sandbox(specifications=23, payouts=3, payments=3)
    for resource in (SPECIFICATIONS, PAYMENTS):
        for row in sandbox.rows(resource):
            sandbox.update(resource, row["_id"], PLANTED)
    observers = [watch.events.append, LogEvents(), TraceEvents(tracer_of(watch))]

    async def connect_watched(**options: Any) -> AmiliClient:
        return await connect(sandbox, **({"observers": observers, "retry": RetryPolicy(attempts=2)} | options))

    return Scene(sandbox, await connect_watched(page_size=5), connect_watched, tmp_path)


def tracer_of(watch: Watch) -> Any:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(watch.spans))
    return provider.get_tracer("secrets")


@pytest.fixture
async def watch(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Watch]:
    """Every logger at DEBUG, and asyncio itself so talkative that it logs each step of each task."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield Watch(caplog, [], InMemorySpanExporter(), warned)


def make_payment(**changes: Any) -> NewCreditorPayment:
    fields: dict[str, Any] = {
        "creditor": CREDITOR,
        "invoice_number": INVOICE,
        "amount": AMOUNT,
        "bank_transaction_date": datetime(2025, 7, 4, tzinfo=UTC),
        "creditor_payment_reference": INVOICE,
    }
    return NewCreditorPayment(**(fields | changes))


def answered(**fault: Any) -> Provoke:
    """The server answers so to whoever asks for a page."""

    async def provoke(scene: Scene) -> None:
        scene.sandbox.fail(Fault(**fault), times=None, path=SPECIFICATIONS)
        await scene.amili.payout_specifications.page(where=FILTER)

    return provoke


def posted(*, patience: float = 0.0, **fault: Any) -> Provoke:
    """The server answers so to a payment."""

    async def provoke(scene: Scene) -> None:
        scene.sandbox.fail(Fault(**fault), times=None, method="POST")
        created = await scene.amili.creditor_payments.create(make_payment(), patience=patience)
        created.raise_for_status()

    return provoke


def exchanged(**fault: Any) -> Provoke:
    """The server answers so to whoever asks for a token."""

    async def provoke(scene: Scene) -> None:
        scene.sandbox.fail(Fault(**fault), times=None, path=TOKENS)
        await scene.amili.payout_specifications.page(where=FILTER)

    return provoke


def connected(**options: Any) -> Provoke:
    """A client is made so, and asks for a page."""

    async def provoke(scene: Scene) -> None:
        amili = await scene.connect(**options)
        await amili.payout_specifications.page(where=FILTER)

    return provoke


def giving(token: Any) -> Provoke:
    """The token source gives this."""

    async def give() -> Any:
        return token

    return connected(auth=give)


def calling(function: Callable[..., Any], *arguments: Any, **options: Any) -> Provoke:
    """A call that is refused before anything is sent."""

    async def provoke(scene: Scene) -> None:
        function(*arguments, **options)

    return provoke


def holding(**fields: Any) -> Provoke:
    """A record holds something that cannot be read."""

    async def provoke(scene: Scene) -> None:
        scene.sandbox.update(SPECIFICATIONS, scene.sandbox.rows(SPECIFICATIONS)[7]["_id"], fields)
        await scene.amili.payout_specifications.stream().collect()

    return provoke


async def ask_for_a_payout(scene: Scene) -> None:
    await scene.amili.payouts.get(NAME)


async def ask_for_too_much(scene: Scene) -> None:
    scene.amili.payout_specifications.stream(field("invoice_number").is_in([f"{INVOICE}{n}" for n in range(999)]))


async def ask_a_closed_client(scene: Scene) -> None:
    await scene.amili.aclose()
    await scene.amili.payout_specifications.page(where=FILTER)


async def close_while_asking(scene: Scene) -> None:
    await scene.amili.auth.token()
    closing: list[asyncio.Task[None]] = []
    scene.sandbox.before_each_request(lambda request: closing.append(asyncio.create_task(scene.amili.aclose())))
    scene.sandbox.fail(Fault(status=200, carried_out=True, cut=0, hang=True), path=SPECIFICATIONS)
    try:
        await scene.amili.payout_specifications.page(where=FILTER)
    finally:
        scene.sandbox.before_each_request(None)
        await asyncio.gather(*closing)


async def read_the_key_as_a_file(scene: Scene) -> None:
    environ = {"AMILI_API_CODE": scene.sandbox.api_code, "AMILI_PRIVATE_KEY_FILE": scene.sandbox.private_key * 20}
    AmiliClient.from_env(environ)


async def give_the_wrong_password(scene: Scene) -> None:
    key = load_pem_private_key(scene.sandbox.private_key.encode(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"another"))
    ApiCodeCredentials(scene.sandbox.api_code, locked, password=TOKEN)


async def go_through_a_proxy(scene: Scene) -> None:
    async with aiohttp.ClientSession(proxy=LOGIN) as session:
        amili = await scene.connect(session=session)
        await amili.payout_specifications.page(where=FILTER)


async def refuse_one_of_many(scene: Scene) -> None:
    scene.sandbox.fail(Fault(status=503, body=PAGE_OF_HTML), times=None, method="GET", path=PAYMENTS)
    await raise_outcomes(scene, [make_payment()])


async def pay_twice(scene: Scene) -> None:
    await raise_outcomes(scene, [make_payment(), make_payment()])


async def raise_outcomes(scene: Scene, payments: list[NewCreditorPayment]) -> None:
    async with aclosing(scene.amili.creditor_payments.create_many(payments, patience=0)) as outcomes:
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error


async def find_another(scene: Scene) -> None:
    await scene.amili.creditor_payments.create(make_payment(amount=AMOUNT + 1))
    await scene.amili.creditor_payments.find(make_payment())


def insert_twins(scene: Scene) -> None:
    twin = {"creditor": CREDITOR, "creditor_payment_reference": INVOICE, "invoice_number": INVOICE, "amount": AMOUNT}
    for _ in range(2):
        scene.sandbox.insert(PAYMENTS, {**twin, "bank_transaction_date": datetime(2025, 7, 4, tzinfo=UTC)})


async def find_twins(scene: Scene) -> None:
    insert_twins(scene)
    await scene.amili.creditor_payments.find(make_payment())


async def find_two(scene: Scene) -> None:
    insert_twins(scene)
    scene.sandbox.fail(Fault(reset="before"), method="POST")
    await scene.amili.creditor_payments.create(make_payment(), patience=5)


async def interrupt_an_extraction(scene: Scene) -> None:
    scene.sandbox.fail(Fault(status=503, body=PAGE_OF_HTML), times=None, path=SPECIFICATIONS, after=3)
    async with scene.amili.payout_specifications.extract(FILTER) as extraction:
        _ = [record async for record in extraction]


async def sweep_in_vain(scene: Scene) -> None:
    scene.sandbox.fail(Fault(cut=50), times=None, path=SPECIFICATIONS, after=3)
    await scene.amili.payout_specifications.sweep([CREDITOR], FILTER)


async def reconcile_what_was_not_asked_for(scene: Scene) -> None:
    scene.sandbox.override(query=lambda request: {"max_results": "100"})
    async with aclosing(scene.amili.reconcile(FILTER)) as reconciliations:
        _ = [each async for each in reconciliations]


async def export_a_misfit(scene: Scene) -> None:
    row_id = scene.sandbox.rows(SPECIFICATIONS)[7]["_id"]
    scene.sandbox.update(SPECIFICATIONS, row_id, {"amount": Decimal(f"{AMOUNT}{'1' * 30}")})
    await export(scene.amili.payout_specifications, scene.folder / "rows.parquet", where=FILTER)


async def export_another_misfit(scene: Scene) -> None:
    scene.sandbox.update(SPECIFICATIONS, scene.sandbox.rows(SPECIFICATIONS)[7]["_id"], {"amount": NAME})
    await export(scene.amili.payout_specifications, scene.folder / "rows.parquet", fields=("_id", "amount"))


def changed(suffix: str, old: bytes, new: bytes, *, sweep: bool = False) -> Provoke:
    """A file is to be brought up to date that somebody has changed since."""

    async def provoke(scene: Scene) -> None:
        path = scene.folder / f"rows.{suffix}"
        specifications = scene.amili.payout_specifications
        await export(specifications, path, where=FILTER, fields=("creditor_name", "_id"))
        content = path.read_bytes()
        path.write_bytes(content.replace(old, new, 1))
        await export(specifications, path, where=FILTER, since=True, sweep=sweep)

    return provoke


async def export_half_a_character(scene: Scene) -> None:
    async def rows() -> AsyncIterator[dict[str, Any]]:
        yield {"_id": CREDITOR, "creditor_name": f"{NAME}\ud800"}

    await export(rows(), scene.folder / "rows.csv", fields=("_id", "creditor_name"))


async def export_with_a_bad_record(scene: Scene) -> None:
    scene.sandbox.update(SPECIFICATIONS, scene.sandbox.rows(SPECIFICATIONS)[-1]["_id"], {"booking_date": NAME})
    await export(scene.amili.payout_specifications, scene.folder / "rows.csv", where=FILTER)


async def resume_from_no_utf_8(scene: Scene) -> None:
    state = scene.folder / "rows.csv.checkpoint.json"
    state.write_bytes(b'{"version":1,"plan":' + NO_UTF_8 + b"}")
    try:
        await export(scene.amili.payout_specifications, scene.folder / "rows.csv", resume=True)
    finally:
        state.unlink()  # it was not we who wrote it


async def make_a_token_in_vain() -> str:
    raise RuntimeError("the vault is sealed")


FROM_THE_SERVER: Rows = {
    "400": (BadRequest, answered(status=400, body=REFUSAL)),
    "403": (Forbidden, answered(status=403, body=REFUSAL)),
    "404": (NotFound, answered(status=404, body=PAGE_OF_HTML)),
    "409": (Conflict, answered(status=409, body=REFUSAL)),
    "302": (ApiError, answered(status=302, body=PAGE_OF_HTML, headers={"Location": LOGIN})),
    "ERR beside a 200": (BadRequest, answered(status=200, body=REFUSAL)),
    "422 to a filter": (ValidationFailed, answered(status=422, body=INVALID)),
    "429": (RateLimited, answered(status=429, body=REFUSAL, headers={"Retry-After": "9999", "X-Why": WORDS})),
    "500": (ServerFault, answered(status=500, body=PAGE_OF_HTML)),
    "503": (ServerFault, answered(status=503, body=REFUSAL, headers={"Retry-After": WORDS})),
    "no JSON": (UnreadableResponse, answered(status=200, body=WORDS)),
    "no UTF-8": (UnreadableResponse, answered(status=200, body=b'{"_items":[{"_id":"' + NAME.encode() + b'\xff"}]}')),
    "no list": (UnreadableResponse, answered(status=200, body={"_items": {NAME: WORDS}})),
    "no total": (UnreadableResponse, answered(status=200, body={"_items": [], "_meta": {"total": NAME}})),
    "a bad amount": (UnreadableResponse, holding(amount=NAME)),
    "a bad date": (UnreadableResponse, holding(booking_date=NAME)),
    "a bad name": (UnreadableResponse, holding(creditor_name=[NAME, AMOUNT])),
    "a bad object": (UnreadableResponse, holding(references=NAME)),
    "another record": (UnreadableResponse, reconcile_what_was_not_asked_for),
    "cut": (ConnectionFailed, answered(cut=50)),
    "reset": (ConnectionFailed, answered(reset="after")),
    "closed meanwhile": (ConfigurationError, close_while_asking),
    "proxy": (ConnectionFailed, go_through_a_proxy),
    "silence": (TimedOut, connected(auth=TOKEN, timeout=1e-6)),
    "a sweep": (ConnectionFailed, sweep_in_vain),
}
WITH_TOKENS: Rows = {
    "401 to a fixed token": (AuthenticationError, connected(auth=TOKEN)),
    "401 to every token": (AuthenticationError, answered(status=401, body=REFUSAL)),
    "401 to a JWT": (AuthenticationError, exchanged(status=401, body=REFUSAL)),
    "500 to a JWT": (ServerFault, exchanged(status=500, body=PAGE_OF_HTML)),
    "no answer to a JWT": (ConnectionFailed, exchanged(reset="after")),
    "an answer without a token": (AuthenticationError, exchanged(status=200, body={"tokn": TOKEN})),
    "an answer that is no JSON": (AuthenticationError, exchanged(status=200, body=PAGE_OF_HTML)),
    "a token that fits no header": (AuthenticationError, exchanged(status=200, body={"token": f"{TOKEN}\n"})),
    "an expired token": (AuthenticationError, giving(Token(value=TOKEN, lifetime=-1))),
    "no token but a mapping": (AuthenticationError, giving({"token": TOKEN})),
    "a token with a line end": (AuthenticationError, giving(f"{TOKEN}\r\nX: {MARK}")),
    "a source that fails": (RuntimeError, connected(auth=make_a_token_in_vain)),
    "a used-up budget": (BudgetExhausted, connected(rate_limit=RateLimit(per_minute=1, per_second=1, max_wait=0))),
}
WITH_PAYMENTS: Rows = {
    "refused": (ValidationFailed, posted(status=422, body=INVALID)),
    "unknown after a reset": (PaymentOutcomeUnknown, posted(reset="after")),
    "unknown after looking": (PaymentOutcomeUnknown, posted(reset="before", patience=5)),
    "unknown after a 500": (PaymentOutcomeUnknown, posted(status=500, body=PAGE_OF_HTML)),
    "unknown after nonsense": (PaymentOutcomeUnknown, posted(status=201, body={"_id": {NAME: WORDS}})),
    "unknown among several": (PaymentOutcomeUnknown, find_two),
    "not completed": (PaymentNotCompleted, posted(status=201, body=UNSURE)),
    "not sent": (PaymentNotSent, refuse_one_of_many),
    "reference taken": (ReferenceTaken, find_another),
    "registered twice": (RegisteredTwice, find_twins),
    "twice in a list": (ConfigurationError, pay_twice),
    "a creditor that is none": (ConfigurationError, calling(make_payment, creditor=NAME)),
    "a case that is none": (ConfigurationError, calling(make_payment, invoice_number=UNSET, case=NAME)),
    "case and invoice": (ConfigurationError, calling(make_payment, case=CREDITOR)),
    "an amount in tenths of öre": (ConfigurationError, calling(make_payment, amount=AMOUNT / 10)),
    "a debt": (ConfigurationError, calling(make_payment, amount=-AMOUNT)),
    "an amount as text": (ConfigurationError, calling(make_payment, amount=str(AMOUNT))),
    "a reference with a line end": (ConfigurationError, calling(make_payment, creditor_payment_reference=f"{NAME}\n")),
    "half a character": (ConfigurationError, calling(make_payment, creditor_payment_reference=f"{NAME}\ud800")),
    "a date as text": (ConfigurationError, calling(make_payment, bank_transaction_date=NAME)),
    "a currency that is none": (ConfigurationError, calling(make_payment, currency=NAME)),
    "no payment": (TypeError, calling(NewCreditorPayment)),
}
WITH_ARGUMENTS: Rows = {
    "a date that is a text": (ConfigurationError, calling(lambda: field("booking_date") > NAME)),
    "a number that is a text": (ConfigurationError, calling(lambda: field("amount") > NAME)),
    "a text that is a number": (ConfigurationError, calling(lambda: field("creditor_name") > AMOUNT)),
    "an id that is none": (ConfigurationError, calling(lambda: field("creditor").is_in([NAME]))),
    "an unknown operator": (ConfigurationError, calling(build_query, {"amount": {"$near": NAME}})),
    "an empty range": (ConfigurationError, calling(lambda: field("creditor_name").between(NAME, NAME))),
    "half a character in a filter": (ConfigurationError, calling(build_query, {"creditor_name": f"{NAME}\ud800"})),
    "something without a form": (ConfigurationError, calling(build_query, {"creditor_name": NAME.encode()})),
    "a condition as a truth": (ConfigurationError, calling(lambda: bool(FILTER))),
    "too long a filter": (ConfigurationError, ask_for_too_much),
    "no id": (ConfigurationError, ask_for_a_payout),
    "a closed client": (ConfigurationError, ask_a_closed_client),
    "a password in the address": (ConfigurationError, calling(AmiliClient, LOGIN, auth=TOKEN)),
    "a token that fits no header": (ConfigurationError, calling(AmiliClient, auth=f"{TOKEN}\n")),
    "a key that is none": (ConfigurationError, calling(ApiCodeCredentials, TOKEN, f"-----BEGIN {MARK}-----")),
    "an API code with blanks": (ConfigurationError, calling(ApiCodeCredentials, f" {TOKEN}", TOKEN)),
    "another password": (ConfigurationError, give_the_wrong_password),
    "a key instead of its file": (ConfigurationError, read_the_key_as_a_file),
    "a checkpoint that is none": (ConfigurationError, calling(Checkpoint.from_json, JSON_FILTER)),
    "a checkpoint in no UTF-8": (ConfigurationError, calling(Checkpoint.from_json, NO_UTF_8)),
    "a manifest with another verdict": (ConfigurationError, calling(Manifest.from_json, NO_MANIFEST)),
}
OF_WHOLE_LISTS: Rows = {
    "an interrupted extraction": (ExtractionInterrupted, interrupt_an_extraction),
    "an interrupted export": (ExtractionInterrupted, export_with_a_bad_record),
    "an amount that fits no file": (ExportFailed, export_a_misfit),
    "a text that fits no file": (ExportFailed, export_another_misfit),
    "half a character in a record": (ExportFailed, export_half_a_character),
    "a file that was changed": (ExportFailed, changed("csv", b"Anna", b'",\xff"')),
    "a changed file that is swept": (ExportFailed, changed("csv", b"Anna", b'",\xff"', sweep=True)),
    "a changed file of lines": (ConfigurationError, changed("ndjson", b'"_id":"6', b'"_id":"\xff')),
    "a state in no UTF-8": (ConfigurationError, resume_from_no_utf_8),
}
PATHS = [
    pytest.param(*row, id=name)
    for rows in (FROM_THE_SERVER, WITH_TOKENS, WITH_PAYMENTS, WITH_ARGUMENTS, OF_WHOLE_LISTS)
    for name, row in rows.items()
]


@pytest.mark.parametrize(("kind", "provoke"), PATHS)
async def test_no_error_gives_a_secret_away(
    kind: type[Exception], provoke: Provoke, scene: Scene, watch: Watch
) -> None:
    """Neither its text, nor what led to it, nor what was logged, traced or observed meanwhile holds one."""
    with pytest.raises(kind) as caught, tracer_of(watch).start_as_current_span("journey"):
        await provoke(scene)
    assert type(caught.value) is kind
    found = find_secrets(told(caught.value), secrets_of(scene.sandbox))
    assert found + find_secrets(watch.texts(), secrets_of(scene.sandbox)) == []
    for path in scene.folder.glob("*.json"):
        assert find_secrets([(path.name, path.read_text())], secrets_of(scene.sandbox)) == []


def test_every_kind_of_error_is_provoked() -> None:
    """A new class of errors needs a row above."""
    kinds = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, AmiliError)}
    assert kinds - {row.values[0] for row in PATHS} == {AmiliError, errors.PaymentError}


async def test_nothing_that_goes_well_gives_a_secret_away(scene: Scene, watch: Watch) -> None:
    """Streams, extractions, exports, payments and a reconciliation leave none in logs, spans, states and manifests."""
    amili, path = scene.amili, scene.folder / "rows.ndjson"
    payments = [make_payment(creditor_payment_reference=f"{INVOICE}-{number}") for number in range(3)]
    with tracer_of(watch).start_as_current_span("journey"):
        rows = await amili.payout_specifications.stream(FILTER).collect()
        assert [row.creditor_name for row in rows] == [NAME] * 23
        extraction = amili.payout_specifications.extract(FILTER)
        assert len([record async for record in extraction]) == 23
        exported = await export(amili.payout_specifications, path, where=FILTER)
        await raise_outcomes(scene, payments)
        await amili.creditor_payments.find(payments[0])
        async with aclosing(amili.reconcile()) as reconciliations:
            differences = [difference async for each in reconciliations for difference in each.differences]
    assert any(DIGITS[0] in repr(difference) for difference in differences)
    secrets = secrets_of(scene.sandbox)
    assert find_secrets(watch.texts(), secrets) == []
    for thing in (extraction.checkpoint, extraction.manifest, exported.manifest):
        assert thing is not None
        assert find_secrets([*shown(thing), ("JSON", thing.to_json())], secrets) == []
    assert find_secrets([("file", path.with_name("rows.ndjson.manifest.json").read_text())], secrets) == []


async def test_no_object_shows_a_secret(scene: Scene) -> None:
    """Neither `repr` nor `str` nor rich shows what clients, queries, requests, answers and credentials hold."""
    amili, page = scene.amili, await scene.amili.payout_specifications.page(where=FILTER)
    query = build_query(FILTER, projection=["creditor_name"])
    things = [
        *(amili, amili.payouts, amili.payout_specifications, amili.creditor_payments, amili.auth, page),
        *(await amili.auth.token(), Token(value=TOKEN), FILTER, ~FILTER, Condition({"creditor_name": NAME}), query),
        *(amili.payout_specifications.stream(FILTER), amili.payout_specifications.extract(FILTER)),
        *(amili.reconcile(FILTER), RangedQuery(document=FILTER.document), list_request(SPECIFICATIONS, query)),
        *(create_request(PAYMENTS, encode(make_payment())), await amili._call(list_request(SPECIFICATIONS, query))),
        ApiCodeCredentials(scene.sandbox.api_code, scene.sandbox.private_key),
        amili.creditor_payments.create_many([make_payment()]),
    ]
    texts = [text for thing in things for text in (*shown(thing), *shown([thing]))]
    assert find_secrets(texts, secrets_of(scene.sandbox)) == []


PAYMENT = ("--creditor", CREDITOR, "--invoice-number", INVOICE, "--bank-date", "2025-07-04", "--yes")
COMMANDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str], Fault | None, int]] = {
    "400": (("list", "specifications", "--where", JSON_FILTER), {}, Fault(status=400, body=REFUSAL), 3),
    "500": (("list", "specifications", "--where", JSON_FILTER), {}, Fault(status=500, body=PAGE_OF_HTML), 3),
    "a bad filter": (("list", "specifications", "--where", WRONG_FILTER), {}, None, 2),
    "no JSON": (("list", "specifications", "--where", JSON_FILTER[:-1]), {}, None, 2),
    "no id": (("get", "payouts", NAME), {}, None, 2),
    "401": (("list", "payouts"), {"AMILI_TOKEN": TOKEN}, None, 3),
    "no header": (("list", "payouts"), {"AMILI_TOKEN": f"{TOKEN}\n"}, None, 2),
    "a login": (("list", "payouts"), {"AMILI_BASE_URL": LOGIN}, None, 2),
    "a bad key": (("list", "payouts"), {"AMILI_TOKEN": "", "AMILI_API_CODE": TOKEN}, None, 2),
    "an export": (("export", "specifications", "-o", "rows.csv"), {}, Fault(status=503, body=REFUSAL), 3),
    "a reconciliation": (("reconcile",), {}, Fault(status=403, body=REFUSAL), 3),
    "half a character": (("list", "payouts", "--where", JSON_FILTER + "\udcff"), {}, None, 2),
    "a bad amount": (("pay", *PAYMENT, "--amount", NAME), {}, None, 2),
    "a bad reference": (("pay", *PAYMENT, "--amount", "1", "--reference", f"{NAME}\n"), {}, None, 2),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_no_command_complains_with_a_secret(
    name: str, scene: Scene, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a failing command writes to stderr holds none."""
    arguments, environ, fault, code = COMMANDS[name]
    if fault is not None:
        scene.sandbox.fail(fault, times=None)
    monkeypatch.chdir(scene.folder)
    monkeypatch.setattr("amili_async.client.SystemClock", HastyClock)
    access = {"AMILI_BASE_URL": scene.sandbox.url, "AMILI_TOKEN": scene.sandbox.token()}
    key_file = {"AMILI_PRIVATE_KEY_FILE": scene.sandbox.private_key} if "AMILI_API_CODE" in environ else {}
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env={**access, **key_file, **environ})
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("amili: ")
    secrets = secrets_of(scene.sandbox)
    assert find_secrets([("stderr", result.stderr)], secrets) + find_secrets(watch.texts(), secrets) == []


async def test_the_search_finds_what_is_there(scene: Scene, watch: Watch) -> None:
    """In a log line's arguments, a suppressed context, a note, an attribute, a span, and whatever the case is."""
    await scene.amili.payouts.page()
    secrets = secrets_of(scene.sandbox)
    assert {"the API code", "the private key", "a credential", "part of a JWT"} < set(secrets.values())
    error: Exception = BadRequest("fine", status=400, excerpt=WORDS)
    assert find_secrets(told(error), secrets) == []
    error.__context__, error.__suppress_context__ = LookupError(NAME.upper()), True
    assert find_secrets(told(error), secrets)
    assert find_secrets(told(BadRequest("fine", status=400, request=NAME)), secrets)
    error = ValueError()
    error.add_note(scene.sandbox.requests[-1].headers["x-api-key"])
    assert find_secrets(told(error), secrets)
    assert find_secrets(watch.texts(), secrets) == []
    logging.getLogger("aiohttp.client").debug("%s", AMOUNT)
    assert find_secrets(watch.texts(), secrets)
    watch.caplog.clear()
    with pytest.raises(LookupError), tracer_of(watch).start_as_current_span("journey"):
        raise LookupError(NAME)
    assert find_secrets(watch.texts(), secrets)
