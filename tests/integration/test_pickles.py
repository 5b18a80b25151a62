"""Pickles and copies: values travel between processes, and no credential and nothing of an event loop with them."""

import copy
import gc
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from types import FrameType, FunctionType, ModuleType
from typing import Any

import cloudpickle
import pytest

import amili_async
from amili_async import AmiliClient, ApiCodeCredentials, Checkpoint, RateLimit, RetryPolicy, Token, field
from amili_async._wire.tasks import Redacted
from amili_async.errors import AmiliError, ConfigurationError
from amili_async.export import Dataset
from amili_async.sandbox import Sandbox
from amili_async.shared import PostgresClaims, RedisClaims, RedisRateLimiter, RedisTokens
from tests.support.errors import ERROR_CLASSES
from tests.support.payments import make_payment

CANARY = "canary-4c1e"
PICKLERS = (pickle, cloudpickle)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A server with a page of rows."""
    async with Sandbox(payouts=3, specifications=20, payments=3, rate_limit=None) as sandbox:
        yield sandbox


def credentials_of(sandbox: Sandbox) -> ApiCodeCredentials:
    return ApiCodeCredentials(f"{CANARY}-code", sandbox.private_key)


async def fetch() -> Token:
    """A token source."""
    return Token(value=f"{CANARY}-token")


@pytest.fixture
async def private(sandbox: Sandbox) -> AsyncIterator[dict[str, object]]:
    """Everything that must not leave its process, by name."""
    async with AsyncExitStack() as stack:
        amili = await stack.enter_async_context(AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None))
        stream = amili.payouts.stream()
        deliveries = amili.payouts.extract().deliveries()
        stack.push_async_callback(deliveries.aclose)
        yield {
            "client": amili,
            "closed client": AmiliClient(sandbox.url, auth=f"{CANARY}-fixed"),
            "client with credentials": AmiliClient(sandbox.url, auth=credentials_of(sandbox)),
            "client with a source": AmiliClient(sandbox.url, auth=fetch),
            "client.auth": amili.auth,
            "rate limiter": amili.rate_limiter,
            "token": Token(value=f"{CANARY}-token"),
            "credentials": credentials_of(sandbox),
            "what is redacted": Redacted(CANARY),
            "resource": amili.payouts,
            "payments": amili.creditor_payments,
            "stream": stream,
            "pages": stream.pages(),
            "extraction": amili.payouts.extract(),
            "batches": amili.payouts.extract().batches(),
            "deliveries": deliveries,
            "delivery": await anext(deliveries),
            "reconciliation": amili.reconcile(),
            "list of payments": amili.creditor_payments.create_many([make_payment()]),
            "bound method": amili.payouts.get,
            "view of a client": amili.with_options(timeout=5),
            "dataset": Dataset(amili.payouts, "folder"),
            "rate limiter in Redis": RedisRateLimiter.from_url(f"redis://:{CANARY}@localhost", "name"),
            "tokens in Redis": RedisTokens.from_url("redis://localhost", "name", secret=credentials_of(sandbox)),
            "claims in Redis": RedisClaims.from_url(f"redis://:{CANARY}@localhost"),
            "claims in Postgres": PostgresClaims(object()),
        }


async def test_what_holds_a_credential_or_a_loop_is_not_pickled(private: dict[str, object]) -> None:
    """Pickle, cloudpickle (which Dask and Ray use) and deepcopy raise one sentence with what to do."""
    for thing in private.values():
        for use in (pickle.dumps, cloudpickle.dumps, copy.deepcopy):
            with pytest.raises(ConfigurationError, match=r"cannot be pickled or copied.*AmiliClient\.from_env\(\)"):
                use(thing)


async def test_no_pickle_of_ours_holds_a_secret(private: dict[str, object]) -> None:
    """Whatever is reachable from these objects raises when it is pickled, or its pickle shows no secret."""
    reached = list(walk(list(private.values())))
    kinds = {type(thing).__name__ for thing in reached}
    assert {"TokenProvider", "CachedToken", "Session", "Pipeline", "ApiCodeExchange", "ClientContext"} - kinds == set()
    found = [type(thing).__name__ for thing in reached if shows_canary(thing)]
    assert found == []
    assert shows_canary({"token": f"{CANARY}-token"})


def shows_canary(thing: object) -> bool:
    """Whether any pickle of a thing can be made that holds a secret."""
    for pickler in PICKLERS:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            try:
                made = pickler.dumps(thing, protocol=protocol)
            except Exception:  # noqa: BLE001, S112 - what cannot be pickled shows nothing
                continue
            if CANARY.encode() in made:
                return True
    return False


def walk(roots: list[object]) -> Iterator[object]:
    """All instances of this package's classes that are reachable from *roots*."""
    seen: set[int] = set()
    queue: list[Any] = [*roots]
    while queue:
        thing = queue.pop()
        if id(thing) in seen or isinstance(thing, (type, ModuleType, FrameType)):
            continue
        seen.add(id(thing))
        if type(thing).__module__.startswith("amili_async") and not isinstance(thing, Sandbox):
            yield thing
        # A function's globals would lead to all modules.
        inner = thing.__closure__ or () if isinstance(thing, FunctionType) else gc.get_referents(thing)
        queue.extend(inner)


VALUES = {
    "rate limit": RateLimit(per_minute=50),
    "retry policy": RetryPolicy(attempts=2),
    "condition": (field("amount") > 5) & ~field("creditor").exists(),
    "payment": make_payment(),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_can_be_pickled(name: str) -> None:
    """Options, conditions and payments travel to other processes."""
    value = VALUES[name]
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own
    assert copy.deepcopy(value) == value


async def test_records_and_states_can_be_pickled(sandbox: Sandbox) -> None:
    """Records, pages, checkpoints and manifests of a client travel without it."""
    async with AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None) as amili:
        extraction = amili.payouts.extract()
        records = [record async for record in extraction]
        page = await amili.payouts.page()
        found = [difference async for difference in amili.reconcile()]
    for value in (records, page, extraction.checkpoint, extraction.manifest, found):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own
    assert Checkpoint.from_json(extraction.checkpoint.to_json()) == extraction.checkpoint


def test_errors_can_be_pickled() -> None:
    """A pool of processes shows a caller the error of its worker."""
    error = ConfigurationError("wrong")
    assert str(pickle.loads(pickle.dumps(error))) == "wrong"  # noqa: S301 - our own
    assert all(issubclass(kind, AmiliError) for kind in ERROR_CLASSES)
    assert amili_async.AmiliError is AmiliError
