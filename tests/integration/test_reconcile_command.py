"""`amili reconcile`, as somebody at a terminal and a script meet it."""

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amili_async.cli import sources
from amili_async.cli.app import app
from amili_async.reconciliation import run as reconciling
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals

RECONCILE = (sys.executable, "-m", "amili_async", "reconcile")
PAYOUTS = "finance--payouts"
SPECIFICATIONS = "finance--payout-specifications"
UNKNOWN = "f" * 24
MANY = 350
"""Payouts enough for the fourth page of them to be asked for after the first hundred were handed on."""
NOT_REACHED = {"AMILI_BASE_URL": "http://127.0.0.1:9", "AMILI_TOKEN": "hemlig-6f2d"}
"""An API at which nobody answers."""

Prepare = Callable[[Sandbox], None]
Given = Callable[..., list[Sandbox]]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Makes the sandbox of `--sandbox` one of few rows, to which something has happened."""

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

        monkeypatch.setattr(sources, "Sandbox", Prepared)
        monkeypatch.setattr(reconciling, "RECHECK_DELAY", 0.0)
        return started

    return give


def reconcile(*arguments: str, **environment: str) -> Result:
    """Run the command in this process, on the sandbox unless the environment names an API."""
    where = () if environment else ("--sandbox",)
    return CliRunner().invoke(app, ("reconcile", *where, *arguments), env={"COLUMNS": "80"} | environment)


def overstate(sandbox: Sandbox) -> None:
    """The third payout says an öre more than its specifications."""
    row = sandbox.rows(PAYOUTS)[2]
    sandbox.update(PAYOUTS, row["_id"], {"total_amount": row["total_amount"] + Decimal("0.01")})


def orphan(sandbox: Sandbox) -> None:
    """A specification that awaited a payout names one that does not exist."""
    row = next(row for row in sandbox.rows(SPECIFICATIONS) if row.get("payout") is None)
    sandbox.update(SPECIFICATIONS, row["_id"], {"payout": UNKNOWN})


def fill(sandbox: Sandbox, count: int = MANY) -> None:
    """Payouts of one specification each."""
    own = {"amount": Decimal("100.5"), "vat_amount": Decimal(25), "total_amount": Decimal("125.5"), "currency": "SEK"}
    for number in range(1, count + 1):
        payout_id = f"{number:024x}"
        sandbox.insert(PAYOUTS, {"_id": payout_id, "summary": {"capital": {"count": 1, **own}}, **own})
        sandbox.insert(SPECIFICATIONS, {"_id": f"{number:012x}" * 2, "payout": payout_id, "article": "capital", **own})


def third(sandbox: Sandbox) -> str:
    """The id of the third payout."""
    payout_id: str = sandbox.rows(PAYOUTS)[2]["_id"]
    return payout_id


def assert_one_sentence(result: Result, code: int, says: str) -> None:
    assert result.exit_code == code
    assert re.fullmatch(r"amili: [^\n]*\n", result.stderr), result.stderr
    assert re.search(says, result.stderr)
    assert "hemlig" not in result.output


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def access(sandbox: Sandbox) -> dict[str, str]:
    """The environment of a command that uses a sandbox, and that buffers what it prints."""
    return os.environ | {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token(), "PYTHONUNBUFFERED": ""}


def test_when_all_agrees_it_is_one_line(given: Given) -> None:
    """All payouts of the sandbox are folded, nothing is named, and the exit code is 0."""
    (started, result) = given(), reconcile()
    assert (result.exit_code, result.stderr) == (0, "")
    rows = started[0].rows(PAYOUTS)
    total = sum((Decimal(row["total_amount"]) for row in rows), Decimal(0))
    assert re.search(rf"^ +6 +\d+  SEK .* {total:,.2f}$", result.stdout, re.MULTILINE)
    assert re.search(r"\n\n6 payouts, \d\d specifications: all reconciled\n$", result.stdout)
    assert not any(row["_id"] in result.stdout for row in rows)
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_differing_payout_is_shown_in_full(given: Given) -> None:
    """With its id and both numbers; the others are folded; the exit code is 1."""
    started, result = given(overstate), reconcile()
    assert (result.exit_code, result.stderr) == (1, "")
    stated = Decimal(started[0].rows(PAYOUTS)[2]["total_amount"])
    assert re.search(rf"^{third(started[0])}  ", result.stdout, re.MULTILINE)
    line = rf"^total_amount +{stated:,.2f} +{stated - Decimal('0.01'):,.2f} +0\.01$"
    assert re.search(line, result.stdout, re.MULTILINE)
    assert re.search(r"\n6 payouts, \d\d specifications: 5 reconciled, 1 differs\n$", result.stdout)


def test_specifications_of_a_payout_that_does_not_exist_differ(given: Given) -> None:
    """All payouts agree, and yet the exit code is 1; a filter leaves the others out."""
    given(orphan)
    result = reconcile()
    assert result.exit_code == 1
    assert f"\n{UNKNOWN}\nthis payout does not exist, but 1 specification names it" in result.stdout
    assert "all reconciled; 1 payout that specifications name does not exist\n" in result.stdout
    filtered = reconcile("--where", '{"currency": "SEK"}')
    assert filtered.exit_code == 0
    assert UNKNOWN not in filtered.stdout


def test_where_chooses_the_payouts(given: Given) -> None:
    """The API's own filter with ISO dates; what is wrong elsewhere is nothing against those that it chooses."""
    started = given(overstate)
    where = '{"finance_category": "capital", "_created": {"$gt": "2025-01-03"}}'
    result = reconcile("--where", where, "--json", "--quiet")
    capital = [row for row in started[0].rows(PAYOUTS) if row["finance_category"] == "capital"]
    assert result.exit_code == 0
    assert [json.loads(line)["payout"] for line in result.stdout.splitlines()] == [capital[1]["_id"]]
    assert len(capital) == 2


