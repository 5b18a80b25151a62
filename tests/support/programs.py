"""Programs of their own: the command line, and what a test starts, reads and kills."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress

AMILI = (sys.executable, "-m", "amili_async")
"""Runs `amili`."""
HASTY_AMILI = (
    *(sys.executable, "-c"),
    "from amili_async.reconciliation import run; run.RECHECK_DELAY = 0; from amili_async.cli import main; main()",
)
"""The same, without the wait before a payout is compared again."""
IN_ONE_PROCESS = (
    *(sys.executable, "-c"),
    """
import json, sys
from amili_async.cli import main
codes = []
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
sys.exit(max(codes))
""",
)
"""Runs commands one after another, whose arguments are a list in JSON, and exits with the highest of their codes."""


async def start_program(stack: AsyncExitStack, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start `python -m` in a session of its own, and kill all of its processes, if any still runs, with the stack."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": os.environ.get("PATH", os.defpath), **environment},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    stack.push_async_callback(kill_program, program)
    return program


async def kill_program(program: asyncio.subprocess.Process) -> None:
    """End a program and its children, which are in its session, at once: an orderly end takes seconds."""
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    await program.wait()


async def read_line(program: asyncio.subprocess.Process, text: str) -> str:
    """The next line that the program prints with this text in it."""
    assert program.stdout is not None
    while line := (await program.stdout.readline()).decode():
        if text in line:
            return line.strip()
    raise AssertionError(f"the program ended without printing {text!r}")
