"""`amili demo`: all payouts checked against all specifications, on a sandbox in the process."""

import time
from contextlib import aclosing
from typing import Annotated

import typer

from amili_async.cli.connect import client_of, tell_pause
from amili_async.cli.exit_codes import GOOD, NOT_RIGHT, run
from amili_async.cli.progress import show_progress
from amili_async.cli.reports.demo_report import Findings, report
from amili_async.client import AmiliClient
from amili_async.events import Event, TryFinished
from amili_async.reconcile import Reconciliation
from amili_async.sandbox import Sandbox


class RequestCount:
    """An observer that counts what is sent."""

    def __init__(self) -> None:
        self.requests = 0

    def __call__(self, event: Event) -> None:
        self.requests += isinstance(event, TryFinished)


def show_demo(
    *,
    payouts: Annotated[int, typer.Option(min=1, hidden=True)] = 50,
    specifications: Annotated[int, typer.Option(min=1, hidden=True)] = 5_000,
    seed: Annotated[int, typer.Option(hidden=True)] = 1,
) -> None:
    """See it work: fetch made-up payouts and specifications, and check that the sums agree.

    Starts an Amili with made-up records in this process, fetches everything within the API's limit of ten requests a
    second (some six seconds), and compares each payout, to the öre, with its specifications. Needs no credentials.
    """

    async def show() -> int:
        count = RequestCount()
        begun = time.monotonic()
        async with (
            Sandbox(payouts=payouts, specifications=specifications, seed=seed) as sandbox,
            client_of(sandbox, observers=(count, tell_pause)) as amili,
        ):
            reconciliations = await _compare_all(amili, payouts)
            waiting = await amili.payout_specifications.count({"payout": None})
        findings = Findings(
            reconciliations=reconciliations,
            waiting=waiting,
            requests=count.requests,
            seconds=time.monotonic() - begun,
        )
        report(findings)
        return GOOD if findings.agrees else NOT_RIGHT

    run(show())


async def _compare_all(amili: AmiliClient, payouts: int) -> tuple[Reconciliation, ...]:
    found: list[Reconciliation] = []
    with show_progress("payouts") as tell:
        async with aclosing(amili.reconcile()) as reconciliations:
            async for reconciliation in reconciliations:
                found.append(reconciliation)
                tell(len(found), payouts, None)
    return tuple(found)
