"""What `amili doctor` prints."""

import json

import pytest

from amili_async.cli.diagnosis.check import Check, CheckStatus, failed, passed, skipped, warned
from amili_async.cli.reports.doctor_lines import CheckPrinter, encode_checks, in_words


def lines_of(*checks: Check, capsys: pytest.CaptureFixture[str]) -> list[str]:
    printer = CheckPrinter()
    for check in checks:
        printer.add(check)
    printer.finish()
    return capsys.readouterr().out.splitlines()


def test_the_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Status, name, what was found folded to the terminal, and what to do; skipped fields need no line."""
    monkeypatch.setenv("COLUMNS", "60")
    checks = (
        passed("rate_limit", "none"),
        failed("payments", "a [bold]\x1b[2J message that is folded once", "change it"),
        skipped("payments_fields", "payments failed"),
        warned("cases_fields", "odd", "nothing"),
    )
    assert lines_of(*checks, capsys=capsys) == [
        "ok       rate limit      none",
        r"failed   payments        a [bold]\x1b[2J message that is",
        "                         folded once",
        "                         To do: change it",
        "warning    fields        odd",
        "                         To do: nothing",
        "",
        "1 ok, 1 warning, 1 failed",
    ]


def test_the_document() -> None:
    """The worst status of all, and every check, skipped ones too."""
    for checks, worst in (
        ([passed("dns", "fine"), skipped("tcp", "dns failed")], "ok"),
        ([warned("dns", "odd", "do"), passed("tcp", "fine")], "warning"),
        ([warned("dns", "odd", "do"), failed("tcp", "shut", "open it")], "failed"),
    ):
        document = json.loads(encode_checks(checks))
        assert document["status"] == worst
        assert [check["name"] for check in document["checks"]] == ["dns", "tcp"]
    assert document["checks"][1] == {"name": "tcp", "status": "failed", "message": "shut", "advice": "open it"}


def test_the_words_of_the_command_line() -> None:
    """Arguments of the library become variables, in message and advice."""
    check = in_words(failed("configuration", "base_url must be https", "check base_url"))
    assert (check.message, check.advice) == ("AMILI_BASE_URL must be https", "check AMILI_BASE_URL")
    assert check.status is CheckStatus.FAILED
