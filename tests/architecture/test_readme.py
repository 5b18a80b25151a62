"""The README's programs run, and CI runs its commands."""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from amili_async import AmiliClient
from amili_async.testing import Sandbox

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^### .*?$|^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
EXPECTED = {
    "max_items=3": r"(?s)(?:[0-9a-f]{24} .* SEK\n(?: +20.*\n){2}){3}",
    "capital = field": r"complete - \d+ lines, \d+(?:\.\d+)? SEK\n0 created or updated since\n",
    "payouts.parquet": r"5 payouts in payouts.parquet\n",
    "polars.from_arrow": r"(?s)shape: \(\d+, 2\)\n.*total_amount.*article\n.*\n",
    "booked = set()": r"complete - 500 lines booked\n",
    "find(creditor_number": r"Åkerströms Bygg AB Mer betalades än vad som var skyldigt\.\n",
    "prometheus_client": "",
    "BaseSettings": r"5 payouts\n",
    "import Fault": r"51 payouts after a minute\n",
    "PAY-REF-001": r"[0-9a-f]{24} completed\n",
    "july = [": r"(JULY-000\d registered\n){3}",
}
"""The output of each program, which a piece of its text identifies."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in its own thread, since each program starts a loop."""
    with Sandbox(payouts=5, specifications=500, payments=5, rate_limit=None) as served:
        yield served


@pytest.fixture
def _in_an_empty_folder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    access = {
        "AMILI_BASE_URL": sandbox.url,
        "AMILI_API_CODE": sandbox.api_code,
        "AMILI_PRIVATE_KEY": sandbox.private_key,
    }
    for name, value in access.items():
        monkeypatch.setenv(name, value)
    for name in ("AMILI_TOKEN", "AMILI_PRIVATE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


async def run(block: str) -> dict[str, Any]:
    """Run a program of the README: a whole one by itself, a part of one where `amili` is an open client."""
    if "july = [" in block:  # which begins where the program above it does
        first = next(other for other in BLOCKS if "PAY-REF-001" in other)
        block = f"{first[: first.index('try:')]}\n{block}"
    namespace: dict[str, Any] = {"__name__": "__main__"}
    async with AmiliClient.from_env() as namespace["amili"]:
        code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, namespace)  # noqa: S307 - the README is trusted
        else:
            await asyncio.to_thread(exec, code, namespace)
    return namespace


@pytest.mark.usefixtures("_in_an_empty_folder")
@pytest.mark.parametrize("piece", EXPECTED)
async def test_each_program_prints_its_result(piece: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each program, copied from the README, succeeds and prints its result."""
    (block,) = [block for block in BLOCKS if piece in block]
    await run(block)
    printed = capsys.readouterr().out
    assert re.fullmatch(EXPECTED[piece], printed), printed


@pytest.mark.usefixtures("_in_an_empty_folder")
async def test_prometheus_gets_a_series_per_route_and_status() -> None:
    """The README's observer records each attempt, by its route alone, and what is left of the rate limit."""
    block = next(block for block in BLOCKS if "prometheus_client" in block)
    namespace = await run(
        block.replace("amili_request", "amili_tested_request")
    )  # each program registers its names once
    async with AmiliClient.from_env(observers=[namespace["observe"]]) as amili:
        for payout in (await amili.payouts.page()).items:
            await amili.payouts.get(payout.id)
    count = partial(REGISTRY.get_sample_value, "amili_tested_request_seconds_count")
    assert count({"request": "GET /finance--payouts", "status": "200"}) == 1
    assert count({"request": "GET /finance--payouts/{id}", "status": "200"}) == 5
    assert REGISTRY.get_sample_value("amili_tested_requests_remaining") is not None


@pytest.mark.usefixtures("_in_an_empty_folder")
async def test_payments_registered_again_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's list of payments can be run twice, and the second run registers nothing."""
    block = next(block for block in BLOCKS if "july = [" in block)
    await run(block.replace("JULY-", "TWICE-"))
    await run(block.replace("JULY-", "TWICE-"))
    assert re.fullmatch(r"(TWICE-000\d registered\n){3}(TWICE-000\d found\n){3}", capsys.readouterr().out)


def test_every_block_is_tested() -> None:
    """The tests above cover every Python block of the README."""
    covered = [block for block in BLOCKS if any(piece in block for piece in EXPECTED)]
    assert covered == BLOCKS
    assert len(BLOCKS) == len(EXPECTED)


def test_ci_runs_the_two_commands() -> None:
    """The commands that CI reads from the README are the first two lines of its first block."""
    (block, *_) = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    run, test = block.splitlines()
    assert run.endswith("&& amili demo")
    assert test.endswith("&& python3 -m pytest")
