"""One access token for many processes, on a real Redis: exchanges, revocations, kills, and what is stored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from amili_async import AmiliClient, ApiCodeCredentials, Token
from amili_async.errors import ConfigurationError
from amili_async.sandbox import Fault, Sandbox
from amili_async.shared import RedisTokens
from tests.support.clocks import happens
from tests.support.processes import Messages, start_worker
from tests.support.servers import RedisServer
from tests.support.starting import Connect, StartSandbox

EXCHANGE = "/authenticates/api-code"
PROCESSES = 8
CANARY = "canary-7d1f"


@pytest.fixture
async def server(redis_server: RedisServer) -> RedisServer:
    """An empty Redis."""
    async with redis.asyncio.from_url(redis_server.url) as connection:
        await connection.flushall()
    return redis_server


@pytest.fixture
def sandbox() -> Sandbox:
    """One that is not started: its API code and private key are valid."""
    return Sandbox()


def count_exchanges(sandbox: Sandbox) -> int:
    return sum(request.path == EXCHANGE for request in sandbox.requests)


def store_of(server: RedisServer, credentials: ApiCodeCredentials) -> RedisTokens:
    return RedisTokens.from_url(server.url, "sandbox", secret=credentials)


async def count_at_each_message(messages: Messages, url: str, api_code: str, private_key: str, redis_url: str) -> None:
    """The job of a process: a client that counts the payouts at each message."""
    credentials = ApiCodeCredentials(api_code, private_key)
    tokens = RedisTokens.from_url(redis_url, url, secret=credentials)
    async with AmiliClient(url, auth=credentials, tokens=tokens, rate_limit=None) as amili:
        messages.send("ready")
        while await messages.receive():
            messages.send(await amili.payouts.count())


async def test_eight_processes_make_one_exchange_and_one_more_after_a_revocation(
    server: RedisServer, start_sandbox: StartSandbox
) -> None:
    """All start at once; a revocation costs each of them one 401."""
    sandbox = await start_sandbox()
    with ExitStack() as stack:
        arguments = (sandbox.url, sandbox.api_code, sandbox.private_key, server.url)
        workers = [start_worker(stack, count_at_each_message, *arguments) for _ in range(PROCESSES)]
        assert await asyncio.gather(*(worker.receive() for worker in workers)) == ["ready"] * PROCESSES
        for exchanges in (1, 2):
            for worker in workers:
                worker.send("count")
            assert await asyncio.gather(*(worker.receive() for worker in workers)) == [5] * PROCESSES
            assert count_exchanges(sandbox) == exchanges
            sandbox.revoke_tokens()
    rejected = sum(response.status == 401 for response in sandbox.requests)
    assert rejected == PROCESSES


class WatchedTokens(RedisTokens):
    """Counts how often the lock was tried."""

    attempts = 0

    @asynccontextmanager
    async def lock(self, seconds: float) -> AsyncIterator[bool]:
        self.attempts += 1
        async with super().lock(seconds) as is_ours:
            yield is_ours


async def test_when_the_fetching_process_is_killed_another_one_fetches(
    server: RedisServer, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The others wait until its lock expires, and then make one exchange."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(hang=True), path=EXCHANGE)
    with ExitStack() as stack:
        arguments = (sandbox.url, sandbox.api_code, sandbox.private_key, server.url)
        holder = start_worker(stack, count_at_each_message, *arguments)
        await holder.receive()
        holder.send("count")
        await happens(lambda: count_exchanges(sandbox) == 1)
        holder.kill()
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    stores = [WatchedTokens(server.url, sandbox.url, secret=credentials) for _ in range(3)]
    clients = [await connect(sandbox, auth=credentials, tokens=tokens) for tokens in stores]
    waiting = [asyncio.create_task(amili.payouts.count()) for amili in clients]
    await happens(lambda: min(tokens.attempts for tokens in stores) >= 3)
    assert count_exchanges(sandbox) == 1
    async with redis.asyncio.from_url(server.url) as connection:
        (lock,) = await connection.keys("*:lock")
        assert 0 < await connection.pttl(lock) <= 45_000
        await connection.pexpire(lock, 1)  # instead of waiting for it
    assert await asyncio.gather(*waiting) == [5] * 3
    assert count_exchanges(sandbox) == 2


async def test_a_dump_of_redis_holds_no_token_and_no_credential(server: RedisServer, sandbox: Sandbox) -> None:
    """Neither keys nor values show the token, the API code or the name; the search finds what is stored in clear."""
    credentials = ApiCodeCredentials(f"{CANARY}-code", sandbox.private_key)
    tokens = RedisTokens.from_url(server.url, f"{CANARY}-name", secret=credentials)
    async with redis.asyncio.from_url(server.url) as connection:
        async with tokens.lock(45) as is_ours:
            assert is_ours
            await tokens.save(Token(value=f"{CANARY}-token", lifetime=60))
            assert CANARY.encode() not in await dump(connection)
        await connection.set("clear", f"{CANARY}-token")
        assert CANARY.encode() in await dump(connection)
    assert CANARY not in repr(tokens) + repr(vars(tokens)["_connect"])


async def dump(connection: redis.asyncio.Redis) -> bytes:
    """The file that a Redis with persistence would write, with all keys and values."""
    await connection.config_set("rdbcompression", "no")
    await connection.save()
    folder = str((await connection.config_get("dir"))["dir"])
    return await asyncio.to_thread(Path(folder, "dump.rdb").read_bytes)


async def test_a_token_is_stored_for_its_lifetime(server: RedisServer, sandbox: Sandbox) -> None:
    """What is loaded has what is left of the lifetime; one without a lifetime is kept for an hour."""
    tokens = store_of(server, ApiCodeCredentials(sandbox.api_code, sandbox.private_key))
    assert await tokens.load() is None
    await tokens.save(Token(value="short", lifetime=600))
    stored = await tokens.load()
    assert stored is not None
    assert (stored.value, 590 < (stored.lifetime or 0) <= 600) == ("short", True)
    await tokens.save(Token(value="long"))
    assert await tokens.load() == Token(value="long")
    async with redis.asyncio.from_url(server.url) as connection:
        (key,) = await connection.keys()
        assert 3_590_000 < await connection.pttl(key) <= 3_600_000
        await tokens.save(Token(value="brief", lifetime=0.0001))
        assert await connection.pttl(key) <= 1


async def test_other_credentials_find_nothing(server: RedisServer, sandbox: Sandbox) -> None:
    """Another API code with the same key, another name, and a value that was tampered with: as if nothing is stored."""
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    tokens = store_of(server, credentials)
    await tokens.save(Token(value="token", lifetime=60))
    others = [
        store_of(server, ApiCodeCredentials("another", sandbox.private_key)),
        RedisTokens.from_url(server.url, "another", secret=credentials),
        RedisTokens.from_url(server.url, "sandbox", secret="a secret of sixteen and more"),
    ]
    assert [await other.load() for other in others] == [None] * 3
    assert await store_of(server, credentials).load() is not None
    async with redis.asyncio.from_url(server.url) as connection:
        (key,) = await connection.keys()
        await connection.set(key, "not encrypted by these processes", px=60_000)
    assert await tokens.load() is None


async def test_a_lock_that_expired_is_not_released_for_its_next_holder(server: RedisServer, sandbox: Sandbox) -> None:
    """A process that was stopped for longer than its lock lives does not take the lock from another one."""
    tokens = store_of(server, ApiCodeCredentials(sandbox.api_code, sandbox.private_key))
    async with redis.asyncio.from_url(server.url) as connection:
        async with tokens.lock(45) as is_ours:
            assert is_ours
            (lock,) = await connection.keys()
            await connection.set(lock, "the next holder")
        assert await connection.get(lock) == b"the next holder"
        async with tokens.lock(45) as is_ours:
            assert not is_ours
        assert await connection.get(lock) == b"the next holder"


async def test_without_redis_each_client_fetches_a_token(
    server: RedisServer, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A server that is down costs exchanges, and no call."""
    sandbox = await start_sandbox()
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    tokens = RedisTokens.from_url(f"{server.url}.missing", "sandbox", secret=credentials)
    clients = [await connect(sandbox, auth=credentials, tokens=tokens) for _ in range(3)]
    assert await asyncio.gather(*(amili.payouts.count() for amili in clients)) == [5] * 3
    assert count_exchanges(sandbox) == 3


