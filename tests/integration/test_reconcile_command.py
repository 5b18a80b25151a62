"""`amili reconcile`: its table, rows and page, its exit codes, and signals."""

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amili_async.cli.app import app
from amili_async.cli.reports.reconciliation_words import UNSETTLED
from amili_async.reconciliation import run
from amili_async.sandbox import Fault, ReceivedRequest, Sandbox
from tests.support import internals
from tests.support.clocks import GUARD
from tests.support.programs import AMILI, HASTY_AMILI

RECONCILE = (*AMILI, "reconcile")
PAYOUTS = "finance--payouts"
SPECIFICATIONS = "finance--payout-specifications"
UNKNOWN = "f" * 24
MANY = 350
"""Enough payouts for the fourth page to be requested after the first hundred were delivered."""
NOT_REACHED = {"AMILI_BASE_URL": "http://127.0.0.1:9", "AMILI_TOKEN": "hemlig-6f2d"}
"""An API that accepts no connection."""

Prepare = Callable[[Sandbox], None]
Given = Callable[..., list[Sandbox]]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Replaces the sandbox of `--sandbox` by a small one, prepared by the test."""

    def give(*prepare: Prepare, payouts: int = 6, specifications: int = 60) -> list[Sandbox]:
        started: list[Sandbox] = []

        class Prepared(Sandbox):
            def __init__(self, **options: Any) -> None:
                few = {"payouts": payouts, "specifications": specifications, "rate_limit": None}
                super().__init__(**(options | few))

            async def start(self) -> None:
                await super().start()
                started.append(self)
                for step in prepare:
                    step(self)

        monkeypatch.setattr("amili_async.sandbox.Sandbox", Prepared)
        monkeypatch.setattr(run, "RECHECK_DELAY", 0.0)
        return started

    return give


def reconcile(*arguments: str, **environment: str) -> Result:
    """Run the command in this process, on the sandbox unless the environment names an API."""
    where = () if environment else ("--sandbox",)
    return CliRunner().invoke(app, ("reconcile", *where, *arguments), env={"COLUMNS": "80"} | environment)


def overstate(sandbox: Sandbox) -> None:
    """Let the third payout state an öre more than its specifications."""
    row = sandbox.rows(PAYOUTS)[2]
    sandbox.update(PAYOUTS, row["_id"], {"total_amount": row["total_amount"] + Decimal("0.01")})


def keep_booking(sandbox: Sandbox) -> None:
    """Let the third payout state a crown more each time its specifications are requested."""
    overstate(sandbox)

    def book(request: ReceivedRequest) -> None:
        if request.path == f"/{SPECIFICATIONS}":
            row = sandbox.rows(PAYOUTS)[2]
            sandbox.update(PAYOUTS, row["_id"], {"total_amount": row["total_amount"] + 1})

    sandbox.before_each_request(book)


def orphan(sandbox: Sandbox) -> None:
    """Let a specification without a payout name one that does not exist."""
    row = next(row for row in sandbox.rows(SPECIFICATIONS) if row.get("payout") is None)
    sandbox.update(SPECIFICATIONS, row["_id"], {"payout": UNKNOWN})


def fill(sandbox: Sandbox, count: int = MANY) -> None:
    """Insert payouts of one specification each."""
    own = {"amount": Decimal("100.5"), "vat_amount": Decimal(25), "total_amount": Decimal("125.5"), "currency": "SEK"}
    for number in range(1, count + 1):
        payout_id = f"{number:024x}"
        sandbox.insert(PAYOUTS, {"_id": payout_id, "summary": {"capital": {"count": 1, **own}}, **own})
        sandbox.insert(SPECIFICATIONS, {"_id": f"{number:012x}" * 2, "payout": payout_id, "article": "capital", **own})


def third(sandbox: Sandbox) -> str:
    """The id of the third payout."""
    payout_id: str = sandbox.rows(PAYOUTS)[2]["_id"]
    return payout_id


def assert_one_sentence(result: Result, code: int, pattern: str) -> None:
    assert result.exit_code == code
    assert re.fullmatch(r"amili: [^\n]*\n", result.stderr), result.stderr
    assert re.search(pattern, result.stderr)
    assert "hemlig" not in result.output


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def access(sandbox: Sandbox) -> dict[str, str]:
    """The environment of a command that uses *sandbox* and buffers its output."""
    return os.environ | {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token(), "PYTHONUNBUFFERED": ""}


def test_agreeing_payouts_are_one_line(given: Given) -> None:
    """No payout is named, and the exit code is 0."""
    (started, result) = given(), reconcile()
    assert (result.exit_code, result.stderr) == (0, "")
    rows = started[0].rows(PAYOUTS)
    total = sum((Decimal(row["total_amount"]) for row in rows), Decimal(0))
    assert re.search(rf"^ +6 +\d+  SEK .* {total:,.2f}$", result.stdout, re.MULTILINE)
    assert re.search(r"\n\n6 payouts, \d\d specifications: all reconciled\n$", result.stdout)
    assert not any(row["_id"] in result.stdout for row in rows)
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_differing_payout_is_shown_in_full(given: Given) -> None:
    """With its id and both numbers; the others are one line; the exit code is 1."""
    started, result = given(overstate), reconcile()
    assert (result.exit_code, result.stderr) == (1, "")
    stated = Decimal(started[0].rows(PAYOUTS)[2]["total_amount"])
    assert re.search(rf"^{third(started[0])}  ", result.stdout, re.MULTILINE)
    line = rf"^total_amount +{stated:,.2f} +{stated - Decimal('0.01'):,.2f} +0\.01$"
    assert re.search(line, result.stdout, re.MULTILINE)
    assert re.search(r"\n6 payouts, \d\d specifications: 5 reconciled, 1 differs\n$", result.stdout)


def test_a_payout_that_is_being_booked_on_is_unsettled(given: Given, tmp_path: Path) -> None:
    """The table, the rows and the page show it so, and the exit code is 1: it may agree or differ."""
    page = tmp_path / "page.html"
    for options in (("--html", str(page)), ("--json",), ("--csv",)):
        given(keep_booking)
        result = reconcile(*options)
        assert result.exit_code == 1
        assert "5 reconciled, 1 unsettled\n" in result.output
        assert " differ" not in result.output.replace(UNSETTLED, "")
    assert "5 reconciled, 1 unsettled." in page.read_text()
    assert f"{UNSETTLED[1:]}." in page.read_text()


def test_specifications_of_a_payout_that_does_not_exist_differ(given: Given) -> None:
    """The exit code is 1 although all payouts agree; with a filter such specifications are ignored."""
    given(orphan)
    result = reconcile()
    assert result.exit_code == 1
    assert f"\n{UNKNOWN}\nthis payout does not exist, but 1 specification names it" in result.stdout
    assert "all reconciled; 1 payout named by specifications does not exist\n" in result.stdout
    filtered = reconcile("--where", '{"currency": "SEK"}')
    assert filtered.exit_code == 0
    assert UNKNOWN not in filtered.stdout


def test_where_selects_the_payouts(given: Given) -> None:
    """The filter accepts ISO dates; a payout outside of it cannot change the exit code."""
    started = given(overstate)
    where = '{"finance_category": "capital", "_created": {"$gt": "2025-01-03"}}'
    result = reconcile("--where", where, "--json", "--quiet")
    capital = [row for row in started[0].rows(PAYOUTS) if row["finance_category"] == "capital"]
    assert result.exit_code == 0
    assert [json.loads(line)["payout"] for line in result.stdout.splitlines()] == [capital[1]["_id"]]
    assert len(capital) == 2


def test_a_filter_that_matches_no_payout_is_a_problem(given: Given) -> None:
    """The output is two words, no line, or the header alone; stderr states it, also with --quiet; exit code 1."""
    given()
    where = ("--where", '{"currency": "EUR"}')
    error = "amili: no payouts match --where; nothing was compared\n"
    assert (reconcile(*where).exit_code, reconcile(*where).stdout) == (1, "no payouts\n")
    quiet = reconcile("--quiet", *where)
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (1, "", error)
    assert (reconcile("--json", *where).exit_code, reconcile("--json", *where).stdout) == (1, "")
    as_csv = reconcile("--csv", *where)
    assert (as_csv.exit_code, as_csv.stdout.count("\n"), as_csv.stderr) == (1, 1, f"amili: no payouts\n{error}")
    assert as_csv.stdout.startswith("payout,payout_reference,")


@pytest.mark.parametrize(("form", "lines"), [((), 0), (("--json",), 6), (("--csv",), 7)])
def test_quiet_prints_nothing_unless_something_differs(form: tuple[str, ...], lines: int, given: Given) -> None:
    """Neither a table nor a summary; the requested rows are written all the same."""
    given()
    result = reconcile("--quiet", *form)
    assert (result.exit_code, result.stderr, len(result.stdout.splitlines())) == (0, "", lines)
    given(overstate)
    result = reconcile("--quiet", *form)
    assert result.exit_code == 1
    assert "5 reconciled, 1 differs" in (result.stderr if form else result.stdout)


def test_json_is_a_document_per_payout(given: Given) -> None:
    """In the order of ids, with the API's exact digits; stdout holds nothing else."""
    started, result = given(overstate, orphan), reconcile("--json")
    assert result.exit_code == 1
    rows = [json.loads(line, parse_float=str) for line in result.stdout.splitlines()]
    stored = {row["_id"]: row for row in started[0].rows(PAYOUTS)}
    assert [row["payout"] for row in rows] == [*sorted(stored), UNKNOWN]
    for row in rows[:-1]:
        payout = stored[row["payout"]]
        assert {name: str(value) for name, value in row["stated"].items()} == {
            name: f"{payout[name]}" for name in ("amount", "vat_amount", "total_amount")
        }
        assert row["agrees"] == (row["payout"] != third(started[0])) == (not row["differences"])
        assert sum(article["count"] for article in row["articles"].values()) == row["specifications"] > 0
    assert [each["kind"] for each in rows[-1]["differences"]] == ["no_payout"]
    summary = r"amili: 6 payouts, \d\d specifications: 5 reconciled, 1 differs; 1 payout .* does not exist\n"
    assert re.fullmatch(summary, result.stderr)


