"""`amili demo`: reconcile every payout of a sandbox in this process."""

import time
from typing import Annotated

import typer
from rich.text import Text

from amili_async.cli.commands.reconcile import reconcile_all
from amili_async.cli.connect import client_of, report_pause
from amili_async.cli.console import PlainConsole
from amili_async.cli.exit_codes import PROBLEM, SUCCESS, run
from amili_async.cli.reports.reconciliation_table import print_categories, print_differing
from amili_async.cli.reports.reconciliation_words import Overview
from amili_async.events import AttemptFinished, Event
from amili_async.readable import show_count
from amili_async.reconciliation.comparison import Reconciliation


def show_demo(
    *,
    payouts: Annotated[int, typer.Option(min=1, hidden=True)] = 50,
    specifications: Annotated[int, typer.Option(min=1, hidden=True)] = 5_000,
    seed: Annotated[int, typer.Option(hidden=True)] = 1,
) -> None:
    """Reconcile generated payouts in this process; needs no credentials.

    Starts a sandbox in this process, fetches every record within the API's limit of ten requests a second (about six
    seconds), and compares each payout with its specifications, to the öre.
    """
    from amili_async.sandbox import Sandbox

    async def show() -> int:
        events: list[Event] = []
        overview, found = Overview(), list[Reconciliation]()
        started = time.monotonic()
        async with (
            Sandbox(payouts=payouts, specifications=specifications, seed=seed) as sandbox,
            client_of(sandbox, observers=(events.append, report_pause)) as amili,
        ):
            await reconcile_all(amili, None, (overview.add, found.append), total=payouts)
            waiting = await amili.payout_specifications.count({"payout": None})
        console = PlainConsole()
        print_categories(console, found)
        console.print()
        print_differing(console, [each for each in found if not each.agrees])
        seconds = time.monotonic() - started
        requests = sum(isinstance(event, AttemptFinished) for event in events)
        sent = f"{show_count(requests, 'request')} in {seconds:.1f} s"
        awaiting = f"{show_count(waiting, 'specification')} {'awaits' if waiting == 1 else 'await'} a payout"
        console.print(Text(f"{overview.summarize()}\n{sent}; {awaiting}"), soft_wrap=True)
        return SUCCESS if overview.agrees else PROBLEM

    run(show())
