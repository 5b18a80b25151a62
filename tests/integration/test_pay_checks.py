"""`amili pay` before it sends: creditors by their numbers, and the case of each payment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amili_async.cli import connect
from amili_async.cli.app import app
from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import HastyClock, on_clock
from tests.support.payments import CASE, PAYMENTS

HEADER = "creditor,case,invoice_number,amount,bank_transaction_date,creditor_payment_reference"
Pay = Callable[..., Awaitable[Result]]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The five creditors, and no cases."""
    async with Sandbox(payouts=0, specifications=0, payments=0, rate_limit=None) as started:
        yield started


@pytest.fixture
def pay(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pay:
    """Runs the command on the sandbox, with a file of the given lines."""
    hasty = partial(on_clock(HastyClock()).from_env, rate_limit=None)
    monkeypatch.setattr(connect, "AmiliClient", SimpleNamespace(from_env=hasty))

    async def run(*lines: str, options: tuple[str, ...] = ()) -> Result:
        path = tmp_path / "payments.csv"
        path.write_text("\n".join((HEADER, *lines)))
        variables = {"COLUMNS": "160", "AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()}
        arguments = ["pay", *((str(path),) if lines else ()), *options]
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=variables)

    return run


def line(number: int, *, creditor: str, case: str = "", invoice: str = "") -> str:
    return f"{creditor},{case},{invoice},{number + 1}.50,2026-07-04,PAY-{number:04}"


def posts(sandbox: Sandbox) -> int:
    return sum(request.method == "POST" for request in sandbox.requests)


def registered(sandbox: Sandbox) -> dict[str, str]:
    """The creditor of each registered payment."""
    return {row["creditor_payment_reference"]: row["creditor"] for row in sandbox.rows(PAYMENTS)}


# Creditors by their numbers


async def test_a_creditor_is_named_by_its_numbers(sandbox: Sandbox, pay: Pay) -> None:
    """A creditor number, and an organisation number with or without its hyphen, become the id."""
    first, second = sandbox.rows("creditors")[:2]
    number = second["organization_no"]
    lines = (
        line(0, creditor=str(first["creditor_number"]), case=CASE),
        line(1, creditor=number, case=CASE),
        line(2, creditor=number.replace("-", ""), case=CASE),
        line(3, creditor=first["_id"], case=CASE),
    )
    result = await pay(*lines)
    assert (result.exit_code, result.stdout) == (0, f"4 payments: 4 registered ({sandbox.url})\n")
    ids = [first["_id"], second["_id"], second["_id"], first["_id"]]
    assert registered(sandbox) == {f"PAY-{at:04}": each for at, each in enumerate(ids)}
    again = await pay(*lines)
    assert again.stdout == f"4 payments: 4 already registered ({sandbox.url})\n"


async def test_an_option_names_a_creditor_by_its_number(sandbox: Sandbox, pay: Pay) -> None:
    """As a file does; a dry run shows the id that would be sent."""
    creditor = sandbox.rows("creditors")[0]
    options = ("--creditor", str(creditor["creditor_number"]), "--case", CASE, "--amount", "5", "--reference", "ONE")
    result = await pay(options=(*options, "--bank-date", "2026-07-04", "--dry-run"))
    assert (result.exit_code, creditor["_id"] in result.stdout, posts(sandbox)) == (0, True, 0)


async def test_a_number_of_no_creditor_or_several_is_a_fault(sandbox: Sandbox, pay: Pay) -> None:
    """Each line is named, no value is quoted, and nothing is sent."""
    for name in ("One", "Two"):
        sandbox.insert("creditors", {"name": name, "organization_no": "556999-9999"})
    result = await pay(
        line(0, creditor="1234567", case=CASE),
        line(1, creditor="5569999999", case=CASE),
        line(2, creditor=sandbox.rows("creditors")[0]["_id"], case=CASE),
    )
    assert (result.exit_code, posts(sandbox)) == (2, 0)
    assert result.stderr == (
        "amili: line 2: no creditor has this number; give the creditor's id\n"
        "amili: line 3: 2 creditors have this number; give the creditor's id\n"
    )


async def test_one_creditor_by_two_names_needs_two_references(sandbox: Sandbox, pay: Pay) -> None:
    """Its number and its id are the same creditor, whose references must differ."""
    creditor = sandbox.rows("creditors")[0]
    first = line(0, creditor=str(creditor["creditor_number"]), case=CASE)
    result = await pay(first, line(0, creditor=creditor["_id"], case=CASE))
    assert (result.exit_code, posts(sandbox)) == (2, 0)
    assert "line 3: creditor and creditor_payment_reference are the same as on line 2" in result.stderr


async def test_a_fault_that_needs_no_request_is_reported_without_one(sandbox: Sandbox, pay: Pay) -> None:
    """A file with a wrong amount looks up no creditor."""
    result = await pay(line(0, creditor="2000037", case=CASE).replace("1.50", "x"))
    assert (result.exit_code, len(sandbox.requests)) == (2, 0)
    assert "line 2: amount must be digits" in result.stderr


async def test_a_server_that_ignores_the_filter_names_no_creditor(sandbox: Sandbox, pay: Pay) -> None:
    """A creditor that does not state the number is none that has it: its payments would go to another."""
    for row in sandbox.rows("creditors")[1:]:
        sandbox.delete("creditors", row["_id"])
    sandbox.override(query=lambda request: {name: text for name, text in request.query.items() if name != "where"})
    result = await pay(line(0, creditor="1234567", case=CASE))
    assert (result.exit_code, posts(sandbox)) == (3, 0)
    assert "ignore" in result.stderr


async def test_an_api_that_fails_registers_nothing(sandbox: Sandbox, pay: Pay) -> None:
    """A look-up that fails ends the command before anything is sent."""
    for options in ((), ("--check",)):
        sandbox.fail(Fault(status=403), path="cases" if options else "creditors", times=None)
        creditor = sandbox.rows("creditors")[0]["_id"] if options else "2000037"
        result = await pay(line(0, creditor=creditor, case=CASE), options=options)
        assert (result.exit_code, posts(sandbox)) == (3, 0)
        assert "returned 403" in result.stderr


# The case of each payment


@pytest.fixture
def creditor(sandbox: Sandbox) -> str:
    """A creditor with these cases: F-1 and F-2 open, F-3 closed, F-4 twice, F-5 once open and once closed."""
    own, other = (row["_id"] for row in sandbox.rows("creditors")[:2])
    for number, closed in (("F-1", None), ("F-2", False), ("F-3", True), ("F-4", False), ("F-4", False)):
        make_case(sandbox, own, number, closed)
    make_case(sandbox, own, "F-5", True)
    make_case(sandbox, own, "F-5", False)
    make_case(sandbox, other, "F-1", False)
    make_case(sandbox, other, "F-6", False)
    return str(own)


def make_case(sandbox: Sandbox, creditor: str, number: str, closed: Any) -> str:
    row: dict[str, Any] = {"creditor": creditor, "debt": {"invoice_number": number}, "state": "reminder"}
    row |= {"reference_number": f"R{len(sandbox.rows('cases'))}", "customer_name": "Eva"}
    return sandbox.insert("cases", row if closed is None else row | {"closed": closed})


async def test_payments_with_one_open_case_each_are_registered(sandbox: Sandbox, creditor: str, pay: Pay) -> None:
    """The cases are shown on stderr, by reference number and state; stdout has the outcomes alone."""
    case = sandbox.rows("cases")[0]["_id"]
    lines = [line(at, creditor=creditor, invoice=f) for at, f in enumerate(("F-1", "F-2", "F-5"))]
    result = await pay(*lines, line(3, creditor=creditor, case=case), options=("--check",))
    assert (result.exit_code, result.stdout) == (0, f"4 payments: 4 registered ({sandbox.url})\n")
    assert [word for word in ("R0, reminder", "R1, reminder", "R6, reminder") if word not in result.stderr] == []
    assert "4 payments, 12.00 SEK in total; one open case each\n" in result.stderr
    asked = [request.query["projection"] for request in sandbox.requests if request.path == "/cases"]
    assert len(asked) == 2
    assert "customer" not in "".join(asked)


async def test_a_payment_without_exactly_one_open_case_stops_all(sandbox: Sandbox, creditor: str, pay: Pay) -> None:
    """Its line shows what was found; nothing is sent, and the exit code is 1."""
    of_another = sandbox.rows("cases")[-1]["_id"]
    closed = sandbox.rows("cases")[2]["_id"]
    expected = {
        line(1, creditor=creditor, invoice="F-3"): "a closed case",
        line(2, creditor=creditor, invoice="F-4"): "2 open cases",
        line(3, creditor=creditor, invoice="F-6"): "no case with this invoice",
        line(4, creditor=creditor, invoice="a" * 24): "no case with this invoice",
        line(5, creditor=creditor, case=CASE): "no such case",
        line(6, creditor=creditor, case=of_another): "the case of another",
        line(7, creditor=creditor, case=closed): "a closed case",
    }
    for options, shown in ((("--check",), "stderr"), (("--check", "--dry-run"), "stdout")):
        result = await pay(line(0, creditor=creditor, invoice="F-1"), *expected, options=options)
        assert (result.exit_code, posts(sandbox)) == (1, 0)
        text = getattr(result, shown)
        rows = {row.split()[0]: row for row in text.splitlines() if row.strip()[:1].isdigit() and "PAY-" in row}
        assert list(rows) == [str(at + 2) for at in range(1, 8)]
        assert [words for words, row in zip(expected.values(), rows.values(), strict=True) if words not in row] == []
        assert "7 payments without exactly one open case; nothing was sent\n" in text


async def test_every_payment_without_a_case_is_shown(sandbox: Sandbox, creditor: str, pay: Pay) -> None:
    """Each of a hundred, so that all can be corrected at once, and none of those that have one."""
    lines = [line(at, creditor=creditor, invoice=f"X-{at}" if at % 2 else "F-1") for at in range(200)]
    result = await pay(*lines, options=("--check",))
    shown = [int(row.split()[0]) for row in result.stderr.splitlines() if "PAY-" in row]
    assert shown == [at + 2 for at in range(1, 200, 2)]


async def test_a_dry_run_shows_the_case_of_each_payment(sandbox: Sandbox, creditor: str, pay: Pay) -> None:
    """On stdout, and the exit code is 0."""
    result = await pay(line(0, creditor=creditor, invoice="F-1"), options=("--check", "--dry-run"))
    assert (result.exit_code, result.stderr, posts(sandbox)) == (0, "", 0)
    assert "R0, reminder" in result.stdout
    assert result.stdout.endswith("1 payment, 1.50 SEK in total; one open case each; nothing was sent\n")


async def test_many_payments_are_checked_by_few_requests(sandbox: Sandbox, pay: Pay) -> None:
    """Their invoice numbers are looked up together, as many as fit into a request line."""
    creditor = sandbox.rows("creditors")[0]["_id"]
    numbers = [f"{'Å' * 20}-{at:04}" for at in range(200)]
    for number in numbers:
        make_case(sandbox, creditor, number, closed=False)
    lines = [line(at, creditor=creditor, invoice=number) for at, number in enumerate(numbers)]
    sandbox.requests.clear()
    result = await pay(*lines, options=("--check", "--dry-run"))
    assert result.exit_code == 0, result.stderr
    assert "160 more" in result.stdout
    assert 2 <= sum(request.path == "/cases" for request in sandbox.requests) <= 20
