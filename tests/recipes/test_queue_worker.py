"""The queue of jobs, with a real Redis, worker and feeder, both of which are killed."""

import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

from amili_async import Checkpoint
from amili_async.testing import Fault, Sandbox
from tests.support.programs import kill_program, read_line, start_program
from tests.support.servers import start_redis

LINES = "payout_specifications"
RECIPE = "tests.recipes.queue_worker"
WORKER = ("taskiq", "worker", f"{RECIPE}:broker", "--workers", "1")


async def test_killed_processes_lose_no_line(tmp_path: Path) -> None:
    """A feeder killed half way continues at its checkpoint; a page whose worker was killed is sent again."""
    ledger_file, checkpoint = tmp_path / "ledger", tmp_path / "checkpoint"
    with Sandbox(specifications=1000, rate_limit=None) as sandbox, start_redis() as redis:
        environment = sandbox.environ() | {"REDIS_URL": redis.url, "LEDGER_FILE": str(ledger_file), "RESEND_AFTER": "1"}
        async with AsyncExitStack() as programs:
            sandbox.fail(Fault(hang=True), times=None, path="finance--payout-specifications", after=5)
            worker = await start_program(programs, *WORKER, **environment)
            feeder = await start_program(programs, RECIPE, str(checkpoint), **environment)
            while not checkpoint.exists() or Checkpoint.from_json(checkpoint.read_text()).rows < 500:
                await read_line(feeder, "are booked")
            await kill_program(feeder)
            await kill_program(worker)
            sandbox.stop_failing()
            before = len(sandbox.requests)
            with closing(sqlite3.connect(ledger_file, timeout=60)) as ledger:
                ledger.execute("BEGIN IMMEDIATE")  # the next worker waits for this in the middle of a page
                worker = await start_program(programs, *WORKER, **environment)
                feeder = await start_program(programs, RECIPE, str(checkpoint), **environment)
                await read_line(worker, "booking")
                await kill_program(worker)
                await start_program(programs, *WORKER, **environment)
            await read_line(feeder, "complete")
            assert await feeder.wait() == 0
        assert len(sandbox.requests) - before < 10  # pages of 100 lines: those that were booked are not requested again
        with closing(sqlite3.connect(ledger_file)) as ledger:
            booked = [id_ for (id_,) in ledger.execute("SELECT id FROM lines")]
        assert sorted(booked) == sorted(row["_id"] for row in sandbox.rows(LINES))
        assert not checkpoint.exists()
