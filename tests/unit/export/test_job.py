"""What happens while an export waits for its next batch."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from amili_async.errors import ExportFailed
from amili_async.export import job


class Ahead:
    """A ledger that has something to save, and says when it does."""

    is_ahead = True

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.did: list[str] = []

    def cover(self, _: object) -> str:
        return "checkpoint"

    def save(self, checkpoint: str) -> None:
        self.did.append(checkpoint)
        if self.failure is not None:
            raise self.failure


async def arrive(seconds: float) -> AsyncGenerator[tuple[int, ...], None]:
    await asyncio.sleep(seconds)
    yield (1,)


async def wait(ledger: Ahead, seconds: float) -> Any:
    given: Any = ledger
    return await job._wait_for_batch(given, given, arrive(seconds))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SAVE_EVERY", 0.02)


async def test_a_batch_that_comes_at_once_saves_nothing() -> None:
    """Nor does it later."""
    ledger = Ahead()
    assert await wait(ledger, 0) == (1,)
    await asyncio.sleep(0.05)
    assert ledger.did == []


async def test_what_came_before_is_saved_once_while_a_batch_is_long_in_coming() -> None:
    """And the batch is handed out."""
    ledger = Ahead()
    assert await wait(ledger, 0.1) == (1,)
    assert ledger.did == ["checkpoint"]


async def test_a_saving_that_fails_is_told() -> None:
    """When the batch has come."""
    failure = ExportFailed("the disk is full", path=Path("rows.csv"))
    with pytest.raises(ExportFailed) as caught:
        await wait(Ahead(failure), 0.1)
    assert caught.value is failure
