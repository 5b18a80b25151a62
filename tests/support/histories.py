"""Histories of rows: what exists, what is changed between any two requests, and where an extraction of them runs."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from hypothesis import strategies as st

from amili_async import AmiliClient
from amili_async._wire.clock import SystemClock
from amili_async.extraction import Checkpoint, Extraction
from amili_async.sandbox import Fault, ReceivedRequest, Sandbox
from tests.support.clocks import on_clock
from tests.support.rows import BEGINNING, SPECIFICATIONS, make_id, make_row

NOW = 1_750_000_000
PLACES = 160
STEPS = (0, 1, 86_400)
"""Seconds from one place to the next: all in one second, side by side, or spread over months."""
KINDS = ("insert", "delete", "update", "toggle", "create")
CAPITAL = {"article": "capital"}


class Line(msgspec.Struct, frozen=True):
    """The only field that is read."""

    id: str


@dataclass(frozen=True)
class History:
    """The rows at first, the changes to them, and how they are extracted concurrently."""

    presence: bytes
    """A bit for each place: whether a row exists at first."""
    step: int
    changes: list[tuple[str, int]]
    """Kinds and places of the changes, in order."""
    pace: int
    """How many changes happen before each request."""
    is_filtered: bool
    counts: bool
    """Whether the server reports totals."""
    page_size: int
    concurrency: int
    parts: int | None
    delays: list[int] = field(default_factory=list)
    """Requests that are executed later than those sent after them."""
    stops: list[tuple[int, bool]] = field(default_factory=list)
    """After how many records the extraction is left each time, and whether it resumes from a checkpoint in JSON."""


QUIET: dict[str, Any] = {"changes": [], "pace": 1, "is_filtered": False, "counts": True, "parts": None}
"""The rest of a history without changes, of all rows."""
NO_STOPS: st.SearchStrategy[list[tuple[int, bool]]] = st.just([])


def histories(
    *, stops: st.SearchStrategy[list[tuple[int, bool]]] = NO_STOPS, kinds: Sequence[str] = KINDS
) -> st.SearchStrategy[History]:
    """Histories of up to some hundred rows and changes; many of them short, so that they shrink well."""
    change = st.tuples(st.sampled_from(kinds), st.integers(0, PLACES - 1))
    return st.builds(
        History,
        presence=st.binary(min_size=PLACES // 8, max_size=PLACES // 8) | st.binary(max_size=PLACES // 8),
        step=st.sampled_from(STEPS),
        changes=st.integers(0, 80).flatmap(lambda most: st.lists(change, min_size=most // 2, max_size=most)),
        pace=st.integers(1, 4),
        is_filtered=st.booleans(),
        counts=st.booleans(),
        page_size=st.integers(3, 7),
        concurrency=st.integers(1, 8),
        parts=st.none() | st.integers(1, 8),
        delays=st.lists(st.integers(0, 20), max_size=2),
        stops=stops,
    )


class ChangingRows:
    """The rows of one history, and its changes."""

    def __init__(self, sandbox: Sandbox, history: History) -> None:
        self._sandbox = sandbox
        self._history = history
        self._changes = iter(history.changes)
        self.rows: dict[str, str] = {}
        """The article of each existing row."""
        self.ever: set[str] = set()
        bits = int.from_bytes(history.presence)
        for place in range(PLACES):
            if bits >> place & 1:
                self._insert(self._id_at(place))
        self.kept = {row_id for row_id, article in self.rows.items() if self._matches(article)}
        """The rows that existed, and matched, throughout."""
        for place in history.delays:
            sandbox.fail(Fault(delay=0.002), path=SPECIFICATIONS, after=place)
        sandbox.before_each_request(self._change)
        if not history.counts:
            sandbox.override(page=lambda _, page: page | {"_meta": {"max_results": page["_meta"]["max_results"]}})

    def clear(self) -> None:
        self._sandbox.before_each_request(None)
        self._sandbox.override()
        self._sandbox.stop_failing()
        for row_id in self.rows:
            self._sandbox.delete(SPECIFICATIONS, row_id)

    def _id_at(self, place: int) -> str:
        return make_id(BEGINNING + place * self._history.step, place)

    def _matches(self, article: str) -> bool:
        return article == "capital" or not self._history.is_filtered

    def _change(self, received: ReceivedRequest) -> None:
        for _ in range(self._history.pace):
            kind, place = next(self._changes, ("", 0))
            if kind == "insert":
                self._insert(self._id_at(place))
            elif kind == "create":
                self._insert(make_id(NOW, place))
            elif kind and self.rows:
                getattr(self, f"_{kind}")(list(self.rows)[place % len(self.rows)])

    def _insert(self, row_id: str) -> None:
        if row_id not in self.rows:
            article = ("capital", "fee")[int(row_id, 16) % 3 == 0]
            self._sandbox.insert(SPECIFICATIONS, make_row(row_id, article=article))
            self.rows[row_id] = article
            self.ever.add(row_id)

    def _delete(self, row_id: str) -> None:
        self._sandbox.delete(SPECIFICATIONS, row_id)
        self.kept.discard(row_id)
        del self.rows[row_id]

    def _update(self, row_id: str) -> None:
        self._sandbox.update(SPECIFICATIONS, row_id, {"amount": len(self.rows)})

    def _toggle(self, row_id: str) -> None:
        article = self.rows[row_id] = "fee" if self.rows[row_id] == "capital" else "capital"
        self._sandbox.update(SPECIFICATIONS, row_id, {"article": article})
        if not self._matches(article):
            self.kept.discard(row_id)


class FixedClock(SystemClock):
    """The server's time as the client's."""

    def wall(self) -> float:
        return NOW


class SharedServer:
    """A server, a loop and connections shared by all histories, since starting them takes longer than a history."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.sandbox = Sandbox(payouts=0, specifications=0, payments=0, rate_limit=None, clock=lambda: NOW)

    async def open(self) -> None:
        await self.sandbox.start()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def aclose(self) -> None:
        await self.session.close()
        await self.sandbox.aclose()

    def connect(self, history: History) -> AmiliClient:
        return on_clock(FixedClock())(
            self.sandbox.url,
            auth=self.sandbox.token(),
            page_size=history.page_size,
            concurrency=history.concurrency,
            rate_limit=None,
            session=self.session,
        )