def test_nothing_that_matches_is_all_right(given: Given) -> None:
    """In each form: two words, no line, or the header alone."""
    given()
    where = ("--where", '{"currency": "EUR"}')
    assert (reconcile(*where).exit_code, reconcile(*where).stdout) == (0, "no payouts\n")
    assert (reconcile("--json", *where).exit_code, reconcile("--json", *where).stdout) == (0, "")
    as_csv = reconcile("--csv", *where)
    assert (as_csv.exit_code, as_csv.stdout.count("\n"), as_csv.stderr) == (0, 1, "amili: no payouts\n")
    assert as_csv.stdout.startswith("payout,payout_reference,")


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_quiet_says_nothing_when_all_is_well(form: tuple[str, ...], given: Given) -> None:
    """No table and no sentence; rows that were asked for are there, and what differs is told nevertheless."""
    given()
    result = reconcile("--quiet", *form)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == {(): 0, ("--json",): 6, ("--csv",): 7}[form]
    given(overstate)
    result = reconcile("--quiet", *form)
    assert result.exit_code == 1
    assert "5 reconciled, 1 differs" in (result.stderr if form else result.stdout)


def test_json_is_a_document_per_payout(given: Given) -> None:
    """In order of their ids, and with what the API said to the digit; stdout holds nothing else."""
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
    says = r"amili: 6 payouts, \d\d specifications: 5 reconciled, 1 differs; 1 payout .* does not exist\n"
    assert re.fullmatch(says, result.stderr)


def test_csv_is_a_row_per_payout(given: Given) -> None:
    """Under one header."""
    started, result = given(overstate), reconcile("--csv")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    rows = list(csv.DictReader(result.stdout.splitlines(keepends=True), strict=True))
    assert [row["payout"] for row in rows] == sorted(row["_id"] for row in started[0].rows(PAYOUTS))
    (wrong,) = [row for row in rows if row["agrees"] == "false"]
    assert wrong["payout"] == third(started[0])
    assert Decimal(wrong["stated_total_amount"]) - Decimal(wrong["found_total_amount"]) == Decimal("0.01")
    assert re.match(r"total_amount is [\d,.]+, but its specifications come to", wrong["differences_in_words"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--json", "--csv"), "--json and --csv cannot go together"),
        (("--where", '{"hemlig'), "--where is not valid JSON"),
        (("--where", '{"amount": {"$near": "hemlig"}}'), "unknown operator"),
        (("--html", "/missing/a.html"), "/missing/a.html cannot be written: No such file"),
        (("--html", "/"), "/ is a directory"),
        (("--html", os.devnull), "is not a file"),
    ],
)
def test_a_mistake_of_the_caller_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...], says: str) -> None:
    """It is told before anything is asked of the API, without what was compared with."""
    result = reconcile(*arguments, **NOT_REACHED)
    assert_one_sentence(result, 2, says)
    assert result.stdout == ""


def test_progress_alone_is_worth_counting_the_payouts(given: Given) -> None:
    """With --quiet the API is not asked how many there are."""
    started = given()
    reconcile()
    reconcile("--quiet")
    shown, quiet = ([request.path for request in sandbox.requests] for sandbox in started)
    assert len(shown) == len(quiet) + 1
    assert shown.count(f"/{PAYOUTS}") == quiet.count(f"/{PAYOUTS}") + 1


