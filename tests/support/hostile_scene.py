"""A client that reaches its sandbox only through a hostile server."""

from contextlib import AsyncExitStack
from typing import Any

from amili_async import AmiliClient, ApiCodeCredentials, RetryPolicy
from amili_async.errors import AmiliError
from amili_async.sandbox import Sandbox
from tests.support import internals
from tests.support.clocks import HastyClock, PassingTime, is_python_loop, on_clock
from tests.support.hostile_server import HostileServer
from tests.support.operations import LONG, PAGE_SIZE, ROWS, Ending, Operation, hold
from tests.support.starting import StartSandbox

ATTEMPTS = 3
TIMEOUT = 5.0
"""Seconds for one attempt; tests of what hangs let them pass at once."""
TIMEOUT_OF_UVLOOP = 0.4
"""The same where the loop is uvloop's; these seconds pass."""


class HostileScene:
    """A sandbox, a hostile server before it, and a client of that server."""

    def __init__(self, resources: AsyncExitStack, start: StartSandbox, clock: HastyClock) -> None:
        self._resources = resources
        self._start = start
        self._clock = clock
        self.sandbox: Sandbox
        self.server: HostileServer
        self.amili: AmiliClient
        self._time = PassingTime()
        self.requests_while_failing = 0
        """How many requests were made before the fault was removed."""

    async def open(self, *, time_passes: bool = False, uses_key: bool = False, **options: Any) -> "HostileScene":
        """Start everything and fetch a token, so that the fault meets the operation; let time pass until it is over."""
        self.sandbox = await self._start(**ROWS, token_lifetime=LONG)
        self.server = await self._resources.enter_async_context(HostileServer(self.sandbox))
        fixed: dict[str, Any] = {"rate_limit": None, "page_size": PAGE_SIZE, "retry": RetryPolicy(attempts=ATTEMPTS)}
        key = ApiCodeCredentials(self.sandbox.api_code, self.sandbox.private_key)
        auth = key if uses_key else self.sandbox.token()
        timeout = TIMEOUT if is_python_loop() or not time_passes else TIMEOUT_OF_UVLOOP
        client = on_clock(self._clock)(self.server.url, auth=auth, timeout=timeout, **(fixed | options))
        self.amili = await self._resources.enter_async_context(client)
        await self.amili.auth.get_valid_token()
        self.server.received.clear()
        if time_passes:
            self._time.start()
        return self

    async def hold(self, operation: Operation, ending: Ending) -> AmiliError | None:
        """Check that the operation ends that way."""
        try:
            return await hold(
                operation,
                ending,
                amili=self.amili,
                sandbox=self.sandbox,
                clock=self._clock,
                stop_failing=self._stop_failing,
            )
        finally:
            self._time.stop()

    def redirect_client(self, address: str) -> None:
        """Send the client's requests to another address until the fault is removed."""
        internals.set_base_url(self.amili, address)

    def _stop_failing(self) -> None:
        self._time.stop()
        self.requests_while_failing = len(self.server.received)
        self.server.behave()
        self.sandbox.override()
        internals.set_base_url(self.amili, self.server.url)

    def count(self, operation: Operation) -> int:
        """Requests of the operation's kind."""
        return sum(
            (each.method, each.path.split("/")[1]) == (operation.method, operation.path)
            for each in self.server.received
        )
