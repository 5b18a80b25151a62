"""Where a journey over a hostile wire begins: a client that knows only the server between it and the sandbox."""

from contextlib import AsyncExitStack
from typing import Any

from amili_async import AmiliClient, ApiCodeCredentials, RetryPolicy
from amili_async.errors import AmiliError
from amili_async.sandbox import Sandbox
from tests.integration.conftest import StartSandbox
from tests.support.clocks import HastyClock
from tests.support.hostile_server import HostileServer
from tests.support.operations import PAGE_SIZE, ROWS, Ending, Operation, hold

TRIES = 3


class Scene:
    """A sandbox with a hostile server before it, and a client that knows only that one."""

    def __init__(self, resources: AsyncExitStack, start: StartSandbox, clock: HastyClock) -> None:
        self._resources = resources
        self._start = start
        self._clock = clock
        self.sandbox: Sandbox
        self.server: HostileServer
        self.amili: AmiliClient
        self.asked_in_vain = 0
        """How many requests had been made when the fault was taken away."""

    async def open(self, *, patience: float = 5.0, **options: Any) -> "Scene":
        """Everything started, and the token fetched, so that a fault meets what it is meant for."""
        self.sandbox = await self._start(**ROWS)
        self.server = await self._resources.enter_async_context(HostileServer(self.sandbox))
        auth = ApiCodeCredentials(self.sandbox.api_code, self.sandbox.private_key)
        fixed: dict[str, Any] = {"rate_limit": None, "page_size": PAGE_SIZE, "retry": RetryPolicy(attempts=TRIES)}
        client = AmiliClient(self.server.url, auth=auth, clock=self._clock, timeout=patience, **(fixed | options))
        self.amili = await self._resources.enter_async_context(client)
        await self.amili.auth.get_valid_token()
        self.server.asked.clear()
        return self

    async def hold(self, operation: Operation, ending: Ending) -> AmiliError | None:
        """Hold the operation to its ending."""
        return await hold(
            operation,
            ending,
            amili=self.amili,
            sandbox=self.sandbox,
            clock=self._clock,
            stop_failing=self._mend,
        )

    def lead_astray(self, address: str) -> None:
        """Let the client look for its server elsewhere, until the fault is taken away."""
        self.amili._session._base_url = address

    def _mend(self) -> None:
        self.asked_in_vain = len(self.server.asked)
        self.server.behave()
        self.sandbox.override()
        self.amili._session._base_url = self.server.url

    def count(self, operation: Operation) -> int:
        """Requests of the operation's kind."""
        return sum(
            (each.method, each.path.split("/")[1]) == (operation.method, operation.path) for each in self.server.asked
        )
