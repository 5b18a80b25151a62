"""The command line and its streams: their encoding, their width, and streams that are closed."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amili_async.cli.app import app
from amili_async.reconciliation import run
from amili_async.sandbox import Sandbox
from tests.support.programs import AMILI, IN_ONE_PROCESS

PAYOUTS, PAYMENTS = "finance--payouts", "creditor--payments"
HEADER = "creditor,case,amount,bank_transaction_date,creditor_payment_reference"
ROW = "674dbeb208847b9501cc9138,68678eda88b9226bb78d7169,100.50,2025-07-04,PAY-1"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Three payouts and no payments, without a rate limit."""
    async with Sandbox(payouts=3, specifications=20, payments=0, rate_limit=None) as started:
        yield started


async def amili(
    sandbox: Sandbox, *arguments: str, redirect: str = "", program: Sequence[str] = AMILI, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in its own process, whose streams a shell redirects as *redirect* states."""
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    variables |= {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()} | environment
    command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *program, *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, env=variables, check=False)


async def invoke(sandbox: Sandbox, *arguments: str, **environment: str) -> Result:
    """Run a command in this process, where its streams do not matter."""
    variables = {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()} | environment
    return await asyncio.to_thread(CliRunner(env=variables).invoke, app, arguments)


def change(sandbox: Sandbox, resource: str, **fields: Any) -> str:
    """Change the first record; returns its id."""
    row = sandbox.rows(resource)[0]
    sandbox.update(resource, row["_id"], fields)
    return str(row["_id"])


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
async def test_text_that_stdout_cannot_encode_is_escaped(encoding: str, sandbox: Sandbox) -> None:
    """A table is printed whole, whatever the encoding of the terminal."""
    change(sandbox, PAYOUTS, payout_reference="Łódź …")
    letters = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = await amili(sandbox, json.dumps([["reconcile"], ["--help"]]), program=IN_ONE_PROCESS, **letters)
    assert (result.returncode, b"Traceback" in result.stderr) == (0, False)
    listed = await amili(sandbox, "list", "payouts", **letters)
    assert rb"\u0141\xf3d\u017a" in listed.stdout.replace("ó".encode("latin-1"), rb"\xf3")


async def test_the_result_of_payments_survives_the_encoding(tmp_path: Path, sandbox: Sandbox) -> None:
    """A registered payment is reported although its status has letters that stdout lacks."""
    file = tmp_path / "july.csv"
    file.write_text(f"{HEADER}\n{ROW}\n")
    assert (await amili(sandbox, "pay", str(file))).returncode == 0
    change(sandbox, PAYMENTS, status="warning", status_reason_locale="delvis på Łódź")
    result = await amili(sandbox, "pay", str(file), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (result.returncode, b"Traceback" in result.stderr) == (1, False)
    assert rb"warning: delvis p\xe5 \u0141" in b" ".join(result.stdout.split())


@pytest.mark.parametrize(("first", "closed"), list(enumerate(["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])))
async def test_a_closed_stream_is_the_null_device(first: int, closed: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """Payments are registered, records listed and exported as with any other stream, without a traceback.

    Each command is once the first of its process, which opens the null device.
    """
    file = tmp_path / "july.csv"
    file.write_text(f"{HEADER}\n{ROW}\n")
    commands = [
        *(("pay", str(file)), ("list", "payouts", "--json"), ("reconcile",)),
        ("export", "payouts", "-o", str(tmp_path / "x.csv"), "--force"),
    ]
    commands = commands[first:] + commands[:first]
    result = await amili(sandbox, json.dumps(commands), program=IN_ONE_PROCESS, redirect=closed)
    assert (result.returncode, result.stdout.count(b"Traceback"), result.stderr.count(b"Traceback")) == (0, 0, 0)
    assert len(sandbox.rows(PAYMENTS)) == 1
    assert (tmp_path / "x.csv").read_bytes().count(b"\n") == 4
    if ">&-" not in closed.split():
        assert result.stdout.count(b'"_id"') == 3
        assert b"1 payments: 1 registered" in result.stdout or b"1 payment: 1 registered" in result.stdout


async def test_a_closed_stdin_cannot_be_read(sandbox: Sandbox) -> None:
    """`amili pay -` without standard input is one sentence and exit code 2."""
    result = await amili(sandbox, "pay", "-", redirect="<&-")
    assert (result.returncode, result.stderr) == (2, b"amili: standard input cannot be read: it is closed\n")


async def test_a_pipe_gets_every_column(sandbox: Sandbox) -> None:
    """Where there is no terminal, a table has the width that it needs."""
    result = await amili(sandbox, "list", "payouts")
    heading = result.stdout.decode().splitlines()[0].split()
    assert heading == [
        *("_id", "payout_date", "finance_category", "payout_reference", "amount", "vat_amount", "total_amount")
    ]
    assert b"not shown" not in result.stdout


async def test_a_narrow_table_names_the_columns_that_it_lacks(sandbox: Sandbox) -> None:
    """Also those that the command chose itself; the settled amount stays beside the amount."""
    result = await amili(sandbox, "list", "payouts", COLUMNS="80")
    words = " ".join(result.stdout.decode().split())
    assert "not shown, because the terminal is too narrow: payout_reference, amount, vat_amount 3 of 3 payouts" in words
    async with Sandbox(payouts=0, specifications=0, payments=2, rate_limit=None) as other:
        change(other, PAYMENTS, status="warning", amount=19905, settled_amount=13270)
        listed = await amili(other, "list", "payments", COLUMNS="80")
    assert "13,270.00" in listed.stdout.decode()


async def test_names_of_fields_cannot_steer_a_terminal(sandbox: Sandbox) -> None:
    """A name that the server chose is escaped as values are."""
    row_id = change(sandbox, PAYOUTS, **{"evil\x1b[31m\u202e": 1, "nested": {"\x9b31m": "\x1b]0;x"}})
    result = await invoke(sandbox, "get", "payouts", row_id)
    assert result.exit_code == 0
    assert not {"\x1b", "\x9b", "\u202e"} & set(result.stdout)
    assert r"evil\x1b[31m\u202e" in result.stdout
    listed = await invoke(sandbox, "list", "payouts", "--fields", "_id,evil\x1b[31m\u202e")
    assert not {"\x1b", "\u202e"} & set(listed.stdout + listed.stderr)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize("form", ["--csv", "--json"])
async def test_rows_at_a_terminal_cannot_steer_it(form: str, sandbox: Sandbox) -> None:
    """A terminal gets escapes where a file gets the exact text."""
    change(sandbox, PAYOUTS, payout_reference="\x9b31m\u202e\x1b[5m")
    ours, theirs = os.openpty()
    variables = os.environ | {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token(), "TERM": "dumb"}
    process = await asyncio.create_subprocess_exec(
        *AMILI, "reconcile", form, stdout=theirs, stderr=subprocess.PIPE, env=variables
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux reports EIO when the other side is closed
        while part := await asyncio.to_thread(os.read, ours, 65536):
            shown += part
    os.close(ours)
    assert await process.wait() == 0
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown.decode())
    piped = await amili(sandbox, "reconcile", form)
    text = piped.stdout.decode()
    assert "\x9b31m\u202e" in text if form == "--csv" else json.loads(text.splitlines()[0])


async def test_an_amount_of_a_hundred_million_digits_is_shown_at_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its exponent, by every command."""
    monkeypatch.setattr(run, "RECHECK_DELAY", 0)
    row_id = change(sandbox, PAYOUTS, total_amount=Decimal("1E100000000"))
    for arguments in (("list", "payouts"), ("get", "payouts", row_id), ("reconcile", "--csv"), ("reconcile",)):
        result = await invoke(sandbox, *arguments)
        assert (len(result.stdout) < 5_000, isinstance(result.exception, SystemExit | None)) == (True, True)
        assert ("1E+100000000" in result.stdout) == (arguments != ("reconcile",))


@pytest.mark.parametrize("url", ["https://user:hemlig-6f2d@api.example", "https://api.example/?key=hemlig-6f2d"])
async def test_a_password_in_the_url_is_shown_nowhere(url: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """Every command rejects the URL, and no text contains it."""
    file = tmp_path / "july.csv"
    file.write_text(f"{HEADER}\n{ROW}\n")
    for arguments in (*(("pay", str(file)), ("list", "payouts"), ("reconcile", "--html", str(tmp_path / "x.html"))),):
        result = await invoke(sandbox, *arguments, AMILI_BASE_URL=url)
        assert (result.exit_code, "hemlig" in result.stdout + result.stderr) == (2, False)
        assert "AMILI_BASE_URL must not contain a user, password, query or fragment" in result.stderr
