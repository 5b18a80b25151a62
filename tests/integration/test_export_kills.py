"""An export killed at any moment can be resumed, and its file equals that of an uninterrupted export.

One process imports everything and forks each export, so that a killed one costs milliseconds.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from amili_async import AmiliClient
from amili_async.export import export
from amili_async.sandbox import ReceivedRequest, Sandbox
from tests.support.exhaustive import IN_TENTHS, sampled, steps
from tests.support.rows import SPECIFICATIONS

SUFFIXES = ["ndjson", "csv", "parquet"]
ROWS, PAGE = 160, 20
PAGES = ROWS // PAGE

FORKING_PROGRAM = """
import asyncio, json, os, signal, sys
import amili_async, pyarrow.parquet
from amili_async.export import export, journal, spool

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def die_at(call):
    # Before the call of that number, or in the middle of it where it writes.
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
    spool.MAX_BUFFERED = 1  # so that each page is written by itself
    if call is not None:
        die_at(call)
    def on_progress(rows, *_):
        if page is not None and rows >= page:
            die()
    client = amili_async.AmiliClient(url, auth=token, rate_limit=None, page_size=page_size, concurrency=2)
    async with client as amili:
        await export(amili.payout_specifications, path, on_progress=on_progress, **options)

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


class ForkedExports:
    """Runs each export in a process of its own, forked from one that has imported everything."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.sandbox: Sandbox
        """The server that the exports read."""
        self.child = 0
        """The process id of the running export."""
        self.begun = asyncio.Event()
        """Set as soon as the child exists."""

    async def run(
        self, path: Path, *, call: int | None = None, page: int | None = None, often: bool = True, **options: Any
    ) -> bool:
        """Whether an export ended by itself; False: it was killed. One that counts calls has half the pages."""
        order: dict[str, Any] = {
            "url": self.sandbox.url,
            "token": self.sandbox.token(),
            "path": str(path),
            "options": options,
        }
        order |= {
            "call": call,
            "page": page,
            "page_size": PAGE if call is None else 2 * PAGE,
            "save_every": 0 if often else 0.25,
        }
        self._send(json.dumps(order))
        self.child = await self._receive()
        self.begun.set()
        self._send("go")
        status = await self._receive()
        assert status in (0, 9)
        return status == 0

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    async def _receive(self) -> int:
        assert self._process.stdout is not None
        return int(await asyncio.to_thread(self._process.stdout.readline))


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A server with eight pages of rows."""
    async with Sandbox(payouts=20, specifications=ROWS, rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def amili(sandbox: Sandbox) -> AsyncIterator[AmiliClient]:
    """A client in this process."""
    async with AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None, page_size=PAGE) as amili:
        yield amili


