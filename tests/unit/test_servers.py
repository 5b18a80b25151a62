"""The servers that tests start: they answer, lose their data when killed, and a required one is never skipped."""

import asyncpg
import pytest
import redis.asyncio

from tests.support.servers import REQUIRED, RedisServer, find_program, start_redis


async def test_a_redis_that_was_killed_starts_empty(redis_server: RedisServer) -> None:
    """A restarted server accepts connections at the same address, and holds nothing."""
    with start_redis() as server:
        async with redis.asyncio.from_url(server.url) as before:
            await before.set("key", "value")
            server.kill()
        server.start()
        async with redis.asyncio.from_url(server.url) as after:
            assert await after.keys() == []
    async with redis.asyncio.from_url(redis_server.url) as other:
        assert await other.ping()


async def test_a_postgres_answers(postgres_url: str) -> None:
    """A server of the tests' own accepts queries."""
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


def test_a_required_server_is_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose server is missing is skipped, but fails where the environment requires that server."""
    monkeypatch.setenv(REQUIRED, "redis-server")
    with pytest.raises(pytest.skip.Exception):
        find_program("amili-no-such-server")
    monkeypatch.setenv(REQUIRED, "redis-server amili-no-such-server")
    with pytest.raises(pytest.fail.Exception):
        find_program("amili-no-such-server")
