"""The command line: output, files, exit codes and signals."""

import asyncio
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amili_async import AmiliClient
from amili_async.cli import connect, main
from amili_async.cli.app import app
from amili_async.cli.commands import export as exporting
from amili_async.export import ExportResult
from amili_async.reconciliation import run
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.clocks import HastyClock, happens, on_clock
from tests.support.programs import AMILI
from tests.support.stores import Store

SECRET = "hemlig-6f2d"
PAYOUT = "6776478033d4049c0400dd72"


def amili(*arguments: str, width: int = 80, **environment: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments, env={"COLUMNS": str(width)} | environment)


async def amili_on(sandbox: Sandbox, *arguments: str, **environment: str) -> Result:
    """Run a command on *sandbox* in a thread of this process."""
    variables = {"COLUMNS": "80"} | access(sandbox) | environment
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=variables)


@pytest.fixture
def _unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients without a rate limit and without waits."""
    hasty = partial(on_clock(HastyClock()).from_env, rate_limit=None)
    monkeypatch.setattr(connect, "AmiliClient", SimpleNamespace(from_env=hasty))


@asynccontextmanager
async def started(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command in its own process, killed after the test."""
    process = await asyncio.create_subprocess_exec(
        *AMILI,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_written(spool: Path) -> bool:
    """Whether records are in the spool of an export, beyond its magic bytes."""
    return spool.exists() and spool.stat().st_size > 1_000


def assert_one_sentence(result: Result, code: int, pattern: str) -> None:
    assert result.exit_code == code
    assert re.fullmatch(r"amili: [^\n]*\n", result.stderr), result.stderr
    assert re.search(pattern, result.stderr)
    assert result.stdout == ""
    assert SECRET not in result.output


def test_the_demo_reconciles_everything() -> None:
    """The table of categories fits the terminal, the summary counts everything, and the exit code is 0."""
    result = amili("demo", "--payouts", "10", "--specifications", "300")
    assert result.exit_code == 0
    assert "\n10 payouts, 278 specifications: all reconciled\n" in result.stdout
    assert re.search(r"\n7 requests in \d+\.\d s; 22 specifications await a payout\n$", result.stdout)
    assert all(f"\n{category} " in result.stdout for category in ("amili commission", "capital", "interest", "all"))
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stderr == ""


def test_the_demo_finds_a_planted_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payout that is an öre off is shown with both numbers, and the exit code is 1."""
    planted: list[str] = []

    class WrongSandbox(Sandbox):
        async def start(self) -> None:
            await super().start()
            row = self.rows("finance--payouts")[3]
            self.update("finance--payouts", row["_id"], {"total_amount": row["total_amount"] + Decimal("0.01")})
            planted.append(row["_id"])

    monkeypatch.setattr("amili_async.sandbox.Sandbox", WrongSandbox)
    monkeypatch.setattr(run, "RECHECK_DELAY", 0.0)
    result = amili("demo", "--payouts", "10", "--specifications", "100")
    assert result.exit_code == 1
    assert result.stdout.count(planted[0]) == 1
    assert re.search(r"\ntotal_amount +[\d,.]+ +[\d,.]+ +0\.01\n", result.stdout)
    assert ": 9 reconciled, 1 differs\n" in result.stdout
    assert re.search(r"no: 1 of 2", result.stdout)


@pytest.mark.parametrize(("resource", "total"), [("payouts", 50), ("specifications", 500), ("payments", 40)])
def test_a_list_is_a_table_that_fits(resource: str, total: int) -> None:
    """No line is wider than the terminal, each row has its id, and the last line counts the records."""
    for width in (80, 140):
        result = amili("list", resource, "--sandbox", "--limit", "7", width=width)
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= width
        assert len(re.findall(r"^[0-9a-f]{24} ", result.stdout, re.MULTILINE)) == 7
        assert result.stdout.endswith(f"\n7 of {total} {resource}\n")
        assert "…" not in result.stdout


def test_the_digits_of_money_are_aligned() -> None:
    """Amounts have thousands separators and two decimals, and end in the same column."""
    result = amili("list", "payouts", "--sandbox", "--limit", "6")
    rows = [line.rstrip() for line in result.stdout.splitlines() if re.match("[0-9a-f]{24} ", line)]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(re.search(r" \d{1,3}(,\d{3})*\.\d\d$", row) for row in rows)
    assert "," in "".join(rows)


def test_where_sort_and_fields_select_records() -> None:
    """The filter accepts ISO dates, the sort descends, and only the chosen fields are listed, in their order."""
    where = '{"payout_date": {"$gte": "2025-06-01", "$lt": "2025-06-25"}}'
    options = ("--where", where, "--sort", "-payout_date", "--fields", "payout_date,_id", "--json")
    result = amili("list", "finance--payouts", "--sandbox", *options)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(row) for row in rows] == [["payout_date", "_id"]] * len(rows)
    days = [row["payout_date"] for row in rows]
    assert days == sorted(days, reverse=True)
    assert (days[0] < "2025-06-25", days[-1] >= "2025-06-01", len(days) > 2) == (True, True, True)


def test_json_has_exact_digits_and_undocumented_fields() -> None:
    """JSON keeps what the API sent: whole numbers with and without `.0`, and undocumented fields."""
    result = amili("list", "specifications", "--sandbox", "--limit", "100", "--json")
    assert re.search(r'"amount":\d+,', result.stdout)
    assert re.search(r'"amount":\d+\.0,', result.stdout)
    assert result.stdout.count("\n") == 100
    assert '"campaign":"sommar-2025"' in result.stdout


def test_chosen_fields_that_do_not_fit_are_named() -> None:
    """No chosen field is dropped silently."""
    options = ("--fields", "_id,creditor,_etag,amount", "--limit", "2")
    result = amili("list", "payouts", "--sandbox", *options)
    assert "not shown, because the terminal is too narrow: _etag, amount" in result.stdout
    assert "not shown" not in amili("list", "payouts", "--sandbox", *options, width=140).stdout


async def test_an_empty_list_is_no_error() -> None:
    """Its output is one line, and the exit code is 0 without a filter; a filter that matches nothing is exit code 1."""
    for where, code, error in ((None, 0, ""), ('{"currency": "EUR"}', 1, "amili: no payouts match --where\n")):
        async with Sandbox(payouts=0, rate_limit=None) as sandbox:
            options = () if where is None else ("--where", where)
            result = await amili_on(sandbox, "list", "payouts", *options)
            assert (result.exit_code, result.stdout, result.stderr) == (code, "no payouts\n", error)
            result = await amili_on(sandbox, "list", "payouts", "--json", *options)
            assert (result.exit_code, result.stdout, result.stderr) == (code, "", error)


def test_get_shows_the_present_fields() -> None:
    """Under the API's names, those of the summary dotted; absent ones are left out, and nothing is cut off."""
    result = amili("get", "payouts", PAYOUT, "--sandbox")
    assert result.exit_code == 0
    assert re.search(rf"^_id +{PAYOUT} *$", result.stdout, re.MULTILINE)
    assert re.search(r"^vat_amount +0\.00 *$", result.stdout, re.MULTILINE)
    amount = re.search(r"^summary\.capital\.amount +([\d,]+\.\d\d) *$", result.stdout, re.MULTILINE)
    total = re.search(r"^summary\.capital\.total_amount +([\d,]+\.\d\d) *$", result.stdout, re.MULTILINE)
    assert amount is not None
    assert total is not None
    assert amount[1] == total[1]
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_null_differs_from_absent() -> None:
    """A null field shows null and an absent one is left out, in the view and in the JSON."""
    found = amili("list", "payouts", "--sandbox", "--json", "--where", '{"payout_reference": null}', "--limit", "1")
    document = json.loads(found.stdout)
    assert document["payout_reference"] is None
    view = amili("get", "payouts", document["_id"], "--sandbox").stdout
    assert re.search(r"^payout_reference +null *$", view, re.MULTILINE)
    assert {line.split()[0].split(".")[0] for line in view.splitlines() if line[:1].strip()} == set(document)
    assert json.loads(amili("get", "payouts", document["_id"], "--sandbox", "--json").stdout) == document


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "jsonl"])
def test_an_export_holds_every_record(suffix: str, tmp_path: Path) -> None:
    """All records are in the file, by id, with its manifest beside it; stderr counts them."""
    file = tmp_path / f"lines.{suffix}"
    result = amili("export", "specifications", "-o", str(file), "--sandbox")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"500 specifications in {file}\n"
    ids = re.findall(r'^(?:\{"_id":")?([0-9a-f]{24})', file.read_text(), re.MULTILINE)
    assert ids == sorted(set(ids))
    assert len(ids) == 500
    assert file.read_text().count("\n") == 500 + (suffix == "csv")
    assert names_in(tmp_path) == [file.name, f"{file.name}.manifest.json"]


