"""What an export saves while it waits for its next batch."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from amili_async.errors import ExportFailed
from amili_async.export import job
from tests.support import internals


class Ahead:
    """A journal that is ahead of its saved state, and records each save."""

    is_ahead = True

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.saved: list[str] = []

    def cover(self, _: object) -> str:
        return "checkpoint"

    def save(self, checkpoint: str) -> None:
        self.saved.append(checkpoint)
        if self.failure is not None:
            raise self.failure


async def arrive(seconds: float) -> AsyncGenerator[tuple[int, ...], None]:
    await asyncio.sleep(seconds)
    yield (1,)


async def wait(journal: Ahead, seconds: float) -> Any:
    given: Any = journal
    return await internals.run_one_write(job, given, arrive(seconds))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SAVE_EVERY", 0.02)


async def test_a_batch_that_arrives_at_once_saves_nothing() -> None:
    """The timer is cancelled when the batch arrives."""
    journal = Ahead()
    assert await wait(journal, 0) == (1,)
    await asyncio.sleep(0.05)
    assert journal.saved == []


async def test_the_state_is_saved_once_while_a_batch_is_late() -> None:
    """The save does not lose the batch."""
    journal = Ahead()
    assert await wait(journal, 0.1) == (1,)
    assert journal.saved == ["checkpoint"]


async def test_a_save_that_fails_raises_its_error() -> None:
    """The error is raised once the batch has arrived."""
    failure = ExportFailed("the disk is full", path=Path("rows.csv"))
    with pytest.raises(ExportFailed) as caught:
        await wait(Ahead(failure), 0.1)
    assert caught.value is failure
