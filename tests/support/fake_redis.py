"""Redis without a server: runs `rate_limiter.lua` in lupa, by the time of the running event loop."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from lupa.lua51 import LuaRuntime

EPOCH = 1_700_000_000
"""Seconds since 1970 when the loop's clock shows zero."""


class FakeRedis:
    """Knows GET, SET and TIME, as one script uses them; each process has a connection of its own."""

    def __init__(self, *, round_trip: float = 0.0006, seed: int = 0) -> None:
        self.data: dict[str, str] = {}
        self.clock_offset = 0.0
        """Seconds by which its clock is ahead of the loop's."""
        self.is_down = False
        """It refuses connections."""
        self.calls = 0
        """Scripts that it ran."""
        self.running = asyncio.Event()
        """Cleared while it is stopped: what it is sent waits, and runs later even if the caller has given up."""
        self.running.set()
        self._round_trip, self._dice = round_trip, random.Random(seed)
        self._lua = LuaRuntime(unpack_returned_tuples=True)
        self._lua.globals().redis = self._lua.table_from({"call": self._call})
        self._lua.globals().cjson = self._lua.table_from({"decode": self._decode, "encode": _encode})

    def connect(self) -> "FakeConnection":
        """A connection of one process."""
        return FakeConnection(self)

    def compile(self, script: str) -> Callable[[list[str], list[bytes]], str]:
        """The script as a function of its keys and arguments."""
        run = self._lua.eval(f"function(KEYS, ARGV) {script}\nend")
        return lambda keys, args: str(
            run(self._lua.table_from(keys), self._lua.table_from([each.decode() for each in args]))
        )

    async def travel(self) -> None:
        """Half a round trip."""
        await asyncio.sleep(self._round_trip / 2 * self._dice.uniform(0.8, 1.2))

    def _call(self, command: str, *arguments: Any) -> Any:
        if command == "TIME":
            now = EPOCH + asyncio.get_running_loop().time() + self.clock_offset
            return self._lua.table_from([str(int(now)), str(int(now % 1 * 1_000_000))])
        if command == "GET":
            return self.data.get(arguments[0], False)
        assert command == "SET"
        self.data[arguments[0]] = arguments[1]
        return True

    def _decode(self, text: str) -> Any:
        return self._to_lua(json.loads(text))

    def _to_lua(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._lua.table_from({name: self._to_lua(each) for name, each in value.items()})
        return self._lua.table_from([self._to_lua(each) for each in value]) if isinstance(value, list) else value


def _encode(value: Any) -> str:
    return json.dumps(_to_python(value))


def _to_python(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value).__name__ != "_LuaTable":
        return value
    keys = list(value.keys())
    if keys and all(isinstance(key, int) for key in keys):
        return [_to_python(value[key]) for key in sorted(keys)]
    return {str(key): _to_python(value[key]) for key in keys}


class FakeConnection:
    """What a process has of a `FakeRedis`."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self.is_cut = False
        """Nothing reaches the server, as after the death of the process."""
        self.loses_replies = False
        """What is sent is executed, and its reply is lost."""
        self.delay = 0.0
        """Seconds by which replies are late."""
        self.delivered: list[tuple[list[str], list[bytes]]] = []
        """The messages that the server executed."""

    def register_script(self, script: str) -> Callable[..., Awaitable[str]]:
        """What `redis.asyncio.Redis.register_script` returns."""
        self._run = self._redis.compile(script)

        async def call(keys: list[str], args: list[bytes]) -> str:
            await self._redis.travel()
            if self.is_cut or self._redis.is_down:
                raise ConnectionError("refused")
            # Not cancelled with the caller: what has been sent is executed.
            answer = await asyncio.shield(asyncio.ensure_future(self._execute_when_running(keys, args)))
            await self._redis.travel()
            await asyncio.sleep(self.delay)
            if self.loses_replies:
                raise ConnectionError("the reply is lost")
            return answer

        return call

    def execute(self, keys: list[str], args: list[bytes]) -> str:
        """Execute a message now."""
        self.delivered.append((keys, args))
        self._redis.calls += 1
        return self._run(keys, args)

    async def _execute_when_running(self, keys: list[str], args: list[bytes]) -> str:
        await self._redis.running.wait()
        return self.execute(keys, args)
