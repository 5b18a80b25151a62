"""Claims in a real Redis and a real Postgres: one owner each, several processes over one list, kills, outages."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from random import Random
from secrets import token_hex

import asyncpg
import pytest
import redis.asyncio

from amili_async import AmiliClient, Claims, NewCreditorPayment, PaymentOutcome
from amili_async.errors import PaymentNotSent
from amili_async.payments import claims as claims_module
from amili_async.payments.claims import UNSENT_SECONDS
from amili_async.sandbox import ReceivedRequest, Sandbox
from amili_async.shared import PostgresClaims, RedisClaims
from tests.support.payments import PAYMENTS, make_payments
from tests.support.processes import Messages, Worker, start_worker
from tests.support.servers import start_redis
from tests.support.starting import Connect, StartSandbox

STORES = ("redis", "postgres")
MISSING = {"redis": "unix:///nonexistent/redis.sock", "postgres": "postgresql://amili@/postgres?host=/nonexistent"}


async def open_claims(stack: AsyncExitStack, url: str) -> RedisClaims | PostgresClaims:
    """The claims at an address."""
    if not url.startswith("postgresql:"):
        return RedisClaims.from_url(url)
    pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=4))
    claims = PostgresClaims(pool)
    await claims.create_table()
    return claims


async def let_time_pass(url: str, seconds: float) -> None:
    """Make each claim expire so many seconds sooner."""
    if url.startswith("postgresql:"):
        connection = await asyncpg.connect(url)
        await connection.execute("UPDATE amili_claims SET until = until - make_interval(secs => $1)", seconds)
        await connection.close()
        return
    async with redis.asyncio.from_url(url) as server:
        for key in await server.keys("amili:claim:*"):
            await server.pexpire(key, await server.pttl(key) - round(seconds * 1000))  # at once, if none is left


@pytest.fixture
async def claims(claims_url: str, resources: AsyncExitStack) -> Claims:
    """A store of claims."""
    return await open_claims(resources, claims_url)


@pytest.fixture
def keys() -> list[str]:
    """Keys that no other test uses."""
    return sorted(token_hex(16) for _ in range(50))


async def test_a_claim_has_one_owner(claims: Claims, keys: Sequence[str]) -> None:
    """It is not taken twice, also not by its owner, and only its owner keeps it or gives it up."""
    assert await claims.take(keys[:30], owner="one", seconds=60) == set(keys[:30])
    assert await claims.take(keys, owner="two", seconds=60) == set(keys[30:])
    assert await claims.take(keys, owner="one", seconds=60) == frozenset()
    assert await claims.keep(keys, owner="two", seconds=60) == set(keys[30:])
    await claims.give_up(keys, owner="two")
    assert await claims.keep(keys, owner="one", seconds=60) == set(keys[:30])
    assert await claims.take(keys, owner="three", seconds=60) == set(keys[30:])


async def test_a_claim_expires_and_is_lost(claims: Claims, claims_url: str, keys: Sequence[str]) -> None:
    """After its time another owner takes it; its first owner cannot keep it, also while it is free."""
    await claims.take(keys, owner="one", seconds=10)
    await let_time_pass(claims_url, 11)
    assert await claims.keep(keys, owner="one", seconds=10) == frozenset()
    assert await claims.take(keys, owner="two", seconds=10) == set(keys)
    assert await claims.keep(keys, owner="one", seconds=10) == frozenset()


async def test_a_claim_is_prolonged_and_never_shortened(claims: Claims, claims_url: str, keys: Sequence[str]) -> None:
    """A renewal for ten seconds that arrives after the claim was kept for 15 minutes changes nothing."""
    await claims.take(keys, owner="one", seconds=10)
    assert await claims.keep(keys, owner="one", seconds=900) == set(keys)
    assert await claims.keep(keys, owner="one", seconds=10) == set(keys)
    await let_time_pass(claims_url, 880)
    assert await claims.take(keys, owner="two", seconds=10) == frozenset()
    assert await claims.keep(keys[:1], owner="one", seconds=10) == {keys[0]}


async def test_no_keys_are_no_claims(claims: Claims) -> None:
    """An empty list costs no error."""
    assert await claims.take([], owner="one", seconds=10) == frozenset()
    assert await claims.keep([], owner="one", seconds=10) == frozenset()
    await claims.give_up([], owner="one")


async def test_owners_at_once_divide_the_keys(claims: Claims, keys: Sequence[str]) -> None:
    """Each key has exactly one owner, in whatever order each of them names the keys; no deadlock."""

    async def compete(owner: str) -> frozenset[str]:
        random = Random(owner)
        taken = frozenset[str]()
        for _ in range(10):
            some = random.sample(keys, 30)
            taken |= await claims.take(some, owner=owner, seconds=60)
            assert await claims.keep(random.sample(some, 30), owner=owner, seconds=60) == taken & set(some)
        return taken

    parts = await asyncio.gather(*(compete(str(number)) for number in range(8)))
    assert Counter(key for part in parts for key in part) == Counter(set().union(*parts))


async def test_the_table_is_created_once(postgres_url: str, resources: AsyncExitStack) -> None:
    """Processes that create it at the same time disturb neither each other nor its claims; old claims are deleted."""
    pool = await resources.enter_async_context(asyncpg.create_pool(postgres_url))
    claims, key = PostgresClaims(pool), token_hex(16)
    await pool.execute("DROP TABLE IF EXISTS amili_claims")
    await asyncio.gather(*(claims.create_table() for _ in range(8)))
    await claims.take([key], owner="one", seconds=10)
    await claims.create_table()
    assert await claims.keep([key], owner="one", seconds=10) == {key}
    await let_time_pass(postgres_url, 2 * 86_400)
    await claims.take([], owner="two", seconds=10)
    assert await pool.fetchval("SELECT count(*) FROM amili_claims WHERE key = $1", key) == 0


def make_list(count: int) -> list[NewCreditorPayment]:
    """Payments that no other test has; hexadecimal digits alone can read like 3E5, which is rejected."""
    return make_payments(count, prefix=f"REF-{token_hex(4)}")


async def register(messages: Messages, api: str, token: str, url: str, payments: list[NewCreditorPayment]) -> object:
    """The job of a process: it registers a list when the test sends how long its unsent claims live."""
    async with AsyncExitStack() as stack:
        claims = await open_claims(stack, url)
        amili = await stack.enter_async_context(AmiliClient(api, auth=token, rate_limit=None, concurrency=4))
        messages.send("ready")
        claims_module.UNSENT_SECONDS = await messages.receive()
        outcomes = amili.creditor_payments.create_many(payments, claims=claims)
        return [kind_of(outcome) async for outcome in outcomes]


def kind_of(outcome: PaymentOutcome) -> str:
    """One word for an outcome."""
    if outcome.created is not None:
        return "found" if outcome.created.was_found else "registered"
    return type(outcome.error).__name__


def count_rows(sandbox: Sandbox, payments: Sequence[NewCreditorPayment]) -> Counter[int]:
    """How many payments of the list are registered so many times."""
    rows = Counter(row.get("creditor_payment_reference") for row in sandbox.rows(PAYMENTS))
    return Counter(rows[payment.creditor_payment_reference] for payment in payments)


@pytest.mark.parametrize("processes", [2, 4])
async def test_processes_at_once_register_each_payment_once(
    processes: int, claims_url: str, start_sandbox: StartSandbox
) -> None:
    """All begin at the same moment with one list; without claims most payments would be registered by each."""
    sandbox, payments = await start_sandbox(), make_list(60)
    with ExitStack() as stack:
        arguments = (sandbox.url, sandbox.token(), claims_url, payments)
        workers = [start_worker(stack, register, *arguments) for _ in range(processes)]
        await get_ready(workers)
        outcomes = await finish(workers)
    assert count_rows(sandbox, payments) == {1: 60}
    assert Counter(kind for each in outcomes for kind in each)["registered"] == 60
    assert {kind for each in outcomes for kind in each} <= {"registered", "found", "PaymentNotSent"}


async def get_ready(workers: Sequence[Worker]) -> None:
    """Wait until all have started."""
    for worker in workers:
        assert await worker.receive() == "ready"


async def finish(workers: Sequence[Worker]) -> list[list[str]]:
    """Let all begin at once, and return their outcomes; on a busy machine their claims must not expire."""
    for worker in workers:
        worker.send(600.0)
    return list(await asyncio.gather(*(worker.receive() for worker in workers)))


async def test_after_a_kill_nothing_is_registered_twice_and_unsent_payments_are_free_within_15_seconds(
    claims_url: str, start_sandbox: StartSandbox
) -> None:
    """A second run sends what the killed process had not sent; what it may have sent waits for 15 minutes."""
    sandbox, payments = await start_sandbox(), make_list(60)
    with ExitStack() as stack:
        arguments = (sandbox.url, sandbox.token(), claims_url, payments)
        victim, second, third, last = workers = [start_worker(stack, register, *arguments) for _ in range(4)]
        await get_ready(workers)
        kill_at_post(sandbox, victim, 22)
        victim.send(UNSENT_SECONDS)
        with pytest.raises((EOFError, ConnectionResetError)):
            await victim.receive()
        await let_time_pass(claims_url, -3600)  # as if no time passed until the second run, on a busy machine
        (blocked,) = await finish([second])
        assert set(blocked) == {"found", "PaymentNotSent"}
        before = sum(count_rows(sandbox, payments)[times] for times in (1, 2))
        await let_time_pass(claims_url, 3600 + 15)
        (resumed,) = await finish([third])
        assert resumed.count("registered") >= 60 - before - 4  # at most four were in flight
        assert set(resumed) <= {"registered", "found", "PaymentNotSent"}
        await let_time_pass(claims_url, 900)
        (complete,) = await finish([last])
    assert set(complete) <= {"registered", "found"}
    assert count_rows(sandbox, payments) == {1: 60}


def kill_at_post(sandbox: Sandbox, worker: Worker, number: int) -> None:
    """Kill a process as the sandbox receives its payment of that number; that request is carried out."""
    posts = 0

    def count(request: ReceivedRequest) -> None:
        nonlocal posts
        posts += request.method == "POST"
        if posts == number:
            sandbox.before_each_request(None)
            worker.kill()

    sandbox.before_each_request(count)


@pytest.mark.parametrize("store", STORES)
async def test_without_the_store_nothing_is_sent(
    store: str, start_sandbox: StartSandbox, connect: Connect, resources: AsyncExitStack
) -> None:
    """An address where no server is: each payment is `PaymentNotSent`, one that is registered is found."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    registered, unsent = make_list(2)
    await amili.creditor_payments.create(registered)
    claims = RedisClaims.from_url(MISSING[store]) if store == "redis" else PostgresClaims(BrokenPool())
    outcomes = [outcome async for outcome in amili.creditor_payments.create_many([registered, unsent], claims=claims)]
    assert [kind_of(outcome) for outcome in outcomes] == ["found", "PaymentNotSent"]
    with pytest.raises(PaymentNotSent, match="could not be claimed"):
        await amili.creditor_payments.create(unsent, claims=claims)
    assert count_rows(sandbox, [registered, unsent]) == {1: 1, 0: 1}


class BrokenPool:
    """A pool whose server is gone."""

    async def fetch(self, *_: object) -> object:
        """Fail as asyncpg does."""
        return await asyncpg.connect(MISSING["postgres"])


async def test_a_redis_that_hangs_sends_nothing(start_sandbox: StartSandbox, connect: Connect) -> None:
    """It accepts connections and answers nothing: after a second the payment is not sent."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    with start_redis() as server:
        server.suspend()
        (outcome,) = [
            outcome
            async for outcome in amili.creditor_payments.create_many(
                make_list(1), claims=RedisClaims.from_url(server.url)
            )
        ]
        server.resume()
    assert kind_of(outcome) == "PaymentNotSent"
