"""The fixtures of the integration tests: a sandbox and a client on one clock that never makes a caller wait."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from amili_async import AmiliClient, ApiCodeCredentials
from amili_async.environment import VARIABLES
from amili_async.sandbox import Sandbox
from tests.support import internals
from tests.support.clocks import HastyClock, on_clock
from tests.support.hostile_scene import HostileScene
from tests.support.starting import Connect, StartSandbox


@pytest.fixture(scope="session", autouse=True)
def _can_be_interrupted() -> Iterator[None]:
    """Undo that a shell makes its background jobs, and the programs that they start, ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def clock() -> HastyClock:
    """One clock for client and sandbox: windows and expiries of the sandbox advance with the waits of the client."""
    return HastyClock()


@pytest.fixture(scope="session", autouse=True)
def _one_key() -> Iterator[None]:
    """Generate one private key for all sandboxes of the run."""
    with internals.one_key():
        yield


@pytest.fixture
async def resources() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test opened, the client before the sandbox, and checks that no task is left."""
    async with AsyncExitStack() as stack:
        yield stack
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def start_sandbox(clock: HastyClock, resources: AsyncExitStack) -> StartSandbox:
    """Starts a sandbox with few rows and without a rate limit, unless the test sets other options."""

    async def start(**options: Any) -> Sandbox:
        few = {"payouts": 5, "specifications": 250, "payments": 5, "rate_limit": None, "clock": clock.wall}
        return await resources.enter_async_context(Sandbox(**(few | options)))

    return start


@pytest.fixture
def connect(clock: HastyClock, resources: AsyncExitStack) -> Connect:
    """Connects a client with a private key and without a rate limit, unless the test sets other options."""

    async def open_client(sandbox: Sandbox, **options: Any) -> AmiliClient:
        if options.get("auth") is None:
            options["auth"] = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
        kind = on_clock(options.pop("clock", clock))
        client = kind(sandbox.url, **({"rate_limit": None} | options))
        return await resources.enter_async_context(client)

    return open_client


@pytest.fixture
def scene(resources: AsyncExitStack, start_sandbox: StartSandbox, clock: HastyClock) -> HostileScene:
    """A sandbox behind a hostile server, which the test opens."""
    return HostileScene(resources, start_sandbox, clock)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the AMILI_ variables of the machine from the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
