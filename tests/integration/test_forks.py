"""A client in programs of several processes: forked before and after it opens, under gunicorn, uvicorn and Dask."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from amili_async.sandbox import Sandbox
from tests.support.servers import RedisServer
from tests.support.starting import StartSandbox

EXCHANGE = "/authenticates/api-code"

FORKS = """
import asyncio, os, sys
from amili_async import AmiliClient
from amili_async.errors import ConfigurationError

def in_a_child(work):
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            text = str(asyncio.new_event_loop().run_until_complete(work()))
        except ConfigurationError as error:
            text = f"ConfigurationError: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.wait()
    return os.read(read, 1000).decode()

unopened = AmiliClient.from_env(rate_limit=None)

async def open_and_count():
    async with unopened as amili:
        return await amili.payouts.count()

print(in_a_child(open_and_count))

async def main():
    async with AmiliClient.from_env(rate_limit=None) as amili:
        await amili.payouts.count()
        print(in_a_child(amili.payouts.count))
        print(in_a_child(amili.aclose))
        print(await amili.payouts.count())

asyncio.run(main())
"""

WEB_APP = """
import os
from aiohttp import web
from amili_async import AmiliClient

amili = AmiliClient.from_env(rate_limit=None)  # before the fork: nothing is opened

async def connect(app):
    async with amili:
        yield

async def count(request):
    return web.json_response([os.getpid(), await amili.payouts.count()])

app = web.Application()
app.cleanup_ctx.append(connect)
app.router.add_get("/", count)
"""

ASGI_APP = """
import json, os
from amili_async import AmiliClient

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        async with AmiliClient.from_env(rate_limit=None) as app.amili:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        body = json.dumps([os.getpid(), await app.amili.payouts.count()]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
"""

DASK = """
import asyncio, os
from dask.distributed import Client, LocalCluster, WorkerPlugin, get_worker
from amili_async import AmiliClient

class Amili(WorkerPlugin):
    name = "amili"

    async def setup(self, worker):
        self.client = await AmiliClient.from_env(rate_limit=None).open()

    async def teardown(self, worker):
        await self.client.aclose()

async def count(_):
    return os.getpid(), await get_worker().plugins["amili"].client.payouts.count()

async def main():
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, asynchronous=True)
    async with cluster, Client(cluster, asynchronous=True) as dask:
        await dask.register_plugin(Amili())
        counted = await dask.gather(dask.map(count, range(20), pure=False))
    print(len({pid for pid, _ in counted}), {rows for _, rows in counted})

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A server with five payouts, whose clock is the real one: the programs have real clocks."""
    return await start_sandbox(clock=time.time)


def environment(sandbox: Sandbox, folder: Path, **variables: str) -> dict[str, str]:
    """The variables of a program that connects to the sandbox with a private key."""
    (folder / "key.pem").write_text(sandbox.private_key)
    access = {"AMILI_API_CODE": sandbox.api_code, "AMILI_PRIVATE_KEY_FILE": str(folder / "key.pem")}
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(folder), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "AMILI_BASE_URL": sandbox.url, **access, "PYTHONPATH": path, **variables}


async def run_program(program: str, sandbox: Sandbox, folder: Path) -> list[str]:
    """The lines that a program prints."""
    (folder / "program.py").write_text(program)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(folder / "program.py")),
        stdout=asyncio.subprocess.PIPE,
        env=environment(sandbox, folder),
        cwd=folder,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().splitlines()


async def test_a_client_opens_after_the_fork_and_not_before(sandbox: Sandbox, tmp_path: Path) -> None:
    """Made before the fork it works in the child; an open one raises there, and continues in its parent."""
    after, counting, closing, parent = await run_program(FORKS, sandbox, tmp_path)
    assert (after, parent) == ("5", "5")
    assert counting.startswith("ConfigurationError: the client was opened in the process that forked this one")
    assert closing == counting


async def test_a_dask_plugin_opens_a_client_in_each_worker(sandbox: Sandbox, tmp_path: Path) -> None:
    """The plugin that travels holds no client; `setup` opens one in the event loop in which async tasks run."""
    assert await run_program(DASK, sandbox, tmp_path) == ["2 {5}"]


@asynccontextmanager
async def served(command: list[str], app: str, variables: dict[str, str], folder: Path) -> AsyncIterator[set[int]]:
    """A web server with two workers at the socket of *folder*, until the end of the block; the pids that answered."""
    (folder / "web.py").write_text(app)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *command, env=variables, cwd=folder)
    connector = aiohttp.UnixConnector(path=str(folder / "web.sock"), force_close=True)
    try:
        async with aiohttp.ClientSession(connector=connector) as browser, asyncio.timeout(120):
            yield await find_workers(process, browser)
    finally:
        process.terminate()
        await process.wait()


async def find_workers(process: asyncio.subprocess.Process, browser: aiohttp.ClientSession) -> set[int]:
    """Request until two workers have answered, each with the number of payouts."""
    pids: set[int] = set()
    while len(pids) < 2:
        assert process.returncode is None
        try:
            async with browser.get("http://localhost/") as response:
                pid, count = await response.json(content_type=None)
                assert (response.status, count) == (200, 5)
                pids.add(pid)
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)  # it has not started
    return pids


async def test_gunicorn_preloads_an_app_whose_workers_share_a_token(
    sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path
) -> None:
    """`--preload` makes the client before the fork; each worker opens it, and with Redis one fetches the token."""
    variables = environment(sandbox, tmp_path, AMILI_REDIS_URL=redis_server.url)
    command = ["gunicorn", "--preload", "--workers", "2", "--worker-class", "aiohttp.GunicornWebWorker"]
    command += ["--bind", "unix:web.sock", "--log-level", "error", "web:app"]
    async with served(command, WEB_APP, variables, tmp_path):
        assert sum(request.path == EXCHANGE for request in sandbox.requests) == 1


async def test_uvicorn_workers_open_a_client_each(sandbox: Sandbox, tmp_path: Path) -> None:
    """The lifespan of each worker opens and closes its client."""
    variables = environment(sandbox, tmp_path)
    command = ["uvicorn", "--workers", "2", "--uds", "web.sock", "--log-level", "error", "web:app"]
    async with served(command, ASGI_APP, variables, tmp_path) as pids:
        assert len(pids) == 2
