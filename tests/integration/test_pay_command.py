"""`amili pay`: nothing is registered twice, and no outcome is lost."""

import asyncio
import csv
import fcntl
import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from amili_async.cli import connect
from amili_async.cli.commands.pay import MAX_FAULTS, RUN_AGAIN, WAIT_AND_RUN_AGAIN, _confirm, register_payments
from amili_async.cli.payment_csv import PaymentRow, parse_payment, parse_payments
from amili_async.models import NewCreditorPayment
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.clocks import GUARD, HastyClock, happens, on_clock
from tests.support.payments import CASE, CREDITOR

COMMAND = "import typer; from amili_async.cli.commands.pay import register_payments as pay; typer.run(pay)"
PAY = (sys.executable, "-c", COMMAND)
PAYMENTS = "creditor--payments"
BARE = ("--creditor", CREDITOR, "--case", CASE, "--amount", "100.50", "--bank-date", "2025-07-04")
ONE = (*BARE, "--reference", "PAY [b]1")
NOT_REACHED = {"AMILI_BASE_URL": "http://127.0.0.1:9", "AMILI_TOKEN": "hemlig-6f2d"}
"""An API that accepts no connection."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(register_payments)

Pay = Callable[..., Awaitable[Result]]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Without payments and without a rate limit."""
    async with Sandbox(payouts=0, specifications=0, payments=0, rate_limit=None) as started:
        yield started


