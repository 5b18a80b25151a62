"""An export that is killed at any moment goes on, and its file is the one that an uninterrupted run makes.

The children are forked by one process that has imported everything, so that a killed one costs milliseconds.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from amili_async import AmiliClient
from amili_async.export import export
from amili_async.sandbox import ReceivedRequest, Sandbox
from tests.support.rows import SPECIFICATIONS

SUFFIXES = ["ndjson", "csv", "parquet"]
ROWS, PAGE = 160, 20

NURSERY = """
import asyncio, json, os, signal, sys
import amili_async, pyarrow.parquet
from amili_async.export import export, journal, spool

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def die_at(call):
    # Before the call of that number, or, where it writes, in the middle of it.
    calls = 0
    def watch(name):
        original = getattr(os, name)
        def watched(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == call:
                if name == "write":
                    original(arguments[0], bytes(arguments[1])[:len(arguments[1]) // 2])
                die()
            return original(*arguments, **options)
        setattr(os, name, watched)
    for name in ("write", "fsync", "replace", "unlink"):
        watch(name)

async def run(url, token, path, call, page, page_size, save_every, options):
    journal.SAVE_EVERY = save_every
    spool.MOST_WAITING = 1  # so that each page is written by itself
    if call is not None:
        die_at(call)
    def tell(rows, *_):
        if page is not None and rows >= page:
            die()
    client = amili_async.AmiliClient(url, auth=token, rate_limit=None, page_size=page_size, concurrency=2)
    async with client as amili:
        await export(amili.payout_specifications, path, on_progress=tell, **options)

for line in sys.stdin:
    order = json.loads(line)
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        asyncio.run(run(**order))
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    os.write(go, b".")
    os.close(ready)
    os.close(go)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Nursery:
    """Runs exports in processes of their own."""

    def __init__(self, process: asyncio.subprocess.Process, sandbox: Sandbox) -> None:
        self._process = process
        self._sandbox = sandbox
        self.child = 0
        """The process id of the export that runs."""
        self.begun = asyncio.Event()
        """Set as soon as there is one."""

    async def run(
        self, path: Path, *, call: int | None = None, page: int | None = None, often: bool = True, **options: Any
    ) -> bool:
        """Whether an export came to its end, rather than being killed; one that counts calls has half the pages."""
        order: dict[str, Any] = {
            "url": self._sandbox.url,
            "token": self._sandbox.token(),
            "path": str(path),
            "options": options,
        }
        order |= {
            "call": call,
            "page": page,
            "page_size": PAGE if call is None else 2 * PAGE,
            "save_every": 0 if often else 0.25,
        }
        await self._say(json.dumps(order))
        self.child = await self._hear()
        self.begun.set()
        await self._say("go")
        status = await self._hear()
        assert status in (0, 9)
        return status == 0

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def _hear(self) -> int:
        assert self._process.stdout is not None
        return int(await self._process.stdout.readline())


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Eight pages of rows."""
    async with Sandbox(payouts=20, specifications=ROWS, rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def amili(sandbox: Sandbox) -> AsyncIterator[AmiliClient]:
    """A client in this process."""
    async with AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None, page_size=PAGE) as amili:
        yield amili


@pytest.fixture
async def nursery(sandbox: Sandbox) -> AsyncIterator[Nursery]:
    """Where the exports run that are killed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", NURSERY, stdin=pipe, stdout=pipe)
    yield Nursery(process, sandbox)
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


async def finish(amili: AmiliClient, path: Path, **options: Any) -> None:
    """Go on with what was left, unless it came so far that only its own rows were still to be removed."""
    left = {file.name for file in path.parent.iterdir()}
    if f"{path.name}.checkpoint.json" in left or path.name not in left or options:
        await export(amili.payout_specifications, path, resume=True, **options)


def assert_whole(path: Path, whole: bytes) -> None:
    assert path.read_bytes() == whole
    beside = {file.name for file in path.parent.iterdir()} - {f"{path.name}.part"}
    assert beside == {path.name, f"{path.name}.manifest.json"}


async def make_whole(amili: AmiliClient, folder: Path, suffix: str) -> bytes:
    path = folder / f"whole.{suffix}"
    await export(amili.payout_specifications, path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_killed_at_every_page_boundary(
    suffix: str, sandbox: Sandbox, amili: AmiliClient, nursery: Nursery, tmp_path: Path
) -> None:
    """After each page, and at the arrival of each request: the file is the same, byte for byte."""
    whole = await make_whole(amili, tmp_path, suffix)
    for page in range(PAGE, ROWS + 1, PAGE):
        path = tmp_path / f"page-{page}" / f"rows.{suffix}"
        path.parent.mkdir()
        assert not await nursery.run(path, page=page, often=page % 40 == 0)
        assert not path.exists()
        await finish(amili, path)
        assert_whole(path, whole)
    for number in count(1):
        path = tmp_path / f"request-{number}" / f"rows.{suffix}"
        path.parent.mkdir()
        kill_at(sandbox, nursery, number)
        has_ended = await nursery.run(path)
        sandbox.before_each_request(None)
        if has_ended:
            break
        await finish(amili, path)
        assert_whole(path, whole)
    assert number > ROWS / PAGE


def kill_at(sandbox: Sandbox, nursery: Nursery, number: int) -> None:
    """Kill the export that runs when its request of that number arrives."""
    arrived = 0

    def meanwhile(_: ReceivedRequest) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == number:
            os.kill(nursery.child, signal.SIGKILL)

    sandbox.before_each_request(meanwhile)


@pytest.mark.parametrize(("suffix", "step"), [("csv", 1), ("ndjson", 3), ("parquet", 3)])
async def test_killed_at_every_call(
    suffix: str, step: int, amili: AmiliClient, nursery: Nursery, tmp_path: Path
) -> None:
    """Before each sync, rename and removal, and in the middle of each write, until it comes through."""
    whole = await make_whole(amili, tmp_path, suffix)
    for call in count(1, step):
        path = tmp_path / f"call-{call}" / f"rows.{suffix}"
        path.parent.mkdir()
        if await nursery.run(path, call=call):
            break
        assert not path.exists() or path.read_bytes() == whole
        await finish(amili, path)
        assert_whole(path, whole)
    assert call > 25


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_killed_again_and_again(suffix: str, amili: AmiliClient, nursery: Nursery, tmp_path: Path) -> None:
    """An export that is killed each time that it goes on comes to its end, and its file is the same."""
    whole, random = await make_whole(amili, tmp_path, suffix), Random(1)
    for number in range(4):
        path = tmp_path / f"again-{number}" / f"rows.{suffix}"
        path.parent.mkdir()
        while not await nursery.run(path, call=random.randint(5, 25), resume=True, overwrite=True):
            assert not path.exists() or path.read_bytes() == whole
        assert_whole(path, whole)


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_killed_at_random_moments(suffix: str, amili: AmiliClient, nursery: Nursery, tmp_path: Path) -> None:
    """Whatever it is at."""
    whole, random = await make_whole(amili, tmp_path, suffix), Random(suffix)
    for number in range(4):
        path = tmp_path / f"moment-{number}" / f"rows.{suffix}"
        path.parent.mkdir()
        nursery.begun.clear()
        running = asyncio.ensure_future(nursery.run(path))
        await nursery.begun.wait()
        await asyncio.sleep(random.uniform(0.01, 0.09))
        with suppress(ProcessLookupError):  # it was faster than we, and nobody has told us yet
            if not running.done():
                os.kill(nursery.child, signal.SIGKILL)
        await running
        await finish(amili, path)
        assert_whole(path, whole)


@pytest.mark.parametrize(("suffix", "step"), [("csv", 1), ("ndjson", 3), ("parquet", 3)])
async def test_killed_while_a_file_is_brought_up_to_date(
    suffix: str, step: int, sandbox: Sandbox, amili: AmiliClient, nursery: Nursery, tmp_path: Path
) -> None:
    """Before each call: the file is the old one or the new one at any moment, and the new one in the end."""
    base = tmp_path / "base"
    base.mkdir()
    await export(amili.payout_specifications, base / f"rows.{suffix}")
    for row in sandbox.rows(SPECIFICATIONS)[::3]:
        sandbox.update(SPECIFICATIONS, row["_id"], {"creditor_name": 'New "AB",\nÖrebro'})
    old, whole = (base / f"rows.{suffix}").read_bytes(), await make_whole(amili, tmp_path, suffix)
    for call in count(1, step):
        path = tmp_path / f"since-{call}" / f"rows.{suffix}"
        shutil.copytree(base, path.parent)
        if await nursery.run(path, call=call, since=True):
            break
        assert path.read_bytes() in (old, whole)
        await finish(amili, path, since=True)
        assert_whole(path, whole)
    assert call > 15
