"""Exports to a store, an S3 on loopback and memory: whole or not there, resumed, and brought up to date."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from amili_async import AmiliClient
from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export import commit, export, job
from amili_async.export.remote import RemoteFile
from amili_async.sandbox import Sandbox
from tests.support.clocks import happens
from tests.support.rows import SPECIFICATIONS
from tests.support.starting import Connect, StartSandbox
from tests.support.stores import Store, start_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    """One server for all tests of this file."""
    with start_s3() as store:
        yield store


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty folder of each kind of store."""
    if request.param == "memory":
        return Store(f"memory://{uuid4().hex}", {})
    s3: Store = request.getfixturevalue("s3")
    return Store(f"{s3.url}/{uuid4().hex}", s3.options)


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A few hundred rows."""
    return await start_sandbox(payouts=40, specifications=250)


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect) -> AmiliClient:
    """A client that requests small pages."""
    return await connect(sandbox, page_size=20, concurrency=3)


def names_in(folder: Path) -> list[str]:
    """The names of the files on this machine, without the hash before each."""
    return sorted(path.name.partition("-")[2] for path in folder.iterdir())


class Exports:
    """Exports of the specifications to one file of a store."""

    def __init__(self, amili: AmiliClient, store: Store, folder: Path, name: str = "lines.csv") -> None:
        self.store, self.name = store, name
        self.workdir = folder / "work"
        self._amili, self._folder = amili, folder

    async def run(self, **options: Any) -> Any:
        options |= {"workdir": self.workdir, "storage_options": self.store.options}
        return await export(self._amili.payout_specifications, f"{self.store.url}/{self.name}", **options)

    async def whole(self) -> bytes:
        """The file of an export to this machine."""
        path = self._folder / self.name
        await export(self._amili.payout_specifications, path, overwrite=True)
        return path.read_bytes()

    def left(self) -> list[str]:
        """What is left on this machine."""
        return names_in(self.workdir)


@pytest.fixture
def exports(amili: AmiliClient, store: Store, tmp_path: Path) -> Exports:
    """To a file of text."""
    return Exports(amili, store, tmp_path)


@pytest.mark.parametrize("name", ["lines.csv", "lines.parquet", "lines.ndjson.zst"])
async def test_a_file_in_a_store_is_that_of_this_machine(
    name: str, amili: AmiliClient, store: Store, tmp_path: Path
) -> None:
    """Its bytes are the same, its manifest is beside it, and nothing is left on this machine."""
    exports = Exports(amili, store, tmp_path, name)
    exported = await exports.run()
    assert (exported.path, exported.rows, exported.is_complete) == (f"{store.url}/{name}", 250, True)
    assert store.read(name) == await exports.whole()
    assert (store.names(), exports.left()) == ([name, f"{name}.manifest.json"], [])


async def test_an_interrupted_export_is_resumed(sandbox: Sandbox, exports: Exports) -> None:
    """Until it is whole the store has nothing; what was written is not requested again."""

    def stop(rows: int, *_: object) -> None:
        if rows >= 100:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        await exports.run(on_progress=stop)
    assert (exports.store.names(), exports.left()) == ([], ["lines.csv.checkpoint.json", "lines.csv.part"])
    with pytest.raises(ConfigurationError, match=r"lines.csv is an unfinished export"):
        await exports.run()
    sandbox.requests.clear()
    assert (await exports.run(resume=True)).rows == 250
    assert len(sandbox.requests) < 12
    assert exports.store.read("lines.csv") == await exports.whole()
    assert exports.left() == []


async def test_a_failed_upload_is_repeated_without_a_request(
    sandbox: Sandbox, exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails amid the file shows nothing; the error names the URL, and resume only uploads."""
    reads = iter([True, False])
    monkeypatch.setattr("amili_async.export.remote._CHUNK", 10_000)
    with monkeypatch.context() as patch:

        def fail(_: RemoteFile) -> bool:
            if next(reads, False):
                return False
            raise ConnectionResetError(104, "Connection reset by peer")

        patch.setattr(RemoteFile, "watch_task", lambda remote: setattr(remote, "is_cancelled", lambda: fail(remote)))
        with pytest.raises(ExportFailed, match=r"lines.csv cannot be written: Connection reset by peer") as caught:
            await exports.run()
    assert (caught.value.path, caught.value.can_resume) == (f"{exports.store.url}/lines.csv", True)
    assert exports.store.names() == []
    sandbox.requests.clear()
    assert (await exports.run(resume=True)).rows == 250
    assert len(sandbox.requests) == 0
    assert exports.store.read("lines.csv") == await exports.whole()
    assert exports.left() == []