@pytest.fixture
def pay(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Pay:
    """Runs the command in this process, on the sandbox unless the environment names an API; waits take no time."""

    async def run(*arguments: str, stdin: bytes | None = None, width: int = 80, **environment: str) -> Result:
        hasty = partial(on_clock(HastyClock()).from_env, rate_limit=None)
        monkeypatch.setattr(connect, "AmiliClient", SimpleNamespace(from_env=hasty))
        variables = {"COLUMNS": str(width)} | (environment or access(sandbox))
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, input=stdin, env=variables)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of thirty payments."""
    return write(tmp_path / "payments.csv", *(make_row(number) for number in range(30)))


def make_row(number: int, **changes: str) -> dict[str, str]:
    return {
        "creditor": CREDITOR,
        "case": "" if number % 3 else CASE,
        "invoice_number": f"INV-{number}" if number % 3 else "",
        "amount": f"{number + 1}.50",
        "bank_transaction_date": "2025-07-04",
        "creditor_payment_reference": f"PAY-{number:04}",
    } | changes


def write(path: Path, *rows: dict[str, str]) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(make_row(0)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    return path


def access(sandbox: Sandbox) -> dict[str, str]:
    """What to set in the environment to use a sandbox."""
    return {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()}


def count_posts(sandbox: Sandbox) -> int:
    return sum(request.method == "POST" for request in sandbox.requests)


def references(sandbox: Sandbox) -> list[str]:
    """The references of registered payments, sorted."""
    return sorted(row["creditor_payment_reference"] for row in sandbox.rows(PAYMENTS))


def reject_once(sandbox: Sandbox, *, after: int, words: str = "is closed") -> None:
    issues = {"_status": "ERR", "_issues": {"case": words}, "_error": {"code": 422, "message": "Insertion failure"}}
    sandbox.fail(Fault(status=422, body=issues), method="POST", after=after)


def decode(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=str) for line in result.stdout.splitlines()]


@asynccontextmanager
async def started(sandbox: Sandbox, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command in its own process, killed after the test."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(*PAY, *arguments),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=os.environ | access(sandbox) | {"PYTHONUNBUFFERED": ""},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_file_is_registered_and_a_second_run_registers_nothing(file: Path, sandbox: Sandbox, pay: Pay) -> None:
    """Each payment once, with the exact values of the file; the second run finds them."""
    result = await pay(str(file))
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        f"30 payments: 30 registered ({sandbox.url})\n",
        "",
    )
    rows = {row["creditor_payment_reference"]: row for row in sandbox.rows(PAYMENTS)}
    assert len(rows) == len(sandbox.rows(PAYMENTS)) == count_posts(sandbox) == 30
    for number in range(30):
        row = rows[f"PAY-{number:04}"]
        assert (f"{row['amount']}", row["creditor"]) == (f"{number + 1}.50", CREDITOR)
        assert row["bank_transaction_date"] == "Fri, 04 Jul 2025 00:00:00 GMT"
        assert (row.get("case"), row.get("invoice_number")) == ((None, f"INV-{number}") if number % 3 else (CASE, None))
    again = await pay(str(file))
    assert (again.exit_code, again.stdout) == (0, f"30 payments: 30 already registered ({sandbox.url})\n")
    assert len(sandbox.rows(PAYMENTS)) == count_posts(sandbox) == 30


async def test_only_new_payments_of_a_grown_file_are_registered(file: Path, sandbox: Sandbox, pay: Pay) -> None:
    """The file is read from standard input."""
    whole = await asyncio.to_thread(file.read_bytes)
    part = b"".join(whole.splitlines(keepends=True)[:11])
    assert (await pay("-", stdin=part)).stdout == f"10 payments: 10 registered ({sandbox.url})\n"
    result = await pay("-", stdin=whole)
    summary = f"30 payments: 20 registered, 10 already registered ({sandbox.url})\n"
    assert (result.exit_code, result.stdout) == (0, summary)
    assert references(sandbox) == [f"PAY-{number:04}" for number in range(30)]


async def test_json_is_a_document_per_outcome(file: Path, sandbox: Sandbox, pay: Pay) -> None:
    """In the order of the file, with its lines; stdout holds nothing else, and stderr has the summary."""
    reject_once(sandbox, after=4)
    result = await pay(str(file), "--json", "--concurrency", "1")
    assert (result.exit_code, result.stderr) == (1, f"amili: 30 payments: 29 registered, 1 rejected ({sandbox.url})\n")
    lines = decode(result)
    assert [line["line"] for line in lines] == list(range(2, 32))
    assert [line["creditor_payment_reference"] for line in lines] == [f"PAY-{number:04}" for number in range(30)]
    (rejected,) = [line for line in lines if line["outcome"] != "registered"]
    assert (rejected["line"], rejected["outcome"], rejected["id"]) == (6, "rejected", None)
    assert rejected["error"] == "case: is closed"
    ids = {row["creditor_payment_reference"]: row["_id"] for row in sandbox.rows(PAYMENTS)}
    assert {line["creditor_payment_reference"]: line["id"] for line in lines if line["id"]} == ids
    found = decode(await pay(str(file), "--json"))
    assert [line["outcome"] for line in found] == ["found"] * 4 + ["registered"] + ["found"] * 25
    assert (found[0]["status"], found[0]["settled_amount"], found[0]["error"]) == ("completed", "1.50", None)


async def test_a_rejected_payment_is_shown_with_its_fields(file: Path, sandbox: Sandbox, pay: Pay) -> None:
    """Line, reference, field, the server's words and what to do; the others are registered; exit code 1."""
    reject_once(sandbox, after=7, words="is \x1b[31m[red]closed")
    result = await pay(str(file), "--concurrency", "1")
    assert (result.exit_code, result.stderr, len(sandbox.rows(PAYMENTS))) == (1, "", 29)
    assert "Rejected: not registered. Correct it and run the same command again." in result.stdout
    assert re.search(r"^ +9  PAY-0007 +8\.50  case: is \\x1b\[31m\[red\]closed *$", result.stdout, re.MULTILINE)
    assert result.stdout.endswith(f"\n30 payments: 29 registered, 1 rejected ({sandbox.url})\n")
    assert "PAY-0008" not in result.stdout
    assert (await pay(str(file))).stdout == f"30 payments: 1 registered, 29 already registered ({sandbox.url})\n"


