"""The nightly job, run as cron does, and killed."""

import os
import subprocess
import sys
from pathlib import Path

from amili_async.testing import ReceivedRequest, Sandbox

ROOT = Path(__file__).parents[2]
LINES = "finance--payout-specifications"


def start(sandbox: Sandbox, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.recipes.nightly_export", str(folder)]
    environment = os.environ | sandbox.environ()
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def run(sandbox: Sandbox, folder: Path) -> list[str]:
    with start(sandbox, folder) as job:
        printed, _ = job.communicate()
    assert job.returncode == 0
    return printed.splitlines()


def test_each_night_updates_the_files(amili_sandbox: Sandbox, tmp_path: Path) -> None:
    """The first night fetches all; the second what changed, and drops what was deleted."""
    assert run(amili_sandbox, tmp_path) == ["finance--payouts: 5 rows, complete", f"{LINES}: 250 rows, complete"]
    gone, *_ = (row["_id"] for row in amili_sandbox.rows("payouts"))
    amili_sandbox.delete("payouts", gone)
    made = amili_sandbox.insert("payouts", {"currency": "EUR"})
    assert run(amili_sandbox, tmp_path)[0] == "finance--payouts: 5 rows, complete"
    text = (tmp_path / "finance--payouts.csv").read_text()
    assert (made in text, gone in text) == (True, False)


def test_a_killed_run_is_resumed(amili_sandbox: Sandbox, tmp_path: Path) -> None:
    """What a run leaves that is killed between two pages, the same command completes."""
    requests: list[ReceivedRequest] = []

    def kill_at_the_third_page(request: ReceivedRequest) -> None:
        if LINES in request.path:
            requests.append(request)
        if len(requests) == 3:
            job.kill()

    amili_sandbox.before_each_request(kill_at_the_third_page)
    with start(amili_sandbox, tmp_path) as job:
        job.communicate()
    amili_sandbox.before_each_request(None)
    whole = tmp_path / f"{LINES}.csv"
    assert (whole.exists(), whole.with_name(f"{LINES}.csv.part").exists()) == (False, True)
    assert run(amili_sandbox, tmp_path) == ["finance--payouts: 5 rows, complete", f"{LINES}: 250 rows, complete"]
    ids = [line.split(",")[0] for line in whole.read_text().splitlines()[1:]]
    assert ids == sorted(row["_id"] for row in amili_sandbox.rows("payout_specifications"))