def test_csv_is_a_row_per_payout(given: Given) -> None:
    """Under one header."""
    started, result = given(overstate), reconcile("--csv")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    rows = list(csv.DictReader(result.stdout.splitlines(keepends=True), strict=True))
    assert [row["payout"] for row in rows] == sorted(row["_id"] for row in started[0].rows(PAYOUTS))
    (wrong,) = [row for row in rows if row["agrees"] == "false"]
    assert wrong["payout"] == third(started[0])
    assert Decimal(wrong["stated_total_amount"]) - Decimal(wrong["found_total_amount"]) == Decimal("0.01")
    assert re.match(r"total_amount is [\d,.]+, but its specifications add up to", wrong["differences_in_words"])


def test_a_mistake_of_the_caller_is_one_sentence_and_exit_code_2() -> None:
    """It is found before any request, and the error holds no value of the filter."""
    for arguments, pattern in (
        (("--json", "--csv"), "--json and --csv cannot be combined"),
        (("--where", '{"hemlig'), "--where is not valid JSON"),
        (("--where", '{"amount": {"$near": "hemlig"}}'), "unknown operator"),
        (("--html", "/missing/a.html"), "/missing/a.html cannot be written: No such file"),
        (("--html", "/"), "/ is a directory"),
        (("--html", os.devnull), "is not a file"),
    ):
        result = reconcile(*arguments, **NOT_REACHED)
        assert_one_sentence(result, 2, pattern)
        assert result.stdout == ""