async def test_a_lent_connection_is_not_closed(server: RedisServer) -> None:
    """A `redis.asyncio.Redis` of the caller's own, here one that decodes, is used for each command."""
    async with redis.asyncio.from_url(server.url, decode_responses=True) as connection:
        tokens = RedisTokens(connection, "sandbox", secret="a secret of sixteen and more")
        await tokens.save(Token(value="token", lifetime=60))
        assert (await tokens.load() or Token(value="")).value == "token"
        assert await connection.ping()


async def test_a_client_from_the_environment_shares_its_token(
    server: RedisServer, start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    """`AMILI_REDIS_URL` is all that it needs; with a fixed token the variable is of no use, and no error."""
    sandbox = await start_sandbox()
    (tmp_path / "key.pem").write_text(sandbox.private_key)
    environ = {
        "AMILI_BASE_URL": sandbox.url,
        "AMILI_API_CODE": sandbox.api_code,
        "AMILI_PRIVATE_KEY_FILE": str(tmp_path / "key.pem"),
        "AMILI_REDIS_URL": server.url,
    }
    for _ in range(2):
        async with AmiliClient.from_env(environ) as amili:
            assert await amili.payouts.count() == 5
    assert count_exchanges(sandbox) == 1
    fixed = {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token(), "AMILI_REDIS_URL": server.url}
    async with AmiliClient.from_env(fixed) as amili:
        assert await amili.payouts.count() == 5


def test_what_cannot_work_is_rejected(sandbox: Sandbox) -> None:
    """A URL of another scheme, a short secret, a store without the methods, a store for a fixed token."""
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    with pytest.raises(ConfigurationError, match="must be redis://") as caught:
        RedisTokens.from_url(f"http://{CANARY}@localhost", "sandbox", secret=credentials)
    assert CANARY not in str(caught.value)
    with pytest.raises(ConfigurationError, match="at least 16 characters") as caught:
        RedisTokens.from_url("redis://localhost", "sandbox", secret=CANARY)
    assert CANARY not in str(caught.value)
    with pytest.raises(ConfigurationError, match="must have an async method load"):
        AmiliClient(auth=credentials, tokens=object())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a fixed access token needs no store"):
        AmiliClient(auth="fixed", tokens=RedisTokens.from_url("redis://localhost", "sandbox", secret=credentials))
