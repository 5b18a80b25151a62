"""`amili sandbox`: a server with generated records, until it is stopped."""

import asyncio
import errno
import logging
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from amili_async._wire.base_url import is_loopback
from amili_async.cli.exit_codes import SUCCESS, USAGE, print_error, run
from amili_async.environment import read_log
from amili_async.readable import show_count

if TYPE_CHECKING:
    from amili_async.sandbox import Sandbox

_TEN_YEARS = 10 * 365 * 86_400.0  # seconds: the printed token is valid as long as the server runs


def serve_sandbox(
    *,
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65_535, help="Port on this machine; 0 takes a free one.")
    ] = 0,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 serves other machines too, in plain http."),
    ] = "127.0.0.1",
    payouts: Annotated[int, typer.Option(metavar="N", min=0, help="Number of payouts.")] = 50,
    specifications: Annotated[int, typer.Option(metavar="N", min=0, help="Number of specifications.")] = 5_000,
    payments: Annotated[int, typer.Option(metavar="N", min=0, help="Number of creditor payments.")] = 40,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed generates the same records.")] = 1,
    rate_limit: Annotated[
        bool, typer.Option("--rate-limit/--no-rate-limit", help="Amili's limit: 10 requests a second, 100 a minute.")
    ] = True,
) -> None:
    """Serve generated records as the Amili API would, until Ctrl-C.

    Paste the printed lines into another shell: its commands and programs then use this sandbox.
    """
    from amili_async.sandbox import AMILI_LIMITS, Sandbox

    counts: dict[str, Any] = {"payouts": payouts, "specifications": specifications, "payments": payments}
    *most, last = (show_count(number, name.removesuffix("s")) for name, number in counts.items())
    limit = AMILI_LIMITS if rate_limit else None
    sandbox = Sandbox(host=host, port=port, seed=seed, rate_limit=limit, token_lifetime=_TEN_YEARS, **counts)
    run(_serve(sandbox, port, f"{', '.join(most)} and {last}"))


async def _serve(sandbox: "Sandbox", port: int, contents: str) -> int:
    if read_log(os.environ):  # there is no client to observe: the sandbox itself logs each request
        logging.getLogger("amili_async.sandbox").setLevel(logging.DEBUG)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows has no such handlers; there Ctrl-C raises KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await sandbox.start()
    except OSError as error:
        print_error(f"port {port} cannot be used: {os.strerror(error.errno or errno.EADDRINUSE)}")
        return USAGE
    try:
        typer.echo(
            f"# {contents}, until Ctrl-C. In another shell:\n"
            f"{_exports(sandbox.url)}\n"
            f"export AMILI_TOKEN={sandbox.token()}\n"
            "amili list payouts"
        )
        await stopped.wait()
    finally:
        await sandbox.aclose()
    return SUCCESS


def _exports(url: str) -> str:
    """The lines with which a shell, on another machine if the address permits it, reaches the sandbox."""
    parts = urlsplit(url)
    if is_loopback(parts.hostname or ""):
        return f"export AMILI_BASE_URL={url}"
    host = socket.gethostname() if parts.hostname in {"0.0.0.0", "::"} else parts.netloc.rpartition(":")[0]  # noqa: S104
    return f"export AMILI_BASE_URL=http://{host}:{parts.port} AMILI_ALLOW_HTTP=1"