async def test_a_cancelled_upload_leaves_no_file(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload ends at its next chunk, and not after the whole file."""
    loop, original = asyncio.get_running_loop(), commit.commit

    def cancel_then_commit(*arguments: Any, **options: Any) -> None:
        loop.call_soon_threadsafe(task.cancel)
        is_cancelled.wait()
        original(*arguments, **options)

    is_cancelled = threading.Event()
    monkeypatch.setattr(job, "commit", cancel_then_commit)
    task = asyncio.ensure_future(exports.run())
    await happens(task.cancelling)
    is_cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert exports.store.names() == []
    monkeypatch.undo()
    assert (await exports.run(resume=True)).rows == 250


async def test_a_file_in_a_store_is_brought_up_to_date(sandbox: Sandbox, exports: Exports) -> None:
    """Changes and deletions are in it, as in a whole export; a file of another origin is rejected."""
    await exports.run(since=True)
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    sandbox.update(SPECIFICATIONS, ids[7], {"creditor_name": "New AB"})
    sandbox.delete(SPECIFICATIONS, ids[9])
    exported = await exports.run(since=True, sweep=True)
    assert (exported.rows, exported.changed) == (249, 1)
    assert exports.store.read("lines.csv") == await exports.whole()
    assert exports.left() == []
    exports.store.write("lines.csv", b"_id\n")
    with pytest.raises(ConfigurationError, match=r"lines.csv cannot be brought up to date: it was changed"):
        await exports.run(since=True)
    assert exports.left() == []


async def test_an_existing_file_is_replaced_only_by_overwrite(sandbox: Sandbox, exports: Exports) -> None:
    """Before any request; a stream replaces it, too, and removes the manifest of the older file."""
    await exports.run()
    sandbox.requests.clear()
    with pytest.raises(ConfigurationError, match=r"lines.csv exists already"):
        await exports.run()
    assert len(sandbox.requests) == 0
    assert (await exports.run(overwrite=True)).rows == 250


async def test_a_stream_is_uploaded_whole(amili: AmiliClient, exports: Exports) -> None:
    """It replaces a file of an extraction, whose manifest is removed."""
    await exports.run()
    options: Any = {"storage_options": exports.store.options, "workdir": exports.workdir, "overwrite": True}
    exported = await export(amili.payouts.stream(), f"{exports.store.url}/lines.csv", **options)
    assert exported.rows == exports.store.read("lines.csv").count(b"\n") - 1 == 40
    assert (exports.store.names(), exports.left()) == (["lines.csv"], [])


async def test_no_upload_blocks_the_loop(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever waits for the store does so in a thread."""
    threads, original = set[threading.Thread](), RemoteFile._raising  # noqa: SLF001 - every call of a store passes it

    def record(remote: RemoteFile, done: str) -> Any:
        threads.add(threading.current_thread())
        return original(remote, done)

    monkeypatch.setattr(RemoteFile, "_raising", record)
    await exports.run()
    await exports.run(since=True)
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.com/a.csv", "https:// cannot be exported to: the URL must begin with one of s3"),
        ("abfs://container/a.csv", "abfs:// cannot be exported to"),
        ("gs://bucket/a.csv", r"gs://bucket/a.csv cannot be exported to: .*gcsfs"),
        ("sftp://user:secret@example.com/a.csv", r"sftp://example.com/a.csv cannot be exported to"),
        ("memory://a.xlsx", "must end in"),
    ],
)
async def test_what_cannot_be_uploaded_whole_is_rejected(
    url: str, message: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """Before the first request; neither the error nor a file has the password."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        await export(amili.payouts, url, workdir=tmp_path)
    assert "secret" not in str(caught.value)
    assert (len(sandbox.requests), names_in(tmp_path)) == (0, [])


async def test_options_of_a_store_need_a_url(amili: AmiliClient, tmp_path: Path) -> None:
    """A file on this machine has its unfinished rows beside it."""
    with pytest.raises(ConfigurationError, match="workdir and storage_options require a URL"):
        await export(amili.payouts, tmp_path / "a.csv", workdir=tmp_path)


def test_an_upload_in_parts_that_fails_is_aborted(s3: Store, tmp_path: Path) -> None:
    """A file of several parts appears whole; one that is given up leaves no file, and no part to pay for."""
    path, options = tmp_path / "a.csv", s3.options | {"default_block_size": 5 * 2**20}
    path.write_bytes(os.urandom(2**20) * 12)
    store = Store(f"{s3.url}/{uuid4().hex}", options)
    file = RemoteFile(f"{store.url}/a.csv", options)
    file.is_cancelled = iter([False] * 8 + [True]).__next__
    with pytest.raises(ExportFailed, match="cannot be written"):
        file.upload(path)
    uploads = fsspec.filesystem("s3", **options).list_multipart_uploads("bucket")
    assert (store.names(), list(uploads)) == ([], [])
    file.is_cancelled = lambda: False
    file.upload(path)
    assert store.read("a.csv") == path.read_bytes()


KILLED = """
import asyncio, os, signal, sys
from amili_async import AmiliClient
from amili_async.export import export, remote

url, token, target, workdir, endpoint, moment = sys.argv[1:]
upload, calls = remote.RemoteFile._upload, []

def die_at(file, *arguments):
    calls.append(1)
    if moment == f"before {len(calls)}":
        os.kill(os.getpid(), signal.SIGKILL)
    if moment == f"within {len(calls)}":
        remote._CHUNK, file.is_cancelled = 10_000, lambda: calls.append(1) or len(calls) > 3 and die()
    upload(file, *arguments)
    if moment == f"after {len(calls)}":
        os.kill(os.getpid(), signal.SIGKILL)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

remote.RemoteFile._upload = die_at

async def run():
    async with AmiliClient(url, auth=token, rate_limit=None, page_size=50) as amili:
        options = {"endpoint_url": endpoint, "key": "test", "secret": "test"}
        await export(amili.payout_specifications, target, workdir=workdir, storage_options=options)

asyncio.run(run())
"""


@pytest.mark.parametrize("moment", ["before 1", "within 1", "after 1", "after 2"])
async def test_killed_while_it_uploads(
    moment: str, sandbox: Sandbox, amili: AmiliClient, s3: Store, tmp_path: Path
) -> None:
    """The store has no file, or the whole one; resume completes it without a request and leaves nothing."""
    store = Store(f"{s3.url}/{uuid4().hex}", s3.options)
    exports = Exports(amili, store, tmp_path)
    arguments = (sandbox.url, sandbox.token(), f"{store.url}/lines.csv", exports.workdir, store.options["endpoint_url"])
    program = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, *map(str, arguments), moment], check=False
    )
    assert program.returncode == -signal.SIGKILL
    whole = await exports.whole()
    assert [store.read(name) for name in store.names() if name == "lines.csv"] in ([], [whole])
    assert ("lines.csv" in store.names()) is moment.startswith("after")
    sandbox.requests.clear()
    assert (await exports.run(resume=True)).rows == 250
    assert len(sandbox.requests) == 0
    assert store.read("lines.csv") == whole
    assert (store.names(), exports.left()) == (["lines.csv", "lines.csv.manifest.json"], [])