async def test_a_payment_whose_answer_is_lost_is_found(file: Path, sandbox: Sandbox, pay: Pay) -> None:
    """It is registered, looked up, and not sent again."""
    sandbox.fail(Fault(reset="after"), method="POST", after=3)
    result = await pay(str(file))
    assert (result.exit_code, count_posts(sandbox)) == (0, 30)
    assert result.stdout == f"30 payments: 29 registered, 1 already registered ({sandbox.url})\n"


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_an_unknown_outcome_is_exit_code_3(form: tuple[str, ...], file: Path, sandbox: Sandbox, pay: Pay) -> None:
    """It is not sent again; the advice is to run the same command again, which settles it. It outweighs a rejection."""
    sandbox.fail(Fault(reset="before"), method="POST", after=3)
    reject_once(sandbox, after=5)
    result = await pay(str(file), "--concurrency", "1", *form)
    assert (result.exit_code, count_posts(sandbox), len(sandbox.rows(PAYMENTS))) == (3, 30, 28)
    assert result.stderr.endswith(f"amili: {WAIT_AND_RUN_AGAIN}\n")
    if form:
        unknown = decode(result)[3]
        assert (unknown["line"], unknown["outcome"], unknown["id"]) == (5, "unknown", None)
        assert unknown["error"].startswith("no usable answer (POST /creditor--payments")
    else:
        assert result.stdout.startswith("Unknown: it may be registered. Wait some minutes, then run the same command")
        assert re.search(r"^ +5  PAY-0003 +4\.50  no usable answer", result.stdout, re.MULTILINE)
        assert result.stdout.endswith(f"\n30 payments: 28 registered, 1 unknown, 1 rejected ({sandbox.url})\n")
    assert (await pay(str(file))).stdout == f"30 payments: 2 registered, 28 already registered ({sandbox.url})\n"


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_an_api_that_cannot_be_reached_is_exit_code_3(form: tuple[str, ...], file: Path, pay: Pay) -> None:
    """Each payment is reported as not sent; the token is not printed."""
    result = await pay(str(file), *form, **NOT_REACHED)
    assert (result.exit_code, result.stderr.endswith(f"amili: {RUN_AGAIN}\n")) == (3, True)
    if form:
        assert {line["outcome"] for line in decode(result)} == {"not_sent"}
    else:
        assert "Not sent: not registered by this run." in result.stdout
        assert result.stdout.endswith(f"\n30 payments: 30 not sent ({NOT_REACHED['AMILI_BASE_URL']})\n")
    assert len(re.findall(r"PAY-\d{4}", result.stdout)) == 30
    assert "hemlig" not in result.output


async def test_a_payment_with_a_taken_reference_is_not_sent(tmp_path: Path, sandbox: Sandbox, pay: Pay) -> None:
    """The id of the registered payment is shown, and the exit code is 1."""
    file = write(tmp_path / "one.csv", make_row(0))
    await pay(str(file))
    result = await pay(str(write(file, make_row(0, amount="7"))), width=120)
    assert (result.exit_code, count_posts(sandbox)) == (1, 1)
    assert "With a taken reference: not sent." in result.stdout
    assert "differs from this one in amount" in " ".join(result.stdout.split())
    assert sandbox.rows(PAYMENTS)[0]["_id"] in result.stdout


