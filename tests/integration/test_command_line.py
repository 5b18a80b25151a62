"""The command line, as somebody at a terminal and a script meet it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amili_async import AmiliClient
from amili_async.cli import demo, exporting, sources
from amili_async.cli.app import app
from amili_async.export import ExportResult
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals

AMILI = (sys.executable, "-m", "amili_async")
SECRET = "hemlig-6f2d"
PAYOUT = "6776478033d4049c0400dd72"


def amili(*arguments: str, width: int = 80, **environment: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments, env={"COLUMNS": str(width)} | environment)


@asynccontextmanager
async def started(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command in a process of its own, gone after the test."""
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


def assert_one_sentence(result: Result, code: int, says: str) -> None:
    assert result.exit_code == code
    assert re.fullmatch(r"amili: [^\n]*\n", result.stderr), result.stderr
    assert re.search(says, result.stderr)
    assert result.stdout == ""
    assert SECRET not in result.output


def test_the_demo_reconciles_everything() -> None:
    """All payouts agree with their specifications, in a table that fits, and the exit code is 0."""
    result = amili("demo", "--payouts", "10", "--specifications", "300")
    assert result.exit_code == 0
    assert "10 payouts, 300 specifications: all 10 payouts reconciled" in result.stdout
    assert re.search(r"\n7 requests in \d+\.\d s; 22 specifications await a payout\n$", result.stdout)
    assert all(f"\n{category} " in result.stdout for category in ("amili commission", "capital", "interest", "all"))
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stderr == ""


def test_the_demo_finds_a_planted_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """One öre too much on one payout: it is named with both numbers, and the exit code is 1."""
    planted: list[str] = []

    class CrookedSandbox(Sandbox):
        async def start(self) -> None:
            await super().start()
            row = self.rows("finance--payouts")[3]
            self.update("finance--payouts", row["_id"], {"total_amount": row["total_amount"] + Decimal("0.01")})
            planted.append(row["_id"])

    monkeypatch.setattr(demo, "Sandbox", CrookedSandbox)
    result = amili("demo", "--payouts", "10", "--specifications", "100")
    assert result.exit_code == 1
    assert result.stdout.count(planted[0]) == 1
    assert "total_amount is " in result.stdout
    assert "9 of 10 payouts reconciled" in result.stdout
    assert re.search(r"no: 1 of 2", result.stdout)


@pytest.mark.parametrize("resource", ["payouts", "specifications", "payments"])
@pytest.mark.parametrize("width", [80, 140])
def test_a_list_is_a_table_that_fits(resource: str, width: int) -> None:
    """No line is wider than the terminal, each row has its id, and the last line says how many there are."""
    result = amili("list", resource, "--sandbox", "--limit", "7", width=width)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= width
    assert len(re.findall(r"^[0-9a-f]{24} ", result.stdout, re.MULTILINE)) == 7
    total = {"payouts": 50, "specifications": 500, "payments": 40}[resource]
    assert result.stdout.endswith(f"\n7 of {total} {resource}\n")
    assert ("…" in result.stdout) is False


def test_money_stands_digit_above_digit() -> None:
    """Amounts have separated thousands and two decimals, and end in the same column."""
    result = amili("list", "payouts", "--sandbox", "--limit", "6")
    rows = [line.rstrip() for line in result.stdout.splitlines() if re.match("[0-9a-f]{24} ", line)]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(re.search(r" \d{1,3}(,\d{3})*\.\d\d$", row) for row in rows)
    assert "," in "".join(rows)


def test_where_sort_and_fields_choose_what_is_listed() -> None:
    """The API's own filter with ISO dates, a descending sort, and only the fields asked for, in their order."""
    where = '{"payout_date": {"$gte": "2025-06-01", "$lt": "2025-06-25"}}'
    options = ("--where", where, "--sort", "-payout_date", "--fields", "payout_date,_id", "--json")
    result = amili("list", "finance--payouts", "--sandbox", *options)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(row) for row in rows] == [["payout_date", "_id"]] * len(rows)
    days = [row["payout_date"] for row in rows]
    assert days == sorted(days, reverse=True)
    assert (days[0] < "2025-06-25", days[-1] >= "2025-06-01", len(days) > 2) == (True, True, True)


def test_json_has_exact_digits_and_undocumented_fields() -> None:
    """What the API sent is not lost: whole numbers with and without `.0`, and fields that nobody documented."""
    result = amili("list", "specifications", "--sandbox", "--limit", "100", "--json")
    assert re.search(r'"amount":\d+,', result.stdout)
    assert re.search(r'"amount":\d+\.0,', result.stdout)
    assert result.stdout.count("\n") == 100
    assert '"campaign":"sommar-2025"' in result.stdout