@pytest.fixture(scope="module")
def parent() -> Iterator[subprocess.Popen[str]]:
    """The process that imports everything once and forks the exports."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKING_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0


@pytest.fixture
def exports(parent: subprocess.Popen[str], sandbox: Sandbox) -> ForkedExports:
    """Runs the exports that are killed."""
    exports = ForkedExports(parent)
    exports.sandbox = sandbox
    return exports


async def finish(amili: AmiliClient, path: Path, **options: Any) -> None:
    """Resume the export, unless it was killed while it removed its own files after the commit."""
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


@IN_TENTHS
@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_killed_at_every_page_boundary(
    suffix: str, tenth: int, sandbox: Sandbox, amili: AmiliClient, exports: ForkedExports, tmp_path: Path
) -> None:
    """After each page, and at the arrival of each request: the resumed file is the same, byte for byte."""
    whole = await make_whole(amili, tmp_path, suffix)
    for number in steps(tenth, offset=3 * SUFFIXES.index(suffix)):
        path = tmp_path / f"{number}" / f"rows.{suffix}"
        path.parent.mkdir()
        if number <= PAGES:
            assert not await exports.run(path, page=PAGE * number, often=number % 2 == 0)
            assert not path.exists()
        else:
            kill_at(sandbox, exports, number - PAGES)
            has_ended = await exports.run(path)
            sandbox.before_each_request(None)
            if has_ended:
                break
        await finish(amili, path)
        assert_whole(path, whole)
    assert number > 2 * PAGES


def kill_at(sandbox: Sandbox, exports: ForkedExports, number: int) -> None:
    """Kill the running export when its request of that number arrives."""
    arrived = 0

    def count(_: ReceivedRequest) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == number:
            os.kill(exports.child, signal.SIGKILL)

    sandbox.before_each_request(count)


@IN_TENTHS
@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_killed_at_every_call(
    suffix: str, tenth: int, amili: AmiliClient, exports: ForkedExports, tmp_path: Path
) -> None:
    """Before each sync, rename and removal, and in the middle of each write, until an export finishes."""
    whole = await make_whole(amili, tmp_path, suffix)
    for call in steps(tenth, offset=3 * SUFFIXES.index(suffix)):
        path = tmp_path / f"call-{call}" / f"rows.{suffix}"
        path.parent.mkdir()
        if await exports.run(path, call=call):
            break
        assert not path.exists() or path.read_bytes() == whole
        await finish(amili, path)
        assert_whole(path, whole)
    assert call > 25


@sampled("suffix, seed", list(product(SUFFIXES, range(4))))
async def test_killed_again_and_again(
    suffix: str, seed: int, amili: AmiliClient, exports: ForkedExports, tmp_path: Path
) -> None:
    """An export that is killed each time it is resumed finishes after some attempts, and its file is the same."""
    whole, random = await make_whole(amili, tmp_path, suffix), Random(seed)
    path = tmp_path / "killed" / f"rows.{suffix}"
    path.parent.mkdir()
    while not await exports.run(path, call=random.randint(5, 25), resume=True, overwrite=True):
        assert not path.exists() or path.read_bytes() == whole
    assert_whole(path, whole)


@sampled("suffix, seed", list(product(SUFFIXES, range(4))))
async def test_killed_at_random_moments(
    suffix: str, seed: int, amili: AmiliClient, exports: ForkedExports, tmp_path: Path
) -> None:
    """Whatever the export does at the moment of the kill, the resumed file is the same."""
    whole = await make_whole(amili, tmp_path, suffix)
    path = tmp_path / "killed" / f"rows.{suffix}"
    path.parent.mkdir()
    running = asyncio.ensure_future(exports.run(path))
    await exports.begun.wait()
    await asyncio.sleep(Random(f"{suffix} {seed}").uniform(0.01, 0.09))
    with suppress(ProcessLookupError):  # the export may have ended before its parent reports it
        if not running.done():
            os.kill(exports.child, signal.SIGKILL)
    await running
    await finish(amili, path)
    assert_whole(path, whole)


@IN_TENTHS
@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_killed_while_a_file_is_brought_up_to_date(
    suffix: str, tenth: int, sandbox: Sandbox, amili: AmiliClient, exports: ForkedExports, tmp_path: Path
) -> None:
    """Before each call: the file is the old or the new one at any moment, and the new one after resuming."""
    base = tmp_path / "base"
    base.mkdir()
    await export(amili.payout_specifications, base / f"rows.{suffix}")
    for row in sandbox.rows(SPECIFICATIONS)[::3]:
        sandbox.update(SPECIFICATIONS, row["_id"], {"creditor_name": 'New "AB",\nÖrebro'})
    old, whole = (base / f"rows.{suffix}").read_bytes(), await make_whole(amili, tmp_path, suffix)
    for call in steps(tenth, offset=3 * SUFFIXES.index(suffix)):
        path = tmp_path / f"since-{call}" / f"rows.{suffix}"
        shutil.copytree(base, path.parent)
        if await exports.run(path, call=call, since=True):
            break
        assert path.read_bytes() in (old, whole)
        await finish(amili, path, since=True)
        assert_whole(path, whole)
    assert call > 15