def test_only_the_progress_counts_the_payouts(given: Given) -> None:
    """--quiet saves that request."""
    started = given()
    reconcile()
    reconcile("--quiet")
    shown, quiet = ([request.path for request in sandbox.requests] for sandbox in started)
    assert len(shown) == len(quiet) + 1
    assert shown.count(f"/{PAYOUTS}") == quiet.count(f"/{PAYOUTS}") + 1


@pytest.mark.parametrize("form", ["--json", "--csv", "--html"])
def test_written_rows_remain_when_the_api_fails(form: str, given: Given, tmp_path: Path) -> None:
    """Rows are complete, the exit code is 3, and an old page remains unchanged."""
    given(fill, lambda sandbox: sandbox.fail(Fault(status=403), path=PAYOUTS, after=3), payouts=0, specifications=0)
    page = tmp_path / "page.html"
    page.write_text("the old one")
    options = (form, str(page)) if form == "--html" else (form,)
    result = reconcile(*options, "--quiet")
    assert_one_sentence(result, 3, "403")
    *rows, rest = result.stdout.split("\n")
    assert rest == ""
    assert (form == "--html") == (rows == [])
    assert [row for row in rows if re.search("[0-9a-f]{24}", row)] == rows[form == "--csv" :]
    assert len(rows) < MANY
    assert (names_in(tmp_path), page.read_text()) == (["page.html"], "the old one")