def serve_histories() -> Iterator[SharedServer]:
    """A fixture: where all histories of a module run."""
    with asyncio.Runner() as runner:
        server = SharedServer(runner)
        server.run(server.open())
        yield server
        server.run(server.aclose())


def begin(amili: AmiliClient, history: History, checkpoint: Checkpoint | None = None) -> Extraction[Line]:
    where = CAPITAL if history.is_filtered else None
    return amili.payout_specifications.extract(where, into=Line, parts=history.parts, checkpoint=checkpoint)


async def read_batches(extraction: Extraction[Line]) -> list[list[str]]:
    async with aclosing(extraction.batches()) as batches:
        return [[line.id for line in batch] async for batch in batches]


async def read_some(extraction: Extraction[Line], count: int) -> list[str]:
    """The records delivered before the extraction is left; the current one at that moment is not among them."""
    delivered: list[str] = []
    async with aclosing(aiter(extraction)) as records:
        async for line in records:
            if len(delivered) == count:
                break
            delivered.append(line.id)
    return delivered


def check(delivered: list[str], table: ChangingRows) -> None:
    """Check what must hold of every history."""
    assert len(set(delivered)) == len(delivered), "delivered twice"
    assert table.kept <= set(delivered), "lost"
    assert set(delivered) <= table.ever, "invented"
    assert all(row_id < make_id(NOW - 9, 0) for row_id in delivered), "newer than the bound"