def test_fields_for_which_there_is_no_room_are_named() -> None:
    """A chosen field that does not fit is not dropped in silence."""
    options = ("--fields", "_id,creditor,_etag,amount", "--limit", "2")
    result = amili("list", "payouts", "--sandbox", *options)
    assert "not shown, for want of room: _etag, amount" in result.stdout
    assert "not shown" not in amili("list", "payouts", "--sandbox", *options, width=140).stdout


def test_nothing_that_matches_is_no_table() -> None:
    """An empty list is not an error."""
    result = amili("list", "payouts", "--sandbox", "--where", '{"currency": "EUR"}')
    assert (result.exit_code, result.stdout) == (0, "no payouts\n")


def test_get_shows_what_is_there() -> None:
    """Fields under the API's names; absent ones are not shown, those of the summary are dotted; nothing is cut."""
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


def test_get_says_null_and_leaves_absent_fields_out() -> None:
    """The two are different things, in the view as in the JSON."""
    found = amili("list", "payouts", "--sandbox", "--json", "--where", '{"payout_reference": null}', "--limit", "1")
    document = json.loads(found.stdout)
    assert document["payout_reference"] is None
    view = amili("get", "payouts", document["_id"], "--sandbox").stdout
    assert re.search(r"^payout_reference +null *$", view, re.MULTILINE)
    assert {line.split()[0].split(".")[0] for line in view.splitlines() if line[:1].strip()} == set(document)
    assert json.loads(amili("get", "payouts", document["_id"], "--sandbox", "--json").stdout) == document


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "jsonl"])
def test_an_export_holds_every_record(suffix: str, tmp_path: Path) -> None:
    """All records are in the file, by id, with its manifest beside it; how many there are is said on stderr."""
    file = tmp_path / f"lines.{suffix}"
    result = amili("export", "specifications", "-o", str(file), "--sandbox")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"500 specifications in {file}\n"
    ids = re.findall(r'^(?:\{"_id":")?([0-9a-f]{24})', file.read_text(), re.MULTILINE)
    assert ids == sorted(set(ids))
    assert len(ids) == 500
    assert file.read_text().count("\n") == 500 + (suffix == "csv")
    assert names_in(tmp_path) == [file.name, f"{file.name}.manifest.json"]


