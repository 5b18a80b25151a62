"""Claims on payments, in Redis or in Postgres: of several processes one sends each payment.

Invariant: a claim that has not expired, by the store's own clock, belongs to one owner; only its owner prolongs or ends
it, and nothing shortens it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amili_async._wire.frames import hide_variables
from amili_async._wire.tasks import not_picklable
from amili_async.shared.connection import connect_each_time

if TYPE_CHECKING:
    from redis.asyncio import Redis

_KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1"""
_GIVE_UP = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"

CREATE_TABLE = """
CREATE TABLE amili_claims (key text PRIMARY KEY, owner text NOT NULL, until timestamptz NOT NULL)"""
"""The table of `PostgresClaims`."""
_TABLE_LOCK = "SELECT pg_advisory_xact_lock(hashtext('amili_claims'))"
# Rows are locked in the order of their keys: two processes that lock the same rows in two orders deadlock.
_TAKE_ROWS = """
INSERT INTO amili_claims AS claim (key, owner, until)
SELECT key, $2, clock_timestamp() + make_interval(secs => $3) FROM unnest($1::text[]) AS key ORDER BY key
ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE claim.until <= now()
RETURNING key"""
_KEEP_ROWS = """
WITH own AS (SELECT key FROM amili_claims WHERE key = ANY($1) AND owner = $2 ORDER BY key FOR UPDATE)
UPDATE amili_claims AS claim SET until = greatest(until, clock_timestamp() + make_interval(secs => $3))
FROM own WHERE claim.key = own.key AND claim.until > clock_timestamp() RETURNING claim.key"""
_GIVE_UP_ROWS = """
WITH own AS (SELECT key FROM amili_claims WHERE key = ANY($1) AND owner = $2 ORDER BY key FOR UPDATE)
DELETE FROM amili_claims AS claim USING own WHERE claim.key = own.key"""
_FORGET_ROWS = """
DELETE FROM amili_claims WHERE key IN (
    SELECT key FROM amili_claims WHERE until < now() - interval '1 day' LIMIT 1000 FOR UPDATE SKIP LOCKED)"""


@not_picklable
class RedisClaims:
    """`Claims` in Redis or Valkey.

    *redis* is your `redis.asyncio.Redis`, which is not closed. A restart or a failover can lose claims, and with them
    the protection of the payments that were sent in the 15 minutes before: prefer `PostgresClaims`, or at least have
    `appendfsync always`, no replicas that can take over, and no eviction.
    """

    @hide_variables  # the URL may hold a password
    def __init__(self, redis: "Redis | str") -> None:
        self._connect = connect_each_time(redis)

    @classmethod
    @hide_variables
    def from_url(cls, url: str) -> "RedisClaims":
        """Claims in the Redis of a URL. Each use makes a connection of its own, so there is nothing to close."""
        return cls(url)

    async def take(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        async with self._connect() as redis, redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.set(_name(key), owner, nx=True, px=int(seconds * 1000))
            return _chosen(keys, await pipe.execute())

    async def keep(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        async with self._connect() as redis, redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.eval(_KEEP, 1, _name(key), owner, int(seconds * 1000))
            return _chosen(keys, await pipe.execute())

    async def give_up(self, keys: Sequence[str], *, owner: str) -> None:
        async with self._connect() as redis, redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.eval(_GIVE_UP, 1, _name(key), owner)
            await pipe.execute()


@not_picklable
class PostgresClaims:
    """`Claims` in the table `amili_claims` of Postgres: best for money, since a restart or a failover loses none.

    *pool* is your pool of asyncpg (`asyncpg.create_pool(…)`), which is not closed; each statement is a transaction of
    its own. `create_table()` makes the table, whose DDL is `CREATE_TABLE`. Claims that expired a day ago are deleted.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def create_table(self) -> None:
        """Create the table unless it exists."""
        async with self._pool.acquire() as connection, connection.transaction():
            # Of two that create it at once, one would fail in spite of IF NOT EXISTS, and so would a user without the
            # right to create tables where it exists.
            await connection.execute(_TABLE_LOCK)
            if await connection.fetchval("SELECT to_regclass('amili_claims')") is None:
                await connection.execute(CREATE_TABLE)

    async def take(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        taken = await self._pool.fetch(_TAKE_ROWS, list(keys), owner, seconds)
        await self._pool.execute(_FORGET_ROWS)
        return frozenset(row["key"] for row in taken)

    async def keep(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        return frozenset(row["key"] for row in await self._pool.fetch(_KEEP_ROWS, list(keys), owner, seconds))

    async def give_up(self, keys: Sequence[str], *, owner: str) -> None:
        await self._pool.execute(_GIVE_UP_ROWS, list(keys), owner)


def _name(key: str) -> str:
    return f"amili:claim:{key}"


def _chosen(keys: Sequence[str], answers: Sequence[object]) -> frozenset[str]:
    return frozenset(key for key, answer in zip(keys, answers, strict=True) if answer)
