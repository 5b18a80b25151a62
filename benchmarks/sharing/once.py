"""What must happen once for all processes: the fetch of an access token, and the registration of each payment.

`python -m benchmarks.sharing.once SETTINGS` is one of the processes: it does its next step when it reads a line.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from amili_async import AmiliClient, ApiCodeCredentials, NewCreditorPayment
from amili_async.sandbox import Sandbox
from amili_async.shared import RedisClaims, RedisTokens
from benchmarks.harness.report import GoalResult
from benchmarks.sharing.fleet import open_redis

PAYMENTS = 60
"""Payments of the list over which all processes run."""
MAX_STEP_SECONDS = 60.0
"""Seconds after which a step of a process fails."""
_PATH = "/authenticates/api-code"


class OnceSettings(Struct, frozen=True, kw_only=True):
    """What one process connects to."""

    base_url: str
    """The API's."""
    api_code: str
    """That of the sandbox."""
    private_key: str
    """Its key, in PEM."""
    redis_url: str | None
    """Where token and claims are shared; `None` for processes that know nothing of each other."""


class OnceCounts(Struct, frozen=True, kw_only=True):
    """What the API has seen of several processes."""

    exchanges: int
    """Token requests when all began at once."""
    exchanges_after: int
    """Token requests in all, after every token was revoked."""
    rejected: int
    """Requests with a revoked token."""
    doubles: int
    """Payments that were registered once too often."""


async def measure_once(*, quick: bool) -> Iterable[GoalResult]:
    """Count with a Redis and without, for several processes."""
    goals: list[GoalResult] = []
    print("\nTokens and payments, with claims and a shared token, and without")
    with open_redis() as redis:
        for count in (2,) if quick else (2, 4, 8):
            for url in (None, redis.url):
                counts = await _run(count, url)
                print(f"  {count} processes, {'shared' if url else 'alone':<8} {_describe(counts)}")
                goals += _judge(count, counts) if url else ()
    return goals


def _describe(counts: OnceCounts) -> str:
    exchanges = f"{counts.exchanges} exchanges, {counts.exchanges_after} after a revocation"
    return f"{exchanges} ({counts.rejected} 401s), {PAYMENTS} payments and {counts.doubles} doubles registered"


def _judge(count: int, counts: OnceCounts) -> Iterable[GoalResult]:
    name = f"{count} processes: "
    yield GoalResult(name=f"{name}token exchanges", result=counts.exchanges, goal=1, unit="")
    yield GoalResult(name=f"{name}after a revocation", result=counts.exchanges_after, goal=2, unit="")
    yield GoalResult(name=f"{name}401 responses", result=counts.rejected, goal=count, unit="")
    yield GoalResult(name=f"{name}payments registered again", result=counts.doubles, goal=0, unit="")


async def _run(count: int, redis_url: str | None) -> OnceCounts:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(payouts=5, specifications=5, payments=0, rate_limit=None))
        key = sandbox.private_key
        settings = OnceSettings(base_url=sandbox.url, api_code=sandbox.api_code, private_key=key, redis_url=redis_url)
        processes = [await stack.enter_async_context(_start(settings)) for _ in range(count)]
        exchanges = []
        for _ in range(2):
            await _let_all_step(processes)
            exchanges.append(sum(request.path == _PATH for request in sandbox.requests))
            sandbox.revoke_tokens()
        rejected = sum(request.status == 401 for request in sandbox.requests)
        await _let_all_step(processes)
        rows = Counter(row["creditor_payment_reference"] for row in sandbox.rows("creditor--payments"))
    doubles = sum(times - 1 for times in rows.values())
    return OnceCounts(exchanges=exchanges[0], exchanges_after=exchanges[1], rejected=rejected, doubles=doubles)


@asynccontextmanager
async def _start(settings: OnceSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.sharing.once", msgspec.json.encode(settings).decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _read_line(process)
        yield process
    finally:
        process.kill()
        await process.communicate()


async def _let_all_step(processes: Iterable[asyncio.subprocess.Process]) -> None:
    for process in processes:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.write(b"\n")
    await asyncio.gather(*(_read_line(process) for process in processes))


async def _read_line(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None  # noqa: S101 - for the type checker
    async with asyncio.timeout(MAX_STEP_SECONDS):
        if not await process.stdout.readline():
            raise RuntimeError("a process has failed")


async def run_process(settings: OnceSettings) -> None:
    """Request with a token, with another one after a revocation, and register the list; a line after each."""
    credentials = ApiCodeCredentials(settings.api_code, settings.private_key)
    url = settings.redis_url
    tokens = None if url is None else RedisTokens.from_url(url, settings.base_url, secret=credentials)
    claims = None if url is None else RedisClaims.from_url(url)
    payments = [
        NewCreditorPayment(
            creditor="674dbeb208847b9501cc9138",
            invoice_number=f"INV-{number}",
            amount=100 + number,  # type: ignore[arg-type] # becomes a Decimal
            bank_transaction_date=datetime(2025, 7, 4, tzinfo=UTC),
            creditor_payment_reference=f"{settings.base_url[-5:]}-{number}",  # no run finds the claims of another
        )
        for number in range(PAYMENTS)
    ]
    async with AmiliClient(settings.base_url, auth=credentials, tokens=tokens, rate_limit=None) as amili:
        for _ in range(2):
            await _await_line()
            await amili.payouts.count()
        await _await_line()
        async for _ in amili.creditor_payments.create_many(payments, claims=claims):
            pass
        await _await_line()


async def _await_line() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(run_process(msgspec.json.decode(sys.argv[1], type=OnceSettings)))
