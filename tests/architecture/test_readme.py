"""The README's programs run, and CI runs its commands."""

import ast
import asyncio
import inspect
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from amili_async import AmiliClient
from amili_async.sandbox import Sandbox

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^### .*?$|^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
EXPECTED = {
    "max_items=3": r"(?s)(?:[0-9a-f]{24} .* SEK\n(?: +20.*\n){2}){3}",
    "class Line": r"complete - \d+ lines, \d+(?:\.\d+)? SEK\n0 created or updated since\n",
    "payouts.parquet": r"5 payouts in payouts.parquet\n",
    "booked: set": r"complete - 500 lines booked\n",
    "PAY-REF-001": r"[0-9a-f]{24} completed\n",
    "july = [": r"(JULY-000\d registered\n){3}",
    "amili.reconcile()": r"\{'agree': 5\}\n",
}
"""The output of each program, which a piece of its text identifies."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in its own loop and thread, since each program starts a loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = Sandbox(payouts=5, specifications=500, payments=5, rate_limit=None)
    asyncio.run_coroutine_threadsafe(served.start(), loop).result()
    yield served
    asyncio.run_coroutine_threadsafe(served.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def _in_an_empty_folder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMILI_BASE_URL", sandbox.url)
    monkeypatch.setenv("AMILI_TOKEN", sandbox.token())
    for name in ("AMILI_API_CODE", "AMILI_PRIVATE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


async def run(block: str) -> None:
    """Run a program of the README: a whole one by itself, a part of one where `amili` is an open client."""
    if "july = [" in block:  # "with the imports above"
        (above,) = [other for other in BLOCKS if "PAY-REF-001" in other]
        block = above[: above.index("\n\npayment = ")] + "\n" + block
    namespace: dict[str, Any] = {"__name__": "__main__"}
    async with AmiliClient.from_env() as namespace["amili"]:
        code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, namespace)  # noqa: S307 - the README is trusted
        else:
            await asyncio.to_thread(exec, code, namespace)


@pytest.mark.usefixtures("_in_an_empty_folder")
@pytest.mark.parametrize("piece", EXPECTED)
async def test_each_program_prints_its_result(piece: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each program, copied from the README, succeeds and prints its result."""
    (block,) = [block for block in BLOCKS if piece in block and "make_app" not in block]
    await run(block)
    printed = capsys.readouterr().out
    assert re.fullmatch(EXPECTED[piece], printed), printed


@pytest.mark.usefixtures("_in_an_empty_folder")
async def test_payments_registered_again_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's list of payments can be run twice, and the second run registers nothing."""
    (block,) = [block for block in BLOCKS if "july = [" in block]
    await run(block.replace("JULY-", "TWICE-"))
    await run(block.replace("JULY-", "TWICE-"))
    assert re.fullmatch(r"(TWICE-000\d registered\n){3}(TWICE-000\d found\n){3}", capsys.readouterr().out)


@pytest.mark.usefixtures("_in_an_empty_folder")
async def test_the_web_app_responds(sandbox: Sandbox) -> None:
    """The README's app shows a payout, rejects a malformed id, and responds 404 to an unknown one."""
    (block,) = [block for block in BLOCKS if "make_app" in block]
    namespace = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), namespace)  # noqa: S102 - the README is trusted
    row = sandbox.rows("finance--payouts")[0]
    app = namespace["make_app"]()  # type: ignore[operator]
    async with TestClient(TestServer(app)) as browser:
        shown = await (await browser.get(f"/payouts/{row['_id']}")).json()
        assert shown == {"id": row["_id"], "total": str(row["total_amount"])}
        assert (await browser.get("/payouts/5")).status == 400
        assert (await browser.get(f"/payouts/{'0' * 24}")).status == 404


def test_every_block_is_tested() -> None:
    """The tests above cover every Python block of the README."""
    covered = [block for block in BLOCKS if any(piece in block for piece in (*EXPECTED, "make_app"))]
    assert covered == BLOCKS
    assert len(BLOCKS) == len(EXPECTED) + 1


def test_ci_runs_the_two_commands() -> None:
    """The commands that CI reads from the README are the first two lines of its first block."""
    (block, *_) = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    run, test = block.splitlines()
    assert run.endswith("&& amili demo")
    assert test.endswith("&& python3 -m pytest")