async def test_a_payment_that_is_not_completed_is_shown_first(file: Path, sandbox: Sandbox, pay: Pay) -> None:
    """With its status, reason and id as printable text; the exit code is 1 in each run."""
    await pay(str(file))
    row = next(row for row in sandbox.rows(PAYMENTS) if row["creditor_payment_reference"] == "PAY-0004")
    changes = {"status": "warning", "status_reason_locale": "payment.\x1b[5mpartly", "settled_amount": 3}
    sandbox.update(PAYMENTS, row["_id"], changes)
    result = await pay(str(file), width=120)
    assert result.exit_code == 1
    assert result.stdout.startswith("Registered, but not completed: check these")
    line = rf"^ +6  PAY-0004 +5\.50  warning: payment\.\\x1b\[5mpartly; 3\.00 settled; id {row['_id']} *$"
    assert re.search(line, result.stdout, re.MULTILINE)
    assert result.stdout.endswith(
        f"30 payments: 29 already registered, 1 registered, but not completed ({sandbox.url})\n"
    )
    document = decode(await pay(str(file), "--json"))[4]
    assert (document["outcome"], document["status"], document["status_reason_locale"]) == (
        "found",
        "warning",
        "payment.\x1b[5mpartly",
    )


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_the_reason_of_a_status_is_shown_in_words(
    form: tuple[str, ...], file: Path, sandbox: Sandbox, pay: Pay
) -> None:
    """In English, else in Swedish, else as the key; each key is looked up once."""
    await pay(str(file))
    rows = {row["creditor_payment_reference"]: row for row in sandbox.rows(PAYMENTS)}
    swedish = {"locale_tag": "payment.partly", "translations": {"sv": {"translation": "Delbetalning\x1b[5m"}}}
    sandbox.insert("locales", swedish)
    keys = ["creditor_payment.overpaid"] * 2 + ["payment.partly", "payment.unknown"]
    for number, key in enumerate(keys):
        changes = {"status": "warning", "status_reason_locale": key}
        sandbox.update(PAYMENTS, rows[f"PAY-{number:04}"]["_id"], changes)
    sandbox.requests.clear()
    result = await pay(str(file), *form, width=160)
    english = next(row["description"] for row in sandbox.rows("locales") if row["locale_tag"] == keys[0])
    reasons = [english, english, "Delbetalning\\x1b[5m", "payment.unknown"]
    if form:
        documents = decode(result)[:4]
        assert [(each["status_reason"], each["status_reason_locale"]) for each in documents] == list(
            zip([*reasons[:2], "Delbetalning\x1b[5m", reasons[3]], keys, strict=True)
        )
    else:
        assert re.findall(r"warning: (.*?); \d", result.stdout) == [each.rstrip(".") for each in reasons]
    assert len([request for request in sandbox.requests if request.path == "/locales"]) == 3


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_reason_that_cannot_be_looked_up_is_the_key(
    form: tuple[str, ...], file: Path, sandbox: Sandbox, pay: Pay
) -> None:
    """A failed look-up of a text changes no outcome and no exit code."""
    await pay(str(file))
    for row in sandbox.rows(PAYMENTS):
        sandbox.update(PAYMENTS, row["_id"], {"status": "warning", "status_reason_locale": "payment.partly"})
    sandbox.fail(Fault(status=500), path="locales", times=100)
    result = await pay(str(file), *form, width=160)
    assert (result.exit_code, result.stdout.count("payment.partly")) == (1, 60 if form else 30)
    assert "30 registered, but not completed" in result.output
    assert len([request for request in sandbox.requests if request.path == "/locales"]) <= 5


async def test_one_payment_from_options(sandbox: Sandbox, pay: Pay) -> None:
    """Two runs with the same reference register it once; its id is shown."""
    options = (*ONE, "--registered", "2025-07-05T10:00:00+02:00")
    result = await pay(*options)
    (row,) = sandbox.rows(PAYMENTS)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"completed; id {row['_id']}\n1 payment: 1 registered ({sandbox.url})\n"
    assert (row["creditor_payment_reference"], f"{row['amount']}", row["case"]) == ("PAY [b]1", "100.50", CASE)
    assert row["client_registration_date"] == "Sat, 05 Jul 2025 08:00:00 GMT"
    again = await pay(*options)
    summary = f"1 payment: 1 already registered ({sandbox.url})"
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, summary)
    assert row["_id"] in again.stdout
    assert count_posts(sandbox) == 1


async def test_a_dry_run_sends_nothing(tmp_path: Path, sandbox: Sandbox, pay: Pay) -> None:
    """It shows every payment and the total, needs no credentials, and obeys no markup of the file."""
    rows = [make_row(0), make_row(1, creditor_payment_reference="[red]:smile:", amount="1000")]
    path = str(write(tmp_path / "payments.csv", *rows))
    result = await pay(path, "--dry-run", width=120, AMILI_BASE_URL=sandbox.url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()[2:4]] == [
        ["2", "PAY-0000", CREDITOR, CASE, "2025-07-04", "1.50"],
        ["3", "[red]:smile:", CREDITOR, "INV-1", "2025-07-04", "1,000.00"],
    ]
    assert result.stdout.endswith("\n2 payments, 1,001.50 SEK in total; nothing was sent\n")
    one = await pay(*ONE, "--dry-run", width=120, AMILI_BASE_URL=sandbox.url)
    assert (one.exit_code, "1 payment, 100.50 SEK in total; nothing was sent" in one.stdout) == (0, True)
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
async def test_a_faulty_file_sends_nothing_and_names_every_fault(
    mode: tuple[str, ...], tmp_path: Path, sandbox: Sandbox, pay: Pay
) -> None:
    """One line for each of the first twenty, the number of the others, and no values; exit code 2."""
    rows = [make_row(number, amount="hemlig,50" if number % 2 else "1") for number in range(100)]
    result = await pay(str(write(tmp_path / "payments.csv", *rows)), *mode)
    assert (result.exit_code, result.stdout, len(sandbox.requests)) == (2, "", 0)
    *faults, rest = result.stderr.splitlines()
    assert len(faults) == MAX_FAULTS == 20
    assert all(line.startswith(f"amili: line {3 + 2 * n}: amount must be digits") for n, line in enumerate(faults))
    assert rest == "amili: and 30 more faults"
    assert "hemlig" not in result.stderr


