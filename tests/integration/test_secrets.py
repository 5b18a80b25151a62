"""No log, span, error or screen contains a credential, a filter value or the contents of a record.

Canaries are planted in all of them, every kind of error is provoked, and everything that a program could write is
searched. Only attributes documented to hold text of the server, or the payment, may contain them.
"""

import asyncio
import json
import logging
import pickle
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from inspect import isawaitable
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
    PayoutSpecification,
    RateLimit,
    Resource,
    RetryPolicy,
    Token,
    Where,
    field,
)
from amili_async._wire.protocol import create_request, list_request
from amili_async.cli.app import app
from amili_async.errors import (
    ApiError,
    AuthenticationError,
    BadRequest,
    BudgetExhausted,
    ClientClosed,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    DeliveryFailed,
    ExportFailed,
    ExtractionInterrupted,
    Forbidden,
    NotFound,
    PaymentNotCompleted,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    RateLimiterUnavailable,
    ReferenceTaken,
    RegisteredTwice,
    ServerFault,
    TimedOut,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.events import Event
from amili_async.export import export, export_bytes
from amili_async.models import encode
from amili_async.observers import LogEvents, MeterCalls, TraceCalls
from amili_async.query import RangedQuery, build_query
from amili_async.sandbox import Fault, Sandbox
from amili_async.shared import RedisClaims, RedisRateLimiter, RedisTokens
from tests.support import internals, payments
from tests.support.clocks import HastyClock
from tests.support.errors import ABSTRACT, ERROR_CLASSES
from tests.support.logs import no_handlers
from tests.support.meters import Meters
from tests.support.payments import BOOKED, CREDITOR, PAYMENTS
from tests.support.starting import Connect, StartSandbox

MARK = "kanarie7"
"""Part of every planted text; at the end of a name, since asyncio shortens a text in its middle."""
DIGITS = ("47110815", "10815.42", "47,110,815", "47 110 815")
"""Parts of every planted amount, in all its formats."""
NAME = f"Anna {MARK}"
INVOICE = f"F-{MARK}-faktura"
WORDS = f"server words about {MARK} and {DIGITS[0]}"
TOKEN = f"{MARK}-token"
LOGIN = f"http://user:{MARK}@127.0.0.1:9"
AMOUNT = Decimal(f"{DIGITS[0]}.42")
SPECIFICATIONS = "finance--payout-specifications"
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
RAW_FILTER = {"creditor_name": NAME}
JSON_FILTER = json.dumps({"creditor_name": NAME, "invoice_number": {"$in": [INVOICE]}})
WRONG_FILTER = json.dumps({"booking_date": NAME})
ERROR_BODY = {"_status": "ERR", "_error": {"code": 400, "message": WORDS}, "_issues": {"where": WORDS, NAME: [WORDS]}}
ISSUES = {"amount": f"unallowed value {AMOUNT}", "invoice_number": [INVOICE], "references": {"case": {"is": NAME}}}
INVALID = {"_status": "ERR", "_error": {"code": 422, "message": WORDS}, "_issues": ISSUES}
NO_UTF_8 = b'{"version":1,"resource":"' + NAME.encode() + b'\xff"}'
NO_MANIFEST = json.dumps(
    {"version": 1, "resource": "", "fingerprint": "", "filter": "", "is_finished": True, "verdict": NAME}
)
PAGE_OF_HTML = f"<!doctype html><title>{WORDS}</title><p>{LOGIN}"
HEADERS = {"Set-Cookie": f"session={MARK}", "Link": LOGIN, "X-Debug": WORDS, "X-Request-ID": "abc-123"}
"""Of responses: an error keeps some of them, never these but the last."""
UNSURE = {"_status": "OK", "status": WORDS, "status_reason_locale": WORDS}
MAY_HOLD_WORDS = frozenset({"issues", "excerpt", "payment", "created"})
"""The attributes of errors that are documented to hold text of the server, or the payment."""


@dataclass
class WatchedScene:
    """The sandbox and the watched client in which errors are provoked."""

    sandbox: Sandbox
    amili: AmiliClient
    connect: Callable[..., Awaitable[AmiliClient]]
    folder: Path


@dataclass
class Watch:
    """Everything that a program could have written."""

    caplog: pytest.LogCaptureFixture
    events: list[Event]
    spans: InMemorySpanExporter
    meters: Meters
    warned: list[warnings.WarningMessage]

    def texts(self) -> Iterator[tuple[str, str]]:
        yield "log", self.caplog.text
        for record in self.caplog.records:
            yield "log", repr((record.args, {name: fact for name, fact in vars(record).items() if "amili" in name}))
        yield from ((f"event {type(event).__name__}", f"{event!r} {pretty_repr(event)}") for event in self.events)
        yield from ((f"span {span.name}", span.to_json()) for span in self.spans.get_finished_spans())
        yield "metrics", repr(self.meters.collect())
        yield from (("warning", str(warning.message)) for warning in self.warned)


Provoke = Callable[[WatchedScene], Awaitable[object]]
Rows = Mapping[str, tuple[type[Exception], Provoke]]


def shown(thing: object) -> Iterator[tuple[str, str]]:
    """All texts of an object."""
    yield f"repr of {type(thing).__name__}", repr(thing)
    yield f"str of {type(thing).__name__}", str(thing)
    yield f"rich on {type(thing).__name__}", pretty_repr(thing)
    if isinstance(thing, Checkpoint | Manifest):  # records and pages are displayed with their contents
        yield f"display of {type(thing).__name__}", thing._repr_html_()


def written(error: BaseException) -> Iterator[tuple[str, str]]:
    """All texts of an error and of its causes, suppressed ones too."""
    yield "traceback", "".join(traceback.format_exception(error))
    chain: list[BaseException] = [error]
    for each in chain:
        yield from shown(each)
        yield from variables_of(each)
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


def variables_of(error: BaseException) -> Iterator[tuple[str, str]]:
    """The variables of each frame of a traceback but the caller's, as rich, loguru and Sentry report them."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("tests.", "_pytest", "pytest")):
            for name, value in frame.f_locals.items():
                yield f"{name} in {module}.{frame.f_code.co_name}:{line}", pretty_repr(value, max_string=10_000)


def secrets_of(sandbox: Sandbox) -> dict[str, str]:
    """The secrets that must not be found, each with its kind."""
    secrets = {MARK: "a planted text", sandbox.api_code: "the API code"}
    secrets |= dict.fromkeys(DIGITS, "an amount")
    secrets |= dict.fromkeys(sandbox.private_key.splitlines()[1:-1], "the private key")
    for request in sandbox.requests:
        credential = request.headers["x-api-key"]
        secrets |= {credential: "a credential"} | dict.fromkeys(credential.split(".")[1:], "part of a JWT")
    return secrets


def find_secrets(texts: Iterable[tuple[str, str]], secrets: Mapping[str, str]) -> list[str]:
    """The places where secrets were found."""
    return [
        f"{name} in {where}: …{text[max(0, place - 80) : place + 40]}…"
        for where, text in texts
        for secret, name in secrets.items()
        if (place := text.lower().find(secret.lower())) >= 0
    ]


@pytest.fixture
async def scene(start_sandbox: StartSandbox, connect: Connect, watch: Watch, tmp_path: Path) -> WatchedScene:
    """A sandbox in which every record holds canaries, and a client that is watched."""
    sandbox = await start_sandbox(specifications=23, payouts=3, payments=3)
    for resource in (SPECIFICATIONS, PAYMENTS):
        for row in sandbox.rows(resource):
            sandbox.update(resource, row["_id"], PLANTED)
    observers = [watch.events.append, LogEvents(), TraceCalls(tracer_of(watch)), MeterCalls(watch.meters.meter)]

    async def connect_watched(**options: Any) -> AmiliClient:
        return await connect(sandbox, **({"observers": observers, "retry": RetryPolicy(attempts=2)} | options))

    return WatchedScene(sandbox, await connect_watched(page_size=5), connect_watched, tmp_path)


def tracer_of(watch: Watch) -> Any:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(watch.spans))
    return provider.get_tracer("secrets")


@pytest.fixture
async def watch(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Watch]:
    """Every logger at DEBUG, and asyncio in its debug mode, which logs each step of each task."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        meters = Meters()
        yield Watch(caplog, [], InMemorySpanExporter(), meters, warned)
        meters.close()


def make_payment(**changes: Any) -> NewCreditorPayment:
    """A payment in which every text and the amount are canaries."""
    planted = {"case": None, "invoice_number": INVOICE, "amount": AMOUNT, "creditor_payment_reference": INVOICE}
    return payments.make_payment(**(planted | changes))


def with_headers(fault: dict[str, Any]) -> Fault:
    """A fault whose response has canaries in its headers."""
    return Fault(**{**fault, "headers": HEADERS | fault.get("headers", {})})


def with_response(**fault: Any) -> Provoke:
    """Request a page, to which the server gives this response."""

    async def provoke(scene: WatchedScene) -> None:
        scene.sandbox.fail(with_headers(fault), times=None, path=SPECIFICATIONS)
        await scene.amili.payout_specifications.page(where=FILTER)

    return provoke


def with_payment_response(*, lookup_timeout: float = 0.0, **fault: Any) -> Provoke:
    """Create a payment, to which the server gives this response."""

    async def provoke(scene: WatchedScene) -> None:
        scene.sandbox.fail(with_headers(fault), times=None, method="POST")
        created = await scene.amili.creditor_payments.create(make_payment(), lookup_timeout=lookup_timeout)
        created.raise_for_status()

    return provoke


async def find_a_warning(scene: WatchedScene) -> None:
    """Create a payment that is registered and not settled."""
    body = {**UNSURE, "_id": internals.make_current_id(scene.amili)}
    await with_payment_response(status=201, body=body)(scene)


def with_token_response(**fault: Any) -> Provoke:
    """Request a page, for whose token request the server gives this response."""

    async def provoke(scene: WatchedScene) -> None:
        scene.sandbox.fail(with_headers(fault), times=None, path=TOKENS)
        await scene.amili.payout_specifications.page(where=FILTER)

    return provoke


def with_client(where: Where = FILTER, **options: Any) -> Provoke:
    """Request a page with a client of these options."""

    async def provoke(scene: WatchedScene) -> None:
        amili = await scene.connect(**options)
        await amili.payout_specifications.page(where=where)

    return provoke


async def share_a_limiter_without_redis(scene: WatchedScene) -> None:
    """Request a page with a shared rate limiter whose Redis, with a password in its URL, cannot be reached."""
    url = f"redis://:{MARK}@localhost:1"
    async with RedisRateLimiter.from_url(url, "key", limit=RateLimit(max_pause=0.0)) as limiter:
        amili = await scene.connect(rate_limit=limiter)
        await amili.payout_specifications.page(where=FILTER)


def with_token(token: Any) -> Provoke:
    """Request a page with a token source that returns this."""

    async def give() -> Any:
        return token

    return with_client(auth=give)


def calling(function: Callable[..., Any], *arguments: Any, **options: Any) -> Provoke:
    """Make a call that raises before any request."""

    async def provoke(scene: WatchedScene) -> None:
        function(*arguments, **options)

    return provoke


def with_record(**fields: Any) -> Provoke:
    """Stream records, one of which holds a value that cannot be read."""

    async def provoke(scene: WatchedScene) -> None:
        scene.sandbox.update(SPECIFICATIONS, scene.sandbox.rows(SPECIFICATIONS)[7]["_id"], fields)
        await scene.amili.payout_specifications.stream().collect()

    return provoke


def reading(call: Callable[..., Any], *arguments: Any) -> Provoke:
    """Call a method of a resource, whose request may fail as well."""

    async def provoke(scene: WatchedScene) -> None:
        given = call(scene.amili.payout_specifications, *arguments)
        if isawaitable(given):
            await given

    return provoke


def fail_to_sweep_by(where: dict[str, Any]) -> Provoke:
    """Sweep with a filter that cannot be used."""

    async def provoke(scene: WatchedScene) -> None:
        await scene.amili.payout_specifications.sweep([CREDITOR], where)

    return provoke


def download_by(where: dict[str, Any]) -> Provoke:
    """Download with a filter that cannot be used."""

    async def provoke(scene: WatchedScene) -> None:
        _ = [chunk async for chunk in export_bytes(scene.amili.payout_specifications, "csv", where=where)]

    return provoke


async def get_a_payout(scene: WatchedScene) -> None:
    await scene.amili.payouts.get(NAME)


async def take_payments_from_a_source_that_fails(scene: WatchedScene) -> None:
    def read_payments() -> Iterator[NewCreditorPayment]:
        yield make_payment()
        raise LookupError("the file is cut off")

    await raise_outcomes(scene, read_payments())


async def leave_by_a_timeout(scene: WatchedScene) -> None:
    scene.sandbox.fail(Fault(hang=True), method="POST")
    async with asyncio.timeout(0.05):
        await scene.amili.creditor_payments.create(make_payment())


async def request_too_much(scene: WatchedScene) -> None:
    scene.amili.payout_specifications.stream(field("invoice_number").is_in([f"{INVOICE}{n}" for n in range(999)]))


async def call_a_closed_client(scene: WatchedScene) -> None:
    await scene.amili.aclose()
    await scene.amili.payout_specifications.page(where=FILTER)


async def close_in_flight(scene: WatchedScene) -> None:
    await internals.tokens_of(scene.amili).get()
    closing: list[asyncio.Task[None]] = []
    scene.sandbox.before_each_request(lambda request: closing.append(asyncio.create_task(scene.amili.aclose())))
    scene.sandbox.fail(Fault(status=200, carried_out=True, cut=0, hang=True), path=SPECIFICATIONS)
    try:
        await scene.amili.payout_specifications.page(where=FILTER)
    finally:
        scene.sandbox.before_each_request(None)
        await asyncio.gather(*closing)


async def read_the_key_as_a_file(scene: WatchedScene) -> None:
    environ = {"AMILI_API_CODE": scene.sandbox.api_code, "AMILI_PRIVATE_KEY_FILE": scene.sandbox.private_key * 20}
    AmiliClient.from_env(environ)


async def give_the_wrong_password(scene: WatchedScene) -> None:
    key = load_pem_private_key(scene.sandbox.private_key.encode(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"another"))
    ApiCodeCredentials(scene.sandbox.api_code, locked, password=TOKEN)


async def go_through_a_proxy(scene: WatchedScene) -> None:
    async with aiohttp.ClientSession(proxy=LOGIN) as session:
        amili = await scene.connect(session=session)
        await amili.payout_specifications.page(where=FILTER)


async def refuse_one_of_many(scene: WatchedScene) -> None:
    scene.sandbox.fail(Fault(status=503, body=PAGE_OF_HTML), times=None, method="GET", path=PAYMENTS)
    await raise_outcomes(scene, [make_payment()])


async def claim_without_a_store(scene: WatchedScene) -> None:
    claims = RedisClaims.from_url(f"redis://:{MARK}@127.0.0.1:1")
    await scene.amili.creditor_payments.create(make_payment(), claims=claims)


async def pay_twice(scene: WatchedScene) -> None:
    await raise_outcomes(scene, [make_payment(), make_payment()])


async def raise_outcomes(scene: WatchedScene, payments: Iterable[NewCreditorPayment]) -> None:
    async with aclosing(scene.amili.creditor_payments.create_many(payments, lookup_timeout=0)) as outcomes:
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error


async def find_another(scene: WatchedScene) -> None:
    await scene.amili.creditor_payments.create(make_payment(amount=AMOUNT + 1))
    await scene.amili.creditor_payments.find(make_payment())


def insert_twins(scene: WatchedScene) -> None:
    twin = {"creditor": CREDITOR, "creditor_payment_reference": INVOICE, "invoice_number": INVOICE, "amount": AMOUNT}
    for _ in range(2):
        scene.sandbox.insert(PAYMENTS, {**twin, "bank_transaction_date": BOOKED})


async def find_twins(scene: WatchedScene) -> None:
    insert_twins(scene)
    await scene.amili.creditor_payments.find(make_payment())


async def find_two(scene: WatchedScene) -> None:
    insert_twins(scene)
    scene.sandbox.fail(Fault(reset="before"), method="POST")
    await scene.amili.creditor_payments.create(make_payment(), lookup_timeout=5)


async def interrupt_an_extraction(scene: WatchedScene) -> None:
    scene.sandbox.fail(Fault(status=503, body=PAGE_OF_HTML), times=None, path=SPECIFICATIONS, after=3)
    async with scene.amili.payout_specifications.extract(FILTER) as extraction:
        _ = [record async for record in extraction]


async def fail_to_sweep(scene: WatchedScene) -> None:
    scene.sandbox.fail(Fault(cut=50), times=None, path=SPECIFICATIONS, after=3)
    await scene.amili.payout_specifications.sweep([CREDITOR], FILTER)


async def reconcile_unrequested_rows(scene: WatchedScene) -> None:
    scene.sandbox.override(query=lambda request: {"max_results": "100"})
    async with aclosing(scene.amili.reconcile(FILTER)) as reconciliations:
        _ = [each async for each in reconciliations]


async def export_a_misfit(scene: WatchedScene) -> None:
    row_id = scene.sandbox.rows(SPECIFICATIONS)[7]["_id"]
    scene.sandbox.update(SPECIFICATIONS, row_id, {"amount": Decimal(f"{'1' * 30}{AMOUNT}")})
    await export(scene.amili.payout_specifications, scene.folder / "rows.parquet", where=FILTER)


async def export_another_misfit(scene: WatchedScene) -> None:
    scene.sandbox.update(SPECIFICATIONS, scene.sandbox.rows(SPECIFICATIONS)[7]["_id"], {"amount": NAME})
    await export(scene.amili.payout_specifications, scene.folder / "rows.parquet", fields=("_id", "amount"))


def changed(suffix: str, old: bytes, new: bytes, *, sweep: bool = False) -> Provoke:
    """Update a file that was changed since its export."""

    async def provoke(scene: WatchedScene) -> None:
        path = scene.folder / f"rows.{suffix}"
        specifications = scene.amili.payout_specifications
        await export(specifications, path, where=FILTER, fields=("creditor_name", "_id"))
        content = path.read_bytes()
        path.write_bytes(content.replace(old, new, 1))
        await export(specifications, path, where=FILTER, since=True, sweep=sweep)

    return provoke


async def export_half_a_character(scene: WatchedScene) -> None:
    async def rows() -> AsyncIterator[dict[str, Any]]:
        yield {"_id": CREDITOR, "creditor_name": f"{NAME}\ud800"}

    await export(rows(), scene.folder / "rows.csv", fields=("_id", "creditor_name"))


async def export_with_a_bad_record(scene: WatchedScene) -> None:
    scene.sandbox.update(SPECIFICATIONS, scene.sandbox.rows(SPECIFICATIONS)[-1]["_id"], {"booking_date": NAME})
    await export(scene.amili.payout_specifications, scene.folder / "rows.csv", where=FILTER)


async def resume_from_no_utf_8(scene: WatchedScene) -> None:
    state = scene.folder / "rows.csv.checkpoint.json"
    state.write_bytes(b'{"version":1,"plan":' + NO_UTF_8 + b"}")
    try:
        await export(scene.amili.payout_specifications, scene.folder / "rows.csv", resume=True)
    finally:
        state.unlink()  # the test wrote this file, not the export


async def fail_to_handle(record: PayoutSpecification) -> None:
    """A handler whose error has no text of its own."""
    assert record.creditor_name == NAME
    raise LookupError


async def fail_a_delivery(scene: WatchedScene) -> None:
    async for page in scene.amili.payout_specifications.extract(FILTER).deliveries():
        page.failed(LookupError())


async def fail_to_handle_one_of_an_extraction(scene: WatchedScene) -> None:
    await scene.amili.payout_specifications.extract(FILTER).for_each(fail_to_handle)


async def fail_to_handle_one_of_a_stream(scene: WatchedScene) -> None:
    await scene.amili.payout_specifications.stream(FILTER).for_each(fail_to_handle)


async def fail_to_make_a_token() -> str:
    raise RuntimeError("the vault is sealed")


FROM_THE_SERVER: Rows = {
    "400": (BadRequest, with_response(status=400, body=ERROR_BODY)),
    "403": (Forbidden, with_response(status=403, body=ERROR_BODY)),
    "404": (NotFound, with_response(status=404, body=PAGE_OF_HTML)),
    "409": (Conflict, with_response(status=409, body=ERROR_BODY)),
    "302": (ApiError, with_response(status=302, body=PAGE_OF_HTML, headers={"Location": LOGIN})),
    "ERR beside a 200": (BadRequest, with_response(status=200, body=ERROR_BODY)),
    "422 to a filter": (ValidationFailed, with_response(status=422, body=INVALID)),
    "429": (RateLimited, with_response(status=429, body=ERROR_BODY, headers={"Retry-After": "9999", "X-Why": WORDS})),
    "500": (ServerFault, with_response(status=500, body=PAGE_OF_HTML)),
    "503": (ServerFault, with_response(status=503, body=ERROR_BODY, headers={"Retry-After": WORDS})),
    "no JSON": (ConnectionFailed, with_response(status=200, body=WORDS)),
    "no UTF-8": (
        UnreadableResponse,
        with_response(status=200, body=b'{"_items":[{"_id":"' + NAME.encode() + b'\xff"}]}'),
    ),
    "no list": (UnreadableResponse, with_response(status=200, body={"_items": {NAME: WORDS}})),
    "no total": (UnreadableResponse, with_response(status=200, body={"_items": [], "_meta": {"total": NAME}})),
    "a bad amount": (UnreadableResponse, with_record(amount=NAME)),
    "a bad date": (UnreadableResponse, with_record(booking_date=NAME)),
    "a bad name": (UnreadableResponse, with_record(creditor_name=[NAME, AMOUNT])),
    "a bad object": (UnreadableResponse, with_record(references=NAME)),
    "another record": (UnreadableResponse, reconcile_unrequested_rows),
    "cut": (ConnectionFailed, with_response(cut=50)),
    "reset": (ConnectionFailed, with_response(reset="after")),
    "closed in flight": (ClientClosed, close_in_flight),
    "proxy": (ConnectionFailed, go_through_a_proxy),
    "silence": (TimedOut, with_client(auth=TOKEN, timeout=1e-6)),
    "a sweep": (ConnectionFailed, fail_to_sweep),
}
WITH_TOKENS: Rows = {
    "401 to a fixed token": (AuthenticationError, with_client(auth=TOKEN)),
    "401 to every token": (AuthenticationError, with_response(status=401, body=ERROR_BODY)),
    "401 to a JWT": (AuthenticationError, with_token_response(status=401, body=ERROR_BODY)),
    "500 to a JWT": (ServerFault, with_token_response(status=500, body=PAGE_OF_HTML)),
    "no answer to a JWT": (ConnectionFailed, with_token_response(reset="after")),
    "an answer without a token": (AuthenticationError, with_token_response(status=200, body={"tokn": TOKEN})),
    "an answer that is no JSON": (ConnectionFailed, with_token_response(status=200, body=PAGE_OF_HTML)),
    "a token that fits no header": (AuthenticationError, with_token_response(status=200, body={"token": f"{TOKEN}\n"})),
    "an expired token": (AuthenticationError, with_token(Token(value=TOKEN, lifetime=-1))),
    "no token but a mapping": (AuthenticationError, with_token({"token": TOKEN})),
    "a token with a line end": (AuthenticationError, with_token(f"{TOKEN}\r\nX: {MARK}")),
    "a source that fails": (RuntimeError, with_client(auth=fail_to_make_a_token)),
    "a source that fails beside a filter": (RuntimeError, with_client(RAW_FILTER, auth=fail_to_make_a_token)),
    "a Redis that cannot be reached": (RateLimiterUnavailable, share_a_limiter_without_redis),
    "a used-up rate limit": (
        BudgetExhausted,
        with_client(rate_limit=RateLimit(per_minute=1, per_second=1), max_wait=0),
    ),
}
WITH_PAYMENTS: Rows = {
    "rejected": (ValidationFailed, with_payment_response(status=422, body=INVALID)),
    "unknown after a reset": (PaymentOutcomeUnknown, with_payment_response(reset="after")),
    "unknown after looking": (PaymentOutcomeUnknown, with_payment_response(reset="before", lookup_timeout=5)),
    "unknown after a 500": (PaymentOutcomeUnknown, with_payment_response(status=500, body=PAGE_OF_HTML)),
    "unknown after nonsense": (PaymentOutcomeUnknown, with_payment_response(status=201, body={"_id": {NAME: WORDS}})),
    "unknown among several": (PaymentOutcomeUnknown, find_two),
    "not completed": (PaymentNotCompleted, find_a_warning),
    "not sent": (PaymentNotSent, refuse_one_of_many),
    "not claimed": (PaymentNotSent, claim_without_a_store),
    "reference taken": (ReferenceTaken, find_another),
    "registered twice": (RegisteredTwice, find_twins),
    "twice in a list": (ConfigurationError, pay_twice),
    "a creditor that is none": (ConfigurationError, calling(make_payment, creditor=NAME)),
    "a case that is none": (ConfigurationError, calling(make_payment, invoice_number=None, case=NAME)),
    "case and invoice": (ConfigurationError, calling(make_payment, case=CREDITOR)),
    "an amount in tenths of öre": (ConfigurationError, calling(make_payment, amount=AMOUNT / 10)),
    "a debt": (ConfigurationError, calling(make_payment, amount=-AMOUNT)),
    "an amount as text": (ConfigurationError, calling(make_payment, amount=str(AMOUNT))),
    "a reference with a line end": (ConfigurationError, calling(make_payment, creditor_payment_reference=f"{NAME}\n")),
    "half a character": (ConfigurationError, calling(make_payment, creditor_payment_reference=f"{NAME}\ud800")),
    "a date as text": (ConfigurationError, calling(make_payment, bank_transaction_date=NAME)),
    "a currency that is none": (ConfigurationError, calling(make_payment, currency=NAME)),
    "a source that fails": (LookupError, take_payments_from_a_source_that_fails),
    "a timeout around it": (TimeoutError, leave_by_a_timeout),
    "no payment": (TypeError, calling(NewCreditorPayment)),
}
WITH_ARGUMENTS: Rows = {
    "a date that is a text": (ConfigurationError, calling(lambda: field("booking_date") > NAME)),
    "a number that is a text": (ConfigurationError, calling(lambda: field("amount") > NAME)),
    "a text that is a number": (ConfigurationError, calling(lambda: field("creditor_name") > AMOUNT)),
    "an id that is none": (ConfigurationError, calling(lambda: field("creditor").is_in([NAME]))),
    "an unknown operator": (ConfigurationError, reading(Resource.stream, {"amount": {"$near": NAME}})),
    "a value beside a bad name": (ConfigurationError, reading(Resource.count, {"creditor_name": NAME, "$near": 1})),
    "an empty range": (ConfigurationError, calling(lambda: field("creditor_name").between(NAME, NAME))),
    "half a character in a filter": (ConfigurationError, reading(Resource.page, {"creditor_name": f"{NAME}\ud800"})),
    "something without a form": (ConfigurationError, reading(Resource.extract, {"creditor_name": NAME.encode()})),
    "a bad filter of a sweep": (ConfigurationError, fail_to_sweep_by({"creditor_name": [NAME]})),
    "a bad alternative": (ConfigurationError, calling(lambda: FILTER | {"creditor": NAME})),
    "a condition as a truth": (ConfigurationError, calling(lambda: bool(FILTER))),
    "too long a filter": (ConfigurationError, request_too_much),
    "no id": (ConfigurationError, get_a_payout),
    "a closed client": (ConfigurationError, call_a_closed_client),
    "claims at no Redis": (ConfigurationError, calling(RedisClaims.from_url, LOGIN)),
    "tokens at no Redis": (ConfigurationError, calling(RedisTokens.from_url, LOGIN, NAME, secret=TOKEN * 2)),
    "a secret that is none": (ConfigurationError, calling(RedisTokens.from_url, LOGIN, NAME, secret=NAME.encode())),
    "a pickled token": (ConfigurationError, calling(pickle.dumps, Token(value=TOKEN))),
    "a password in the address": (ConfigurationError, calling(AmiliClient, LOGIN, auth=TOKEN)),
    "a token that fits no header": (ConfigurationError, calling(AmiliClient, auth=f"{TOKEN}\n")),
    "a key that is none": (ConfigurationError, calling(ApiCodeCredentials, TOKEN, f"-----BEGIN {MARK}-----")),
    "an API code with blanks": (ConfigurationError, calling(ApiCodeCredentials, f" {TOKEN}", TOKEN)),
    "another password": (ConfigurationError, give_the_wrong_password),
    "a key instead of its file": (ConfigurationError, read_the_key_as_a_file),
    "a checkpoint that is none": (ConfigurationError, calling(Checkpoint.from_json, JSON_FILTER)),
    "a checkpoint in no UTF-8": (ConfigurationError, calling(Checkpoint.from_json, NO_UTF_8)),
    "a record whose amount is a name": (ConfigurationError, calling(PayoutSpecification.from_dict, {"amount": NAME})),
    "a record that is no JSON": (ConfigurationError, calling(PayoutSpecification.from_json, NO_UTF_8)),
    "a bad filter of a download": (ConfigurationError, download_by({"creditor_name": [NAME]})),
    "a manifest with another verdict": (ConfigurationError, calling(Manifest.from_json, NO_MANIFEST)),
}
OF_WHOLE_LISTS: Rows = {
    "an interrupted extraction": (ExtractionInterrupted, interrupt_an_extraction),
    "a delivery that failed": (ExtractionInterrupted, fail_a_delivery),
    "a handler that failed": (ExtractionInterrupted, fail_to_handle_one_of_an_extraction),
    "a handler of a stream that failed": (DeliveryFailed, fail_to_handle_one_of_a_stream),
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
    kind: type[Exception], provoke: Provoke, scene: WatchedScene, watch: Watch
) -> None:
    """No text of the error, of its causes, of the log, the spans, the metrics or the events contains one."""
    with pytest.raises(kind) as caught, tracer_of(watch).start_as_current_span("journey"):
        await provoke(scene)
    assert type(caught.value) is kind
    found = find_secrets(written(caught.value), secrets_of(scene.sandbox))
    assert found + find_secrets(watch.texts(), secrets_of(scene.sandbox)) == []
    for path in scene.folder.glob("*.json"):
        assert find_secrets([(path.name, path.read_text())], secrets_of(scene.sandbox)) == []


def test_every_kind_of_error_is_provoked() -> None:
    """A new error class needs a row above."""
    assert set(ERROR_CLASSES) - {row.values[0] for row in PATHS} == ABSTRACT


async def test_no_success_gives_a_secret_away(scene: WatchedScene, watch: Watch) -> None:
    """Streams, extractions, exports, payments and a reconciliation write none to logs, spans, states and manifests."""
    amili, path = scene.amili, scene.folder / "rows.ndjson"
    payments = [make_payment(creditor_payment_reference=f"{INVOICE}-{number}") for number in range(3)]
    with tracer_of(watch).start_as_current_span("journey"):
        rows = await amili.payout_specifications.stream(FILTER).collect()
        assert [row.creditor_name for row in rows] == [NAME] * 23
        extraction = amili.payout_specifications.extract(FILTER)
        assert len([record async for record in extraction]) == 23
        handled = amili.payout_specifications.stream(FILTER)
        assert await handled.for_each(lambda _: asyncio.sleep(0)) == 23
        exported = await export(amili.payout_specifications, path, where=FILTER)
        await raise_outcomes(scene, payments)
        await amili.creditor_payments.find(payments[0])
        async with aclosing(amili.reconcile()) as reconciliations:
            differences = [difference async for each in reconciliations for difference in each.differences]
    assert any(DIGITS[0] in repr(difference) for difference in differences)
    secrets = secrets_of(scene.sandbox)
    assert find_secrets(watch.texts(), secrets) == []
    for thing in (extraction.checkpoint, extraction.manifest, exported.manifest, handled.checkpoint):
        assert thing is not None
        assert find_secrets([*shown(thing), ("JSON", thing.to_json())], secrets) == []
    assert find_secrets([("file", path.with_name("rows.ndjson.manifest.json").read_text())], secrets) == []


async def test_no_object_shows_a_secret(scene: WatchedScene) -> None:
    """`repr`, `str` and rich show no contents of clients, queries, requests, responses and credentials."""
    scene.sandbox.fail(Fault(headers=HEADERS), path=SPECIFICATIONS)
    amili, page = scene.amili, await scene.amili.payout_specifications.page(where=FILTER)
    assert page.response.request_id == "abc-123"
    query = build_query(FILTER, projection=["creditor_name"])
    delivery = await anext(amili.payout_specifications.extract(FILTER).deliveries())
    things: list[Any] = [
        *(amili, amili.payouts, amili.payout_specifications, amili.creditor_payments, amili.auth),
        *(page, page.response, page.response.headers, pickle.dumps(page.response)),
        *(
            await internals.tokens_of(amili).get(),
            Token(value=TOKEN),
            FILTER,
            ~FILTER,
            Condition({"creditor_name": NAME}),
            query,
        ),
        *(amili.payout_specifications.stream(FILTER), amili.payout_specifications.extract(FILTER)),
        *(amili.reconcile(FILTER), RangedQuery(document=FILTER.document), list_request(SPECIFICATIONS, query)),
        *(
            create_request(PAYMENTS, encode(make_payment())),
            await internals.send(amili, list_request(SPECIFICATIONS, query)),
        ),
        ApiCodeCredentials(scene.sandbox.api_code, scene.sandbox.private_key),
        amili.creditor_payments.create_many([make_payment()]),
        delivery,
        delivery.done,
    ]
    texts = [text for thing in things for text in (*shown(thing), *shown([thing]))]
    assert find_secrets(texts, secrets_of(scene.sandbox)) == []


PAYMENT = ("--creditor", CREDITOR, "--invoice-number", INVOICE, "--bank-date", "2025-07-04", "--yes")
COMMANDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str], Fault | None, int]] = {
    "400": (("list", "specifications", "--where", JSON_FILTER), {}, Fault(status=400, body=ERROR_BODY), 3),
    "500": (("list", "specifications", "--where", JSON_FILTER), {}, Fault(status=500, body=PAGE_OF_HTML), 3),
    "a bad filter": (("list", "specifications", "--where", WRONG_FILTER), {}, None, 2),
    "no JSON": (("list", "specifications", "--where", JSON_FILTER[:-1]), {}, None, 2),
    "no id": (("get", "payouts", NAME), {}, None, 2),
    "401": (("list", "payouts"), {"AMILI_TOKEN": TOKEN}, None, 3),
    "no header": (("list", "payouts"), {"AMILI_TOKEN": f"{TOKEN}\n"}, None, 2),
    "a login": (("list", "payouts"), {"AMILI_BASE_URL": LOGIN}, None, 2),
    "a bad key": (("list", "payouts"), {"AMILI_TOKEN": "", "AMILI_API_CODE": TOKEN}, None, 2),
    "an export": (("export", "specifications", "-o", "rows.csv"), {}, Fault(status=503, body=ERROR_BODY), 3),
    "a reconciliation": (("reconcile",), {}, Fault(status=403, body=ERROR_BODY), 3),
    "half a character": (("list", "payouts", "--where", JSON_FILTER + "\udcff"), {}, None, 2),
    "a bad amount": (("pay", *PAYMENT, "--amount", NAME), {}, None, 2),
    "a bad reference": (("pay", *PAYMENT, "--amount", "1", "--reference", f"{NAME}\n"), {}, None, 2),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("is_verbose", [False, True], ids=["plain", "verbose"])
async def test_no_command_prints_a_secret(
    name: str, is_verbose: bool, scene: WatchedScene, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stderr of a failing command contains none, nor do its log lines."""
    arguments, environ, fault, code = COMMANDS[name]
    if fault is not None:
        scene.sandbox.fail(fault, times=None)
    monkeypatch.chdir(scene.folder)
    monkeypatch.setattr(AmiliClient, "_clock", HastyClock())
    access = {"AMILI_BASE_URL": scene.sandbox.url, "AMILI_TOKEN": scene.sandbox.token()}
    key_file = {"AMILI_PRIVATE_KEY_FILE": scene.sandbox.private_key} if "AMILI_API_CODE" in environ else {}
    environ = {"AMILI_LOG": "debug" if is_verbose else "", **access, **key_file, **environ}
    # As in a program, which has no handlers of pytest: then the log lines are on stderr.
    with no_handlers() if is_verbose else nullcontext():
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environ)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1].startswith("amili: ")
    assert is_verbose or result.stderr.startswith("amili: ")
    assert (" DEBUG amili_async " in result.stderr) is (is_verbose and code == 3)
    secrets = secrets_of(scene.sandbox)
    assert find_secrets([("stderr", result.stderr)], secrets) + find_secrets(watch.texts(), secrets) == []


@pytest.mark.parametrize("trouble", ["none", "drift", "403", "500", "401", "key", "proxy", "login", "redis"])
async def test_the_doctor_shows_no_secret(
    trouble: str, scene: WatchedScene, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in its lines nor in its document, whatever it finds; of a drifted record only names and words."""
    sandbox = scene.sandbox
    faults: dict[str, Any] = {"403": ERROR_BODY, "500": PAGE_OF_HTML, "401": ERROR_BODY}
    monkeypatch.setattr("amili_async.cli.diagnosis.api.MAX_WAIT", 0.1)
    environ = {"AMILI_BASE_URL": sandbox.url, "AMILI_API_CODE": sandbox.api_code}
    environ |= {"AMILI_PRIVATE_KEY": sandbox.private_key}
    if trouble in faults:
        sandbox.fail(Fault(status=int(trouble), body=faults[trouble]), times=None)
    environ |= {
        "key": {"AMILI_PRIVATE_KEY": f"-----BEGIN {MARK}-----\n{sandbox.private_key[40:]}"},
        "proxy": {"AMILI_BASE_URL": "https://localhost:9", "HTTPS_PROXY": LOGIN},
        "login": {"AMILI_BASE_URL": LOGIN},
        "redis": {"AMILI_REDIS_URL": f"redis://:{MARK}@127.0.0.1:9", "AMILI_TIMOUT": MARK},
    }.get(trouble, {})
    if trouble == "drift":
        odd = {
            "article": NAME,
            "state": INVOICE,
            "amount": NAME,
            NAME: NAME,
            f"{DIGITS[0]}": NAME,
            "summary": {NAME: 1},
        }
        for resource in (SPECIFICATIONS, PAYMENTS, "finance--payouts"):
            sandbox.update(resource, sandbox.rows(resource)[-1]["_id"], odd)
    for arguments in (("doctor",), ("doctor", "--json")):
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environ)
        assert result.exit_code == (0 if trouble == "none" else 1)
        found = find_secrets([("stdout", result.output)], secrets_of(sandbox))
        assert found + find_secrets(watch.texts(), secrets_of(sandbox)) == []


async def test_the_search_finds_planted_secrets(scene: WatchedScene, watch: Watch) -> None:
    """In a log line's arguments, a suppressed context, a note, an attribute and a span, in upper or lower case."""
    await scene.amili.payouts.page()
    secrets = secrets_of(scene.sandbox)
    assert {"the API code", "the private key", "a credential", "part of a JWT"} < set(secrets.values())
    error: Exception = BadRequest("fine", status=400, excerpt=WORDS)
    assert find_secrets(written(error), secrets) == []
    error.__context__, error.__suppress_context__ = LookupError(NAME.upper()), True
    assert find_secrets(written(error), secrets)
    assert find_secrets(written(BadRequest("fine", status=400, request=NAME)), secrets)
    error = ValueError()
    error.add_note(scene.sandbox.requests[-1].headers["x-api-key"])
    assert find_secrets(written(error), secrets)
    assert find_secrets(watch.texts(), secrets) == []
    logging.getLogger("aiohttp.client").debug("%s", AMOUNT)
    assert find_secrets(watch.texts(), secrets)
    watch.caplog.clear()
    with pytest.raises(LookupError), tracer_of(watch).start_as_current_span("journey"):
        raise LookupError(NAME)
    assert find_secrets(watch.texts(), secrets)
