"""A queue with taskiq and Redis: this process fetches records, workers book them, and no kill of either loses one.

`taskiq worker tests.recipes.queue_worker:broker` starts workers, which need no credentials of the API.
`python -m tests.recipes.queue_worker CHECKPOINT` feeds them, with the variables that `AmiliClient.from_env` reads;
killed at any moment and started again, it continues behind the pages that are booked.
"""

import asyncio
import os
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from taskiq import TaskiqResultTimeoutError
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from amili_async import AmiliClient, Checkpoint, Delivery, Extraction, PayoutSpecification

RESEND_AFTER = float(os.environ.get("RESEND_AFTER", "60"))  # seconds: longer than eight pages take
REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost")
results: RedisAsyncResultBackend[int] = RedisAsyncResultBackend(REDIS_URL, result_ex_time=3600)
broker = ListQueueBroker(REDIS_URL).with_result_backend(results)


@broker.task("book")  # a name of its own: the module of the process that feeds is `__main__`
def book(rows: list[dict[str, Any]]) -> int:
    """Write a page into the ledger. A page can be sent twice, so a line replaces itself."""
    print(f"booking {len(rows)} lines", flush=True)
    lines = [PayoutSpecification.from_dict(row) for row in rows]
    with closing(sqlite3.connect(os.environ["LEDGER_FILE"], timeout=60)) as ledger, ledger:
        ledger.execute("CREATE TABLE IF NOT EXISTS lines (id TEXT PRIMARY KEY, total_amount TEXT)")
        values = [(line.id, str(line.total_amount)) for line in lines]
        ledger.executemany("INSERT OR REPLACE INTO lines VALUES (?, ?)", values)
    return len(lines)


def save(checkpoint: Checkpoint, saved: Path) -> None:
    """At once: a kill leaves this checkpoint or the one before."""
    saved.with_suffix(".new").write_text(checkpoint.to_json())
    saved.with_suffix(".new").replace(saved)


async def hand_over(page: Delivery[PayoutSpecification], lines: Extraction[PayoutSpecification], saved: Path) -> None:
    """Send a page, again if its worker may have died, until it is booked; then save the checkpoint, which covers it."""
    rows, job = [line.to_dict("iso") for line in page.records], book.kicker().with_task_id(uuid4().hex)
    result = None
    while result is None:
        with suppress(TaskiqResultTimeoutError):
            result = await (await job.kiq(rows)).wait_result(timeout=RESEND_AFTER)
    if result.error is not None:
        page.failed(result.error)  # ends the run with `ExtractionInterrupted`
        return
    page.done()
    save(lines.checkpoint, saved)
    print(f"{lines.rows} of {lines.total} lines are booked", flush=True)


async def feed(saved: Path, start: Checkpoint | None) -> None:
    """Hand each page that *start* does not cover to the workers, eight at a time."""
    await broker.startup()
    async with AmiliClient.from_env() as amili, asyncio.TaskGroup() as jobs:
        lines = amili.payout_specifications.extract(checkpoint=start)
        async for page in lines.deliveries(unfinished=8):
            jobs.create_task(hand_over(page, lines, saved))
    await broker.shutdown()
    print(lines.manifest.verdict)


if __name__ == "__main__":
    checkpoint = Path(sys.argv[1])
    asyncio.run(feed(checkpoint, Checkpoint.from_json(checkpoint.read_text()) if checkpoint.exists() else None))
    checkpoint.unlink(missing_ok=True)  # the next run begins anew