async def test_only_further_faults_are_counted(tmp_path: Path, pay: Pay) -> None:
    """Twenty faults are twenty lines without a count."""
    for count in (MAX_FAULTS, MAX_FAULTS + 1):
        rows = [make_row(number, amount="x") for number in range(count)]
        result = await pay(str(write(tmp_path / "payments.csv", *rows)))
        assert result.stderr.count("\n") == count
        assert ("amili: and 1 more fault\n" in result.stderr) == (count > MAX_FAULTS)


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        ((), ["give a CSV FILE, or one payment by --creditor, --amount and so on (see --help)"]),
        (("a.csv", "--amount", "1"), ["FILE and the options of one payment cannot be combined"]),
        (("/missing/a.csv",), ["/missing/a.csv cannot be read: No such file or directory"]),
        (("/missing/a.csv", "--dry-run", "--json"), ["--dry-run and --json cannot be combined"]),
        (
            ("--amount", "hemlig,5", "--case", "hemlig", "--invoice-number", "1"),
            [
                "--case: case must be 24 hexadecimal digits",
                "--amount: amount must be digits",
                "--creditor: creditor is missing",
                "--bank-date: bank_transaction_date is missing",
                "--reference: creditor_payment_reference is missing; a second run finds registered payments by it",
                "--case or --invoice-number: a payment needs exactly one",
            ],
        ),
        (BARE, ["--reference: creditor_payment_reference is missing; a second run finds registered payments by it"]),
        ((*BARE, "--reference", " x"), ["--reference: creditor_payment_reference begins or ends with a blank"]),
        ((*ONE, "--registered", "now"), ["--registered: client_registration_date must be a day"]),
        (ONE, ["AMILI_TOKEN is not set"]),
    ],
)
async def test_a_mistake_of_the_caller_is_exit_code_2(
    arguments: tuple[str, ...], sentences: list[str], sandbox: Sandbox, pay: Pay
) -> None:
    """Each fault is a line without the value, and nothing is sent."""
    result = await pay(*arguments, AMILI_BASE_URL=sandbox.url)
    assert (result.exit_code, result.stdout, len(sandbox.requests)) == (2, "", 0)
    lines = result.stderr.splitlines()
    assert len(lines) == len(sentences)
    for line, begins in zip(lines, sentences, strict=True):
        assert line.startswith(f"amili: {begins}")
    assert "hemlig" not in result.stderr


async def test_a_file_without_payments_is_no_error(tmp_path: Path, sandbox: Sandbox, pay: Pay) -> None:
    """Nothing is sent, and no credentials are needed."""
    path = str(write(tmp_path / "payments.csv"))
    result = await pay(path, AMILI_BASE_URL=sandbox.url)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "no payments\n", "")
    as_json = await pay(path, "--json", AMILI_BASE_URL=sandbox.url)
    assert (as_json.exit_code, as_json.stdout, as_json.stderr) == (0, "", "amili: no payments\n")