def test_a_quiet_export_says_nothing(tmp_path: Path) -> None:
    """Where all is well, --quiet leaves stdout and stderr empty."""
    file = tmp_path / "lines.parquet"
    result = amili("export", "specifications", "-o", str(file), "--sandbox", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert file.read_bytes().startswith(b"PAR1")


def test_an_export_of_chosen_fields_has_these_columns(tmp_path: Path) -> None:
    """Fields that nobody documented can be chosen, too."""
    file = tmp_path / "lines.csv"
    options = ("--fields", "campaign,amount", "--sort", "-amount", "--where", '{"campaign": "sommar-2025"}')
    assert amili("export", "specifications", "-o", str(file), "--sandbox", *options).exit_code == 0
    header, *rows = file.read_text().splitlines()
    assert header == "campaign,amount"
    amounts = [Decimal(row.removeprefix("sommar-2025,")) for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    assert len(amounts) > 5


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    """Without --force it is left alone and the sentence says what to do."""
    file = tmp_path / "a.csv"
    file.write_text("precious")
    assert_one_sentence(amili("export", "payouts", "-o", str(file), "--sandbox"), 2, "exists already; --force.*--since")
    assert file.read_text() == "precious"
    assert amili("export", "payouts", "-o", str(file), "--sandbox", "--force").exit_code == 0
    assert file.read_text().startswith("_id,")


def test_rows_that_change_during_an_export_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may not be right: exit code 1 and one sentence, also when it should be quiet."""

    async def drift(_: Any, path: Path, **options: Any) -> ExportResult:
        return ExportResult(path=path, rows=1, drifted=True)

    monkeypatch.setattr(exporting, "export", drift)
    result = amili("export", "payouts", "-o", str(tmp_path / "a.csv"), "--sandbox", "--quiet", "--sort", "amount")
    assert_one_sentence(result, 1, "may lack some payouts or hold some twice")


def test_an_export_that_lacks_rows_is_told(tmp_path: Path) -> None:
    """Where fewer rows came than the API counted: exit code 3, the numbers in one sentence, and no file."""

    class ForgetfulSandbox(Sandbox):
        async def start(self) -> None:
            await super().start()
            self.override(page=_forget_the_third_row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "Sandbox", ForgetfulSandbox)
        result = amili("export", "payouts", "-o", str(tmp_path / "a.csv"), "--sandbox", "--quiet")
    assert_one_sentence(result, 3, "was not made: 49 rows of finance--payouts came, but the API counted 50 and then 50")
    assert names_in(tmp_path) == []


def _forget_the_third_row(_: Any, listing: dict[str, Any]) -> dict[str, Any]:
    return {**listing, "_items": listing["_items"][:2] + listing["_items"][3:]}


def test_an_order_of_ones_own_cannot_be_resumed(tmp_path: Path) -> None:
    """--sort pages by number, so what needs the order of ids is refused beside it."""
    options = ("-o", str(tmp_path / "a.csv"), "--sandbox", "--sort", "amount")
    for flag in ("--resume", "--since"):
        assert_one_sentence(amili("export", "payouts", *options, flag), 2, "--sort cannot go with")


async def test_a_file_is_brought_up_to_date(tmp_path: Path) -> None:
    """--since fetches what changed, puts it in its place, and --sweep leaves out what is gone."""
    file = tmp_path / "payouts.csv"
    async with Sandbox(payouts=20, rate_limit=None) as sandbox:
        first, second, *_ = sandbox.rows("finance--payouts")
        for more in ((), ("--since",), ("--since", "--sweep")):
            async with started("export", "payouts", "-o", str(file), *more, **access(sandbox)) as process:
                _, err = await process.communicate()
            assert process.returncode == 0, err
            says = {
                (): b"20 payouts in ",
                ("--since",): b"; 1 of them new or changed",
                ("--since", "--sweep"): b"19 payouts",
            }
            assert says[more] in err
            if not more:
                sandbox.update("finance--payouts", first["_id"], {"payout_reference": "brought up to date"})
            else:
                assert file.read_text().count("brought up to date") == 1
                sandbox.delete("finance--payouts", second["_id"]) if len(more) == 1 else None
    assert second["_id"] not in file.read_text()
    assert file.read_text().count("\n") == 20


async def test_an_interrupted_export_goes_on(tmp_path: Path) -> None:
    """The sentence says how; --resume completes the file and asks for nothing that was written already."""
    file = tmp_path / "lines.ndjson"
    async with Sandbox(specifications=2000, rate_limit=None) as sandbox:
        sandbox.fail(Fault(status=403), path="finance--payout-specifications", after=12, times=None)
        async with started("export", "specifications", "-o", str(file), **access(sandbox)) as process:
            _, err = await process.communicate()
        assert process.returncode == 3
        assert re.fullmatch(rb"amili: [^\n]*403[^\n]*the same command with --resume goes on\n", err), err
        assert not file.exists()
        async with started("export", "specifications", "-o", str(file), **access(sandbox)) as process:
            _, err = await process.communicate()
        assert (process.returncode, b"unfinished export" in err, b"--resume" in err) == (2, True, True)
        sandbox.stop_failing()
        sandbox.requests.clear()
        async with started("export", "specifications", "-o", str(file), "--resume", **access(sandbox)) as process:
            _, err = await process.communicate()
        assert (process.returncode, b"2,000 specifications in" in err) == (0, True)
        assert len(sandbox.requests) <= 12
        assert file.read_bytes().count(b"\n") == 2000
        assert names_in(tmp_path) == [file.name, f"{file.name}.manifest.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "cases"), "RESOURCE must be one of"),
        (("list", "payouts"), "AMILI_TOKEN is not set.*--sandbox"),
        (("list", "payouts", "--where", f'{{"{SECRET}'), "--where is not valid JSON"),
        (("list", "payouts", "--sandbox", "--where", f'{{"payout_date": "{SECRET}"}}'), "payout_date holds a date"),
        (("list", "payouts", "--sandbox", "--where", f'{{"amount": {{"$near": "{SECRET}"}}}}'), "unknown operator"),
        (("list", "payouts", "--sandbox", "--sort", "a b"), "field name"),
        (("get", "payouts", SECRET, "--sandbox"), "24 hexadecimal digits"),
        (("export", "payouts", "-o", "a.xlsx", "--sandbox"), r"\.ndjson, \.jsonl, \.csv or \.parquet"),
        (("export", "payouts", "-o", "/missing/a.csv", "--sandbox"), "/missing/a.csv cannot be written"),
    ],
)
def test_a_mistake_of_the_caller_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...], says: str) -> None:
    """It names what is wrong, without a traceback and without what was compared with."""
    assert_one_sentence(amili(*arguments), 2, says)


def test_credentials_that_cannot_work_are_told_without_being_shown() -> None:
    """A token that cannot be one: the sandbox is not offered, since credentials are there."""
    result = amili("list", "payouts", AMILI_TOKEN=f"{SECRET}\n")
    assert_one_sentence(result, 2, "an access token must be")
    assert "--sandbox" not in result.stderr


def test_a_wrong_option_is_exit_code_2() -> None:
    """Usage errors have the code of usage errors."""
    assert amili("list", "payouts", "--limit", "0").exit_code == 2
    assert amili("list").exit_code == 2


def test_what_the_api_refuses_is_one_sentence_and_exit_code_3() -> None:
    """A record that does not exist."""
    assert_one_sentence(amili("get", "payouts", "0" * 24, "--sandbox"), 3, "404")


async def test_refused_credentials_are_one_sentence_and_exit_code_3() -> None:
    """The token is not in it."""
    async with Sandbox() as sandbox, started("list", "payouts", **access(sandbox) | {"AMILI_TOKEN": SECRET}) as process:
        out, err = await process.communicate()
        assert (process.returncode, out, err.count(b"\n")) == (3, b"", 1)
        assert SECRET.encode() not in err
        assert b"Traceback" not in err


async def test_variables_of_the_environment_lead_to_the_api() -> None:
    """`AMILI_BASE_URL` and `AMILI_TOKEN` are enough for every command."""
    async with Sandbox(payouts=3) as sandbox, started("list", "payouts", **access(sandbox)) as process:
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert out.endswith(b"3 of 3 payouts\n")


@pytest.mark.parametrize(
    ("sent", "code", "says"), [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated")]
)
async def test_a_stopped_export_keeps_what_was_written(sent: int, code: int, says: bytes, tmp_path: Path) -> None:
    """Its own exit code, and one sentence that says how to go on; nothing lies under the file's own name."""
    async with Sandbox(specifications=1500, rate_limit=None) as sandbox:
        sandbox.fail(Fault(hang=True), path="finance--payout-specifications", after=6, times=None)
        file = tmp_path / "lines.csv"
        async with started("export", "specifications", "-o", str(file), **access(sandbox)) as process:
            async with asyncio.timeout(20):
                while len(sandbox.requests) - sandbox.in_flight < 6:  # noqa: ASYNC110 - the sandbox has no event for that
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # the answers arrive
            process.send_signal(sent)
            out, err = await process.communicate()
        assert (process.returncode, out) == (code, b"")
        assert re.fullmatch(rb"amili: %b; [^\n]* --resume goes on\n" % says, err), err
        assert names_in(tmp_path) == [f"{file.name}.checkpoint.json", f"{file.name}.part"]


async def test_a_reader_who_leaves_ends_the_list_in_silence() -> None:
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
    """What it prints is enough to use it, and stopping it is no failure."""
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


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    """Exit code 2 and the reason."""
    async with Sandbox() as sandbox:
        result = await asyncio.to_thread(
            subprocess.run,
            [*AMILI, "sandbox", "--port", sandbox.url.rpartition(":")[2]],
            capture_output=True,
            check=False,
        )
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr == b"amili: the port cannot be used: Address already in use\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    """One sentence and exit code 2, whichever of the two packages is not there."""
    program = f"import sys; sys.modules[{missing!r}] = None; from amili_async.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert re.fullmatch(r"amili: [^\n]*amili-async\[cli\][^\n]*\n", result.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_one_sentence() -> None:
    """Exit code 2, and Python adds nothing of its own when it ends."""
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*AMILI, "list", "payouts", "--sandbox"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert result.returncode == 2
    assert result.stderr == b"amili: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("command", ["demo", "list", "get", "export", "sandbox"])
def test_each_command_explains_itself_with_an_example(command: str) -> None:
    """The help of each has an example of its own."""
    result = amili(command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Example: +amili {command}", result.stdout)


def test_the_example_of_a_record_exists() -> None:
    """The id that the help of `get` names is there in the sandbox that it is asked of."""
    assert f"amili get payouts {PAYOUT} --sandbox" in amili("get", "--help").stdout
    assert amili("get", "payouts", PAYOUT, "--sandbox").exit_code == 0


def test_the_help_tells_commands_credentials_and_exit_codes() -> None:
    """A stranger finds the way in."""
    text = " ".join(amili("--help").stdout.split())
    for word in ("AMILI_TOKEN", "AMILI_API_CODE", "130 interrupted", "amili demo", "--sandbox"):
        assert word in text


def test_the_version_is_told() -> None:
    """By the command and by the module alike."""
    assert re.fullmatch(r"amili-async \d+\.\d+\.\d+\n", amili("--version").stdout)


def access(sandbox: Sandbox) -> dict[str, str]:
    """What to set in the environment to use a sandbox."""
    return {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token()}
