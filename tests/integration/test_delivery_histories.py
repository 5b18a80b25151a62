"""Deliveries and handlers under random failures, cancellations, kills and resumes, while rows change.

Invariant: every row that stays is finished at least once, whatever stops the process that finishes it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_async import Checkpoint, Delivery, Extraction, Stream, StreamCheckpoint
from amili_async.errors import BadRequest, DeliveryFailed, ExtractionInterrupted
from amili_async.extraction import Verdict
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.exhaustive import examples
from tests.support.histories import (
    CAPITAL,
    QUIET,
    ChangingRows,
    History,
    Line,
    SharedServer,
    begin,
    histories,
    serve_histories,
)
from tests.support.rows import SPECIFICATIONS

server = pytest.fixture(scope="module")(serve_histories)

Job = Extraction[Line] | Stream[Line]


class Broken(Exception):
    """What a handler raises."""


@dataclass(frozen=True)
class Run:
    """What one process does until something stops it."""

    by: Literal["for_each", "deliveries"]
    stop: Literal["failure", "server", "cancellation", "break", "kill", "nothing"]
    after: int
    """How many records it finishes before that."""
    width: int
    """Handlers at once, or deliveries that may be unfinished."""
    saves_every: int
    """After how many records it saves the checkpoint, which is all that a killed process leaves."""
    seed: int
    """Of the order in which its workers finish."""


RUN = st.builds(
    Run,
    by=st.sampled_from(["for_each", "deliveries"]),
    stop=st.sampled_from(["failure", "server", "cancellation", "break", "kill"]),
    after=st.integers(0, 60),
    width=st.integers(1, 6),
    saves_every=st.integers(1, 20),
    seed=st.integers(0, 99),
)
LAST = Run(by="for_each", stop="nothing", after=0, width=4, saves_every=1, seed=0)


class Process:
    """A process that finishes the records of a job until it is stopped."""

    def __init__(self, job: Job, run: Run, sandbox: Sandbox) -> None:
        self._job = job
        self._run = run
        self._sandbox = sandbox
        self._random = Random(run.seed)
        self._task: asyncio.Task[Any]
        self._is_dead = False
        self.finished: list[str] = []
        self.saved = job.checkpoint.to_json()
        """The checkpoint that was saved last."""

    async def work(self) -> None:
        """Run until it is stopped or everything is finished."""
        by_call = self._run.by == "for_each"
        call = self._job.for_each(self._handle, concurrency=self._run.width) if by_call else self._finish_deliveries()
        self._task = asyncio.ensure_future(call)
        await asyncio.wait([self._task])
        self._sandbox.stop_failing()
        if self._task.cancelled():
            assert self._is_stopping
        elif (error := self._task.exception()) is not None:
            cause = error.__cause__ if isinstance(error, (ExtractionInterrupted, DeliveryFailed)) else error
            assert self._is_stopping, repr(error)
            assert isinstance(cause, Broken if self._run.stop == "failure" else BadRequest), repr(error)

    @property
    def _is_stopping(self) -> bool:
        return self._run.stop != "nothing" and len(self.finished) >= self._run.after

    async def _handle(self, line: Line) -> None:
        await self._pause()
        if self._is_stopping:
            await self._stop()
        if self._is_dead:
            return
        self.finished.append(line.id)
        if len(self.finished) % self._run.saves_every == 0:
            self.saved = self._job.checkpoint.to_json()

    async def _pause(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)

    async def _stop(self) -> None:
        match self._run.stop:
            case "failure":
                raise Broken
            case "server":
                self._sandbox.fail(Fault(status=400), path=SPECIFICATIONS, times=None)
            case "break" if self._run.by == "deliveries":
                pass  # the consumer leaves at the next delivery
            case _:
                self._is_dead = self._run.stop == "kill"
                self._task.cancel()
                await asyncio.Event().wait()

    async def _finish_deliveries(self) -> None:
        pages: list[Delivery[Line]] = []
        worker = asyncio.ensure_future(self._finish_some(pages))
        try:
            async for page in self._job.deliveries(unfinished=self._run.width):
                pages.append(page)
                if self._run.stop == "break" and self._is_stopping:
                    break
            for page in pages[: self._random.randrange(3)]:
                await self._finish(page)  # it still counts after the iteration was left
        finally:
            worker.cancel()
            await asyncio.wait([worker])

    async def _finish_some(self, pages: list[Delivery[Line]]) -> None:
        while True:
            await asyncio.sleep(0)
            if pages:
                await self._finish(pages.pop(self._random.randrange(len(pages))))

    async def _finish(self, page: Delivery[Line]) -> None:
        try:
            for line in page.records:
                await self._handle(line)
        except Broken as error:
            page.failed(error, record_id=page.records[0].id)
        else:
            page.done()


async def finish(begin: Callable[[str | None], Job], runs: list[Run], sandbox: Sandbox) -> tuple[list[str], Job]:
    """Everything that the processes have finished, one after another, and the job of the last one."""
    finished: list[str] = []
    job = begin(None)
    for run in (*runs, LAST):
        process = Process(job, run, sandbox)
        await process.work()
        finished += process.finished
        if run is LAST:
            break
        if run.stop == "kill" or run.seed % 2 or isinstance(job, Stream):
            job = begin(process.saved if run.stop == "kill" else job.checkpoint.to_json())
    return finished, job


def check_finished(finished: list[str], table: ChangingRows) -> None:
    """What must hold of every history."""
    assert table.kept <= set(finished), "lost"
    assert set(finished) <= table.ever, "invented"


FULL = History(presence=b"\xff" * 20, step=1, page_size=5, concurrency=4, **QUIET)


@examples(300, derandomize=True)
@given(history=histories(), runs=st.lists(RUN, max_size=5))
@example(history=FULL, runs=[])
def test_every_row_that_stays_is_finished(server: SharedServer, history: History, runs: list[Run]) -> None:
    """The union of what all processes have finished has every row; the verdict of undisturbed rows is complete."""

    async def run_history(table: ChangingRows) -> None:
        async with server.connect(history) as amili:

            def begin_at(text: str | None) -> Extraction[Line]:
                return begin(amili, history, None if text is None else Checkpoint.from_json(text))

            finished, job = await finish(begin_at, runs, server.sandbox)
            assert internals.running_iterations(amili) == set()
        assert isinstance(job, Extraction)
        check_finished(finished, table)
        assert job.checkpoint.is_finished
        assert job.manifest.rows <= len(set(finished))
        if not history.changes:
            assert (job.manifest.rows, job.manifest.verdict) == (len(set(finished)), Verdict.COMPLETE)

    table = ChangingRows(server.sandbox, history)
    try:
        server.run(run_history(table))
    finally:
        table.clear()


APPENDING = ("update", "create")
"""Changes that shift no row that stays in a stream by `_id`: updates in place, and inserts behind all of them."""


@examples(100, derandomize=True)
@given(history=histories(kinds=APPENDING), runs=st.lists(RUN, max_size=5), is_descending=st.booleans())
@example(history=FULL, runs=[], is_descending=True)
def test_every_row_of_a_stream_is_finished(
    server: SharedServer, history: History, runs: list[Run], is_descending: bool
) -> None:
    """In the order of `_id`; backwards too, a page at a time: rows inserted between two pages only repeat others."""
    # Without totals, a page that is shifted by its own size looks as if the server ignored the page number.
    history = replace(history, counts=True, concurrency=1 if is_descending else history.concurrency)

    async def run_history(table: ChangingRows) -> None:
        async with server.connect(history) as amili:

            def begin_at(text: str | None) -> Stream[Line]:
                return amili.payout_specifications.stream(
                    CAPITAL if history.is_filtered else None,
                    into=Line,
                    sort="-_id" if is_descending else "_id",
                    checkpoint=None if text is None else StreamCheckpoint.from_json(text),
                )

            finished, job = await finish(begin_at, runs, server.sandbox)
            assert internals.running_iterations(amili) == set()
        check_finished(finished, table)
        assert job.checkpoint.rows >= len(table.kept)

    table = ChangingRows(server.sandbox, history)
    try:
        server.run(run_history(table))
    finally:
        table.clear()
