"""The types of the fixtures that start a sandbox and connect a client."""

from typing import Any, Protocol

from amili_async import AmiliClient
from amili_async.sandbox import Sandbox


class StartSandbox(Protocol):
    """Starts a sandbox that is closed after the test."""

    async def __call__(self, **options: Any) -> Sandbox: ...


class Connect(Protocol):
    """Opens a client of a sandbox, closed after the test."""

    async def __call__(self, sandbox: Sandbox, **options: Any) -> AmiliClient: ...
