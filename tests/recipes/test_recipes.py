"""The recipes do what they promise, as a user would run and test them."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from amili_async.testing import Fault, Sandbox, amili_clock, amili_sandbox
from tests.recipes import web_app

__all__ = ["amili_clock", "amili_sandbox"]
ROOT = Path(__file__).parents[2]


async def test_the_web_app(amili_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows a payout, answers errors by their kind, and serves all payouts as a file."""
    for name, value in amili_sandbox.environ().items():
        monkeypatch.setenv(name, value)
    ids = [row["_id"] for row in amili_sandbox.rows("payouts")]
    async with (
        web_app.connect(web_app.app),
        httpx.AsyncClient(transport=httpx.ASGITransport(web_app.app), base_url="http://app") as browser,
    ):
        assert (await browser.get(f"/payouts/{ids[0]}")).json()["_id"] == ids[0]
        assert (await browser.get("/payouts/5")).status_code == 400
        assert (await browser.get(f"/payouts/{'0' * 24}")).status_code == 404
        downloaded = (await browser.get("/payouts.csv")).text.splitlines()
        assert sorted(line.split(",")[0] for line in downloaded[1:]) == sorted(ids)
        amili_sandbox.fail(Fault.too_many_requests(retry_after=60))
        rejected = await browser.get(f"/payouts/{ids[0]}")
        assert (rejected.status_code, rejected.headers["retry-after"]) == (503, "60")


def test_the_nightly_export(amili_sandbox: Sandbox, tmp_path: Path) -> None:
    """The first night fetches all; the second what changed, and drops what was deleted."""
    command = [sys.executable, "-m", "tests.recipes.nightly_export", str(tmp_path)]
    environ = os.environ | amili_sandbox.environ()

    def run() -> list[str]:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ, cwd=ROOT)
        return done.stdout.splitlines()

    assert run() == ["finance--payouts: 5 rows, complete", "finance--payout-specifications: 250 rows, complete"]
    gone, *_ = (row["_id"] for row in amili_sandbox.rows("payouts"))
    amili_sandbox.delete("payouts", gone)
    made = amili_sandbox.insert("payouts", {"currency": "EUR"})
    assert run()[0] == "finance--payouts: 5 rows, complete"
    text = (tmp_path / "finance--payouts.csv").read_text()
    assert (made in text, gone in text) == (True, False)