def test_a_quiet_export_prints_nothing(tmp_path: Path) -> None:
    """After a complete export --quiet leaves stdout and stderr empty."""
    file = tmp_path / "lines.parquet"
    result = amili("export", "specifications", "-o", str(file), "--sandbox", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert file.read_bytes().startswith(b"PAR1")


def test_an_export_of_chosen_fields_has_these_columns(tmp_path: Path) -> None:
    """Undocumented fields can be chosen, too."""
    file = tmp_path / "lines.csv"
    options = ("--fields", "campaign,amount", "--sort", "-amount", "--where", '{"campaign": "sommar-2025"}')
    assert amili("export", "specifications", "-o", str(file), "--sandbox", *options).exit_code == 0
    header, *rows = file.read_text().splitlines()
    assert header == "campaign,amount"
    amounts = [Decimal(row.removeprefix("sommar-2025,")) for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    assert len(amounts) > 5


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    """Without --force it stays unchanged, and the error names both ways on."""
    file = tmp_path / "a.csv"
    file.write_text("precious")
    assert_one_sentence(
        amili("export", "payouts", "-o", str(file), "--sandbox"),
        2,
        "exists already; --force replaces it, --since updates it",
    )
    assert file.read_text() == "precious"
    assert amili("export", "payouts", "-o", str(file), "--sandbox", "--force").exit_code == 0
    assert file.read_text().startswith("_id,")


def test_rows_that_change_during_an_export_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may be wrong: exit code 1 and one sentence, with --quiet, too."""

    async def drift(_: Any, path: Path, **options: Any) -> ExportResult:
        return ExportResult(path=path, rows=1, drifted=True)

    monkeypatch.setattr(exporting, "export", drift)
    result = amili("export", "payouts", "-o", str(tmp_path / "a.csv"), "--sandbox", "--quiet", "--sort", "amount")
    assert_one_sentence(result, 1, "may miss some payouts, because rows were inserted or deleted")


def test_an_export_that_lacks_rows_fails(tmp_path: Path) -> None:
    """Fewer rows than the API counted are exit code 3, one sentence with the numbers, and a file of another name."""

    class ForgetfulSandbox(Sandbox):
        async def start(self) -> None:
            await super().start()
            self.override(page=_forget_the_third_row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("amili_async.sandbox.Sandbox", ForgetfulSandbox)
        result = amili("export", "payouts", "-o", str(tmp_path / "a.csv"), "--sandbox", "--quiet")
    assert_one_sentence(
        result,
        3,
        "of finance--payouts the API sent 49 but counted 50 and then 50; what it sent is in .*a.csv.partial",
    )
    assert names_in(tmp_path) == ["a.csv.partial", "a.csv.partial.manifest.json"]


def _forget_the_third_row(_: Any, listing: dict[str, Any]) -> dict[str, Any]:
    return {**listing, "_items": listing["_items"][:2] + listing["_items"][3:]}


@pytest.mark.usefixtures("_unlimited")
@pytest.mark.parametrize("value", [Decimal("1E+30"), [1]])
async def test_an_export_is_not_to_be_resumed_at_a_row_that_stays(value: object, tmp_path: Path) -> None:
    """A row that cannot be written or decoded ends the export with its id, and --resume is not advised."""
    async with Sandbox(specifications=500, rate_limit=None) as sandbox:
        wrong = sorted(row["_id"] for row in sandbox.rows("finance--payout-specifications"))[450]
        sandbox.update("finance--payout-specifications", wrong, {"amount": value})
        for options in ((), ("--resume",)):
            result = await amili_on(sandbox, "export", "specifications", "-o", str(tmp_path / "a.parquet"), *options)
            assert wrong in result.stderr
            assert "--resume" not in result.stderr


@pytest.mark.usefixtures("_unlimited")
async def test_an_export_reports_rounded_amounts(tmp_path: Path) -> None:
    """The noise of a float in one row does not end the export, and is counted on stderr; text keeps it."""
    async with Sandbox(specifications=500, rate_limit=None) as sandbox:
        row = sandbox.rows("finance--payout-specifications")[300]["_id"]
        sandbox.update("finance--payout-specifications", row, {"amount": Decimal("-8.5265128291212022E-14")})
        for suffix, ending in (("csv", ""), ("parquet", "; 1 amount rounded to six decimals, .*")):
            result = await amili_on(sandbox, "export", "specifications", "-o", str(tmp_path / f"a.{suffix}"))
            assert result.exit_code == 0
            assert re.fullmatch(f"500 specifications in .*a.{suffix}{ending}\n", result.stderr)


@pytest.mark.usefixtures("_unlimited")
async def test_a_sorted_export_is_reported_as_no_complete_extract(tmp_path: Path) -> None:
    """Missing records cannot always be noticed with --sort, so success is qualified."""
    async with Sandbox(payouts=20, rate_limit=None) as sandbox:
        result = await amili_on(sandbox, "export", "payouts", "-o", str(tmp_path / "a.csv"), "--sort", "amount")
    assert result.exit_code == 0
    assert "20 payouts in" in result.stderr
    assert "; no complete extract: with --sort" in result.stderr


def test_a_file_system_without_locks_is_reported(tmp_path: Path) -> None:
    """The export is made, and one line warns that another must not run at the same time."""
    program = (
        "import errno, fcntl, sys\n"
        "def flock(*_): raise OSError(errno.ENOTSUP, 'Operation not supported')\n"
        "fcntl.flock = flock\n"
        "from amili_async.cli import main\n"
        "main()"
    )
    file = tmp_path / "a.csv"
    command = (sys.executable, "-c", program, "export", "payouts", "--sandbox", "--quiet", "-o", str(file))
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert file.read_text().startswith("_id,")
    assert re.fullmatch(r"amili: .*a\.csv\.part cannot be locked, .*: run one export to it at a time\n", result.stderr)


def test_a_sorted_export_cannot_be_resumed(tmp_path: Path) -> None:
    """--sort uses page numbers, so it excludes the options that need the order of ids."""
    options = ("-o", str(tmp_path / "a.csv"), "--sandbox", "--sort", "amount")
    for flag in ("--resume", "--since"):
        assert_one_sentence(amili("export", "payouts", *options, flag), 2, "--sort, --excel and -o - exclude")


@pytest.mark.usefixtures("_unlimited")
async def test_since_updates_a_file(tmp_path: Path) -> None:
    """--since replaces what changed in its place, and --sweep removes deleted records."""
    file = tmp_path / "payouts.csv"
    async with Sandbox(payouts=20, rate_limit=None) as sandbox:
        changed, deleted, *_ = sandbox.rows("finance--payouts")
        created = await amili_on(sandbox, "export", "payouts", "-o", str(file))
        assert (created.exit_code, created.stderr) == (0, f"20 payouts in {file}\n")
        sandbox.update("finance--payouts", changed["_id"], {"payout_reference": "brought up to date"})
        updated = await amili_on(sandbox, "export", "payouts", "-o", str(file), "--since")
        assert updated.exit_code == 0
        assert "; 1 of them new or changed" in updated.stderr
        assert file.read_text().count("brought up to date") == 1
        sandbox.delete("finance--payouts", deleted["_id"])
        swept = await amili_on(sandbox, "export", "payouts", "-o", str(file), "--since", "--sweep")
        assert swept.exit_code == 0
        assert swept.stderr.startswith("19 payouts")
    assert file.read_text().count("brought up to date") == 1
    assert deleted["_id"] not in file.read_text()
    assert file.read_text().count("\n") == 20


@pytest.mark.usefixtures("_unlimited")
async def test_an_interrupted_export_can_be_resumed(tmp_path: Path) -> None:
    """The error explains how; --resume completes the file and requests nothing that was written already."""
    file = tmp_path / "lines.ndjson"
    export = ("export", "specifications", "-o", str(file))
    async with Sandbox(specifications=2000, rate_limit=None) as sandbox:
        sandbox.fail(Fault(status=403), path="finance--payout-specifications", after=12, times=None)
        failed = await amili_on(sandbox, *export)
        assert_one_sentence(
            failed, 3, "403.*; the records so far are kept; run the same command with --resume to continue$"
        )
        assert not file.exists()
        assert_one_sentence(await amili_on(sandbox, *export), 2, "unfinished export.*--resume")
        sandbox.stop_failing()
        sandbox.requests.clear()
        resumed = await amili_on(sandbox, *export, "--resume")
        assert (resumed.exit_code, resumed.stderr) == (0, f"2,000 specifications in {file}\n")
        assert len(sandbox.requests) <= 12
        assert file.read_bytes().count(b"\n") == 2000
        assert names_in(tmp_path) == [file.name, f"{file.name}.manifest.json"]


def test_creditors_and_cases_are_listed() -> None:
    """As tables and as JSON; of a case no field of the debtor is shown, whatever the output."""
    creditors = amili("list", "creditors", "--sandbox")
    assert creditors.exit_code == 0
    assert "2000037" in creditors.stdout
    assert creditors.stdout.endswith("5 of 5 creditors\n")
    table = amili("list", "cases", "--limit", "3", "--sandbox", width=200)
    assert re.search(r"\n3 of \d+ cases\n$", table.stdout)
    rows = [json.loads(line) for line in amili("list", "cases", "--json", "--sandbox").stdout.splitlines()]
    one = amili("get", "cases", rows[0]["_id"], "--sandbox")
    excel = amili("list", "cases", "--excel", "--sandbox")
    assert rows[0]["debt"]["invoice_number"] in one.stdout
    assert rows[0]["debt"]["invoice_number"] in excel.stdout
    assert [text for text in (table, one, excel) if re.search("customer|Exempel Person|19121212", text.stdout)] == []
    assert [name for row in rows for name in row if "customer" in name] == []


def test_the_cases_of_an_invoice_are_listed() -> None:
    """`--invoice` is for cases, can be combined with `--where`, and is named where nothing matches."""
    found = json.loads(amili("list", "cases", "--json", "--limit", "1", "--sandbox").stdout)
    invoice, creditor = found["debt"]["invoice_number"], json.dumps({"creditor": found["creditor"]})
    for extra in ((), ("--where", creditor)):
        result = amili("list", "cases", "--invoice", invoice, "--json", "--sandbox", *extra)
        assert found in [json.loads(line) for line in result.stdout.splitlines()]
    for arguments, code, pattern in (
        (("cases", "--invoice", "none"), 1, "no cases match --invoice\n"),
        (("cases", "--invoice", invoice, "--where", '{"currency": "EUR"}'), 1, "match --where and --invoice\n"),
        (("payouts", "--invoice", invoice), 2, "--invoice is for cases"),
        (("cases", "--invoice", "a" * 24), 2, "debt.invoice_number holds text"),
    ):
        result = amili("list", *arguments, "--sandbox")
        assert result.exit_code == code
        assert pattern in result.stderr


def test_a_mistake_of_the_caller_is_one_sentence_and_exit_code_2() -> None:
    """It names what is wrong, without a traceback and without values of the filter."""
    for arguments, pattern in (
        (("list", "customers"), "RESOURCE must be one of"),
        (("list", "payouts"), "AMILI_TOKEN is not set.*--sandbox"),
        (("list", "payouts", "--where", f'{{"{SECRET}'), "--where is not valid JSON"),
        (("list", "payouts", "--sandbox", "--where", f'{{"payout_date": "{SECRET}"}}'), "payout_date holds a date"),
        (("list", "payouts", "--sandbox", "--where", f'{{"amount": {{"$near": "{SECRET}"}}}}'), "unknown operator"),
        (("list", "payouts", "--sandbox", "--sort", "a b"), "field name"),
        (("get", "payouts", SECRET, "--sandbox"), "24 hexadecimal digits"),
        (("export", "payouts", "-o", "a.xlsx", "--sandbox"), r"\.ndjson, \.jsonl, \.csv or \.parquet"),
        (("export", "payouts", "-o", "/missing/a.csv", "--sandbox"), "/missing/a.csv cannot be written"),
    ):
        assert_one_sentence(amili(*arguments), 2, pattern)


def test_an_impossible_token_is_not_printed() -> None:
    """Where there are credentials, the error does not offer the sandbox."""
    result = amili("list", "payouts", AMILI_TOKEN=f"{SECRET}\n")
    assert_one_sentence(result, 2, "an access token must be")
    assert "--sandbox" not in result.stderr


def test_a_wrong_option_is_exit_code_2() -> None:
    """So is a missing argument."""
    assert amili("list", "payouts", "--limit", "0").exit_code == 2
    assert amili("list").exit_code == 2


def test_an_api_error_is_one_sentence_and_exit_code_3() -> None:
    """For a record that does not exist."""
    assert_one_sentence(amili("get", "payouts", "0" * 24, "--sandbox"), 3, "404")


async def test_rejected_credentials_are_one_sentence_and_exit_code_3() -> None:
    """Without the token."""
    async with Sandbox() as sandbox:
        assert_one_sentence(await amili_on(sandbox, "list", "payouts", AMILI_TOKEN=SECRET), 3, "401")


async def test_the_environment_names_the_api() -> None:
    """`AMILI_BASE_URL` and `AMILI_TOKEN` are enough for every command."""
    async with Sandbox(payouts=3) as sandbox:
        result = await amili_on(sandbox, "list", "payouts")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("3 of 3 payouts\n")


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated")]
)
async def test_a_stopped_export_keeps_what_was_written(sent: int, code: int, word: bytes, tmp_path: Path) -> None:
    """The exit code is the signal's, the error explains how to resume, and there is no file under the target's name."""
    async with Sandbox(specifications=1500, rate_limit=None) as sandbox:
        sandbox.fail(Fault(hang=True), path="finance--payout-specifications", after=6, times=None)
        file = tmp_path / "lines.csv"
        async with started("export", "specifications", "-o", str(file), **access(sandbox)) as process:
            await happens(lambda: len(sandbox.requests) - sandbox.in_flight >= 6)
            await happens(lambda: is_written(tmp_path / f"{file.name}.part"))
            process.send_signal(sent)
            out, err = await process.communicate()
        assert (process.returncode, out) == (code, b"")
        assert re.fullmatch(rb"amili: %b; [^\n]* --resume to continue\n" % word, err), err
        assert names_in(tmp_path) == [f"{file.name}.checkpoint.json", f"{file.name}.part"]


async def test_a_closed_pipe_ends_the_list_silently() -> None:
    """As in `amili list … --json | head -1`."""
    async with started("list", "specifications", "--sandbox", "--limit", "500", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert (await process.stdout.readline()).startswith(b'{"_id":')
        internals.close_stdout(process)
        assert await process.stderr.read() == b""
        assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_sandbox_serves_until_it_is_stopped(number: signal.Signals) -> None:
    """Its output is enough to use it, and a signal ends it with exit code 0."""
    async with started("sandbox", "--payouts", "3", "--no-rate-limit") as process:
        assert process.stdout is not None
        printed = [(await process.stdout.readline()).decode() for _ in range(4)]
        exported = dict(
            line.removeprefix("export ").strip().split("=") for line in printed if line.startswith("export")
        )
        async with AmiliClient(exported["AMILI_BASE_URL"], auth=exported["AMILI_TOKEN"]) as client:
            assert await client.payouts.count() == 3
        process.send_signal(number)
        _, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")


async def test_a_verbose_sandbox_logs_each_request() -> None:
    """On stderr, with the status, without its query and token; stdout holds the lines to paste alone."""
    async with started("sandbox", "-v", "--payouts", "3", "--no-rate-limit") as process:
        assert process.stdout is not None
        printed = [(await process.stdout.readline()).decode() for _ in range(4)]
        url, token = (line.partition("=")[2].strip() for line in printed[1:3])
        async with AmiliClient(url, auth=token) as client:
            assert await client.payouts.count({"currency": SECRET}) == 0
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    (line,) = err.decode().splitlines()
    assert line.endswith(" DEBUG amili_async.sandbox GET /finance--payouts returned 200")
    assert (out, process.returncode) == (b"", 0)


def test_a_port_in_use_is_one_sentence_and_exit_code_2() -> None:
    """With the reason of the operating system."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = amili("sandbox", "--port", str(taken.getsockname()[1]))
    assert_one_sentence(result, 2, r"port \d+ cannot be used: Address already in use")


@pytest.mark.parametrize("missing", ["jinja2", "rich", "typer"])
def test_without_the_extra_the_error_names_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence and exit code 2, whichever package is missing."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit, match="2"):
        main()
    assert stderr.getvalue() == f"amili: {missing} not installed: pip install 'amili-async[cli]'\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_one_sentence() -> None:
    """Exit code 2, and Python adds nothing at exit."""
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*AMILI, "list", "payouts", "--sandbox"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert result.returncode == 2
    assert result.stderr == b"amili: the output cannot be written: No space left on device\n"


def test_the_help_of_each_command_has_an_example() -> None:
    """Of that command."""
    for command in ("demo", "list", "get", "export", "reconcile", "pay", "sandbox"):
        result = amili(command, "--help")
        assert result.exit_code == 0
        assert re.search(rf"Example: +amili {command}", result.stdout)


def test_the_example_of_a_record_exists() -> None:
    """The sandbox holds the id that the help of `get` shows."""
    assert f"amili get payouts {PAYOUT} --sandbox" in amili("get", "--help").stdout
    assert amili("get", "payouts", PAYOUT, "--sandbox").exit_code == 0


def test_the_help_explains_credentials_and_exit_codes() -> None:
    """And names the command to start with."""
    text = " ".join(amili("--help").stdout.split())
    for word in ("AMILI_TOKEN", "AMILI_API_CODE", "130 interrupted", "amili demo", "--sandbox"):
        assert word in text


def test_version_prints_the_version() -> None:
    """On one line, after the name of the package."""
    assert re.fullmatch(r"amili-async \d+\.\d+\.\d+\n", amili("--version").stdout)


def access(sandbox: Sandbox) -> dict[str, str]:
    """What to set in the environment to use a sandbox."""
    return {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()}


WHERE = """{"payout_dat": {"$gte": "2025-06-01"}}"""


async def test_a_filter_that_matches_nothing_leaves_a_good_file(tmp_path: Path) -> None:
    """Stderr names the mistyped field and the nearest one, also with --quiet; nothing is written; exit code 1."""
    file = tmp_path / "payouts.csv"
    async with Sandbox(payouts=3, rate_limit=None) as sandbox:
        warning = "amili: --where: payouts have no documented field 'payout_dat'; did you mean payout_date?\n"
        error = f"amili: no payouts match --where; {file} was not written\n"
        for options in (("--force", "--quiet"), ("--since",), ("--sort", "amount", "--force"), ("--excel", "--force")):
            for content in (None, b"good"):
                file.unlink(missing_ok=True)
                if content is not None:
                    file.write_bytes(content)
                arguments = ("export", "payouts", "-o", str(file), "--where", WHERE, *options)
                result = await amili_on(sandbox, *arguments)
                assert (result.exit_code, result.stdout, result.stderr) == (1, "", warning + error)
                assert (file.read_bytes() if file.exists() else None) == content
                assert names_in(tmp_path) == [file.name] * (content is not None)


async def test_mistyped_names_are_reported(tmp_path: Path) -> None:
    """In filter, sort and fields, also within $or; documented names, short ones and parts of objects are not."""
    async with Sandbox(payouts=3, rate_limit=None) as sandbox:
        for mistyped, words in (
            (("--where", '{"$or": [{"Amount": 1}, {"currency": "SEK"}]}'), "--where: .*'Amount'; did you mean amount"),
            (("--where", '{"booking_date": {"$gt": "2020-01-01"}}'), "--where: .*'booking_date'"),
            (("--sort", "-payout_dates,amount"), "--sort: .*'payout_dates'; did you mean payout_date"),
            (("--fields", "_id,creator"), "--fields: .*'creator'; did you mean creditor"),
            (("--where", '{"xyzzy": {"$exists": false}}'), "the API ignores or never matches unknown names"),
        ):
            result = await amili_on(sandbox, "list", "payouts", *mistyped)
            assert len(re.findall(words, result.stderr)) == 1
        known = ("--where", '{"summary.capital": {"$exists": true}}', "--sort", "-_updated", "--fields", "id,summary")
        assert "documented" not in (await amili_on(sandbox, "list", "payouts", *known)).stderr
        result = await amili_on(
            sandbox, "list", "specifications", "--where", '{"references.cases": {"$exists": false}}'
        )
        assert "did you mean references.case?" in result.stderr


async def test_an_export_to_stdout_is_ndjson(tmp_path: Path) -> None:
    """`-o -` writes every record once, and with --excel rows of CSV; what needs a file is rejected."""
    async with Sandbox(payouts=0, specifications=250, payments=0, rate_limit=None) as sandbox:
        result = await amili_on(sandbox, "export", "specifications", "-o", "-", "--fields", "_id,amount")
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert (result.exit_code, len({row["_id"] for row in rows}), len(rows)) == (0, 250, 250)
        assert result.stderr == "250 specifications in stdout\n"
        sorted_rows = await amili_on(sandbox, "export", "specifications", "-o", "-", "--sort", "-amount", "--quiet")
        amounts = [Decimal(str(json.loads(line)["amount"])) for line in sorted_rows.stdout.splitlines()]
        assert (len(amounts), amounts) == (250, sorted(amounts, reverse=True))
        excel = await amili_on(sandbox, "export", "specifications", "-o", "-", "--excel", "--fields", "_id,amount")
        assert (excel.stdout[:12], excel.stdout.count("\n")) == ("\ufeff_id;amount\n", 251)
        for option in ("--resume", "--since"):
            result = await amili_on(sandbox, "export", "specifications", "-o", "-", option)
            assert_one_sentence(result, 2, "-o - exclude --resume, --since and --sweep")
    assert names_in(tmp_path) == []


async def test_an_export_to_a_url_is_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file appears in the store, and nothing stays here; one that exists is replaced only by --force."""
    monkeypatch.chdir(tmp_path)
    store = Store("memory://exports", {})
    async with Sandbox(payouts=40, rate_limit=None) as sandbox:
        output = ("export", "payouts", "-o", "memory://exports/payouts.csv.gz")
        result = await amili_on(sandbox, *output)
        assert (result.exit_code, result.stderr) == (0, "40 payouts in memory://exports/payouts.csv.gz\n")
        assert gzip.decompress(store.read("payouts.csv.gz")).count(b"\n") == 41
        again = await amili_on(sandbox, *output)
        assert_one_sentence(again, 2, "exists already: --force replaces it, --since brings it up to date")
        assert (await amili_on(sandbox, *output, "--since")).exit_code == 0
        other = await amili_on(sandbox, "export", "payouts", "-o", "https://example.com/a.csv")
        assert_one_sentence(other, 2, "https:// cannot be exported to")
    assert names_in(tmp_path) == []


async def test_an_interrupted_export_to_a_url_is_kept_in_the_workdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--resume with the same --workdir continues it there; a path has no --workdir."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "work"
    folder.mkdir()
    output = ("export", "payouts", "-o", "memory://workdir/payouts.csv", "--workdir", str(folder))
    async with Sandbox(payouts=500, rate_limit=None) as sandbox:
        sandbox.fail(Fault(status=403), path="finance--payouts", after=3)
        broken = await amili_on(sandbox, *output)
        assert broken.exit_code == 3
        assert "--resume" in broken.stderr
        assert {name.partition("payouts")[2] for name in names_in(folder)} == {".csv.checkpoint.json", ".csv.part"}
        result = await amili_on(sandbox, *output, "--resume")
        assert (result.exit_code, result.stderr) == (0, "500 payouts in memory://workdir/payouts.csv\n")
        wrong = await amili_on(sandbox, "export", "payouts", "-o", "a.csv", "--workdir", str(folder))
        assert_one_sentence(wrong, 2, "--workdir requires a URL")
    assert names_in(folder) == []
    assert names_in(tmp_path) == ["work"]


async def test_a_file_for_a_spreadsheet_is_guarded(tmp_path: Path) -> None:
    """Byte order mark, semicolons, decimal commas, days; text is neither run nor converted; amounts stay numbers."""
    file = tmp_path / "payouts.csv"
    async with Sandbox(payouts=1, rate_limit=None) as sandbox:
        row_id = sandbox.rows("finance--payouts")[0]["_id"]
        changes = {"payout_reference": "00123", "currency": '=HYPERLINK("x")', "amount": Decimal("-1234.50")}
        sandbox.update("finance--payouts", row_id, changes)
        fields = ("--fields", "currency,payout_reference,payout_date,amount")
        result = await amili_on(sandbox, "export", "payouts", "-o", str(file), "--excel", *fields)
        assert (result.exit_code, result.stderr) == (0, f"1 payout in {file}\n")
        content = file.read_bytes()
        day = (await amili_on(sandbox, "list", "payouts", "--fields", "payout_date")).stdout.split()[2]
        assert content.decode() == (
            "\ufeffcurrency;payout_reference;payout_date;amount\r\n"
            f'"\'=HYPERLINK(""x"")";"=""00123""";{day};-1234,50\r\n'
        )
        listed = await amili_on(sandbox, "list", "payouts", "--excel", *fields)
        assert listed.stdout_bytes == content
        again = await amili_on(sandbox, "export", "payouts", "-o", str(file), "--excel")
        assert_one_sentence(again, 2, "exists already; --force replaces it")
        other = await amili_on(sandbox, "export", "payouts", "-o", str(tmp_path / "x.parquet"), "--excel")
        assert_one_sentence(other, 2, "--excel writes CSV: the name of the file must end in .csv")


@pytest.mark.parametrize("command", ["", "demo", "list", "get", "export", "reconcile", "pay", "sandbox"])
def test_the_help_fits_and_shows_no_type_of_a_flag(command: str) -> None:
    """Whatever the version of typer; the example is one line at 80 columns, and completion can be installed."""
    text = amili(*command.split(), "--help").stdout
    assert not re.search(r"(?i)<bool>|BOOLEAN", text)
    example = re.search(r"^ (?:Example|Start here):  (amili .*?) *$", text, re.MULTILINE)
    assert example is not None
    assert example[1].count("'") % 2 == 0
    assert re.search(rf"{re.escape(example[1])} *\n\s*$", text)
    assert ("--install-completion" in text) == (not command)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("{payout_date: 1}", r"put it in single quotes, .* --where '\{\"currency\": \"SEK\"\}'"),
        ('{"payout_date": "x"}', r"a day or a time with its zone \(2025-06-13T08:00:00Z"),
        ('{"amount": {"$in": [1, null]}}', "comparison with null"),
        ('{"currency": ["SEK"]}', r"use \$in"),
        ('{"$or": [' * 300 + '{"amount": 1}' + "]}" * 300, "--where is nested more than 100 levels deep"),
        ('{"amount": ' + '{"$not": ' * 900 + "1" + "}" * 901, "--where is (nested more than 100|not valid)"),
    ],
)
def test_errors_have_the_words_of_the_command_line(where: str, words: str) -> None:
    """Not those of the library: neither parameters nor types of Python; a deep filter does not exhaust the stack."""
    result = amili("list", "payouts", "--sandbox", "--where", where)
    assert_one_sentence(result, 2, words)
    assert not re.search(r"datetime|RFC 1123|base_url|is_in\(|None|True", result.stderr)


@pytest.mark.parametrize(
    ("words", "completed"),
    [("amili li", "list"), ("amili list p", "payouts payments"), ("amili export payouts --wh", "--where")],
)
def test_the_shell_completes_words(words: str, completed: str) -> None:
    """Commands, resources and options."""
    environment = {"_AMILI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": f"{words.count(' ')}"}
    result = CliRunner().invoke(app, [], env=environment, prog_name="amili")
    assert (result.exit_code, result.stdout.split()) == (0, completed.split())