def test_differing_payouts_are_shown_although_the_api_fails_later(given: Given) -> None:
    """The table is marked as unfinished; the exit code is that of the failure."""

    def spoil(sandbox: Sandbox) -> None:
        fill(sandbox)
        overstate(sandbox)
        sandbox.fail(Fault(status=403), path=PAYOUTS, after=4)

    given(spoil, payouts=0, specifications=0)
    result = reconcile("--quiet")
    assert result.exit_code == 3
    assert "total_amount" in result.stdout
    unfinished, failure = result.stderr.splitlines()
    assert unfinished.startswith("amili: unfinished")
    assert "403" in failure


async def close_early(sandbox: Sandbox, *options: str) -> tuple[int, bytes]:
    """Read the first bytes of the rows and close the pipe; the exit code and stderr."""
    pipe = asyncio.subprocess.PIPE
    command = (*HASTY_AMILI, "reconcile", "--json", *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=access(sandbox), limit=1024)
    assert process.stdout is not None
    assert process.stderr is not None
    assert (await process.stdout.read(10)).startswith(b'{"payout":')
    internals.close_stdout(process)
    err = await process.stderr.read()
    return await process.wait(), err


async def test_a_closed_pipe_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """It is 1 where something differs, and the page is written all the same."""
    page = tmp_path / "page.html"
    async with Sandbox(payouts=0, specifications=0, rate_limit=None) as sandbox:
        fill(sandbox)
        overstate(sandbox)
        assert await close_early(sandbox, "--html", str(page)) == (1, b"")
    assert "349 reconciled, 1 differs" in page.read_text()


def test_a_missing_count_does_not_prevent_the_comparison(given: Given) -> None:
    """Only the progress needs it."""

    def omit_total(sandbox: Sandbox) -> None:
        sandbox.override(page=lambda _, page: {**page, "_meta": {"max_results": page["_meta"]["max_results"]}})

    given(omit_total)
    result = reconcile()
    assert (result.exit_code, result.stdout.splitlines()[-1].endswith("all reconciled")) == (0, True)


def test_an_api_error_leaves_stdout_empty(given: Given) -> None:
    """The header is written with the first row, so not even it is there; the exit code is 3."""
    given(lambda sandbox: sandbox.fail(Fault(status=403), path=PAYOUTS))
    result = reconcile("--csv")
    assert_one_sentence(result, 3, "403")
    assert result.stdout == ""


def test_a_page_is_written_and_replaced(given: Given, tmp_path: Path) -> None:
    """It names what differs, keeps the old page's permissions and leaves no other file; the table is printed, too."""
    started = given(overstate, orphan)
    page = tmp_path / "page.html"
    page.write_text("the old one")
    page.chmod(0o600)
    result = reconcile("--html", str(page))
    assert result.exit_code == 1
    assert "5 reconciled, 1 differs" in result.stdout
    text = page.read_text(encoding="utf-8")
    assert re.match(r"\s*<!doctype html>.*</html>\s*$", text, re.IGNORECASE | re.DOTALL)
    assert third(started[0]) in text
    assert UNKNOWN in text
    assert "the old one" not in text
    assert names_in(tmp_path) == ["page.html"]
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_page_can_accompany_rows(given: Given, tmp_path: Path) -> None:
    """Also with --quiet, and when everything agrees."""
    given()
    page = tmp_path / "page.html"
    result = reconcile("--html", str(page), "--json", "--quiet")
    assert (result.exit_code, result.stdout.count("\n"), result.stderr) == (0, 6, "")
    assert "</html>" in page.read_text(encoding="utf-8")


