"""The fixture `amili_sandbox` for tests of users: a fresh, small sandbox for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from . import Sandbox


@pytest_asyncio.fixture
async def amili_sandbox() -> AsyncIterator[Sandbox]:
    """A started sandbox with few rows and no rate limit; `Sandbox(...)` itself takes every option."""
    async with Sandbox(payouts=5, specifications=250, payments=12, rate_limit=None) as sandbox:
        yield sandbox
