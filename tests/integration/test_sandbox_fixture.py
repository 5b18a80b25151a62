"""The pytest fixture for tests of users, in a separate test run."""

import subprocess
import sys
from pathlib import Path

USERS_TEST = """
import aiohttp

async def test_one(amili_sandbox):
    async with aiohttp.ClientSession() as http, http.get(amili_sandbox.url + "/finance--payouts") as response:
        assert response.status == 401
    amili_sandbox.insert("finance--payouts", {"amount": 1})
    assert len(amili_sandbox.rows("finance--payouts")) == 6

def test_two(amili_sandbox):
    assert len(amili_sandbox.rows("finance--payouts")) == 5
"""
OPTIONS = ("-q", "-p", "amili_async.sandbox.pytest_plugin", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto")


def test_each_test_gets_a_fresh_sandbox(tmp_path: Path) -> None:
    """The plugin starts a small sandbox for each test, async or not, and closes it."""
    (tmp_path / "test_users.py").write_text(USERS_TEST)
    command = [sys.executable, "-m", "pytest", *OPTIONS, "--rootdir", str(tmp_path), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "2 passed" in run.stdout, run.stdout + run.stderr