async def test_the_sandbox_needs_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And registers the payments there."""
    path = write(tmp_path / "payments.csv", make_row(0), make_row(1))
    result = await asyncio.to_thread(CliRunner().invoke, app, [str(path), "--sandbox"])
    assert (result.exit_code, result.stdout) == (0, "2 payments: 2 registered (generated records)\n")


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_stopped_run_reports_what_is_known(
    form: tuple[str, ...], sent: int, code: int, word: str, tmp_path: Path, sandbox: Sandbox, pay: Pay
) -> None:
    """The known outcomes are printed with advice; the next run registers the other payments."""
    path = str(write(tmp_path / "payments.csv", *(make_row(number) for number in range(4))))
    reject_once(sandbox, after=1)
    sandbox.fail(Fault(hang=True), method="POST", after=1, times=None)
    async with started(sandbox, path, "--concurrency", "1", *form) as process:
        await happens(lambda: count_posts(sandbox) == 3)
        process.send_signal(sent)
        out, err = await process.communicate()
    counted = f"4 payments: 1 registered, 1 rejected; the outcome of 2 is unknown ({sandbox.url})"
    assert process.returncode == code
    if form:
        assert [json.loads(line)["outcome"] for line in out.splitlines()] == ["registered", "rejected"]
        assert err.decode() == f"amili: {counted}\namili: {word}; {WAIT_AND_RUN_AGAIN}\n"
    else:
        assert re.search(r"^ +3  PAY-0001 +2\.50  case: is closed *$", out.decode(), re.MULTILINE)
        assert out.decode().endswith(f"\n{counted}\n")
        assert err.decode() == f"amili: {word}; {WAIT_AND_RUN_AGAIN}\n"
    sandbox.stop_failing()
    again = await pay(path)
    summary = f"4 payments: 3 registered, 1 already registered ({sandbox.url})\n"
    assert (again.exit_code, again.stdout) == (0, summary)


async def test_each_outcome_is_written_at_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """The first line is written while the second payment hangs."""
    path = str(write(tmp_path / "payments.csv", make_row(0), make_row(1)))
    sandbox.fail(Fault(hang=True), method="POST", after=1, times=None)
    async with started(sandbox, path, "--json") as process, asyncio.timeout(GUARD):
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["outcome"] == "registered"
        assert process.returncode is None


async def test_a_closed_pipe_stops_the_run_with_advice(tmp_path: Path, sandbox: Sandbox) -> None:
    """Nothing is sent whose outcome cannot be written, and the exit code is 3."""
    path = str(write(tmp_path / "payments.csv", *(make_row(number) for number in range(6))))
    async with started(sandbox, path, "--json", "--concurrency", "1") as process:
        assert process.stdout is not None
        internals.close_stdout(process)
        assert process.stderr is not None
        err = (await process.stderr.read()).decode()
        assert await process.wait() == 3
    assert err.splitlines()[-1] == f"amili: the outcomes cannot be written: Broken pipe; {WAIT_AND_RUN_AGAIN}"
    assert "Traceback" not in err
    assert count_posts(sandbox) < 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_a_report_that_cannot_be_written_is_exit_code_3(tmp_path: Path, sandbox: Sandbox) -> None:
    """Although every payment was sent."""
    path = str(write(tmp_path / "payments.csv", make_row(0)))
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230 - nothing is waited for
        process = await asyncio.create_subprocess_exec(
            *(*PAY, path), stdout=full, stderr=asyncio.subprocess.PIPE, env=os.environ | access(sandbox)
        )
        _, err = await process.communicate()
    assert process.returncode == 3
    assert err.decode() == f"amili: the outcomes cannot be written: No space left on device; {WAIT_AND_RUN_AGAIN}\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize(
    ("options", "answer", "code", "registered"), [((), b"y\n", 0, 2), ((), b"n\n", 1, 0), (("--yes",), b"n\n", 0, 2)]
)
async def test_a_terminal_is_asked_to_confirm(
    options: tuple[str, ...], answer: bytes, code: int, registered: int, tmp_path: Path, sandbox: Sandbox
) -> None:
    """The question has the number of payments and their sum; only a yes registers them."""
    path = str(write(tmp_path / "payments.csv", make_row(0), make_row(1, amount="1234")))
    process, text = await at_terminal(sandbox, answer, path, *options)
    assert (process.returncode, len(sandbox.rows(PAYMENTS))) == (code, registered)
    assert (f"Register 2 payments, 1,235.50 SEK in total ({sandbox.url})? [y/N] " in text) == (not options)
    assert ("2 payments: 2 registered" in text) == (registered == 2)
    assert ("amili: nothing was sent" in text) == (registered == 0)


def test_only_a_yes_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty line and the end of input are a no; without a terminal or without payments there is no question."""
    payment = parse_payment(make_row(0))
    assert isinstance(payment, NewCreditorPayment)
    rows = (PaymentRow(payment=payment),)
    for answer, is_confirmed in (("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert _confirm(rows, "https://api.example") == is_confirmed
        assert _confirm((), "https://api.example")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert _confirm(rows, "https://api.example")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
async def test_a_dry_run_has_no_question(tmp_path: Path, sandbox: Sandbox) -> None:
    """It prints the plan."""
    process, text = await at_terminal(sandbox, b"n\n", str(write(tmp_path / "payments.csv", make_row(0))), "--dry-run")
    assert (process.returncode, len(sandbox.requests), "[y/N]" in text) == (0, 0, False)
    assert "1 payment, 1.50 SEK in total; nothing was sent" in text


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
async def test_json_at_a_terminal_has_no_progress_bar(tmp_path: Path, sandbox: Sandbox) -> None:
    """The bar would collide with the lines; a table is printed after it."""
    path = str(write(tmp_path / "payments.csv", make_row(0)))
    _, text = await at_terminal(sandbox, b"", path, "--yes", "--json")
    line, summary = text.splitlines()
    assert json.loads(line)["outcome"] == "registered"
    assert summary == f"amili: 1 payment: 1 registered ({sandbox.url})"
    _, text = await at_terminal(sandbox, b"", path, "--yes")
    assert "1 of 1 row" in text


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
async def test_an_interrupted_question_sends_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    """Ctrl-C at the question has its exit code."""
    process, text = await at_terminal(sandbox, b"\x03", str(write(tmp_path / "payments.csv", make_row(0))))
    assert (process.returncode, len(sandbox.requests)) == (130, 0)
    assert "amili: interrupted; nothing was sent" in text


async def at_terminal(sandbox: Sandbox, typed: bytes, *arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """Run the command at its own terminal and type *typed* at its question; the process and what it printed."""
    ours, theirs = os.openpty()
    program = f"import os, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); {COMMAND}"
    environment = os.environ | access(sandbox) | {"TERM": "xterm", "COLUMNS": "100"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux reports EIO when the other side is closed
        while part := await asyncio.to_thread(os.read, ours, 4096):
            if b"[y/N] " not in shown and b"[y/N] " in shown + part:
                os.write(ours, typed)
            shown += part
    os.close(ours)
    await process.wait()
    return process, shown.decode()


async def test_a_second_run_of_the_same_file_is_rejected(tmp_path: Path, sandbox: Sandbox, pay: Pay) -> None:
    """Whatever name leads to the file; it sends nothing, a dry run is free, and the lock ends with the first run."""
    path = write(tmp_path / "payments.csv", *(make_row(number) for number in range(4)))
    (tmp_path / "symlink.csv").symlink_to(path)
    (tmp_path / "hardlink.csv").hardlink_to(path)
    sandbox.fail(Fault(hang=True), method="POST", after=1, times=None)
    async with started(sandbox, str(path), "--concurrency", "1") as process:
        await happens(lambda: count_posts(sandbox) == 2)
        for name in ("payments.csv", "symlink.csv", "hardlink.csv"):
            other = str(tmp_path / name)
            result = await pay(other)
            sentence = f"amili: {other} is being registered by another run of amili pay; wait until it has finished\n"
            assert (result.exit_code, result.stdout, result.stderr) == (2, "", sentence)
        assert (await pay(str(path), "--dry-run")).exit_code == 0
        assert count_posts(sandbox) == 2
        process.kill()
        await process.wait()
    sandbox.stop_failing()
    assert (await pay(str(path))).exit_code == 0
    assert references(sandbox) == [f"PAY-{number:04}" for number in range(4)]


async def test_a_redirected_file_is_locked_too(tmp_path: Path, sandbox: Sandbox, pay: Pay) -> None:
    """`amili pay - < FILE` holds the lock of FILE, and releases it although the shell keeps FILE open."""
    path = write(tmp_path / "payments.csv", make_row(0))
    with path.open("rb") as shell:
        for code, held in ((2, True), (0, False)):
            with path.open("rb") as other:
                if held:
                    fcntl.flock(other, fcntl.LOCK_EX)
                process = await asyncio.create_subprocess_exec(
                    *(*PAY, "-"), stdin=shell, stdout=-3, stderr=-3, env=os.environ | access(sandbox)
                )
                assert await process.wait() == code
    with path.open("rb") as shell:
        process = await asyncio.create_subprocess_exec(*(*PAY, "-"), stdin=shell, env=os.environ | access(sandbox))
        assert await process.wait() == 0
        assert (await pay(str(path))).exit_code == 0
    assert count_posts(sandbox) == 1


@pytest.mark.parametrize("day", ["2052-07-04", "0025-07-04", "2014-07-04"])
async def test_an_implausible_date_is_rejected(day: str, tmp_path: Path, sandbox: Sandbox, pay: Pay) -> None:
    """In a file and from options; nothing is sent. The flag accepts an old one."""
    path = str(write(tmp_path / "payments.csv", make_row(0), make_row(1, bank_transaction_date=day)))
    options = [day if value == "2025-07-04" else value for value in ONE]
    for arguments, place in (((path,), "line 3: "), (options, "--bank-date: ")):
        result = await pay(*arguments)
        assert (result.exit_code, result.stdout, count_posts(sandbox)) == (2, "", 0)
        assert result.stderr.startswith(f"amili: {place}bank_transaction_date ")
        assert day not in result.stderr
    assert (await pay(path, "--any-date")).exit_code == (0 if day.startswith("2014") else 2)


async def test_the_plan_of_a_large_file_is_its_first_and_last_rows(tmp_path: Path, pay: Pay) -> None:
    """With the number of the rows between and the sum of all, for less than four times the CPU of parsing them."""
    path = write(tmp_path / "payments.csv", *(make_row(number) for number in range(20_000)))
    begun = time.process_time()
    assert len(parse_payments(path.read_bytes()).rows) == 20_000
    parsed = time.process_time()
    result = await pay(str(path), "--dry-run", width=120)
    ended = time.process_time()
    assert ended - parsed < 4 * (parsed - begun)
    shown = re.findall(r"PAY-(\d+)", result.stdout)
    assert (result.exit_code, shown) == (0, [f"{number:04}" for number in (*range(30), *range(19_990, 20_000))])
    assert re.search(r"… +19,960 more", result.stdout)
    total = f"{sum(number + 1.5 for number in range(20_000)):,.2f}"
    assert result.stdout.endswith(f"\n20,000 payments, {total} SEK in total; nothing was sent\n")
    wrong = str(write(tmp_path / "wrong.csv", *(make_row(number) for number in range(100)), make_row(100, amount="x")))
    result = await pay(wrong, "--dry-run")
    assert (result.exit_code, result.stdout, "line 102: amount must be digits" in result.stderr) == (2, "", True)


async def test_with_claims_two_processes_may_run_over_one_list_at_once(
    claims_url: str, tmp_path: Path, sandbox: Sandbox, pay: Pay
) -> None:
    """Each payment is registered once; what the other process has claimed is reported as not sent."""
    files = [write(tmp_path / name, *(make_row(number) for number in range(5))) for name in ("one.csv", "copy.csv")]
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(started(sandbox, "--yes", "--claims", claims_url, str(file)))
            for file in files
        ]
        codes = await asyncio.gather(*(process.wait() for process in processes))
    assert set(codes) <= {0, 3}
    assert references(sandbox) == [f"PAY-{number:04}" for number in range(5)]
    again = await pay("--yes", str(files[1]), **access(sandbox), AMILI_CLAIMS_URL=claims_url)
    assert (again.exit_code, count_posts(sandbox)) == (0, 5)


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("postgresql://anna:canary@/postgres?host=/nonexistent", 3, "Postgres cannot be used"),
        ("redis://:canary@127.0.0.1:1/0", 3, "could not be claimed"),
        ("mysql://anna:canary@localhost", 2, "must be redis://"),
    ],
)
async def test_without_the_store_of_claims_nothing_is_sent(
    address: str, code: int, words: str, file: Path, sandbox: Sandbox, pay: Pay
) -> None:
    """An address that cannot work, or at which no server is, whose password is not shown."""
    result = await pay("--yes", str(file), "--claims", address)
    assert result.exit_code == code
    assert words in result.stdout + result.stderr
    assert "canary" not in result.stdout + result.stderr
    assert count_posts(sandbox) == 0