def test_a_link_remains_a_link(given: Given, tmp_path: Path) -> None:
    """The page that it links to is replaced."""
    given()
    page, link = tmp_path / "page.html", tmp_path / "latest.html"
    page.write_text("the old one")
    link.symlink_to(page.name)
    assert reconcile("--html", str(link), "--quiet").exit_code == 0
    assert link.is_symlink()
    assert "</html>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated")]
)
async def test_a_stopped_command_keeps_its_rows(sent: int, code: int, word: bytes, tmp_path: Path) -> None:
    """A row is written as soon as it is known, the exit code is the signal's, and an old page remains unchanged.

    The request that hangs looks for specifications of payouts that do not exist.
    """
    page = tmp_path / "page.html"
    page.write_text("the old one")
    async with Sandbox(payouts=0, specifications=0, rate_limit=None) as sandbox:
        fill(sandbox, 1)
        sandbox.fail(Fault(hang=True), path=SPECIFICATIONS, after=1)
        process = await asyncio.create_subprocess_exec(
            *(*RECONCILE, "--json", "--quiet", "--html", str(page)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=access(sandbox),
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(GUARD):
                line = await process.stdout.readline()
                process.send_signal(sent)
                rest, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert (process.returncode, rest) == (code, b"")
    assert re.fullmatch(rb"amili: %b\n" % word, err), err
    assert json.loads(line)["agrees"] is True
    assert (names_in(tmp_path), page.read_text()) == (["page.html"], "the old one")


async def test_a_closed_pipe_ends_it_silently() -> None:
    """As in `amili reconcile --json | head -1`, with more rows than a pipe holds."""
    async with Sandbox(payouts=0, specifications=0, rate_limit=None) as sandbox:
        fill(sandbox)
        assert await close_early(sandbox) == (0, b"")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_terminal_with_rows_has_no_progress_bar(form: tuple[str, ...]) -> None:
    """The bar would collide with them; the table is printed after it."""
    async with Sandbox(payouts=6, specifications=60, rate_limit=None) as sandbox:
        ours, theirs = os.openpty()
        environment = access(sandbox) | {"TERM": "xterm", "COLUMNS": "120"}
        process = await asyncio.to_thread(
            subprocess.run, [*RECONCILE, *form], stdout=theirs, stderr=theirs, check=False, env=environment
        )
        os.close(theirs)
        text = os.read(ours, 60_000).decode()
        os.close(ours)
    assert process.returncode == 0
    if form:
        *rows, conclusion = text.splitlines()
        assert [json.loads(row)["agrees"] for row in rows] == [True] * 6
        assert conclusion.startswith("amili: 6 payouts")
    else:
        assert "6 of 6 rows" in text
        assert "6 payouts, " in text


def test_the_page_can_be_written_to_stdout(given: Given) -> None:
    """With `--html -` stdout holds the page alone, and the summary is on stderr; no other form can share it."""
    given()
    result = reconcile("--html", "-")
    assert (result.exit_code, result.stdout[:15]) == (0, "<!DOCTYPE html>")
    assert re.fullmatch(r"amili: .* all reconciled\n", result.stderr)
    assert reconcile("--html", "-", "--csv").stderr == (
        "amili: --csv and --html - cannot be combined: stdout holds one of them\n"
    )


def test_rows_for_a_spreadsheet(given: Given) -> None:
    """With --excel the rows have semicolons and decimal commas, under the same names as with --csv."""
    given()
    excel, plain = reconcile("--excel"), reconcile("--csv")
    assert excel.exit_code == 0
    header, *rows = excel.stdout.splitlines()
    assert header.removeprefix("\ufeff").split(";") == plain.stdout.splitlines()[0].split(",")
    assert len(rows) == plain.stdout.count("\n") - 1
    assert re.search(r";-?\d+,\d\d;", rows[0])
