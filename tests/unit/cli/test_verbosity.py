"""`--verbose`: every command has it, log lines are on stderr alone, and stdout holds the same as without it."""

import pytest
import typer
from typer.testing import CliRunner, Result

from amili_async.cli.app import EXAMPLES, app
from amili_async.cli.options import with_verbosity
from tests.support.logs import no_handlers

PAYOUT = "6776478033d4049c0400dd72"
GET = ("get", "payouts", PAYOUT, "--sandbox", "--json")


def amili(*arguments: str, log: str = "") -> Result:
    """Run a command in this process, which has no handlers for logs then, and the variable as before afterwards."""
    with no_handlers():
        return CliRunner().invoke(app, arguments, env={"AMILI_LOG": log, "COLUMNS": "200"})


@pytest.mark.parametrize("arguments", [(*GET, "-v"), ("-v", *GET), ("--verbose", *GET), (*GET, "--verbose")])
def test_each_call_is_logged_on_stderr(arguments: tuple[str, ...]) -> None:
    """The option may precede the name of the command or follow it; stdout is not affected."""
    result = amili(*arguments)
    assert result.stdout == amili(*GET).stdout
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert all(" INFO amili_async " in line for line in lines)
    assert [line for line in lines if "CallFinished" in line and "operation=get resource=finance--payouts " in line]


def test_the_doctor_logs_its_requests() -> None:
    """Although it sends them without a client."""
    result = amili("doctor", "--sandbox", "--json", "-v")
    assert "CallFinished" in result.stderr
    assert "CallFinished" not in result.stdout


def test_twice_logs_each_attempt() -> None:
    """At debug level, as `AMILI_LOG=debug` does; the variable alone suffices, and the option precedes it."""
    for result in (amili(*GET, "-vv"), amili("-vv", *GET), amili(*GET, log="DEBUG"), amili(*GET, "-vv", log="info")):
        assert " DEBUG amili_async AttemptFinished " in result.stderr
    for result in (amili(*GET, log="info"), amili(*GET, "-v", log="debug")):
        assert " INFO amili_async CallFinished " in result.stderr
        assert "DEBUG" not in result.stderr


def test_without_it_nothing_is_logged() -> None:
    """No line on stderr."""
    assert amili(*GET).stderr == ""


@pytest.mark.parametrize("command", [command.__module__.rpartition(".")[2] for command in EXAMPLES])
def test_every_command_has_the_option(command: str) -> None:
    """Its help names it, and so does that of the program."""
    for result in (amili(command, "--help"), amili("--help")):
        assert result.exit_code == 0
        assert "--verbose" in result.stdout
        assert "-v " in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("export", "payouts", "-o", "-", "--quiet", "-v"), ("-v", "reconcile", "--quiet", "--sandbox")],
)
def test_quiet_and_verbose_exclude_each_other(arguments: tuple[str, ...]) -> None:
    """Exit code 2 and one sentence, before anything is requested."""
    result = amili(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "amili: --quiet and --verbose cannot be combined\n"


def test_quiet_leaves_what_the_environment_sets() -> None:
    """A job with `--quiet` can be watched by the variable."""
    result = amili("reconcile", "--quiet", "--sandbox", log="info")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "CallFinished" in result.stderr


def test_another_level_is_one_sentence() -> None:
    """Exit code 2, also with a sandbox."""
    result = amili(*GET, log="verbose")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "amili: AMILI_LOG must be debug or info\n"


def test_a_command_keeps_its_own_parameters() -> None:
    """It is called without the option, by the names of its parameters."""
    called: list[object] = []

    def command(*, limit: int = 3) -> None:
        """Collect."""
        called.append(limit)

    assert with_verbosity(command).__doc__ == "Collect."
    program = typer.Typer()
    program.command()(with_verbosity(command))
    assert CliRunner().invoke(program, ["--limit", "5", "-v"], env={"AMILI_LOG": ""}).exit_code == 0
    assert called == [5]