@pytest.mark.parametrize("form", ["--json", "--csv", "--html"])
def test_what_was_written_stays_when_the_api_fails(form: str, given: Given, tmp_path: Path) -> None:
    """The first payouts are there as whole rows, and the exit code is 3; of a page there is nothing."""
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


def test_what_differs_is_told_although_the_api_fails_later(given: Given) -> None:
    """The table is of what was compared until then, and says so; the exit code is that of the failure."""

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


async def leave_early(sandbox: Sandbox, *options: str) -> tuple[int, bytes]:
    """Read the first few bytes of the rows and leave; the exit code, and what stderr says."""
    pipe = asyncio.subprocess.PIPE
    command = (*RECONCILE, "--json", *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=access(sandbox), limit=1024)
    assert process.stdout is not None
    assert process.stderr is not None
    assert (await process.stdout.read(10)).startswith(b'{"payout":')
    internals.close_stdout(process)
    told = await process.stderr.read()
    return await process.wait(), told


async def test_a_reader_who_leaves_does_not_hide_the_verdict(tmp_path: Path) -> None:
    """The exit code is 1 where something differs, and the page is made all the same."""
    page = tmp_path / "page.html"
    async with Sandbox(payouts=0, specifications=0, rate_limit=None) as sandbox:
        fill(sandbox)
        overstate(sandbox)
        assert await leave_early(sandbox, "--html", str(page)) == (1, b"")
    assert "1 of 350 payouts differs" in page.read_text()


def test_a_server_that_does_not_count_is_compared_all_the_same(given: Given) -> None:
    """The count is only for the progress."""

    def count_no_more(sandbox: Sandbox) -> None:
        sandbox.override(page=lambda _, page: {**page, "_meta": {"max_results": page["_meta"]["max_results"]}})

    given(count_no_more)
    result = reconcile()
    assert (result.exit_code, result.stdout.splitlines()[-1].endswith("all reconciled")) == (0, True)


def test_an_api_that_refuses_leaves_stdout_empty(given: Given) -> None:
    """Not even a header is written before the first row, and the exit code is 3."""
    given(lambda sandbox: sandbox.fail(Fault(status=403), path=PAYOUTS))
    result = reconcile("--csv")
    assert_one_sentence(result, 3, "403")
    assert result.stdout == ""


def test_a_page_is_made_and_replaced(given: Given, tmp_path: Path) -> None:
    """It is whole, names what differs, leaves nothing beside it, and the table is printed as usual."""
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


def test_a_page_may_come_with_rows(given: Given, tmp_path: Path) -> None:
    """Also when all agrees and --quiet says nothing."""
    given()
    page = tmp_path / "page.html"
    result = reconcile("--html", str(page), "--json", "--quiet")
    assert (result.exit_code, result.stdout.count("\n"), result.stderr) == (0, 6, "")
    assert "</html>" in page.read_text(encoding="utf-8")


def test_a_link_stays_a_link(given: Given, tmp_path: Path) -> None:
    """The page that it points to is replaced."""
    given()
    page, link = tmp_path / "page.html", tmp_path / "latest.html"
    page.write_text("the old one")
    link.symlink_to(page.name)
    assert reconcile("--html", str(link), "--quiet").exit_code == 0
    assert link.is_symlink()
    assert "</html>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("sent", "code", "says"), [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated")]
)
async def test_a_stopped_command_keeps_its_rows(sent: int, code: int, says: bytes, tmp_path: Path) -> None:
    """Its own exit code and one sentence; a row is there as soon as it is known, and the old page is untouched.

    What is still missing is whether other specifications name a payout that does not exist.
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
            async with asyncio.timeout(20):
                line = await process.stdout.readline()
                process.send_signal(sent)
                rest, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert (process.returncode, rest) == (code, b"")
    assert re.fullmatch(rb"amili: %b\n" % says, err), err
    assert json.loads(line)["agrees"] is True
    assert (names_in(tmp_path), page.read_text()) == (["page.html"], "the old one")


async def test_a_reader_who_leaves_ends_it_in_silence() -> None:
    """As in `amili reconcile --json | head -1`, with more rows than a pipe holds."""
    async with Sandbox(payouts=0, specifications=0, rate_limit=None) as sandbox:
        fill(sandbox)
        assert await leave_early(sandbox) == (0, b"")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_on_a_terminal_no_bar_runs_into_the_rows(form: tuple[str, ...]) -> None:
    """Rows come without a progress bar, since they show the progress; the table comes after one."""
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
